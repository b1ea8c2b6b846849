//! One pair of shots: what can be told of it alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use super::brightness::{Block, Drift, Fit, blocks, drift, grey};
use super::noise::{Cause, Noise, noise};
use super::pattern::Details;
use super::report::{Finding, Kind};
use super::scenes::{Thumbnail, differ};
use super::shift::{LEAST, Shift, shift};
use super::windows::{Window, black_and_white, windows};
use crate::data::picture::Picture;
use crate::data::samples::Depth;

/// Smallest side that anything is told of.
const SMALLEST: usize = 16;
/// Share of values at black or white that is told.
const CLIPPED: f64 = 0.01;
/// Levels of 8 bits below which values of 16 bits fill little of their range: an eighth of it.
const LEVELS: f32 = 32.0;
/// The share of values that may lie above what counts as filled, as hot pixels do.
const ABOVE: f64 = 0.001;

/// What was seen of a pair of shots.
#[derive(Serialize)]
pub struct Look {
    /// Of the pair.
    pub name: String,
    /// Width and height of the first shot.
    pub size: [usize; 2],
    /// What was measured, if the shots can be compared.
    #[serde(flatten)]
    pub measured: Option<Measurements>,
    /// What was found.
    #[serde(skip)]
    pub findings: Vec<Finding>,
    #[serde(skip)]
    pub(super) shots: [Shot; 2],
    #[serde(skip)]
    pub(super) details: Option<Details>,
}

/// Numbers of a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurements {
    /// Standard deviation of the noise of every channel, in grey levels of 255 from black to white: of the range that 16-bit and
    /// float pictures fill.
    pub noise: Vec<f64>,
    /// Correlation of the noise of neighbours, of the channel with the largest.
    pub correlation: f64,
    /// By how much the mean of the second shot exceeds that of the first, a share; of the channel that differs most.
    pub brightness: f64,
    /// The second shot's brightness by the first's, of every channel.
    pub fits: Vec<Fit>,
    /// By how much the second shot is shifted right and down, pixels.
    pub shift: [f64; 2],
    /// Share of values at black and at white.
    pub clipped: [f64; 2],
}

/// What pictures are compared by across pairs.
pub(super) struct Shot {
    pub(super) label: String,
    pub(super) thumbnail: Thumbnail,
    /// Of all samples; `None` if they are all the same.
    pub(super) digest: Option<u64>,
}

impl Shot {
    pub(super) fn new(label: &str, picture: &Picture) -> Self {
        let mut hasher = DefaultHasher::new();
        picture.header().size().hash(&mut hasher);
        let rows = (0..picture.height()).map(|y| picture.row(y));
        rows.for_each(|row| hasher.write(row.samples.bytes()));
        let thumbnail = Thumbnail::new(picture);
        let digest = (!thumbnail.is_flat()).then(|| hasher.finish());
        Self { label: label.to_owned(), thumbnail, digest }
    }
}

impl Look {
    /// Looks at two shots, which have names of their own.
    pub fn new(name: &str, labels: [&str; 2], pictures: [&Picture; 2]) -> Self {
        let sizes = pictures.map(|p| p.header().size());
        let shots = [0, 1].map(|i| Shot::new(labels[i], pictures[i]));
        let mut look = Self { name: name.to_owned(), size: sizes[0], measured: None, findings: Vec::new(), shots, details: None };
        if sizes[0] != sizes[1] {
            let [[w, h], [v, g]] = sizes;
            let problem = format!("the shots differ in size, {w}x{h} and {v}x{g}");
            look.find(Kind::Size, 0.0, problem, "they are left out: give both in one size, not scaled");
        } else if look.shots[0].digest.is_some() && look.shots[0].digest == look.shots[1].digest {
            let advice = "a network would learn to change nothing: give two different shots";
            look.find(Kind::Identical, 0.0, "both shots are the same picture", advice);
        } else if sizes[0].into_iter().all(|side| side >= SMALLEST) {
            look.compare(pictures);
        }
        look
    }

    fn find(&mut self, kind: Kind, value: f64, problem: impl Into<String>, advice: &'static str) {
        self.findings.push(Finding::new(kind, &self.name, value, problem, advice));
    }

    fn compare(&mut self, pictures: [&Picture; 2]) {
        let range = black_and_white(pictures);
        let mut looked_at = windows(pictures, [0, 0], range);
        let mut shift = shift(&looked_at);
        if shift.found && shift.whole() != [0, 0] {
            let aligned = windows(pictures, shift.whole(), range);
            if aligned.first().is_some_and(|w| w.width.min(w.height) >= SMALLEST) {
                looked_at = aligned;
            } else {
                shift = Shift { found: false, ..shift };
            }
        }
        let channels = looked_at[0].a.len();
        // Of every window and channel.
        let blocks: Vec<Vec<Vec<Block>>> =
            looked_at.iter().map(|window| (0..channels).map(|c| blocks(window, c)).collect()).collect();
        let greys: Vec<Vec<Block>> = blocks.iter().map(|channels| grey(channels)).collect();
        if differ(&looked_at, &greys) {
            let advice = "a network would learn from them to blur everything: give two shots of one scene from a tripod";
            self.find(Kind::Scene, 0.0, "the shots show different scenes, or are shifted by more than a hundred pixels", advice);
            return;
        }
        let drifts: Vec<Drift> =
            (0..channels).map(|c| drift(&blocks.iter().flat_map(|of| &of[c]).copied().collect::<Vec<_>>())).collect();
        let same = Fit { gain: 1.0, offset: 0.0 };
        let fit = |d: &Drift| if d.found { d.fit } else { same };
        let noises: Vec<Noise> = (0..channels).map(|c| noise(&looked_at, c, fit(&drifts[c]))).collect();
        self.tell_shift(shift);
        self.tell_drift(&drifts);
        if !self.findings.iter().any(|f| f.kind == Kind::Shift) {
            self.tell_correlation(&noises);
        }
        let clipped = self.tell_clipping(pictures, &looked_at);
        self.tell_range(pictures, &looked_at, range);
        let largest = |of: &mut dyn Iterator<Item = f64>| of.fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        self.measured = Some(Measurements {
            noise: noises.iter().map(|n| 255.0 * n.deviation).collect(),
            correlation: largest(&mut noises.iter().map(|n| n.correlation)),
            brightness: largest(&mut drifts.iter().map(|d| d.share)),
            fits: drifts.iter().map(|d| fit(d).of_values(range)).collect(),
            shift: if shift.found { shift.pixels } else { [0.0; 2] },
            clipped,
        });
        self.details = (shift.whole() == [0, 0]).then(|| Details::new(&looked_at));
    }

    fn tell_shift(&mut self, Shift { pixels: [x, y], found }: Shift) {
        let length = x.hypot(y);
        if found && length >= LEAST {
            let problem = format!("the second shot is shifted by {x:+.1} pixels to the right and {y:+.1} down");
            self.find(
                Kind::Shift,
                length,
                problem,
                "details would be lost, the more the further: align the shots before training",
            );
        }
    }

    fn tell_drift(&mut self, drifts: &[Drift]) {
        let found = drifts.iter().filter(|d| d.found).max_by(|a, b| a.share.abs().total_cmp(&b.share.abs()));
        let Some(Drift { fit, share, .. }) = found else { return };
        let percent = 100.0 * share.abs();
        let word = if *share > 0.0 { "brighter" } else { "darker" };
        let problem = format!("the second shot is {percent:.1} % {word}, with a contrast of {:.3}", fit.gain);
        let advice = "the network would shift brightness: match the shots, or take them with fixed exposure and light";
        self.find(Kind::Brightness, *share, problem, advice);
    }

    fn tell_correlation(&mut self, noises: &[Noise]) {
        let found = noises.iter().filter(|n| n.cause.is_some());
        let Some((cause, value)) = found
            .max_by(|a, b| a.correlation.abs().total_cmp(&b.correlation.abs()))
            .and_then(|n| Some((n.cause?, n.correlation)))
        else {
            return;
        };
        let by = match cause {
            Cause::Jpeg => "by the blocks of JPEG",
            Cause::Mosaic => "by demosaicking",
            Cause::Other => "by scaling, a filter, a camera's own denoising or demosaicking",
        };
        let problem = format!("the noise of neighbouring pixels is correlated by {value:.2}, {by}");
        let advice = "pairs train as well, but the model will suit noise of that kind alone: denoise pictures made the same way";
        self.find(Kind::Correlation, value, problem, advice);
    }

    fn tell_clipping(&mut self, pictures: [&Picture; 2], windows: &[Window]) -> [f64; 2] {
        // Floats have no ends.
        if pictures.iter().any(|p| p.header().color.depth.is_float()) {
            return [0.0; 2];
        }
        let clipped = clipped(windows.iter().flat_map(|w| w.a.iter().chain(&w.b)));
        self.findings.extend(clipping(&self.name, clipped));
        clipped
    }

    fn tell_range(&mut self, pictures: [&Picture; 2], windows: &[Window], [black, white]: [f32; 2]) {
        let is_grey = |w: &Window| [&w.a, &w.b].iter().all(|planes| planes.windows(2).all(|two| two[0] == two[1]));
        if windows[0].a.len() == 3 && windows.iter().all(is_grey) {
            let advice = "networks learn that noise is the same in all colours: do not mix them with colour pictures";
            self.find(Kind::Grey, 1.0, "the pictures are grey in three channels", advice);
        }
        let mut values: Vec<f32> = windows.iter().flat_map(|w| w.a.iter().flatten().copied()).collect();
        let place = ((1.0 - ABOVE) * (values.len() - 1) as f64) as usize;
        let top = black + (white - black) * *values.select_nth_unstable_by(place, f32::total_cmp).1;
        if pictures.iter().all(|p| p.header().color.depth == Depth::Sixteen) && 255.0 * top < LEVELS {
            let problem = format!("values reach {:.0} of 65535", 65_535.0 * top);
            let advice =
                "training takes the range from the data, and the model keeps it: denoise pictures of the same scale with it";
            self.find(Kind::Range, f64::from(top), problem, advice);
        }
    }
}

/// Shares of the values of planes that are black and white.
pub(super) fn clipped<'a>(planes: impl Iterator<Item = &'a Vec<f32>> + Clone) -> [f64; 2] {
    let count = planes.clone().map(Vec::len).sum::<usize>().max(1) as f64;
    let share = |is: &dyn Fn(f32) -> bool| planes.clone().flatten().filter(|v| is(**v)).count() as f64 / count;
    [share(&|v| v <= 0.0), share(&|v| v >= 1.0)]
}

/// What such shares come to.
pub(super) fn clipping(place: &str, clipped: [f64; 2]) -> Option<Finding> {
    let most = clipped[0].max(clipped[1]);
    let [black, white] = clipped.map(|share| 100.0 * share);
    let problem = format!("{black:.0} % of the values are black and {white:.0} % white");
    let advice = "noise is cut off there, and means lie a little off: keep an offset below black, expose less";
    (most > CLIPPED).then(|| Finding::new(Kind::Clipping, place, most, problem, advice))
}
