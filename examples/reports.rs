//! The first report's comparison as a table: network, normalisation, initialisation and augmentation against PSNR, on its noise
//! (`pixelate:8`, from photographs) or on its data set.
//!
//!     cargo run --release --example reports -- PHOTOS [MINUTES [WIDTH]]     twenty trainings of MINUTES each
//!
//! On two CPU cores 2.5 minutes of width 12 take 50 minutes in all. At full size, on a GPU: `-- PHOTOS 30 48`. PHOTOS may be the
//! course's `train_data.pkl`: pairs are then held out to estimate from.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::{dataset, files::list, picture::load_rgb8};
use n2n_gpu::device::Device;
use n2n_gpu::error::{Error, Result};
use n2n_gpu::nets::{EpflResunet, EpflUnet, Init, Network, Norm, Unet};
use n2n_gpu::train::{Augment, Length, Options, Run, Source, Validation, split};

/// Side of crops, pixels of the result: that of the course's pictures.
const CROP: usize = 32;

/// Networks of a width, and their normalisation.
fn networks(width: usize) -> [(Arc<dyn Network>, Norm); 5] {
    let unet = |norm| -> (Arc<dyn Network>, Norm) { (Arc::new(Unet::new(width, 4, norm)), norm) };
    [
        (Arc::new(EpflUnet { width, ..EpflUnet::default() }), Norm::None),
        (Arc::new(EpflResunet { width, ..EpflResunet::default() }), Norm::Group),
        unet(Norm::None),
        unet(Norm::Batch),
        unet(Norm::Group),
    ]
}

fn source(data: &Path) -> Result<Source> {
    if data.is_file() {
        return Source::pairs(dataset::load(data)?.into_pictures());
    }
    Ok(Source::photos(load_rgb8(&list(&[data.to_owned()])?)?, "pixelate:8".parse()?))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data = PathBuf::from(arguments.next().ok_or_else(|| Error::data("name a folder of photographs, or a data set"))?);
    let minutes = arguments.next().and_then(|m| m.parse().ok()).unwrap_or(2.5);
    let width = arguments.next().and_then(|w| w.parse().ok()).unwrap_or(12);

    let device = Device::select("auto")?;
    let (mut training, held_out) = split(source(&data)?);
    for name in training.drop_small(CROP, 32)? {
        eprintln!("{name} is smaller than a crop, and left out");
    }
    let validation = Validation::new(&held_out, 1)?;
    println!("| network | normalisation | initialisation | augmentation | PSNR, dB |\n|---|---|---|---|---|");
    for (network, norm) in networks(width) {
        for init in [Init::Xavier, Init::He] {
            for augment in [Augment::None, Augment::All] {
                let options = Options { init, augment, crop: CROP, ..Options::new(&device, Length::Minutes(minutes)) };
                let out = std::env::temp_dir().join("n2n-gpu-reports");
                let (source, validation) = (&training, &validation);
                let run = Run { device: &device, network: network.clone(), options: &options, source, validation, out: &out };
                let done = run.start(&mut |_| ControlFlow::Continue(()))?;
                let psnr = done.psnr.or(done.psnr_estimated).unwrap_or(f64::NAN);
                let names = [format!("{norm:?}"), format!("{init:?}"), format!("{augment:?}")].map(|n| n.to_lowercase());
                println!("| {} | {} | {psnr:.2} |", network.name(), names.join(" | "));
            }
        }
    }
    Ok(())
}
