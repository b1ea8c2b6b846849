//! Training from pictures of floats in memory, beside those of bytes.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use common::{draw, places};
use n2n_gpu::data::picture::Rgb8;
use n2n_gpu::device::Device;
use n2n_gpu::error::Result;
use n2n_gpu::nets::{Norm, Unet};
use n2n_gpu::noise::Noise;
use n2n_gpu::ops::{Batch, Pixels, Shards, Transfer, Update, random_normals};
use n2n_gpu::train::{Length, Options, Outcome, Run, Source, TrainingPicture, Validation};

const SIDE: usize = 24;

fn values(seed: u32) -> Vec<f32> {
    random_normals(seed, 0).take(SIDE * SIDE * 3).map(|z| 0.5 + 0.3 * z as f32).collect()
}

/// Below black, above white, and between grey levels: a pair whose crop is the whole picture, without flips.
#[test]
fn batches_hold_the_floats_of_pictures_to_the_last_bit() {
    let pair = [1, 2].map(|seed| Pixels::Floats(values(seed)));
    let shards = Shards::new([pair.iter().map(|p| ((SIDE, SIDE), p)).collect()], 1 << 20);
    let (input, target) = ([0.0, 1.0], [0.0, 1.0]);
    let batch = Batch {
        count: 1,
        crop: SIDE,
        batch: 1,
        noise: None,
        clean_targets: false,
        input,
        target,
        flips: 0,
        given: false,
        targets: 1,
        grey: 0.0,
        channels: 3,
        transfers: [Transfer::None; 2],
    };
    for place in places() {
        for (seed, drawn) in [1, 2].into_iter().zip(draw(&place, batch, &shards, [0, 1, 0])) {
            let seen: Vec<f32> = drawn.iter().map(|&v| v as f32).collect();
            let wanted: Vec<f32> = (0..3).flat_map(|c| values(seed).into_iter().skip(c).step_by(3)).collect();
            assert_eq!(seen, wanted, "on {}", place.name());
        }
    }
}

/// Of pictures whose features are their colours once more: wherever a crop lies, however it is flipped, and whichever of the pair
/// it is.
#[test]
fn features_go_with_their_colours_to_the_input_alone() {
    let render = |seed| Pixels::Floats(values(seed).chunks(3).flat_map(|rgb| rgb.repeat(3)).collect());
    let pair = [1, 2].map(render);
    let shards = Shards::new([pair.iter().map(|p| ((SIDE, SIDE), p)).collect()], 1 << 20);
    let (range, crop, batch) = ([0.0, 1.0], SIDE - 3, 16);
    let batch = Batch {
        count: 1,
        crop,
        batch,
        noise: None,
        clean_targets: false,
        input: range,
        target: range,
        flips: 15,
        given: false,
        targets: 1,
        grey: 0.0,
        channels: 9,
        transfers: [Transfer::None; 2],
    };
    for place in places() {
        let ([x, t], plane) = (draw(&place, batch, &shards, [3, 1, 0]), crop * crop);
        for picture in x.chunks_exact(9 * plane) {
            let colours = &picture[..3 * plane];
            assert!(colours.iter().any(|v| *v != 0.0) && picture == colours.repeat(3), "on {}", place.name());
        }
        assert_eq!(t.len(), 16 * 3 * plane);
    }
}

fn bytes(seed: u32) -> TrainingPicture {
    let data = values(seed).iter().map(|v| (v * 255.0).clamp(0.0, 255.0) as u8).collect();
    Rgb8 { name: format!("{seed}"), width: SIDE, height: SIDE, data }.into()
}

fn floats(seed: u32) -> TrainingPicture {
    TrainingPicture::from_f32(format!("{seed}"), SIDE, SIDE, bytes(seed).pixels.values())
}

fn trained(source: &Source, held_out: &Source, change: impl Fn(Options) -> Options) -> Result<Outcome> {
    let network = Arc::new(Unet::new(4, 1, Norm::None));
    // Gradient descent is smooth: Adam makes a step of what is almost nothing.
    let (update, length) = (Update::Sgd { momentum: 0.0 }, Length::Steps(10));
    let options = &change(Options { batch: 2, crop: 16, lr: 0.05, update, ..Options::new(&Device::Cpu, length) });
    let (folder, validation) = (tempfile::tempdir().unwrap(), &Validation::new(held_out, 1)?);
    let run = Run { device: &Device::Cpu, network, options, source, validation, out: folder.path() };
    run.start(&mut |_| ControlFlow::Continue(()))
}

/// Floats are rounded to 6e-8 of their value, which bytes / 255 in double precision are not; ten steps of gradient descent with a
/// clip norm of 1 and a rate of 0.05 make no more than a hundred times that of it, 1e-4 dB being 2e-5.
#[test]
fn a_training_from_floats_goes_as_one_from_bytes_of_the_same_values() {
    let noise: Noise = "gaussian:25".parse().unwrap();
    let photos = |picture: fn(u32) -> TrainingPicture| {
        let source = Source::photos((1..4).map(picture).collect(), noise);
        (source, Source::photos(vec![picture(9)], noise))
    };
    let pairs = |picture: fn(u32) -> TrainingPicture| {
        let source = |n: u32| Source::pairs(vec![(picture(n), picture(n + 1)), (picture(n + 2), picture(n + 3))]).unwrap();
        (source(1), source(5))
    };
    for ((a, a_held), (b, b_held)) in [(photos(bytes), photos(floats)), (pairs(bytes), pairs(floats))] {
        assert_eq!(a.statistics(), b.statistics());
        let [a, b] = [trained(&a, &a_held, |o| o), trained(&b, &b_held, |o| o)].map(Result::unwrap);
        assert_eq!(a.psnr_noisy, b.psnr_noisy);
        let difference = (a.psnr_estimated.unwrap() - b.psnr_estimated.unwrap()).abs();
        assert!(difference < 1e-4, "{difference} dB apart");
    }
}

#[test]
fn pictures_with_values_that_are_not_finite_are_refused_by_name() {
    let mut rgb = values(1);
    rgb[100] = f32::NAN;
    let source = Source::photos(vec![TrainingPicture::from_f32("broken", SIDE, SIDE, rgb)], "gaussian:25".parse().unwrap());
    let held_out = Source::photos(vec![floats(9)], "gaussian:25".parse().unwrap());
    let message = trained(&source, &held_out, |o| o).unwrap_err().to_string();
    assert!(message.contains("broken") && message.contains("not finite"), "{message}");
}

#[test]
fn more_targets_than_the_noise_can_have_are_refused_as_an_option() {
    let held_out = Source::photos(vec![bytes(9)], "gaussian:25".parse().unwrap());
    let pairs = Source::pairs(vec![(bytes(1), bytes(2))]).unwrap();
    for source in [Source::photos(vec![bytes(1)], "brown:25,2".parse().unwrap()), pairs] {
        let message = trained(&source, &held_out, |options| Options { targets: 2, ..options }).unwrap_err().to_string();
        assert!(message.contains("targets: 2") && message.contains(&source.noise()), "{message}");
    }
}

#[test]
fn pictures_of_bytes_among_those_of_floats_become_floats() {
    let (bytes, floats) = (Pixels::Bytes(vec![0, 51, 255]), Pixels::Floats(vec![-0.25, 0.5, 1.5]));
    let groups = |pixels: &[&'static Pixels]| pixels.iter().map(|p| vec![((1, 1), *p)]).collect::<Vec<_>>();
    let (bytes, floats): (&Pixels, &Pixels) = (Box::leak(Box::new(bytes)), Box::leak(Box::new(floats)));
    let shards = Shards::new(groups(&[bytes, floats]), 1 << 10);
    assert_eq!(shards.table, [0, 0, 1, 1, 0, 3, 1, 1]);
    let values: Vec<f32> = shards.words(0).into_iter().map(f32::from_bits).collect();
    assert_eq!(values[..6], [0.0, 0.2, 1.0, -0.25, 0.5, 1.5]);
    assert_eq!(Shards::new(groups(&[bytes]), 1 << 10).value_bytes, 1);
    // Three shards with place for one picture of floats each.
    assert_eq!(Shards::new(groups(&[floats; 4]), 28).left_out, [3]);
}

#[test]
fn pairs_of_equal_pictures_are_taken_among_others_but_not_alone() {
    let (equal, different) = ((bytes(1), bytes(1)), (bytes(2), bytes(3)));
    assert_eq!(Source::pairs(vec![equal.clone(), different]).map(|s| s.count()).ok(), Some(2));
    let refused = Source::pairs(vec![equal.clone(), equal]).map(|s| s.count());
    assert!(refused.is_err_and(|e| e.to_string().contains("are the same")));
}
