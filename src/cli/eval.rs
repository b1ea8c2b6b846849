//! `n2n-gpu eval`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use n2n_gpu::data::files::{list, pair};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::denoise::{Denoiser, Evaluation, Scored, evaluate, evaluate_picture, evaluate_signal};
use n2n_gpu::error::Error;
use n2n_gpu::nets::Reading;

use n2n_gpu::noise::{self, Clean, Noise};
use n2n_gpu::ops::Pixels;
use serde_json::{Value, json};

use super::aux::AuxArgs;
use super::files::{check_outputs, remark_skipped};
use super::model::load_model;
use super::output::{Output, complain, counted, path_text};
use super::{Common, Usage};

const USAGE: &str = "n2n-gpu eval PHOTOS... --noise LAW [--model MODEL] [OPTIONS]
       n2n-gpu eval --pairs NOISY CLEAN [--model MODEL] [OPTIONS]";

/// Arguments of `eval`.
#[derive(Args, Debug)]
#[command(override_usage = USAGE, after_help = format!("Noise laws:\n{}", noise::help()))]
pub(super) struct Options {
    /// Clean photographs to add noise to
    #[arg(value_name = "PHOTOS", conflicts_with = "pairs")]
    photos: Vec<PathBuf>,
    /// Noise to add: one of the laws below
    #[arg(long, value_name = "LAW", conflicts_with = "pairs", allow_negative_numbers = true)]
    noise: Option<Noise>,
    /// Folders with noisy and with clean pictures under the same names
    #[arg(long, num_args = 2, value_names = ["NOISY", "CLEAN"])]
    pairs: Option<Vec<PathBuf>>,
    /// Model that `train` wrote, or one in the box; without one, the noisy pictures alone are measured
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    aux: AuxArgs,
    /// Clip noisy pictures to what a picture file can hold
    #[arg(long)]
    clip: bool,
    /// Folder for the denoised pictures
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Largest side of tiles and strips, pixels [default: what the device holds]
    #[arg(long, value_name = "PX", requires = "model")]
    tile: Option<usize>,
    /// Denoise eight flips and turns of every picture and take their mean, as `denoise --tta`
    #[arg(long, requires = "model")]
    tta: bool,
}

const WORSE: &str =
    "\nthe model makes these pictures worse: it was trained for other noise (`n2n-gpu info` tells), or for too short a time";

/// A file's name without its folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The file for what is made of a picture.
fn output(folder: &Path, input: &Path) -> PathBuf {
    folder.join(input.file_name().unwrap_or_default()).with_extension("png")
}

/// One picture to measure on: its name and size, noisy and clean values.
struct Item {
    name: String,
    width: usize,
    height: usize,
    noisy: Noisy,
    clean: Vec<f32>,
}

enum Noisy {
    /// As on a display.
    Values(Vec<f32>),
    /// A render, with all that networks read of it.
    Render(Box<Picture>),
}

/// Files that are measured: photographs that noise is added to, or noisy pictures with their clean ones.
struct Files<'a> {
    aux: &'a AuxArgs,
    /// Whether the model is one of renders.
    renders: bool,
    reading: Reading,
    inputs: Vec<PathBuf>,
    noise: Option<Noise>,
    clean: Vec<PathBuf>,
}

impl<'a> Files<'a> {
    fn new(options: &'a Options) -> anyhow::Result<Self> {
        let Options { aux, .. } = options;
        let renders = !aux.is_empty();
        let Some([noisy, clean]) = options.pairs.as_deref() else {
            let missing = |what: &str| {
                Usage::new(format!(
                    "{what} missing: give clean photographs PHOTOS and --noise LAW, or folders with --pairs NOISY CLEAN"
                ))
            };
            if options.photos.is_empty() {
                return Err(missing("the pictures are"));
            }
            let noise = options.noise.ok_or_else(|| missing("--noise is"))?;
            return Ok(Self {
                aux,
                renders,
                reading: Reading::Light,
                inputs: list(&options.photos)?,
                noise: Some(noise),
                clean: Vec::new(),
            });
        };
        let (inputs, clean): (Vec<_>, Vec<_>) = pair(noisy, clean)?.into_iter().unzip();
        // All sizes before any work; the pictures themselves are read one by one, so that memory holds a single pair.
        for (a, b) in inputs.iter().zip(&clean) {
            let (noisy, clean) = (Picture::load(a)?, Picture::load(b)?);
            let ([w, h], [v, g]) = (noisy.header().size(), clean.header().size());
            if [w, h] != [v, g] {
                let sizes = format!("{w}x{h} and {v}x{g}");
                return Err(Error::data(format!("--pairs: the two pictures {} differ in size, {sizes}", name(a))).into());
            }
        }
        Ok(Self { aux, renders, reading: Reading::Light, inputs, noise: None, clean })
    }

    /// Whether what is saved in `folder` replaces nothing that is read or made.
    fn check_outputs(&self, folder: &Path, model: Option<&Path>) -> anyhow::Result<()> {
        let outputs: Vec<_> = self.inputs.iter().map(|input| (input.clone(), output(folder, input))).collect();
        let read: Vec<&Path> = self.inputs.iter().chain(&self.clean).map(PathBuf::as_path).chain(model).collect();
        check_outputs("--save", &read, &outputs, None)
    }

    /// Reads picture `i`.
    fn load(&self, i: usize, seed: u32) -> Result<Item, Error> {
        // Its samples are gone when it has its values.
        let load = |path: &Path| {
            Picture::load(path).map(|picture| self.reading.of(picture)).map(|picture| (picture.header().size(), picture.to_rgb()))
        };
        let input = &self.inputs[i];
        if self.renders {
            let picture = self.aux.attach(input, Picture::load(input)?)?;
            let ([width, height], (_, clean)) = (picture.header().size(), load(&self.clean[i])?);
            return Ok(Item { name: name(input), width, height, noisy: Noisy::Render(Box::new(picture)), clean });
        }
        let ([width, height], rgb) = load(input)?;
        let Some(noise) = self.noise else {
            let (_, clean) = load(&self.clean[i])?;
            return Ok(Item { name: name(input), width, height, noisy: Noisy::Values(rgb), clean });
        };
        let least = noise.least_side();
        if width.min(height) < least {
            return Err(Error::file(input, format!("is {width}x{height}: noise {noise} wants {least} pixels a side")));
        }
        let picture = Clean { rgb: &rgb, width, height };
        let noisy = noise.expose(picture, seed, i as u32, 0).values;
        // An exposure of the same size shows the picture itself, of which no copy is needed.
        let (clean, width, height) = if noisy.len() == rgb.len() { (rgb, width, height) } else { noise.clean(picture) };
        Ok(Item { name: name(input), width, height, noisy: Noisy::Values(noisy), clean })
    }
}

/// What came of all pictures, for `--json`, and their scores.
#[derive(Default)]
struct Measured {
    all: Evaluation,
    each: Vec<Value>,
    failed: Vec<Value>,
}

/// Measures pictures one by one. One that cannot be read is told and left out.
fn measure(common: &Common, options: &Options, files: &Files, denoiser: &mut Option<Denoiser>) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    for (i, input) in files.inputs.iter().enumerate() {
        let Item { name, width, height, noisy, clean } = match files.load(i, common.seed()) {
            Ok(item) => item,
            Err(e) if files.inputs.len() > 1 => {
                complain(&format!("error: {e}"));
                measured.failed.push(json!({"input": path_text(input), "error": e.to_string()}));
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let (scored, denoised) = match noisy {
            Noisy::Render(picture) => {
                let (scored, bytes) = evaluate_picture(denoiser.as_mut(), &picture, &clean)?;
                (scored, Picture::from_rgb8(width, height, &bytes))
            }
            Noisy::Values(mut noisy) => {
                if options.clip {
                    noisy.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
                }
                match denoiser.as_mut().map(|denoiser| (denoiser.signal(), denoiser)) {
                    Some((Some(signal), denoiser)) => {
                        let (scored, denoised) = evaluate_signal(denoiser, &noisy, &clean, [width, height], signal)?;
                        (scored, Picture::from_pixels([width, height], 3, Pixels::Floats(denoised)))
                    }
                    other => {
                        let (scored, bytes) = evaluate(other.map(|(_, denoiser)| denoiser), noisy, &clean, width, height)?;
                        (scored, Picture::from_rgb8(width, height, &bytes))
                    }
                }
            }
        };
        common.remark(&format!("{name:<28} {}", scores(&scored, denoiser.is_some())));
        if let Some(folder) = &options.save {
            drop(clean);
            denoised.save(&output(folder, input))?;
        }
        measured.each.push(json!({
            "name": name, "psnr_noisy": finite(scored.psnr_noisy), "psnr": finite(scored.psnr),
            "ssim_noisy": scored.ssim_noisy, "ssim": scored.ssim,
        }));
        measured.all.pictures.push(scored);
    }
    Ok(measured)
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<Output> {
    let mut files = Files::new(options)?;
    let model = options.model.as_deref().map(load_model).transpose()?;
    if let Some(model) = &model {
        options.aux.check(model.network.as_ref())?;
        if options.pairs.is_none() {
            model.network.check_photographs()?;
        }
        files.renders |= model.network.transfer().is_linear();
        files.reading = model.reading();
    }
    remark_skipped(common, options.photos.iter().chain(options.pairs.iter().flatten()), None)?;
    options.aux.check_inputs(files.inputs.len(), false)?;
    if let Some(folder) = &options.save {
        files.check_outputs(folder, options.model.as_deref())?;
        super::train::make_folder("--save", folder)?;
    }
    let (mut denoiser, device) = match &model {
        Some(model) => {
            let device = common.open()?;
            (Some(Denoiser::new(&device, model, options.tile)?.with_flips(options.tta)), device.name().to_owned())
        }
        None => (None, "none".to_owned()),
    };
    let start = Instant::now();
    let Measured { all, each, failed } = measure(common, options, &files, &mut denoiser)?;
    let asked_for = counted(files.inputs.len(), "picture");
    if each.is_empty() {
        return Err(Error::data(format!("none of {asked_for} could be measured")).into());
    }
    let (mean, seconds) = (all.mean(), start.elapsed().as_secs_f64());
    let pictures = counted(each.len(), "picture");
    let text = if denoiser.is_some() {
        let worse = if mean.psnr < mean.psnr_noisy { WORSE } else { "" };
        format!("{pictures}: {} ({seconds:.1} s on {device}){worse}", scores(&mean, true))
    } else {
        let (noisy, rounded, ssim) = (mean.psnr_noisy, mean.psnr, mean.ssim_noisy);
        format!("{pictures} without a model: PSNR {noisy:.2} dB, {rounded:.2} dB when rounded to 8 bit; SSIM {ssim:.4}")
    };
    let json = json!({
        "device": device, "pictures": each.len(), "psnr_noisy": finite(mean.psnr_noisy), "psnr": finite(mean.psnr),
        "ssim_noisy": mean.ssim_noisy, "ssim": mean.ssim, "seconds": seconds, "each": each, "failed": failed,
    });
    let output = Output::new(json, text);
    if failed.is_empty() {
        return Ok(output);
    }
    Ok(output.failed(format!("{} of {asked_for} could not be measured", failed.len()), 1))
}

/// Scores for people: before and after, or of the noisy picture alone.
fn scores(scored: &Scored, denoised: bool) -> String {
    let Scored { psnr_noisy, psnr, ssim_noisy, ssim } = scored;
    if denoised {
        format!("PSNR {psnr_noisy:5.2} -> {psnr:5.2} dB, SSIM {ssim_noisy:.4} -> {ssim:.4}")
    } else {
        format!("PSNR {psnr_noisy:5.2} dB, SSIM {ssim_noisy:.4}")
    }
}

/// A PSNR for JSON, which has no infinity: equal pictures have none.
fn finite(psnr: f64) -> Option<f64> {
    psnr.is_finite().then_some(psnr)
}
