//! Noisy pictures without a second shot: how noisy each is, and whether its noise can be told from the picture.
//!
//! Trainings on single pictures learn from pixels beside each other, whose noise must be independent (Huang et al. 2021,
//! `Neighbor2Neighbor`, section 3). Where a picture is even but for a slope, it is all noise: one half of a block tells whether it
//! is even, the other half, whose noise that choice does not touch, is measured.

use std::collections::HashMap;

use serde::Serialize;

use super::look::{Shot, clipped, clipping};
use super::noise::ROUNDING;
use super::report::{Finding, Kind};
use super::statistics::median;
use super::windows::{Window, black_and_white, windows};
use crate::data::picture::Picture;
use crate::error::Error;

/// Width of a block and height of its halves, pixels: JPEG couples those within 8x8.
const BLOCK: [usize; 2] = [8, 4];
/// One block in so many counts as even, of a few at least.
const EVEN: usize = 20;
const LEAST: usize = 8;
/// Blocks with means outside are left out: black and white cut all noise off.
const SEEN: [f64; 2] = [0.02, 0.98];
/// Of the others, those within show all of it: they alone tell how strong it is, if there are enough.
const OPEN: [f64; 2] = [0.15, 0.85];
/// Correlation of neighbours on an axis above which noise cannot be told from the picture. The median over white noise lies
/// within 0.15 of zero, as a slope is taken from every half of a block; fine texture where there is little noise adds as much, and
/// JPEG, scaling and demosaicking more.
const MOST: f64 = 0.35;

/// What was seen of one picture.
#[derive(Serialize)]
pub struct SingleLook {
    /// Of the file.
    pub name: String,
    /// Width and height.
    pub size: [usize; 2],
    /// Standard deviation of the noise of every channel where the picture is even, in grey levels of 255 from black to white;
    /// `None` where nothing can be judged.
    pub noise: Vec<Option<f64>>,
    /// Correlation of neighbours there, of the channel and the axis with the largest.
    pub correlation: Option<f64>,
    /// Share of values at black and at white.
    pub clipped: [f64; 2],
    #[serde(skip)]
    shot: Shot,
    #[serde(skip)]
    findings: Vec<Finding>,
}

/// What was seen of single pictures.
#[derive(Serialize)]
pub struct SingleReport {
    /// Every picture that could be read.
    pub pictures: Vec<SingleLook>,
    /// All that was found, in the order of the pictures.
    pub findings: Vec<Finding>,
}

/// Noise of a channel.
struct Noise {
    deviation: f64,
    correlation: f64,
}

/// The one of two numbers that is farther from zero.
fn larger(a: f64, b: f64) -> f64 {
    if b.abs() > a.abs() { b } else { a }
}

impl SingleLook {
    /// Looks at a picture; `label` is the whole name of its file.
    pub fn new(name: &str, label: &str, picture: &Picture) -> Self {
        let (size, both) = (picture.header().size(), [picture; 2]);
        let windows = windows(both, [0, 0], black_and_white(both));
        let channels = windows.first().map_or(0, |window| window.a.len());
        let noises: Vec<Option<Noise>> = (0..channels).map(|c| noise(&windows, c)).collect();
        let mut look = Self {
            name: name.to_owned(),
            size,
            noise: noises.iter().map(|noise| noise.as_ref().map(|noise| 255.0 * noise.deviation)).collect(),
            correlation: noises.iter().flatten().map(|noise| noise.correlation).reduce(larger),
            clipped: if picture.header().is_float() { [0.0; 2] } else { clipped(windows.iter().flat_map(|w| &w.a)) },
            shot: Shot::new(label, picture),
            findings: Vec::new(),
        };
        look.findings.extend(clipping(name, look.clipped));
        match look.correlation {
            None => {
                let (problem, advice) =
                    ("nothing can be told of its noise", "it is too small, or black, white or even everywhere");
                look.findings.push(Finding::new(Kind::Unjudged, name, 0.0, problem, advice));
            }
            Some(correlation) if correlation.abs() > MOST => {
                let problem =
                    format!("where the picture is even, the noise of neighbouring pixels is correlated by {correlation:.2}");
                let advice = "a network keeps such noise, or there is hardly any: take files that are no JPEGs, neither scaled nor \
                              demosaicked, or two shots of every scene";
                look.findings.push(Finding::new(Kind::Spread, name, correlation, problem, advice));
            }
            Some(_) => {}
        }
        look
    }
}

impl SingleReport {
    /// Compares pictures with each other; those that are left out have a name and the reason.
    pub fn new(pictures: Vec<SingleLook>, left_out: &[(String, Error)]) -> Self {
        let mut seen: HashMap<u64, &str> = HashMap::new();
        let broken = |(name, error): &(String, Error)| Finding::new(Kind::Broken, name, 0.0, error.to_string(), "it is left out");
        let mut findings: Vec<Finding> = left_out.iter().map(broken).collect();
        for look in &pictures {
            findings.extend(look.findings.iter().cloned());
            let Shot { label, digest: Some(digest), .. } = &look.shot else { continue };
            if let Some(other) = seen.get(digest) {
                let problem = format!("is the same picture as {other}");
                let advice = "it counts twice: give every picture once";
                findings.push(Finding::new(Kind::Identical, label, 0.0, problem, advice));
            } else {
                seen.insert(*digest, label);
            }
        }
        Self { pictures, findings }
    }

    /// Median over the pictures of the noise of every channel that can be judged, in grey levels of 255; of those in colour, if
    /// there are any.
    pub fn noise(&self) -> Vec<f64> {
        let channels = self.pictures.iter().map(|look| look.noise.len()).max().unwrap_or(0);
        let looks = || self.pictures.iter().filter(|look| look.noise.len() == channels);
        let of_channel = |c: usize| looks().filter_map(|look| look.noise[c]).collect::<Vec<f64>>();
        (0..channels).map(of_channel).filter(|all| !all.is_empty()).map(|mut all| median(&mut all)).collect()
    }
}

/// The noise of a channel where it is even; `None` where there are no such places.
fn noise(windows: &[Window], channel: usize) -> Option<Noise> {
    let corners = |window: &Window| window.blocks(BLOCK[0]).0;
    let halves = |w, corner| [0, 1].map(|half| Half::new(w, channel, corner, half));
    let mut blocks: Vec<[Half; 2]> = windows.iter().flat_map(|w| corners(w).into_iter().map(move |at| halves(w, at))).collect();
    // A margin, or a mask, has no noise.
    blocks.retain(|halves| halves.iter().all(|half| half.variance > ROUNDING * ROUNDING));
    let all = even(&blocks, SEEN)?;
    let mut variances: Vec<f64> = even(&blocks, OPEN).as_ref().unwrap_or(&all).iter().map(|half| half.variance).collect();
    let [right, down] = [0, 1].map(|axis| median(&mut all.iter().map(|half| half.correlation[axis]).collect::<Vec<_>>()));
    Some(Noise { deviation: median(&mut variances).sqrt(), correlation: larger(right, down) })
}

/// The measured halves of the most even of the blocks with means in a range; `None` if there are too few.
fn even(blocks: &[[Half; 2]], [low, high]: [f64; 2]) -> Option<Vec<&Half>> {
    let mut blocks: Vec<&[Half; 2]> = blocks.iter().filter(|[even, _]| (low..=high).contains(&even.mean)).collect();
    blocks.sort_by(|a, b| a[0].variance.total_cmp(&b[0].variance));
    blocks.truncate((blocks.len() / EVEN).max(LEAST));
    (blocks.len() >= LEAST).then(|| blocks.into_iter().map(|[_, measured]| measured).collect())
}

/// One half of a block, less the plane nearest to it.
struct Half {
    mean: f64,
    variance: f64,
    /// Of neighbours beside and below each other.
    correlation: [f64; 2],
}

impl Half {
    fn new(window: &Window, channel: usize, [left, top]: [usize; 2], half: usize) -> Self {
        let [width, height] = BLOCK;
        let row = |y: usize| &window.a[channel][(top + half * height + y) * window.width + left..][..width];
        let values: Vec<f64> = (0..height).flat_map(|y| row(y).iter().map(|&v| f64::from(v))).collect();
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        // Places from the middle: the mean and both slopes do not depend on each other.
        let place = |p: usize| [(p % width) as f64 - (width - 1) as f64 / 2.0, (p / width) as f64 - (height - 1) as f64 / 2.0];
        let slopes = [0, 1].map(|axis| {
            let (products, squares) = (0..n).fold((0.0, 0.0), |(products, squares), p| {
                let at = place(p)[axis];
                (products + at * values[p], squares + at * at)
            });
            products / squares
        });
        let rest: Vec<f64> = (0..n).map(|p| values[p] - mean - slopes[0] * place(p)[0] - slopes[1] * place(p)[1]).collect();
        let squares: f64 = rest.iter().map(|v| v * v).sum();
        let right = (0..n).filter(|p| p % width + 1 < width).map(|p| rest[p] * rest[p + 1]).sum::<f64>();
        let down = (0..n - width).map(|p| rest[p] * rest[p + width]).sum::<f64>();
        let share = |sum: f64, count: usize| sum / count as f64 / (squares / n as f64).max(f64::MIN_POSITIVE);
        let correlation = [share(right, height * (width - 1)), share(down, (height - 1) * width)];
        Self { mean, variance: squares / (n - 3) as f64, correlation }
    }
}
