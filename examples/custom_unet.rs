//! A network as straight code: a small U-Net with one skip, trained on noisy pairs of a photograph with Adam.
//!
//!     cargo run --release --example custom_unet [STEPS]

use std::path::Path;
use std::sync::Arc;

use n2n_gpu::data::picture::Picture;
use n2n_gpu::device::Device;
use n2n_gpu::error::Result;
use n2n_gpu::graph::Tensor;
use n2n_gpu::nets::{Init, Modules};
use n2n_gpu::noise::{Clean, Noise};
use n2n_gpu::ops::{Activation, Conv, Update};
use n2n_gpu::train::{Length, Options, Trainer};

/// Predicts the noise and subtracts it.
fn network(net: &mut Modules, x: Tensor) -> Tensor {
    let lrelu = Activation::leaky_relu(0.1);
    let same = Conv::same3(1);
    let skip = net.conv2d("encoder.conv1", x, 16, same, lrelu);
    let y = net.graph.max_pool2d(skip, 2);
    let y = net.conv2d("encoder.conv2", y, 32, same, lrelu);
    let y = net.conv2d("decoder.conv1", y, 32, same, lrelu);
    let y = net.graph.upsample_nearest(y, 2);
    let y = net.graph.concat(&[y, skip]);
    let y = net.conv2d("decoder.conv2", y, 16, same, lrelu);
    let noise = net.conv2d("output", y, 3, same, Activation::NONE);
    net.graph.subtract(x, noise)
}

fn psnr(a: &[f32], b: &[f32]) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (a.clamp(-0.5, 0.5) - b).powi(2)).sum::<f32>();
    -10.0 * (squares / a.len() as f32).log10()
}

fn main() -> Result<()> {
    let steps = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(300_u32);
    let photo = Picture::load(Path::new("assets/chelsea-192.png"))?;
    let [width, height] = photo.header().size();
    let clean: &[f32] = &photo.to_rgb().into_iter().map(|v| v - 0.5).collect::<Vec<_>>();
    let noise: Noise = "gaussian:25".parse()?;
    let exposure = |number, i| noise.expose(Clean { rgb: clean, width, height }, 1, number, i).values;

    let device = Device::select("auto")?;
    let options = Options { init: Init::He, update: Update::ADAM, ..Options::sgd(2e-3, Length::Steps(steps.into())) };
    let mut trainer = Trainer::on_arrays(&device, Arc::new(network), &options, [1, height, width, 3])?;
    for step in 1..=steps {
        let loss = trainer.step(&exposure(step, 0), &exposure(step, 1))?;
        if step % 50 == 0 {
            println!("step {step}: loss {loss:.5}");
        }
    }
    let noisy = exposure(0, 0);
    let denoised = trainer.predict(&noisy)?;
    println!("{:.2} dB noisy, {:.2} dB denoised", psnr(&noisy, clean), psnr(&denoised, clean));
    Ok(())
}
