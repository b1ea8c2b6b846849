//! `n2n-gpu train`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Args;
use n2n_gpu::data::files::{list, pair};
use n2n_gpu::data::noise::Noise;
use n2n_gpu::data::picture::load_rgb8;
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::nets::{Down, Init, Net, NetOptions, Norm, Up};
use n2n_gpu::train::{self, Length, Source, Validation, split};
use serde_json::json;

use super::Common;
use super::output::{TrainingBar, complain, result};

/// Arguments of `train`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Photographs to train on: files and folders, any sizes
    #[arg(value_name = "PHOTOS", required_unless_present = "pairs")]
    photos: Vec<PathBuf>,
    /// Noise to add: gaussian:25, or gaussian:0-50 for a range
    #[arg(long, value_name = "SPEC", conflicts_with = "pairs", required_unless_present = "pairs")]
    noise: Option<Noise>,
    /// Two folders with noisy pictures of the same scenes under the same names
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "photos")]
    pairs: Option<Vec<PathBuf>>,
    /// Folder for the model, the metrics and the report
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Replace an earlier run in that folder
    #[arg(long)]
    overwrite: bool,
    /// Held-out photographs for validation [default: one in twenty of PHOTOS]
    #[arg(long, value_name = "DIR", conflicts_with = "pairs")]
    val: Option<PathBuf>,
    /// Train towards clean targets, for comparison
    #[arg(long, conflicts_with = "pairs")]
    clean_targets: bool,
    #[command(flatten)]
    net: NetArgs,
    /// How filters start
    #[arg(long, value_enum, default_value_t = Init::Xavier)]
    init: Init,
    /// Training steps [default: 10 minutes of training]
    #[arg(long, value_name = "N", group = "length", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Times that every picture is shown
    #[arg(long, value_name = "N", group = "length", value_parser = positive)]
    epochs: Option<f64>,
    /// Minutes of training
    #[arg(long, value_name = "M", group = "length", value_parser = positive)]
    minutes: Option<f64>,
    /// Crops per step [default: 16 on a discrete GPU, else 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: Option<u16>,
    /// Side of the crops, pixels; a multiple of 2^levels
    #[arg(long, value_name = "PX", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=4096))]
    crop: u16,
    /// Highest learning rate [default: 0.001 on a discrete GPU, else 0.002]
    #[arg(long, value_name = "LR", value_parser = positive)]
    lr: Option<f64>,
    /// Longest gradient; 0 for any
    #[arg(long, value_name = "L", default_value_t = 1.0, value_parser = not_negative)]
    clip: f64,
    /// Decay of the average of the weights
    #[arg(long, value_name = "D", default_value_t = 0.999, value_parser = share)]
    ema: f64,
}

/// The network and its options.
#[derive(Args, Debug)]
pub(super) struct NetArgs {
    /// Network
    #[arg(long, value_enum, default_value_t = Net::Unet)]
    net: Net,
    /// Channels of the encoder [default: 48; of unet without a discrete GPU 16]
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u16).range(1..=512))]
    width: Option<u16>,
    /// Times that unet halves the picture [default: 4 on a discrete GPU, else 3]
    #[arg(long, value_name = "L", value_parser = clap::value_parser!(u16).range(1..=8))]
    levels: Option<u16>,
    /// Normalisation of unet
    #[arg(long, value_enum, default_value_t = Norm::None)]
    norm: Norm,
    /// Use one block several times where blocks are alike (epfl-unet, epfl-resunet: as published)
    #[arg(long)]
    shared: bool,
    /// How pictures are halved (unet, epfl-resunet) [default: as published]
    #[arg(long, value_enum)]
    down: Option<Down>,
    /// How pictures are doubled (unet) [default: convt]
    #[arg(long, value_enum)]
    up: Option<Up>,
    /// Predict the noise, which is subtracted
    #[arg(long)]
    residual: bool,
}

impl NetArgs {
    /// A network small enough for the device to train in minutes, unless it is said otherwise.
    pub(super) fn options(&self, device: &Device) -> NetOptions {
        let published = NetOptions::new(self.net);
        let (width, levels) = match (self.net, device.is_large()) {
            (Net::Unet, true) => (48, 4),
            (Net::Unet, false) => (16, 3),
            _ => (published.width, published.levels),
        };
        NetOptions {
            width: self.width.map_or(width, usize::from),
            levels: self.levels.map_or(levels, usize::from),
            norm: self.norm,
            shared: self.shared,
            down: self.down.unwrap_or(published.down),
            up: self.up.unwrap_or(published.up),
            residual: self.residual,
            ..published
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| "not a number".into())
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| if v > 0.0 { Ok(v) } else { Err("must be above 0".into()) })
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| if v >= 0.0 { Ok(v) } else { Err("must not be below 0".into()) })
}

fn share(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| if (0.0..1.0).contains(&v) { Ok(v) } else { Err("must be at least 0 and below 1".into()) })
}

/// Makes the output folder that `flag` names, or says why it cannot be one.
pub(super) fn make_folder(flag: &str, path: &Path) -> anyhow::Result<()> {
    if path.is_file() {
        return Err(Error::file(path, format!("is a file: name a folder with {flag}")).into());
    }
    std::fs::create_dir_all(path)
        .map_err(|e| Error::file(path, format!("the folder cannot be made: {e}; name another with {flag}")))?;
    tempfile::tempfile_in(path)
        .map(drop)
        .map_err(|e| Error::file(path, format!("nothing can be written there: {e}; name another with {flag}")).into())
}

/// Set by Ctrl-C: training ends after the running step. A second Ctrl-C ends the program.
pub(super) fn stop_on_interrupt(common: &Common) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let quiet = common.quiet;
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        if !quiet {
            complain("\nstopping after this step; Ctrl-C again ends at once and keeps the last checkpoint");
        }
    })
    .context("Ctrl-C cannot be handled")?;
    Ok(stop)
}

fn source(options: &Options) -> Result<(Source, Source), Error> {
    if let Some([a, b]) = options.pairs.as_deref() {
        let (a, b): (Vec<_>, Vec<_>) = pair(a, b)?.into_iter().unzip();
        let pairs = load_rgb8(&a)?.into_iter().zip(load_rgb8(&b)?).collect();
        return Ok(split(Source::pairs(pairs)?));
    }
    let noise = options.noise.ok_or_else(|| Error::usage("--noise is missing"))?;
    let photos = Source::Photos(load_rgb8(&list(&options.photos)?)?, noise);
    match &options.val {
        Some(folder) => Ok((photos, Source::Photos(load_rgb8(&list(std::slice::from_ref(folder))?)?, noise))),
        None => Ok(split(photos)),
    }
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    let device = common.open()?;
    let net = options.net.options(&device);
    let length = match (options.steps, options.epochs, options.minutes) {
        (Some(steps), ..) => Length::Steps(steps),
        (_, Some(epochs), _) => Length::Epochs(epochs),
        (.., minutes) => Length::Minutes(minutes.unwrap_or(10.0)),
    };
    let recipe = train::Options::new(&device, net, length);
    let training = train::Options {
        init: options.init,
        batch: options.batch.map_or(recipe.batch, usize::from),
        crop: options.crop.into(),
        lr: options.lr.unwrap_or(recipe.lr),
        clip: options.clip as f32,
        ema: options.ema,
        seed: common.seed,
        clean_targets: options.clean_targets,
        ..recipe
    };
    training.check()?;
    if options.out.join("best.safetensors").exists() && !options.overwrite {
        return Err(Error::file(&options.out, "holds an earlier run: name another folder with --out, or give --overwrite").into());
    }
    let (mut training_set, held_out) = source(options)?;
    let dropped = training_set.drop_small(training.crop)?;
    if let Some(first) = dropped.first() {
        common.remark(&format!("{} pictures are smaller than a crop and left out ({first} is the first)", dropped.len()));
    }
    let excess = training_set.drop_excess(&device)?;
    if let Some(first) = excess.first() {
        let count = excess.len();
        common.remark(&format!(
            "{count} pictures do not fit what {} binds, and are left out ({first} is the first)",
            device.name()
        ));
    }
    make_folder("--out", &options.out)?;
    if training_set.count() == 1 && held_out.count() == 1 && options.val.is_none() {
        common.remark("there is only one picture: it is validated on as well; give others with --val");
    }
    let (training_count, held_out_count) = (training_set.count(), held_out.count());
    common.remark(&format!(
        "training {} of width {} and {} levels on {training_count} pictures, {held_out_count} held out, noise {}, on {}",
        net.name(),
        net.width,
        net.levels,
        training_set.noise(),
        device.name()
    ));
    let validation = Validation::new(&held_out, common.seed);
    let stop = stop_on_interrupt(common)?;
    let mut bar = TrainingBar::new(common);
    let done = train::train(&device, &training, &training_set, &validation, &options.out, &stop, &mut |p| bar.show(p))?;
    drop(bar);
    let psnr = match (done.psnr_estimated, done.psnr) {
        (Some(estimated), Some(truth)) => format!("estimated PSNR: {estimated:.2} dB (true: {truth:.2} dB)"),
        (Some(psnr), None) => format!("estimated PSNR: {psnr:.2} dB"),
        (None, psnr) => format!("PSNR: {:.2} dB", psnr.unwrap_or(f64::NAN)),
    };
    result(
        common,
        &json!({
            "device": device.name(), "net": net.name(), "parameters": net.parameters(), "steps": done.steps,
            "seconds": done.seconds, "psnr_noisy": done.psnr_noisy, "psnr_estimated": done.psnr_estimated, "psnr": done.psnr,
            "best": done.best, "last": done.last, "report": options.out.join("report.html"),
        }),
        &format!(
            "{} steps in {:.0} s on {}\n{psnr} on held-out pictures, noisy {:.2} dB\nmodel:  {}\nreport: {}",
            done.steps,
            done.seconds,
            device.name(),
            done.psnr_noisy,
            done.best.display(),
            options.out.join("report.html").display()
        ),
    );
    Ok(())
}
