//! `n2n-gpu demo`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::data::picture::{Rgb8, decode_rgb8};
use n2n_gpu::error::Error;
use n2n_gpu::nets::{Anatomy, Task};
use n2n_gpu::noise::{self, Noise};
use n2n_gpu::train::{self, Length, Origin, Run, Source, Start, Validation, is_run};
use serde_json::json;

use super::Common;
use super::net::NetArgs;
use super::output::{Output, path_text, program};
use super::train::{Trained, make_folder};

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
    /// Replace an earlier run in that folder
    #[arg(long)]
    overwrite: bool,
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

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<Output> {
    if !options.overwrite && is_run(&options.out) {
        let how = "replace it with --overwrite, or name another folder with --out";
        return Err(Error::file(&options.out, format!("holds an earlier run, with its model: {how}")).into());
    }
    let device = common.open()?;
    let subtracts = options.noise.suits_residual();
    let network = options.net.network(None, Task { large: device.is_large(), subtracts })?;
    let multiple = Anatomy::of(network.as_ref()).multiple;
    let mut source = Source::photos(photos(TRAINING)?, options.noise);
    let training = train::Options {
        seed: common.seed(),
        crop: train::crop_for(source.side(), multiple),
        ..train::Options::new(&device, Length::Minutes(options.minutes)).for_noise(&options.noise)
    };
    training.check(network.as_ref())?;
    let dropped = source.drop_small(training.crop, multiple)?;
    if !dropped.is_empty() {
        common.remark(&format!("left out, as a crop needs larger pictures: {}", dropped.join(", ")));
    }
    let validation = Validation::new(&Source::photos(photos(HELD_OUT)?, options.noise), common.seed())?;
    make_folder("--out", &options.out)?;
    common.remark(&format!(
        "training on {} bundled photographs with noise {}, input and target alike, for {}",
        source.count(),
        options.noise,
        if options.minutes == 1.0 { "1 minute".to_owned() } else { format!("{} minutes", options.minutes) }
    ));
    let (source, validation) = (&source, &validation);
    let run = Run { device: &device, network, options: &training, source, validation, out: &options.out };
    let trained = Trained::run(common, &run, None, Start::Fresh, &Origin::default(), None)?;
    let trained = trained.expect("who trains alone has the outcome");
    let (done, samples) = (&trained.outcome, options.out.join("samples"));
    let psnr = done.psnr.or(done.psnr_estimated).unwrap_or(f64::NAN);
    Ok(trained.output(
        json!({"psnr": psnr, "model": path_text(&done.best), "samples": path_text(&samples)}),
        &format!(
            "{}: {}\nlook:    {}\npictures: {}\nnow try: {} denoise PICTURE --model {}",
            trained.summary(),
            verdict(done.psnr_noisy, psnr),
            trained.report.display(),
            samples.display(),
            program(),
            done.best.display()
        ),
    ))
}

/// What came of the held-out photographs, good or bad.
fn verdict(noisy: f64, denoised: f64) -> String {
    let change = format!("held-out photographs went from {noisy:.2} to {denoised:.2} dB");
    if denoised > noisy {
        format!("{change}, without one clean picture in training")
    } else {
        format!("{change}: they did not improve. Train longer, with --minutes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_that_made_pictures_worse_says_so() {
        assert!(verdict(20.0, 28.5).contains("without one clean picture"));
        for psnr in [20.0, 12.0, f64::NAN] {
            assert!(verdict(20.0, psnr).contains("did not improve"));
        }
    }
}
