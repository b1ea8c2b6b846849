//! The library in forty lines: train a small denoiser on one photograph's noisy versions for a minute, then use it.
//!
//! `cargo run --release --example denoise_picture -- [PHOTO] [MINUTES]`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::picture::{Picture, load_rgb8};
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::error::Result;
use n2n_gpu::nets::{Norm, Unet};
use n2n_gpu::noise::{Clean, Noise};
use n2n_gpu::train::{Length, Options, Run, Source, Validation};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let photo = PathBuf::from(arguments.next().unwrap_or_else(|| "assets/coffee.jpg".into()));
    let minutes = arguments.next().and_then(|m| m.parse().ok()).unwrap_or(1.0);
    let out = std::env::temp_dir().join("n2n-gpu-example");

    let device = Device::select("auto")?;
    let noise: Noise = "gaussian:25".parse()?;
    let source = Source::photos(load_rgb8(std::slice::from_ref(&photo))?, noise);
    let network = Arc::new(Unet::new(16, 2, Norm::None));
    let options = Options::new(&device, Length::Minutes(minutes)).for_noise(&noise);
    let validation = Validation::new(&source, options.seed)?;
    let run = Run { device: &device, network, options: &options, source: &source, validation: &validation, out: &out };
    let done = run.start(&mut |p| {
        eprint!("\r{:3.0} %, estimated PSNR {:.2} dB", 100.0 * p.share, p.psnr.unwrap_or(0.0));
        ControlFlow::Continue(())
    })?;

    let picture = Picture::load(&photo)?;
    let [width, height] = picture.header().size();
    let noisy = noise.expose(Clean { rgb: &picture.to_rgb(), width, height }, 99, 0, 0).values;
    let denoised = Denoiser::new(&device, &done.model, None)?.denoise(&noisy, width, height)?;
    let to = out.join("denoised.png");
    picture.with_rgb(&denoised).save(&to)?;
    println!("\n{}: {:.2} -> {:.2} dB", Path::new(&to).display(), done.psnr_noisy, done.psnr_estimated.unwrap_or(f64::NAN));
    Ok(())
}
