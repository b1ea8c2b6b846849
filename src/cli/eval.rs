//! `n2n-gpu eval`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use n2n_gpu::data::files::{list, pair};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::denoise::{Denoiser, Evaluation, evaluate};
use n2n_gpu::error::Error;
use n2n_gpu::nets::Model;
use n2n_gpu::noise::{self, Clean, Noise};
use serde_json::json;

use super::output::result;
use super::{Common, Usage};

/// Arguments of `eval`.
#[derive(Args, Debug)]
#[command(after_help = format!("Noise laws:\n{}", noise::help()))]
pub(super) struct Options {
    /// Clean photographs to add noise to
    #[arg(value_name = "PHOTOS", required_unless_present = "pairs", conflicts_with = "pairs")]
    photos: Vec<PathBuf>,
    /// Noise to add: one of the laws below
    #[arg(long, value_name = "LAW", required_unless_present = "pairs", conflicts_with = "pairs", allow_negative_numbers = true)]
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
    /// Largest side of tiles and strips, pixels [default: what the device holds]
    #[arg(long, value_name = "PX")]
    tile: Option<usize>,
}

/// A file's name without its folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// One picture to measure on: its name and size, noisy and clean values.
struct Item {
    name: String,
    width: usize,
    height: usize,
    noisy: Vec<f32>,
    clean: Vec<f32>,
}

/// Files that are measured: clean ones, or noisy ones with their clean ones.
enum Files {
    Clean(Vec<PathBuf>, Noise),
    Pairs(Vec<(PathBuf, PathBuf)>),
}

impl Files {
    fn new(options: &Options) -> anyhow::Result<Self> {
        if let Some([noisy, clean]) = options.pairs.as_deref() {
            let pairs = pair(noisy, clean)?;
            // All sizes before any work; the pictures themselves are read one by one, so that memory holds a single pair.
            for (a, b) in &pairs {
                let (noisy, clean) = (Picture::load(a)?, Picture::load(b)?);
                if (noisy.width, noisy.height) != (clean.width, clean.height) {
                    let sizes = format!("{}x{} and {}x{}", noisy.width, noisy.height, clean.width, clean.height);
                    return Err(Error::data(format!("--pairs: the two pictures {} differ in size, {sizes}", name(a))).into());
                }
            }
            return Ok(Self::Pairs(pairs));
        }
        let noise = options.noise.ok_or_else(|| Usage::new("--noise is missing"))?;
        Ok(Self::Clean(list(&options.photos)?, noise))
    }

    /// Where what is made of every picture goes in a folder, by its name; never over a picture that is measured, or over another result.
    fn outputs(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let (inputs, all): (Vec<&PathBuf>, Vec<&PathBuf>) = match self {
            Self::Clean(files, _) => (files.iter().collect(), files.iter().collect()),
            Self::Pairs(pairs) => (pairs.iter().map(|p| &p.0).collect(), pairs.iter().flat_map(|p| [&p.0, &p.1]).collect()),
        };
        let originals: Vec<_> = all.iter().map(|path| path.canonicalize().ok()).collect();
        let outputs: Vec<_> = inputs.iter().map(|i| folder.join(Path::new(&name(i)).with_extension("png"))).collect();
        for (i, output) in outputs.iter().enumerate() {
            let there = output.canonicalize().ok();
            if let Some(original) = originals.iter().position(|path| there.is_some() && *path == there) {
                let problem = format!("{} would be replaced by its own result: name another folder", all[original].display());
                return Err(Usage::new(format!("--save: {problem}")));
            }
            if let Some(other) = outputs[..i].iter().position(|o| o == output) {
                let (a, b) = (inputs[other].display(), inputs[i].display());
                return Err(Usage::new(format!("--save: {a} and {b} would both be saved as {}", output.display())));
            }
        }
        Ok(outputs)
    }

    fn count(&self) -> usize {
        match self {
            Self::Clean(files, _) => files.len(),
            Self::Pairs(files) => files.len(),
        }
    }

    /// Reads picture `i`.
    fn load(&self, i: usize, seed: u32) -> Result<Item, Error> {
        match self {
            Self::Clean(files, noise) => {
                let Picture { width, height, rgb, .. } = Picture::load(&files[i])?;
                let least = noise.least_side();
                if width < least || height < least {
                    return Err(Error::file(
                        &files[i],
                        format!("is {width}x{height}: noise {noise} wants {least} pixels a side"),
                    ));
                }
                let picture = Clean { rgb: &rgb, width, height };
                let noisy = noise.expose(picture, seed, i as u32, 0).values;
                let (clean, width, height) = noise.clean(picture);
                Ok(Item { name: name(&files[i]), width, height, noisy, clean })
            }
            Self::Pairs(files) => {
                let (a, b) = (Picture::load(&files[i].0)?, Picture::load(&files[i].1)?);
                Ok(Item { name: name(&files[i].0), width: a.width, height: a.height, noisy: a.rgb, clean: b.rgb })
            }
        }
    }
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    let files = Files::new(options)?;
    let outputs = options.save.as_ref().map(|folder| files.outputs(folder)).transpose()?;
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
    for i in 0..files.count() {
        let mut item = files.load(i, common.seed)?;
        if options.clip {
            item.noisy.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
        }
        let (scored, denoised) = evaluate(denoiser.as_mut(), &item.noisy, &item.clean, item.width, item.height)?;
        let each = if denoiser.is_some() {
            format!("{:6.2} -> {:6.2} dB   SSIM {:.4} -> {:.4}", scored.psnr_noisy, scored.psnr, scored.ssim_noisy, scored.ssim)
        } else {
            format!("{:6.2} dB   SSIM {:.4}", scored.psnr_noisy, scored.ssim_noisy)
        };
        common.remark(&format!("{:<28} {each}", item.name));
        if let Some(outputs) = &outputs {
            let bytes: Vec<u8> = denoised.iter().map(|v| (v * 255.0).round() as u8).collect();
            Picture::from_rgb8(item.width, item.height, &bytes).save(&outputs[i])?;
        }
        rows.push(json!({
            "name": item.name, "psnr_noisy": finite(scored.psnr_noisy), "psnr": finite(scored.psnr),
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
        &if denoiser.is_some() {
            format!(
                "{} pictures: PSNR {:.2} -> {:.2} dB, SSIM {:.4} -> {:.4} ({seconds:.1} s on {device})",
                all.pictures.len(),
                mean.psnr_noisy,
                mean.psnr,
                mean.ssim_noisy,
                mean.ssim
            )
        } else {
            format!(
                "{} pictures without a model: PSNR {:.2} dB, {:.2} as a picture file would hold them; SSIM {:.4}",
                all.pictures.len(),
                mean.psnr_noisy,
                mean.psnr,
                mean.ssim_noisy
            )
        },
    );
    Ok(())
}

/// A PSNR for JSON, which has no infinity: equal pictures have none.
fn finite(psnr: f64) -> Option<f64> {
    psnr.is_finite().then_some(psnr)
}
