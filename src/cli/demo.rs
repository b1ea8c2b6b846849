//! `n2n-gpu demo`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::data::picture::{Rgb8, decode_rgb8};
use n2n_gpu::error::Error;
use n2n_gpu::nets::{Anatomy, Task};
use n2n_gpu::noise::{self, Noise};
use n2n_gpu::train::{self, Length, Run, Source, Validation};
use serde_json::json;

use super::Common;
use super::net::NetArgs;
use super::output::{TrainingBar, result};
use super::train::{make_folder, stop_on_interrupt};

macro_rules! assets {
    ($($name:literal),* $(,)?) => { &[$(($name, include_bytes!(concat!("../../assets/", $name)))),*] };
}

/// Photographs to train on.
const TRAINING: &[(&str, &[u8])] = assets!(
    "blue-flowers.jpg",
    "brushes.jpg",
    "lake-sherburne.jpg",
    "otters.jpg",
    "perched-osprey.jpg",
    "picos-de-europa.jpg",
    "seeding.jpg",
    "singapore.jpg",
    "spices.jpg",
    "tea-gardens.jpg",
);

/// Photographs that are held out.
const HELD_OUT: &[(&str, &[u8])] =
    assets!("chelsea-192.png", "casa-mila.jpg", "coffee.jpg", "canyon-wren-192.png", "rocket-192.png");

/// Arguments of `demo`.
#[derive(Args, Debug)]
#[command(after_help = format!("Noise laws:\n{}", noise::help()))]
pub(super) struct Options {
    /// Folder for the report, the pictures and the model
    #[arg(long, value_name = "DIR", default_value = "n2n-demo")]
    out: PathBuf,
    /// Minutes of training
    #[arg(long, value_name = "M", default_value_t = 2.0, value_parser = super::recipe::positive, allow_negative_numbers = true)]
    minutes: f64,
    /// Noise to add: one of the laws below
    #[arg(long, value_name = "LAW", default_value = "gaussian:25", allow_negative_numbers = true)]
    noise: Noise,
    #[command(flatten)]
    net: NetArgs,
}

fn photos(files: &[(&str, &[u8])]) -> Result<Vec<Rgb8>, Error> {
    files.iter().map(|(name, bytes)| decode_rgb8(name, bytes)).collect()
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    let device = common.open()?;
    let subtracts = options.noise.suits_residual();
    let network = options.net.network(None, Task { large: device.is_large(), subtracts })?;
    let multiple = Anatomy::of(network.as_ref()).multiple;
    let mut source = Source::photos(photos(TRAINING)?, options.noise);
    let training = train::Options {
        seed: common.seed,
        crop: train::crop_for(source.side(), multiple),
        ..train::Options::new(&device, Length::Minutes(options.minutes)).for_noise(&options.noise)
    };
    training.check(network.as_ref())?;
    let dropped = source.drop_small(training.crop, multiple)?;
    if !dropped.is_empty() {
        common.remark(&format!("left out, as a crop needs larger pictures: {}", dropped.join(", ")));
    }
    let validation = Validation::new(&Source::photos(photos(HELD_OUT)?, options.noise), common.seed)?;
    make_folder("--out", &options.out)?;
    common.remark(&format!(
        "training on {} bundled photographs with noise {}, input and target alike, for {} minutes",
        source.count(),
        options.noise,
        options.minutes
    ));
    let stop = stop_on_interrupt(common)?;
    let (name, parameters) = (network.name().to_owned(), Anatomy::of(network.as_ref()).parameters());
    let (source, validation) = (&source, &validation);
    let run = Run { device: &device, network, options: &training, source, validation, out: &options.out };
    let done = TrainingBar::new(common).watch(&stop, |watch| run.start(watch))?;
    let report = options.out.join("report.html");
    let psnr = done.psnr.or(done.psnr_estimated).unwrap_or(f64::NAN);
    result(
        common,
        &json!({
            "device": device.name(), "net": name, "parameters": parameters, "steps": done.steps, "seconds": done.seconds,
            "psnr_noisy": done.psnr_noisy, "psnr": psnr, "psnr_estimated": done.psnr_estimated, "report": report,
            "model": done.best, "samples": options.out.join("samples"),
        }),
        &format!(
            "{} steps in {:.0} s on {}: held-out photographs went from {:.2} to {psnr:.2} dB, without one clean picture in training\n\
             look:    {}\npictures: {}\nnow try: n2n-gpu denoise PICTURE -o OUT.png --model {}",
            done.steps,
            done.seconds,
            device.name(),
            done.psnr_noisy,
            report.display(),
            options.out.join("samples").display(),
            done.best.display()
        ),
    );
    Ok(())
}
