//! Scores of a denoiser by the protocol of the field: per picture PSNR (output rounded to 8 bit) and SSIM, then the mean.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Denoiser, not_finite};
use crate::data::metrics::{psnr, ssim};
use crate::data::picture::Picture;
use crate::error::{Error, Result};

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

/// Denoises `noisy` (H, W, 3) and compares it with `clean` before and after. Returns the scores, and the denoised picture rounded
/// to 8 bit; without a denoiser, the noisy picture takes its place. Needs memory for the two pictures and one of bytes.
///
/// # Errors
/// If the device fails, or gives values that are not finite.
pub fn evaluate(
    denoiser: Option<&mut Denoiser>,
    noisy: Vec<f32>,
    clean: &[f32],
    width: usize,
    height: usize,
) -> Result<(Scored, Vec<u8>)> {
    let (psnr_noisy, ssim_noisy) = (psnr(&noisy, clean), ssim(&noisy, clean, width, height));
    let bytes = match denoiser {
        Some(denoiser) if denoiser.network.colours() == 1 => {
            denoiser.denoise_colours(&noisy, width, height)?.into_iter().map(byte).collect()
        }
        Some(denoiser) => denoiser.denoise_to_bytes(&noisy, width, height)?,
        None => noisy.iter().map(|&v| byte(v)).collect(),
    };
    let (psnr, ssim) = (psnr(&bytes, clean), ssim(&bytes, clean, width, height));
    Ok((Scored { psnr_noisy, psnr, ssim_noisy, ssim }, bytes))
}

/// Scores of pictures (H, W, 3) that fill the values from `black` to `white`, by this range, and the denoised one, not rounded.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_signal(
    denoiser: &mut Denoiser,
    noisy: &[f32],
    clean: &[f32],
    [width, height]: [usize; 2],
    [black, white]: [f32; 2],
) -> Result<(Scored, Vec<f32>)> {
    let denoised = denoiser.denoise_colours(noisy, width, height)?;
    let [a, b, y] = [noisy, clean, &denoised].map(|rgb| rgb.iter().map(|v| (v - black) / (white - black)).collect::<Vec<_>>());
    let scored = Scored {
        psnr_noisy: psnr(&a, &b),
        psnr: psnr(&y, &b),
        ssim_noisy: ssim(&a, &b, width, height),
        ssim: ssim(&y, &b, width, height),
    };
    Ok((scored, denoised))
}

/// [`evaluate`] of a picture with all that the network reads of it. Both are compared as a display shows them: by the curve of
/// sRGB, clipped to [0, 1].
///
/// # Errors
/// If the picture lacks features that the network reads, or as [`evaluate`].
pub fn evaluate_picture(denoiser: Option<&mut Denoiser>, noisy: &Picture, clean: &[f32]) -> Result<(Scored, Vec<u8>)> {
    let [width, height] = noisy.header().size();
    let shown = |rgb: Vec<f32>| rgb.into_iter().map(|v| v.clamp(0.0, 1.0)).collect::<Vec<f32>>();
    let (before, clean) = (shown(noisy.to_rgb()), shown(clean.to_vec()));
    let bytes = match denoiser {
        Some(denoiser) => denoiser.denoise_picture(noisy, 1.0, |_| ())?.to_rgb8(),
        None => noisy.to_rgb8(),
    };
    let scored = Scored {
        psnr_noisy: psnr(&before, &clean),
        psnr: psnr(&bytes, &clean),
        ssim_noisy: ssim(&before, &clean, width, height),
        ssim: ssim(&bytes, &clean, width, height),
    };
    Ok((scored, bytes))
}

/// The nearest of 256 levels, as [`round8`](crate::data::metrics::round8) has it.
fn byte(v: f32) -> u8 {
    (v.clamp(0.0, 1.0) * 255.0).round() as u8
}

impl Denoiser {
    /// [`Denoiser::denoise`] of a picture (H, W, 3) by any network that reads colours alone; one for grey pictures gives three
    /// equal values.
    fn denoise_colours(&mut self, rgb: &[f32], width: usize, height: usize) -> Result<Vec<f32>> {
        if self.network.colours() == 3 {
            return self.denoise(rgb, width, height);
        }
        if rgb.as_chunks::<3>().0.iter().any(|[r, g, b]| r != g || g != b) {
            let problem =
                "a picture has colours, but the model is one of grey pictures: give them in grey, or take a model of colours";
            return Err(Error::data(problem));
        }
        let grey: Vec<f32> = rgb.iter().step_by(3).copied().collect();
        Ok(self.denoise(&grey, width, height)?.into_iter().flat_map(|v| [v; 3]).collect())
    }

    /// [`Denoiser::denoise`], rounded to 8 bit.
    fn denoise_to_bytes(&mut self, noisy: &[f32], width: usize, height: usize) -> Result<Vec<u8>> {
        if self.flips {
            return Ok(self.denoise(noisy, width, height)?.into_iter().map(byte).collect());
        }
        let mut bytes = vec![0; noisy.len()];
        let finite = AtomicBool::new(true);
        self.each_row(noisy, [height, width], &mut bytes, |to, v| {
            if v.iter().any(|v| !v.is_finite()) {
                finite.store(false, Ordering::Relaxed);
            }
            to.copy_from_slice(&v.map(byte));
        })?;
        if finite.into_inner() { Ok(bytes) } else { Err(not_finite(&self.device)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::metrics::round8;

    #[test]
    fn bytes_are_the_values_that_are_rounded_to_8_bit() {
        for v in (-400..1400).map(|i| i as f32 / 1000.0) {
            let mut rounded = [v];
            round8(&mut rounded);
            assert_eq!(f32::from(byte(v)) / 255.0, rounded[0]);
        }
    }
}
