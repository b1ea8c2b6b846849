//! `n2n-gpu eval`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use n2n_gpu::data::files::{list, pair};
use n2n_gpu::data::noise::Noise;
use n2n_gpu::data::picture::{Picture, Rgb8, load_rgb8};
use n2n_gpu::denoise::{Denoiser, Evaluation, evaluate};
use n2n_gpu::error::Error;
use n2n_gpu::nets::Model;
use serde_json::json;

use super::Common;
use super::output::result;

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Clean photographs to add noise to
    #[arg(value_name = "PHOTOS", required_unless_present = "pairs", conflicts_with = "pairs")]
    photos: Vec<PathBuf>,
    /// Noise to add: gaussian:25, or gaussian:0-50 for a range
    #[arg(long, value_name = "SPEC", required_unless_present = "pairs", conflicts_with = "pairs")]
    noise: Option<Noise>,
    /// Folders with noisy and with clean pictures under the same names
    #[arg(long, num_args = 2, value_names = ["NOISY", "CLEAN"])]
    pairs: Option<Vec<PathBuf>>,
    /// Model that `train` wrote; without one, the noisy pictures alone are measured
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Clip noisy pictures to what a picture file can hold
    #[arg(long)]
    clip: bool,
    /// Folder for the denoised pictures
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Largest side of tiles, pixels [default: what the device holds]
    #[arg(long, value_name = "PX")]
    tile: Option<usize>,
}

fn floats(p: &Rgb8) -> Vec<f32> {
    p.data.iter().map(|&b| f32::from(b) / 255.0).collect()
}

/// Noisy and clean values of every picture, with its name and size.
type Item = (Rgb8, Vec<f32>, Vec<f32>);

fn items(common: &Common, options: &Options) -> Result<Vec<Item>, Error> {
    if let Some([noisy, clean]) = options.pairs.as_deref() {
        let (noisy, clean): (Vec<_>, Vec<_>) = pair(noisy, clean)?.into_iter().unzip();
        let pairs = load_rgb8(&noisy)?.into_iter().zip(load_rgb8(&clean)?);
        return pairs
            .map(|(a, b)| {
                if (a.width, a.height) == (b.width, b.height) {
                    let (noisy, clean) = (floats(&a), floats(&b));
                    Ok((a, noisy, clean))
                } else {
                    let sizes = format!("{}x{} and {}x{}", a.width, a.height, b.width, b.height);
                    Err(Error::failed(format!("--pairs: the two pictures {} differ in size, {sizes}", a.name)))
                }
            })
            .collect();
    }
    let noise = options.noise.ok_or_else(|| Error::usage("--noise is missing"))?;
    let photos = load_rgb8(&list(&options.photos)?)?;
    Ok(photos
        .into_iter()
        .enumerate()
        .map(|(i, p)| {
            let clean = floats(&p);
            let noisy = noise.add(&clean, common.seed, 2 * i as u32);
            (p, noisy, clean)
        })
        .collect())
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    let items = items(common, options)?;
    if let Some(folder) = &options.save {
        super::train::make_folder("--save", folder)?;
    }
    let (mut denoiser, device) = match &options.model {
        Some(path) => {
            let model = Model::load(path)?;
            let device = common.open()?;
            (Some(Denoiser::new(&device, &model, options.tile)?), device.name().to_owned())
        }
        None => (None, "none".to_owned()),
    };
    let start = Instant::now();
    let mut all = Evaluation::default();
    let mut rows = Vec::new();
    for (p, mut noisy, clean) in items {
        if options.clip {
            noisy.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
        }
        let (scored, denoised) = evaluate(denoiser.as_mut(), &noisy, &clean, p.width, p.height)?;
        common.remark(&format!(
            "{:<28} {:6.2} -> {:6.2} dB   SSIM {:.4} -> {:.4}",
            p.name, scored.psnr_noisy, scored.psnr, scored.ssim_noisy, scored.ssim
        ));
        if let Some(folder) = &options.save {
            let bytes: Vec<u8> = denoised.iter().map(|v| (v * 255.0).round() as u8).collect();
            let stem = PathBuf::from(&p.name).with_extension("png");
            Picture::from_rgb8(p.width, p.height, &bytes).save(&folder.join(stem.file_name().unwrap_or_default()))?;
        }
        rows.push(json!({
            "name": p.name, "psnr_noisy": finite(scored.psnr_noisy), "psnr": finite(scored.psnr),
            "ssim_noisy": scored.ssim_noisy, "ssim": scored.ssim,
        }));
        all.pictures.push(scored);
    }
    let (mean, seconds) = (all.mean(), start.elapsed().as_secs_f64());
    result(
        common,
        &json!({
            "device": device, "pictures": all.pictures.len(), "psnr_noisy": finite(mean.psnr_noisy), "psnr": finite(mean.psnr),
            "ssim_noisy": mean.ssim_noisy, "ssim": mean.ssim, "seconds": seconds, "each": rows,
        }),
        &format!(
            "{} pictures: PSNR {:.2} -> {:.2} dB, SSIM {:.4} -> {:.4} ({seconds:.1} s on {device})",
            all.pictures.len(),
            mean.psnr_noisy,
            mean.psnr,
            mean.ssim_noisy,
            mean.ssim
        ),
    );
    Ok(())
}

/// A PSNR for JSON, which has no infinity: equal pictures have none.
fn finite(psnr: f64) -> Option<f64> {
    psnr.is_finite().then_some(psnr)
}
