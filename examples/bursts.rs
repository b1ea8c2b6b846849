//! Four noisy shots of every scene, as a camera saves them, against noise drawn anew at every step: what is lost by having no
//! more.
//!
//! `cargo run --release --example bursts -- [PHOTOS] [STEPS]`: the photographs of a folder are the scenes, a hundred of them at
//! most.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use n2n_gpu::data::files::list;
use n2n_gpu::data::picture::{Rgb8, load_rgb8};
use n2n_gpu::device::Device;
use n2n_gpu::error::Result;
use n2n_gpu::nets::{Norm, Unet};
use n2n_gpu::noise::{Clean, Noise};
use n2n_gpu::train::{Length, Options, Run, Source, Validation};

const SCENES: usize = 100;
const SHOTS: u32 = 4;
const NOISE: &str = "gaussian:20";

/// Shot `number` of a scene: clipped, and rounded to 8 bit.
fn shot(photo: &Rgb8, noise: &Noise, seed: u32, number: u32) -> Rgb8 {
    let rgb: Vec<f32> = photo.data.iter().map(|&v| f32::from(v) / 255.0).collect();
    let noisy = noise.expose(Clean { rgb: &rgb, width: photo.width, height: photo.height }, seed, number, 0).values;
    Rgb8 { data: noisy.iter().map(|v| (255.0 * v).round() as u8).collect(), ..photo.clone() }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let photos = PathBuf::from(arguments.next().unwrap_or_else(|| "assets".into()));
    let steps = arguments.next().and_then(|steps| steps.parse().ok()).unwrap_or(20_000);
    let (device, noise): (Device, Noise) = (Device::select("auto")?, NOISE.parse()?);

    let mut scenes = load_rgb8(&list(&[photos])?)?;
    scenes.retain(|photo| photo.width.min(photo.height) >= 64);
    scenes.truncate(SCENES + SCENES / 10);
    // Scenes that are not trained on, with their clean pictures.
    let held_out = scenes.split_off(scenes.len() - scenes.len().div_ceil(11));
    let pairs = held_out.into_iter().zip(0..).map(|(photo, i)| (shot(&photo, &noise, 7, i), photo));
    let validation = Validation::with_clean(pairs.collect(), None)?;

    let number = |scene: usize, shot: u32| scene as u32 * SHOTS + shot;
    let shots = |(i, photo)| (0..SHOTS).map(|k| shot(photo, &noise, 1, number(i, k)).into()).collect();
    let burst = Source::shots(scenes.iter().enumerate().map(shots).collect())?;
    let fresh = Source::photos(scenes, noise);

    let mut found = Vec::new();
    for (name, source) in [("bursts", &burst), ("fresh noise", &fresh)] {
        let network = Arc::new(Unet { residual: true, ..Unet::new(16, 3, Norm::None) });
        let options = Options::new(&device, Length::Steps(steps));
        let out = std::env::temp_dir().join("n2n-gpu-bursts");
        let run = Run { device: &device, network, options: &options, source, validation: &validation, out: &out };
        let done = run.start(&mut |_| ControlFlow::Continue(()))?;
        let psnr = done.psnr.unwrap_or(f64::NAN);
        println!("{name}, {} scenes: {:.2} dB noisy, {psnr:.2} dB denoised", source.count(), done.psnr_noisy);
        found.push(psnr);
    }
    println!("four shots lose {:.2} dB", found[1] - found[0]);
    Ok(())
}
