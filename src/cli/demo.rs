//! `n2n-gpu demo`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::data::noise::Noise;
use n2n_gpu::data::picture::{Rgb8, decode_rgb8};
use n2n_gpu::error::Error;
use n2n_gpu::nets::Net;
use n2n_gpu::train::{self, Length, Source, Validation};
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
pub(super) struct Options {
    /// Folder for the report, the pictures and the model
    #[arg(long, value_name = "DIR", default_value = "n2n-demo")]
    out: PathBuf,
    /// Minutes of training
    #[arg(long, value_name = "M", default_value_t = 2.0, value_parser = super::recipe::positive, allow_negative_numbers = true)]
    minutes: f64,
    /// Noise to add
    #[arg(long, value_name = "SPEC", default_value = "gaussian:25")]
    noise: Noise,
    #[command(flatten)]
    net: NetArgs,
}

fn photos(files: &[(&str, &[u8])]) -> Result<Vec<Rgb8>, Error> {
    files.iter().map(|(name, bytes)| decode_rgb8(name, bytes)).collect()
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    let device = common.open()?;
    options.net.check(Net::Unet)?;
    let net = options.net.options(&device, Net::Unet, Some(Some(options.noise)));
    let training = train::Options { seed: common.seed, ..train::Options::new(&device, net, Length::Minutes(options.minutes)) };
    training.check()?;
    make_folder("--out", &options.out)?;
    let source = Source::Photos(photos(TRAINING)?, options.noise);
    let validation = Validation::new(&Source::Photos(photos(HELD_OUT)?, options.noise), common.seed)?;
    common.remark(&format!(
        "training on {} bundled photographs with noise {}, input and target alike, for {} minutes",
        TRAINING.len(),
        options.noise,
        options.minutes
    ));
    let stop = stop_on_interrupt(common)?;
    let mut bar = TrainingBar::new(common);
    let done = train::train(&device, &training, &source, &validation, &options.out, &stop, &mut |p| bar.show(p))?;
    drop(bar);
    let report = options.out.join("report.html");
    let psnr = done.psnr.or(done.psnr_estimated).unwrap_or(f64::NAN);
    result(
        common,
        &json!({
            "device": device.name(), "net": net.name(), "parameters": net.parameters(), "steps": done.steps, "seconds": done.seconds,
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
