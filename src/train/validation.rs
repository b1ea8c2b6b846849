//! Validation on held-out pictures: the estimated clean PSNR, which needs only noisy pairs, and the true one where the
//! clean pictures are known.

use super::data::of_one_size;
use super::report::{Record, Strip};
use super::{Source, TrainingPicture};
use crate::data::metrics::{mse, psnr, round8};
use crate::data::picture::Picture;
use crate::denoise::Denoiser;
use crate::error::{Error, Result};
use crate::noise::{Clean, Exposure};

/// Side of the centre crops that validation looks at, pixels.
const CROP: usize = 256;
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
}

impl Pair {
    /// The centres of pictures as they are.
    fn new(a: &TrainingPicture, b: Option<&TrainingPicture>, clean: Option<&TrainingPicture>) -> Self {
        let centre = |p: &TrainingPicture| p.centre(CROP);
        let (values, width, height) = centre(a);
        let exposure = |values| Exposure { values, known: None };
        let b = b.map(|b| exposure(centre(b).0));
        Self { name: a.name.clone(), width, height, a: exposure(values), b, clean: clean.map(|clean| centre(clean).0) }
    }
}

/// Means over the held-out pictures, dB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores {
    /// Estimated from noisy pairs, where the noise allows it.
    pub estimated: Option<f64>,
    /// Where the clean pictures are known.
    pub truth: Option<f64>,
}

impl Scores {
    /// Those of a validation that is on record.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let found = Self { estimated: record.psnr_estimated, truth: record.psnr };
        (found.estimated.is_some() || found.truth.is_some()).then_some(found)
    }

    /// Validations since the best one.
    pub(super) fn since_best(records: &[Record]) -> u64 {
        let scored = records.iter().filter_map(Self::of).map(|scores| scores.headline());
        let (_, since) =
            scored.fold((f64::NEG_INFINITY, 0), |(best, since), score| if score > best { (score, 0) } else { (best, since + 1) });
        since
    }

    /// What checkpoints are judged by.
    pub(super) fn headline(&self) -> f64 {
        self.estimated.or(self.truth).unwrap_or(f64::NEG_INFINITY)
    }
}

impl Validation {
    /// Centre crops of the held-out pictures, with noise drawn from `seed` once and for all.
    ///
    /// # Errors
    /// If one is too small for its noise.
    pub fn new(held_out: &Source, seed: u32) -> Result<Self> {
        let scenes = held_out.scenes();
        let Some(noise) = held_out.added_noise() else {
            let pictures = scenes.iter().map(|scene| Pair::new(&scene[0], scene.get(1), None)).collect();
            return Ok(Self { pictures, count: scenes.len() });
        };
        let least = noise.least_side();
        if let Some(TrainingPicture { name, width, height, .. }) = scenes.iter().flatten().find(|p| !p.has_side(least)) {
            let size = format!("{name}: is {width}x{height}");
            return Err(Error::data(format!("{size}, but noise {noise} wants {least} pixels a side: leave it out")));
        }
        let rounds = if noise.unbiased() { PAIRS.div_ceil(scenes.len().max(1)) } else { 1 };
        let exposed = |(p, number): (&TrainingPicture, u32)| {
            let (rgb, width, height) = p.centre(CROP * noise.cell());
            let picture = Clean { rgb: &rgb, width, height };
            let [a, b] = [0, 1].map(|exposure| noise.expose(picture, seed, number, exposure));
            let (clean, width, height) = noise.clean(picture);
            // What is not right on average tells nothing of a denoiser.
            let b = noise.unbiased().then_some(b);
            Pair { name: p.name.clone(), width, height, a, b, clean: Some(clean) }
        };
        let pictures = scenes.iter().flatten().cycle().take(scenes.len() * rounds).zip(0..).map(exposed);
        Ok(Self { pictures: pictures.collect(), count: scenes.len() })
    }

    /// Held-out noisy pictures with their clean ones.
    ///
    /// # Errors
    /// If the two of a pair differ in size.
    pub fn with_clean(pairs: Vec<(impl Into<TrainingPicture>, impl Into<TrainingPicture>)>) -> Result<Self> {
        let pairs = of_one_size(pairs)?;
        let pictures = pairs.iter().map(|[noisy, clean]| Pair::new(noisy, None, Some(clean))).collect();
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
            exposures.chain(p.clean.iter().flatten()).copied().collect::<Vec<f32>>()
        };
        self.pictures.iter().flat_map(of)
    }

    /// PSNR of the noisy pictures themselves: true, or from the pairs' difference, which is twice the noise.
    pub fn psnr_noisy(&self) -> f64 {
        let of = |p: &Pair| match (&p.clean, &p.b) {
            (Some(clean), _) => psnr(&p.a.values, clean),
            (None, Some(b)) => decibels(mse(&p.a.values, &b.values) / 2.0),
            (None, None) => f64::NAN,
        };
        self.pictures.iter().map(of).sum::<f64>() / self.pictures.len() as f64
    }

    /// Denoises both pictures of every pair: clean mean square error = |f(a) - b|^2 - |a - b|^2 / 2, and the same with a and b
    /// swapped, so that of the estimate's own noise only a * b is left. Known pixels of b are clean where others are hidden.
    /// `None` if the network gives values that are not finite.
    pub(super) fn scores(&self, denoiser: &mut Denoiser) -> Result<Option<Scores>> {
        let (mut estimated, mut truth) = (0.0, 0.0);
        for p in &self.pictures {
            let inputs: Vec<_> = std::iter::once(&p.a).chain(&p.b).collect();
            let mut error = 0.0;
            for (i, input) in inputs.iter().enumerate() {
                let mut y = denoiser.run(&input.values, p.width, p.height)?;
                if y.iter().any(|v| !v.is_finite()) {
                    return Ok(None);
                }
                round8(&mut y);
                let other = inputs[inputs.len() - 1 - i];
                error += match &other.known {
                    Some(known) => known_mse(&y, &other.values, known),
                    None => mse(&y, &other.values) - mse(&input.values, &other.values) / 2.0,
                };
                truth += p.clean.as_ref().map_or(0.0, |clean| psnr(&y, clean) / inputs.len() as f64);
            }
            estimated += decibels(error / inputs.len() as f64);
        }
        let count = self.pictures.len() as f64;
        let all = |has: fn(&Pair) -> bool| self.pictures.iter().all(has);
        let (pairs, known) = (all(|p| p.b.is_some()), all(|p| p.clean.is_some()));
        Ok(Some(Scores { estimated: pairs.then_some(estimated / count), truth: known.then_some(truth / count) }))
    }

    /// The first few pictures before and after.
    ///
    /// # Errors
    /// If the device fails.
    pub fn strips(&self, denoiser: &mut Denoiser) -> Result<Vec<Strip>> {
        let strip = |p: &Pair| {
            let picture = |values: &[f32]| {
                let bytes: Vec<u8> = values.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
                Picture::from_rgb8(p.width, p.height, &bytes)
            };
            let mut y = denoiser.denoise(&p.a.values, p.width, p.height)?;
            round8(&mut y);
            Ok(Strip {
                name: p.name.clone(),
                noisy: picture(&p.a.values),
                denoised: picture(&y),
                psnr_noisy: p.clean.as_ref().map(|clean| psnr(&p.a.values, clean)),
                psnr: p.clean.as_ref().map(|clean| psnr(&y, clean)),
                clean: p.clean.as_ref().map(|clean| picture(clean)),
            })
        };
        self.pictures.iter().take(STRIPS.min(self.count)).map(strip).collect()
    }
}

/// Mean square error over the pixels that are known.
fn known_mse(y: &[f32], values: &[f32], known: &[bool]) -> f64 {
    let of = |(y, v): (&[f32], &[f32])| y.iter().zip(v).map(|(y, v)| f64::from(y - v).powi(2)).sum::<f64>();
    let pixels = y.chunks(3).zip(values.chunks(3)).zip(known).filter(|(_, known)| **known);
    let (sum, count) = pixels.fold((0.0, 0), |(sum, count), (pixel, _)| (sum + of(pixel), count + 3));
    sum / f64::from(count.max(1))
}

/// PSNR of a mean square error on the [0, 1] range; an estimate may come out below zero, where 60 dB stand for "no error seen".
fn decibels(mse: f64) -> f64 {
    -10.0 * mse.max(1e-6).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validations_are_counted_since_the_best() {
        let record = |psnr: Option<f64>| Record {
            step: 1,
            seconds: 0.0,
            loss: 1.0,
            lr: 1.0,
            grad_norm: 1.0,
            psnr_estimated: psnr,
            psnr: None,
            pictures_per_second: 1.0,
        };
        let since = |scores: &[Option<f64>]| Scores::since_best(&scores.iter().map(|s| record(*s)).collect::<Vec<_>>());
        assert_eq!([since(&[]), since(&[Some(1.0)]), since(&[Some(1.0), None, Some(2.0)])], [0, 0, 0]);
        assert_eq!(since(&[Some(3.0), None, Some(2.0), Some(3.0), None, Some(1.0)]), 3);
    }
}
