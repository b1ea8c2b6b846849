//! Training on noisy pictures of one's own: 16-bit counts that fill any part of their range, and shots that do not match.

use std::f32::consts::TAU;
use std::ops::ControlFlow;
use std::sync::Arc;

use n2n_gpu::data::metrics::mse;
use n2n_gpu::data::picture::Picture;
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::export::onnx;
use n2n_gpu::nets::{Model, Unet};
use n2n_gpu::ops::{Pixels, random_normals};
use n2n_gpu::train::{Length, Options, Outcome, Run, Source, TrainingPicture, Validation};

const SIDE: usize = 96;
/// Photons that the brightest pixel counts.
const PHOTONS: f32 = 300.0;

/// Light of a scene, from 0 to 1: waves.
fn light(scene: usize) -> Vec<f32> {
    let wave = |i: usize| {
        let (y, x, k) = ((i / SIDE) as f32, (i % SIDE) as f32, scene as f32);
        0.5 + 0.25 * (TAU * (x + 3.0 * k) / (14.0 + k)).sin() + 0.25 * (TAU * (y - x / (2.0 + k)) / 21.0).sin()
    };
    (0..SIDE * SIDE).map(wave).collect()
}

/// Counts from `low` to `high` as a camera has them, in grey: of photons, with read noise; without, if there is no seed.
fn counts(scene: usize, [low, high]: [f32; 2], seed: Option<u32>) -> TrainingPicture {
    let mut normals = random_normals(seed.unwrap_or(0), scene as u32).map(|z| if seed.is_some() { z as f32 } else { 0.0 });
    let mut z = || normals.next().unwrap();
    let photons = light(scene).into_iter().map(|v| v * PHOTONS);
    let seen = photons.map(|photons| photons + z() * photons.sqrt() + 2.0 * z());
    let words = seen.map(|photons| (low + photons * (high - low) / PHOTONS).round() as u16);
    let picture = Picture::from_pixels([SIDE, SIDE], 1, Pixels::Words(words.collect()));
    TrainingPicture::new(format!("{scene}"), &picture)
}

fn trained(source: &Source, validation: &Validation, steps: u64) -> Outcome {
    let network = Arc::new(Unet { width: 12, levels: 2, residual: true, channels: source.channels(), ..Unet::default() });
    let options = &Options { batch: 4, crop: 32, ..Options::new(&Device::Cpu, Length::Steps(steps)) };
    let folder = tempfile::tempdir().unwrap();
    let run = Run { device: &Device::Cpu, network, options, source, validation, out: folder.path() };
    let outcome = run.start(&mut |_| ControlFlow::Continue(())).unwrap();
    // What is on disk is what came of it.
    let kept = Model::load(&outcome.last).unwrap();
    assert_eq!((kept.ranges, kept.signal()), (outcome.model.ranges, outcome.model.signal()));
    outcome
}

#[test]
fn counts_of_any_range_train_alike_and_the_estimate_is_true() {
    for range in [[100.0, 400.0], [0.0, 3100.0], [0.0, 60_000.0]] {
        let shots = |scenes: std::ops::Range<usize>| {
            let pairs = scenes.map(|scene| (counts(scene, range, Some(1)), counts(scene, range, Some(2))));
            Source::pairs(pairs.collect()).unwrap()
        };
        let source = shots(0..6);
        let validation = Validation::new(&shots(0..6), 1).unwrap();
        let done = trained(&source, &validation, 500);
        let estimated = done.psnr_estimated.unwrap();
        assert!(estimated - done.psnr_noisy > 5.0, "{range:?}: {:.2} dB to {estimated:.2} dB", done.psnr_noisy);
        // Beside the clean pictures.
        let signal = done.model.signal();
        assert_eq!(signal.is_some(), range[1] < 10_000.0);
        let [black, white] = signal.unwrap_or([0.0, 1.0]);
        let mut denoiser = Denoiser::new(&Device::Cpu, &done.model, None).unwrap();
        let psnr = (0..6).map(|scene| {
            let clean = counts(scene, range, None).pixels.values();
            let errors = [1, 2].map(|seed| {
                let noisy = counts(scene, range, Some(seed)).pixels.values();
                mse(&denoiser.denoise(&noisy, SIDE, SIDE).unwrap(), &clean)
            });
            -10.0 * ((errors[0] + errors[1]) / 2.0 / f64::from(white - black).powi(2)).log10()
        });
        let truth = psnr.sum::<f64>() / 6.0;
        assert!((truth - estimated).abs() < 0.3, "{range:?}: {estimated:.2} dB, truly {truth:.2} dB");
        // Other programs get it with the range in it; what reads photographs refuses it.
        assert!(onnx::export(&done.model, None).is_ok());
        assert!(done.model.check_photographs().is_err());
    }
}

/// Of shots one of which is brighter, a network learns the mean, which is nearer to both than they are to each other.
#[test]
fn shots_that_do_not_match_have_no_estimate() {
    let shot = |scene: usize, seed: u32, more: f32| {
        let noise = random_normals(seed, scene as u32).map(|z| 0.002 * z as f32);
        let rgb = light(scene).into_iter().zip(noise).flat_map(|(v, noise)| [0.2 + 0.4 * v + noise + more; 3]);
        TrainingPicture::from_f32(format!("{scene}"), SIDE, SIDE, rgb.collect())
    };
    let source = Source::pairs((0..4).map(|i| (shot(i, 1, 0.0), shot(i, 2, 0.2))).collect()).unwrap();
    let done = trained(&source, &Validation::new(&source, 1).unwrap(), 400);
    assert_eq!(done.psnr_estimated, None);
    assert!(done.mismatch.unwrap().contains("4 held-out pairs do not match"));
    assert!(done.records.iter().all(|record| record.psnr_estimated.is_none_or(|psnr| psnr < 59.0)));
}
