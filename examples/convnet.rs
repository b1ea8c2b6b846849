//! The second report's network, from hand-made modules: defined, trained with MSE and SGD on noisy pairs alone, saved, loaded,
//! and used. On any GPU, or the CPU.
//!
//!     cargo run --release --example convnet [EPOCHS]

use std::path::Path;
use std::sync::Arc;

use n2n_gpu::data::picture::Picture;
use n2n_gpu::device::Device;
use n2n_gpu::error::Result;
use n2n_gpu::nets::{Layer, Sequential};
use n2n_gpu::noise::{Clean, Noise};
use n2n_gpu::ops::Conv;
use n2n_gpu::train::{Length, Options, Trainer};

/// Pictures are cut into patches of this side, and trained on in batches of this many.
const SIDE: usize = 32;
const BATCH: usize = 20;

/// Windows of the convolutions that halve a picture, and of those of one pixel.
const HALF: Conv = Conv { kernel: 2, stride: 2, padding: 0 };
const ONE: Conv = Conv { kernel: 1, stride: 1, padding: 0 };

/// All whole patches (N, SIDE, SIDE, 3) of a picture (H, W, 3).
fn patches(rgb: &[f32], width: usize, height: usize) -> Vec<f32> {
    let corners = (0..height / SIDE).flat_map(|i| (0..width / SIDE).map(move |j| (i * SIDE, j * SIDE)));
    let row = |i: usize, j: usize| &rgb[(i * width + j) * 3..][..SIDE * 3];
    corners.flat_map(|(i, j)| (i..i + SIDE).flat_map(move |i| row(i, j))).copied().collect()
}

fn psnr(a: &[f32], b: &[f32]) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (a.clamp(0.0, 1.0) - b).powi(2)).sum::<f32>();
    -10.0 * (squares / a.len() as f32).log10()
}

fn main() -> Result<()> {
    let epochs = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(30_u32);

    // Two noisy versions of a photograph to train on; the clean one is only looked at in the end.
    let noise: Noise = "gaussian:40".parse()?;
    let picture = Picture::load(Path::new("assets/coffee.jpg"))?;
    let ([width, height], rgb) = (picture.header().size(), picture.to_rgb());
    let photo = Clean { rgb: &rgb, width, height };
    let [a, b] = [0, 1].map(|exposure| patches(&noise.expose(photo, 1, 0, exposure).values, width, height));
    let clean = patches(&rgb, width, height);

    // The input is normalised with the mean and standard deviation of the training set.
    let mean = a.iter().sum::<f32>() / a.len() as f32;
    let deviation = (a.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / a.len() as f32).sqrt();
    let input: Vec<f32> = a.iter().map(|v| (v - mean) / deviation).collect();

    let model = Arc::new(Sequential::new([
        Layer::Conv2d(6, HALF),
        Layer::ReLU,
        Layer::Conv2d(12, HALF),
        Layer::ReLU,
        Layer::Upsample(2),
        Layer::Conv2d(6, ONE),
        Layer::ReLU,
        Layer::Upsample(2),
        Layer::Conv2d(3, ONE),
        Layer::Sigmoid,
    ]));
    let shape = [BATCH, SIDE, SIDE, 3];
    let options = Options::sgd(2.0, Length::Epochs(f64::from(epochs)));
    let mut trainer = Trainer::on_arrays(&Device::select("auto")?, model.clone(), &options, shape)?;
    for epoch in 1..=epochs {
        println!("epoch {epoch}: loss {:.5}", trainer.epoch(&input, &b)?);
    }

    let file = std::env::temp_dir().join("n2n-gpu-convnet.safetensors");
    trainer.save(&file)?;
    let mut loaded = Trainer::on_arrays(&Device::Cpu, model, &options, shape)?;
    loaded.load(&file)?;
    let first = BATCH * SIDE * SIDE * 3;
    let denoised = loaded.predict(&input[..first])?;
    println!("{:.2} dB noisy, {:.2} dB denoised", psnr(&a[..first], &clean[..first]), psnr(&denoised, &clean[..first]));
    Ok(())
}
