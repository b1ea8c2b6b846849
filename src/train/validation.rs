//! Validation on held-out pictures: the estimated clean PSNR, which needs only noisy pairs, and the true one where the
//! clean pictures are known.

use std::borrow::Cow;

use super::interval::{Blocks, interval};
use super::picture::Centre;
use super::picture::of_one_size;
use super::report::{Record, Strip};
use super::{Source, TrainingPicture};
use crate::data::metrics::{mse, round8};
use crate::data::picture::{Picture, on_display};
use crate::denoise::Denoiser;
use crate::error::{Error, Result};
use crate::noise::{Clean, Exposure};
use crate::ops::Pixels;

/// Side of the centre crops that validation looks at, pixels.
pub(super) const CROP: usize = 256;
/// Strips that a report shows.
const STRIPS: usize = 6;
/// Exposed pairs that an estimate is made from, at least: a pair of 200 pixels a side is off by about 0.1 dB.
const PAIRS: usize = 16;

/// Held-out noisy pairs.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Every picture once, then the same pictures in other exposures where there are few.
    pictures: Vec<Pair>,
    /// Different ones.
    count: usize,
}

#[derive(Clone, Debug)]
struct Pair {
    name: String,
    width: usize,
    height: usize,
    a: Exposure,
    b: Option<Exposure>,
    clean: Option<Vec<f32>>,
    /// `(H, W, C)` of what lies behind the colours of a and b; empty where nothing does.
    features: [Vec<f32>; 2],
    /// Of linear colours, what errors are multiplied by, which makes them relative to brightness: one for every value.
    weights: Option<Vec<f32>>,
    /// Which values are black and white.
    signal: [f32; 2],
    /// Whether results are judged as files of 8 bits have them.
    bytes: bool,
}

impl Pair {
    /// The centres of pictures as they are.
    fn new(a: &TrainingPicture, b: Option<&TrainingPicture>, clean: Option<&TrainingPicture>) -> Self {
        let (name, linear) = (a.name.clone(), a.linear);
        let words = matches!(a.pixels, Pixels::Words(_));
        let exposure = |values| Exposure { values, known: None };
        let [a, b, clean] = [Some(a), b, clean].map(|p| p.map(|p| p.centre(CROP)));
        let Centre { rgb: a, features, width, height } = a.expect("it was given");
        let (b, of_b) = b.map_or((None, Vec::new()), |b| (Some(b.rgb), b.features));
        let clean = clean.map(|clean| clean.rgb);
        let mut values = a.iter().chain(b.iter().flatten()).chain(clean.iter().flatten());
        let bytes = !linear && !words && values.all(|v| (0.0..=1.0).contains(v));
        let weights = linear.then(|| weights(&mean_of(&a, b.as_deref(), clean.as_deref()), width, height));
        let (a, b) = (exposure(a), b.map(exposure));
        Self { name, width, height, a, b, clean, features: [features, of_b], weights, signal: [0.0, 1.0], bytes }
    }

    /// The same, whose black and white are others if there is a `signal`.
    fn in_range(self, signal: Option<[f32; 2]>) -> Self {
        Self { signal: signal.unwrap_or(self.signal), bytes: self.bytes && signal.is_none(), ..self }
    }

    /// What the network reads of a, or of b.
    fn input(&self, exposure: usize) -> Cow<'_, [f32]> {
        let (colours, features) =
            (if exposure == 0 { &self.a } else { self.b.as_ref().unwrap_or(&self.a) }, &self.features[exposure]);
        if features.is_empty() {
            return Cow::Borrowed(&colours.values);
        }
        let channels = features.len() / (self.width * self.height);
        let pixels = colours.values.chunks_exact(3).zip(features.chunks_exact(channels));
        Cow::Owned(pixels.flat_map(|(rgb, features)| rgb.iter().chain(features)).copied().collect())
    }

    /// Mean square error of two pictures, of the range of the signal, or by the weights if there are some.
    fn mse(&self, x: &[f32], y: &[f32]) -> f64 {
        let [black, white] = self.signal;
        let Some(weights) = &self.weights else { return mse(x, y) / f64::from(white - black).powi(2) };
        let sum: f64 = x.iter().zip(y).zip(weights).map(|((x, y), w)| (f64::from(*w) * f64::from(x - y)).powi(2)).sum();
        sum / x.len() as f64
    }

    /// The same in decibels: the PSNR.
    fn psnr(&self, x: &[f32], y: &[f32]) -> f64 {
        -10.0 * self.mse(x, y).log10()
    }

    /// What every value of a result for `input` says of its mean square error against the clean picture, by the other exposure.
    fn error<'a>(&'a self, y: &'a [f32], input: &'a Exposure, other: &'a Exposure) -> impl Fn(usize) -> f64 + 'a {
        let square = |a: f32, b: f32| f64::from(a - b).powi(2);
        let known =
            other.known.as_ref().map(|known| (known, known.len() as f64 / known.iter().filter(|k| **k).count().max(1) as f64));
        move |i| {
            let (y, a, b) = (y[i], input.values[i], other.values[i]);
            match known {
                Some((known, share)) => f64::from(u8::from(known[i / 3])) * share * square(y, b),
                None => self.weights.as_ref().map_or(1.0, |w| f64::from(w[i]).powi(2)) * (square(y, b) - square(a, b) / 2.0),
            }
        }
    }

    /// Before and after, for the report.
    fn strip(&self, y: &[f32]) -> Strip {
        Strip {
            name: self.name.clone(),
            noisy: self.shown(&self.a.values),
            denoised: self.shown(y),
            psnr_noisy: self.clean.as_ref().map(|clean| self.psnr(&self.a.values, clean)),
            psnr: self.clean.as_ref().map(|clean| self.psnr(y, clean)),
            clean: self.clean.as_ref().map(|clean| self.shown(clean)),
            earlier: Vec::new(),
        }
    }

    /// Values as a file of 8 bit has them, for those of such files.
    fn rounded(&self, mut y: Vec<f32>) -> Vec<f32> {
        if self.bytes {
            round8(&mut y);
        }
        y
    }

    /// Values as a display shows them.
    fn shown(&self, values: &[f32]) -> Picture {
        let [black, white] = self.signal;
        let of_display = |v: &f32| if self.weights.is_some() { on_display(*v) } else { (*v - black) / (white - black) };
        let bytes: Vec<u8> = values.iter().map(|v| (of_display(v) * 255.0).round().clamp(0.0, 255.0) as u8).collect();
        let channels = bytes.len() / (self.width * self.height);
        Picture::from_pixels([self.width, self.height], channels, Pixels::Bytes(bytes))
    }
}

/// Side of the blocks whose mean brightness errors are relative to, pixels: a mean of so many hardly depends on the noise of one.
const BLOCK: usize = 8;
/// Added to it.
const DARK: f32 = 0.01;

/// The clean picture, else the mean of the noisy ones.
fn mean_of(a: &[f32], b: Option<&[f32]>, clean: Option<&[f32]>) -> Vec<f32> {
    match (clean, b) {
        (Some(clean), _) => clean.to_vec(),
        (None, Some(b)) => a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect(),
        (None, None) => a.to_vec(),
    }
}

/// For every value of a picture (H, W, 3), one over the mean brightness of its block.
fn weights(rgb: &[f32], width: usize, height: usize) -> Vec<f32> {
    let mut weights = vec![0.0; rgb.len()];
    for (top, left) in (0..height).step_by(BLOCK).flat_map(|top| (0..width).step_by(BLOCK).map(move |left| (top, left))) {
        let columns = 3 * left..3 * (left + BLOCK).min(width);
        let rows = || (top..(top + BLOCK).min(height)).map(|y| 3 * y * width + columns.start..3 * y * width + columns.end);
        let sum: f32 = rows().flat_map(|row| &rgb[row]).sum();
        let mean = sum / (rows().count() * columns.len()) as f32;
        rows().for_each(|row| weights[row].fill(1.0 / (mean.max(0.0) + DARK)));
    }
    weights
}

/// Means over the held-out pictures, dB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores {
    /// Estimated from noisy pairs, where the noise allows it, and most of them match.
    pub estimated: Option<f64>,
    /// 95 % confidence interval of the estimate, dB.
    pub interval: Option<[f64; 2]>,
    /// Pairs that do not match, as their estimated error is below zero; they are not part of the estimate.
    pub mismatched: usize,
    /// Where the clean pictures are known.
    pub truth: Option<f64>,
}

impl Scores {
    /// Those of a validation that is on record.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let found = Self {
            estimated: record.psnr_estimated,
            interval: record.psnr_estimated_interval,
            mismatched: 0,
            truth: record.psnr,
        };
        found.headline().map(|_| found)
    }

    /// What is to be said of pairs that do not match, if there are some.
    pub(super) fn mismatched(&self) -> Option<String> {
        let pairs = match self.mismatched {
            0 => return None,
            1 => "1 held-out pair does not match".to_owned(),
            some => format!("{some} held-out pairs do not match"),
        };
        let why = "the shots share noise, or differ by more than noise";
        Some(format!("{pairs}: the estimated error is below zero, so {why}"))
    }

    /// What checkpoints are judged by.
    pub(super) fn headline(&self) -> Option<f64> {
        self.estimated.or(self.truth)
    }
}

impl Validation {
    /// Centre crops of the held-out pictures, or pairs of shots, each of which is part of one pair; with noise drawn from `seed`
    /// once and for all.
    ///
    /// # Errors
    /// If one is too small for its noise.
    pub fn new(held_out: &Source, seed: u32) -> Result<Self> {
        let scenes = held_out.scenes();
        let Some(noise) = held_out.added_noise() else {
            let in_range = |pair: Pair| pair.in_range(held_out.signal());
            if held_out.is_single() {
                let pictures: Vec<Pair> = scenes.iter().flatten().map(|p| in_range(Pair::new(p, None, None))).collect();
                let count = pictures.len();
                return Ok(Self { pictures, count });
            }
            let step = if held_out.has_neighbours() { 1 } else { 2 };
            let most = PAIRS.div_ceil(scenes.len().max(1));
            let pairs = scenes.iter().flat_map(|scene| scene.windows(2).step_by(step).take(most));
            let pair = |two: &[TrainingPicture]| in_range(Pair::new(&two[0], Some(&two[1]), None));
            let pictures: Vec<Pair> = pairs.map(pair).collect();
            let count = pictures.len();
            return Ok(Self { pictures, count });
        };
        let least = noise.least_side();
        if let Some(TrainingPicture { name, width, height, .. }) = scenes.iter().flatten().find(|p| !p.has_side(least)) {
            let size = format!("{name}: is {width}x{height}");
            return Err(Error::data(format!("{size}, but noise {noise} wants {least} pixels a side: leave it out")));
        }
        let rounds = if noise.unbiased() { PAIRS.div_ceil(scenes.len().max(1)) } else { 1 };
        let exposed = |(p, number): (&TrainingPicture, u32)| {
            let Centre { rgb, width, height, .. } = p.centre(CROP * noise.cell());
            let picture = Clean { rgb: &rgb, width, height };
            let [a, b] = [0, 1].map(|exposure| noise.expose(picture, seed, number, exposure));
            let (clean, width, height) = noise.clean(picture);
            // What is not right on average tells nothing of a denoiser.
            let b = noise.unbiased().then_some(b);
            let features = [const { Vec::new() }; 2];
            let (name, signal) = (p.name.clone(), [0.0, 1.0]);
            Pair { name, width, height, a, b, clean: Some(clean), features, weights: None, signal, bytes: true }
        };
        let pictures = scenes.iter().flatten().cycle().take(scenes.len() * rounds).zip(0..).map(exposed);
        Ok(Self { pictures: pictures.collect(), count: scenes.len() })
    }

    /// Held-out noisy pictures with their clean ones, whose black and white are others than 0 and 1 if there is a `signal`.
    ///
    /// # Errors
    /// If the two of a pair differ in size.
    pub fn with_clean(
        pairs: Vec<(impl Into<TrainingPicture>, impl Into<TrainingPicture>)>,
        signal: Option<[f32; 2]>,
    ) -> Result<Self> {
        let pairs: Vec<[TrainingPicture; 2]> = pairs.into_iter().map(|(a, b)| [a.into(), b.into()]).collect();
        pairs.iter().try_for_each(|pair| of_one_size(pair))?;
        let pictures = pairs.iter().map(|[noisy, clean]| Pair::new(noisy, None, Some(clean)).in_range(signal)).collect();
        Ok(Self { pictures, count: pairs.len() })
    }

    /// Pictures.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Pixels that are denoised.
    pub(super) fn pixels(&self) -> usize {
        self.pictures.iter().map(|p| p.width * p.height * (1 + usize::from(p.b.is_some()))).sum()
    }

    /// All that validation looks at.
    pub(super) fn values(&self) -> impl Iterator<Item = f32> + '_ {
        let of = |p: &'_ Pair| {
            let exposures = std::iter::once(&p.a).chain(&p.b).flat_map(|e| &e.values);
            exposures.chain(p.clean.iter().chain(&p.features).flatten()).copied().collect::<Vec<f32>>()
        };
        self.pictures.iter().flat_map(of)
    }

    /// PSNR of the noisy pictures themselves: true, or from the pairs' difference, which is twice the noise.
    pub fn psnr_noisy(&self) -> f64 {
        let of = |p: &Pair| match (&p.clean, &p.b) {
            (Some(clean), _) => p.psnr(&p.a.values, clean),
            (None, Some(b)) => -10.0 * (p.mse(&p.a.values, &b.values) / 2.0).max(1e-6).log10(),
            (None, None) => f64::NAN,
        };
        self.pictures.iter().map(of).sum::<f64>() / self.pictures.len() as f64
    }

    /// Denoises both pictures of every pair: clean mean square error = |f(a) - b|^2 - |a - b|^2 / 2, and the same with a and b
    /// swapped, so that of the estimate's own noise only a * b is left. Known pixels of b are clean where others are hidden. It
    /// is below zero where a and b differ by more than noise that they do not share, and then tells nothing. Also the first few
    /// pictures before and after. `None` if the network gives values that are not finite.
    pub(super) fn scores(&self, denoiser: &mut Denoiser) -> Result<Option<(Scores, Vec<Strip>)>> {
        let (mut estimates, mut truth) = (Vec::new(), 0.0);
        let (mut spread, mut strips) = (Vec::new(), Vec::new());
        for p in &self.pictures {
            let inputs: Vec<_> = std::iter::once(&p.a).chain(&p.b).collect();
            let channels = p.a.values.len() / (p.width * p.height);
            let (mut error, mut blocks) = (0.0, Blocks::new(p.width, p.height, channels));
            for (i, input) in inputs.iter().enumerate() {
                let y = denoiser.run(&p.input(i), p.width, p.height)?;
                if y.iter().any(|v| !v.is_finite()) {
                    return Ok(None);
                }
                let y = p.rounded(y);
                let other = inputs[inputs.len() - 1 - i];
                error += match &other.known {
                    Some(known) => known_mse(&y, &other.values, known),
                    None => p.mse(&y, &other.values) - p.mse(&input.values, &other.values) / 2.0,
                };
                blocks.add(p.error(&y, input, other));
                truth += p.clean.as_ref().map_or(0.0, |clean| p.psnr(&y, clean) / inputs.len() as f64);
                if i == 0 && strips.len() < STRIPS.min(self.count) {
                    strips.push(p.strip(&y));
                }
            }
            // What is below zero beside others is no error of the network.
            let error = error / inputs.len() as f64;
            if error > 0.0 {
                estimates.push(-10.0 * error.log10());
                spread.push(blocks.relative());
            }
        }
        let count = self.pictures.len() as f64;
        let all = |has: fn(&Pair) -> bool| self.pictures.iter().all(has);
        let (pairs, known) = (all(|p| p.b.is_some()), all(|p| p.clean.is_some()));
        let mismatched = if pairs { self.pictures.len() - estimates.len() } else { 0 };
        let matching = pairs && 2 * mismatched < self.pictures.len();
        let estimated = matching.then(|| estimates.iter().sum::<f64>() / estimates.len() as f64);
        let interval = estimated.and_then(|estimated| interval(estimated, &spread));
        Ok(Some((Scores { estimated, interval, mismatched, truth: known.then_some(truth / count) }, strips)))
    }
}

/// Mean square error over the pixels that are known.
fn known_mse(y: &[f32], values: &[f32], known: &[bool]) -> f64 {
    let of = |(y, v): (&[f32], &[f32])| y.iter().zip(v).map(|(y, v)| f64::from(y - v).powi(2)).sum::<f64>();
    let pixels = y.chunks(3).zip(values.chunks(3)).zip(known).filter(|(_, known)| **known);
    let (sum, count) = pixels.fold((0.0, 0), |(sum, count), (pixel, _)| (sum + of(pixel), count + 3));
    sum / f64::from(count.max(1))
}
