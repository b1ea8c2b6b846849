//! Noisy pictures without a second shot: how noisy each is, and whether its noise can be told from the picture.
//!
//! Trainings on single pictures learn from pixels beside each other, whose noise must be independent (Huang et al. 2021,
//! "Neighbor2Neighbor", section 3). Where a picture is even, it is all noise: one half of a block tells whether it is even, the
//! other half, whose noise that choice does not touch, is measured.

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
/// Correlation of neighbours above which noise cannot be told from the picture. The median over a hundred blocks of white noise
/// lies within 0.1 of zero; fine texture where there is little noise adds as much, and JPEG, scaling and demosaicking more.
const MOST: f64 = 0.35;

/// What was seen of one picture.
#[derive(Serialize)]
pub struct SingleLook {
    /// Of the file.
    pub name: String,
    /// Width and height.
    pub size: [usize; 2],
    /// Standard deviation of the noise of every channel where the picture is even, in grey levels of 255 from black to white;
    /// empty where nothing can be judged.
    pub noise: Vec<f64>,
    /// Correlation of neighbours there, of the channel with the largest.
    pub correlation: f64,
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

impl SingleLook {
    /// Looks at a picture; `label` is the whole name of its file.
    pub fn new(name: &str, label: &str, picture: &Picture) -> Self {
        let (size, both) = (picture.header().size(), [picture; 2]);
        let windows = windows(both, [0, 0], black_and_white(both));
        let channels = windows.first().map_or(0, |window| window.a.len());
        let noises: Vec<Noise> = (0..channels).filter_map(|c| noise(&windows, c)).collect();
        let mut look = Self {
            name: name.to_owned(),
            size,
            noise: noises.iter().map(|noise| 255.0 * noise.deviation).collect(),
            correlation: noises.iter().map(|noise| noise.correlation).fold(0.0, |a, b| if b > a { b } else { a }),
            clipped: if picture.header().is_float() { [0.0; 2] } else { clipped(windows.iter().flat_map(|w| &w.a)) },
            shot: Shot::new(label, picture),
            findings: Vec::new(),
        };
        look.findings.extend(clipping(name, look.clipped));
        if look.correlation > MOST {
            let problem = format!("where the picture is even, neighbouring pixels share {:.2} of what varies", look.correlation);
            let advice = "that is learnt as picture, and stays: there is hardly any noise, or JPEG, scaling or demosaicking has \
                          spread it; take files without them, or two shots of every scene";
            look.findings.push(Finding::new(Kind::Spread, name, look.correlation, problem, advice));
        }
        look
    }
}

impl SingleReport {
    /// Compares pictures with each other.
    pub fn new(pictures: Vec<SingleLook>) -> Self {
        let mut seen: HashMap<u64, &str> = HashMap::new();
        let mut findings = Vec::new();
        for look in &pictures {
            findings.extend(look.findings.iter().cloned());
            let Some(digest) = look.shot.digest else { continue };
            if let Some(other) = seen.get(&digest) {
                let problem = format!("is the same picture as {other}");
                findings.push(Finding::new(
                    Kind::Identical,
                    &look.name,
                    0.0,
                    problem,
                    "it counts twice: give every picture once",
                ));
            } else {
                seen.insert(digest, &look.shot.label);
            }
        }
        Self { pictures, findings }
    }

    /// Adds a picture that is left out.
    pub fn add_left_out(&mut self, name: &str, error: &Error) {
        self.findings.insert(0, Finding::new(Kind::Broken, name, 0.0, error.to_string(), "it is left out"));
    }

    /// Median over the pictures of the noise of every channel, in grey levels of 255; of those in colour, if there are any.
    pub fn noise(&self) -> Vec<f64> {
        super::medians(self.pictures.iter().map(|look| &look.noise[..]))
    }
}

/// The noise of a channel where it is even; `None` where there are no such places.
fn noise(windows: &[Window], channel: usize) -> Option<Noise> {
    let corners = |window: &Window| window.blocks(BLOCK[0]).0;
    let halves = |w, corner| [0, 1].map(|half| Half::new(w, channel, corner, half));
    let blocks: Vec<[Half; 2]> = windows.iter().flat_map(|w| corners(w).into_iter().map(move |at| halves(w, at))).collect();
    let all = even(&blocks, SEEN)?;
    let mut variances: Vec<f64> = even(&blocks, OPEN).as_ref().unwrap_or(&all).iter().map(|half| half.variance).collect();
    let correlations = all.iter().filter(|half| half.variance > ROUNDING * ROUNDING).map(|half| half.correlation);
    Some(Noise { deviation: median(&mut variances).sqrt(), correlation: median(&mut correlations.collect::<Vec<_>>()) })
}

/// The measured halves of the most even of the blocks with means in a range; `None` if there are too few.
fn even(blocks: &[[Half; 2]], [low, high]: [f64; 2]) -> Option<Vec<&Half>> {
    let mut blocks: Vec<&[Half; 2]> = blocks.iter().filter(|[even, _]| (low..=high).contains(&even.mean)).collect();
    blocks.sort_by(|a, b| a[0].variance.total_cmp(&b[0].variance));
    blocks.truncate((blocks.len() / EVEN).max(LEAST));
    (blocks.len() >= LEAST).then(|| blocks.into_iter().map(|[_, measured]| measured).collect())
}

/// One half of a block.
struct Half {
    mean: f64,
    variance: f64,
    /// Of neighbours on both axes.
    correlation: f64,
}

impl Half {
    fn new(window: &Window, channel: usize, [left, top]: [usize; 2], half: usize) -> Self {
        let [width, height] = BLOCK;
        let row = |y: usize| &window.a[channel][(top + half * height + y) * window.width + left..][..width];
        let values: Vec<f64> = (0..height).flat_map(|y| row(y).iter().map(|&v| f64::from(v))).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let centred: Vec<f64> = values.iter().map(|v| v - mean).collect();
        let squares: f64 = centred.iter().map(|v| v * v).sum();
        let right = (0..centred.len()).filter(|p| p % width + 1 < width).map(|p| centred[p] * centred[p + 1]).sum::<f64>();
        let down = (0..centred.len() - width).map(|p| centred[p] * centred[p + width]).sum::<f64>();
        let neighbours = (height * (width - 1) + (height - 1) * width) as f64;
        let correlation = (right + down) / neighbours / (squares / n).max(f64::MIN_POSITIVE);
        Self { mean, variance: squares / (n - 1.0), correlation }
    }
}
