//! Validation on held-out pictures: the estimated clean PSNR, which needs only noisy pairs, and the true one where the
//! clean pictures are known.

use super::{Source, report::Strip};
use crate::data::metrics::{mse, psnr, round8};
use crate::data::picture::{Picture, Rgb8};
use crate::denoise::Denoiser;
use crate::error::Result;

/// Side of the centre crops that validation looks at, pixels.
const CROP: usize = 256;
/// Strips that a report shows.
const STRIPS: usize = 6;

/// Held-out noisy pairs.
#[derive(Clone, Debug)]
pub struct Validation {
    pictures: Vec<Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    name: String,
    width: usize,
    height: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    clean: Option<Vec<f32>>,
}

/// Means over the held-out pictures, dB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores {
    pub estimated: f64,
    pub truth: Option<f64>,
}

/// The centre of a picture, values in [0, 1], with width and height.
fn centre(p: &Rgb8, side: usize) -> (Vec<f32>, usize, usize) {
    let (w, h) = (p.width.min(side), p.height.min(side));
    let (left, top) = ((p.width - w) / 2, (p.height - h) / 2);
    let rows = (top..top + h).flat_map(|row| &p.data[(row * p.width + left) * 3..][..w * 3]);
    (rows.map(|&b| f32::from(b) / 255.0).collect(), w, h)
}

impl Validation {
    /// Centre crops of the held-out pictures, with noise drawn from `seed` once and for all.
    pub fn new(held_out: &Source, seed: u32) -> Self {
        let pictures = match held_out {
            Source::Photos(photos, noise) => photos
                .iter()
                .enumerate()
                .map(|(i, p)| {
                    let (clean, width, height) = centre(p, CROP);
                    let stream = 2 * i as u32;
                    let (a, b) = (noise.add(&clean, seed, stream), noise.add(&clean, seed, stream + 1));
                    Pair { name: p.name.clone(), width, height, a, b, clean: Some(clean) }
                })
                .collect(),
            Source::Pairs(pairs) => pairs
                .iter()
                .map(|(a, b)| {
                    let name = a.name.clone();
                    let ((a, width, height), (b, ..)) = (centre(a, CROP), centre(b, CROP));
                    Pair { name, width, height, a, b, clean: None }
                })
                .collect(),
        };
        Self { pictures }
    }

    /// PSNR of the noisy pictures themselves: true, or from the pairs' difference, which is twice the noise.
    pub fn psnr_noisy(&self) -> f64 {
        let of = |p: &Pair| match &p.clean {
            Some(clean) => psnr(&p.a, clean),
            None => decibels(mse(&p.a, &p.b) / 2.0),
        };
        self.pictures.iter().map(of).sum::<f64>() / self.pictures.len() as f64
    }

    /// Denoises both pictures of every pair: clean mean square error = |f(a) - b|^2 - |a - b|^2 / 2, and the same with a and b
    /// swapped, so that of the estimate's own noise only a * b is left. `None` if the network gives values that are not finite.
    pub(super) fn scores(&self, denoiser: &mut Denoiser) -> Result<Option<Scores>> {
        let (mut estimated, mut truth) = (0.0, 0.0);
        for p in &self.pictures {
            let mut error = -mse(&p.a, &p.b) / 2.0;
            for (input, other) in [(&p.a, &p.b), (&p.b, &p.a)] {
                let mut y = denoiser.run(input, p.width, p.height)?;
                if y.iter().any(|v| !v.is_finite()) {
                    return Ok(None);
                }
                round8(&mut y);
                error += mse(&y, other) / 2.0;
                truth += p.clean.as_ref().map_or(0.0, |clean| psnr(&y, clean) / 2.0);
            }
            estimated += decibels(error);
        }
        let count = self.pictures.len() as f64;
        let known = self.pictures.iter().all(|p| p.clean.is_some());
        Ok(Some(Scores { estimated: estimated / count, truth: known.then_some(truth / count) }))
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
            let mut y = denoiser.denoise(&p.a, p.width, p.height)?;
            round8(&mut y);
            Ok(Strip {
                name: p.name.clone(),
                noisy: picture(&p.a),
                denoised: picture(&y),
                psnr_noisy: p.clean.as_ref().map(|clean| psnr(&p.a, clean)),
                psnr: p.clean.as_ref().map(|clean| psnr(&y, clean)),
                clean: p.clean.as_ref().map(|clean| picture(clean)),
            })
        };
        self.pictures.iter().take(STRIPS).map(strip).collect()
    }
}

/// PSNR of a mean square error on the [0, 1] range; an estimate may come out below zero, where 60 dB stand for "no error seen".
fn decibels(mse: f64) -> f64 {
    -10.0 * mse.max(1e-6).log10()
}
