//! Scores of a denoiser by the protocol of the field: per picture PSNR (output rounded to 8 bit) and SSIM, then the mean.

use super::Denoiser;
use crate::data::metrics::{psnr, round8, ssim};
use crate::error::Result;

/// Scores of one picture, or their means.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scored {
    /// PSNR of the noisy picture, dB.
    pub psnr_noisy: f64,
    /// PSNR of the denoised picture, dB.
    pub psnr: f64,
    /// SSIM of the noisy picture.
    pub ssim_noisy: f64,
    /// SSIM of the denoised picture.
    pub ssim: f64,
}

/// Scores of a set of pictures.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Per picture.
    pub pictures: Vec<Scored>,
}

impl Evaluation {
    /// Mean of the per-picture scores.
    pub fn mean(&self) -> Scored {
        let mean = |f: fn(&Scored) -> f64| self.pictures.iter().map(f).sum::<f64>() / self.pictures.len().max(1) as f64;
        Scored {
            psnr_noisy: mean(|s| s.psnr_noisy),
            psnr: mean(|s| s.psnr),
            ssim_noisy: mean(|s| s.ssim_noisy),
            ssim: mean(|s| s.ssim),
        }
    }
}

/// Denoises `noisy` (H, W, 3), and scores both it and the result, which is returned rounded to 8 bit. Without a denoiser the
/// result is the noisy picture. At most three pictures are in memory, with the clean one.
///
/// # Errors
/// If the device fails.
pub fn evaluate(
    denoiser: Option<&mut Denoiser>,
    noisy: Vec<f32>,
    clean: &[f32],
    width: usize,
    height: usize,
) -> Result<(Scored, Vec<f32>)> {
    let (psnr_noisy, ssim_noisy) = (psnr(&noisy, clean), ssim(&noisy, clean, width, height));
    let mut denoised = match denoiser {
        Some(d) => d.denoise(&noisy, width, height)?,
        None => noisy,
    };
    round8(&mut denoised);
    let scored = Scored { psnr_noisy, psnr: psnr(&denoised, clean), ssim_noisy, ssim: ssim(&denoised, clean, width, height) };
    Ok((scored, denoised))
}
