//! Test-time augmentation.

use std::array::from_fn;
use std::sync::Arc;

use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::nets::{Anatomy, Init, Network, Norm, Ranges, Unet, initial};

const SIZE: [usize; 2] = [37, 50];

/// What comes of a picture (H, W, 3) of a fresh network.
fn denoised(rgb: &[f32], [height, width]: [usize; 2], tile: Option<usize>, flips: bool) -> Vec<f32> {
    let network: Arc<dyn Network> = Arc::new(Unet::new(4, 1, Norm::None));
    let params = initial(&Anatomy::of(network.as_ref()).graph, Init::He, 1).unwrap();
    let ranges: Ranges = network.values().ranges(|| unreachable!("of a U-Net they are fixed"));
    let denoiser = Denoiser::with_params(&Device::Cpu, (network, ranges), params, tile).unwrap();
    denoiser.with_flips(flips).denoise(rgb, width, height).unwrap()
}

fn picture() -> Vec<f32> {
    (0..SIZE[0] * SIZE[1] * 3).map(|i| 0.5 + 0.4 * (i as f32 * 0.37).sin()).collect()
}

/// A picture of height and width with rows and columns swapped, upside down.
fn turned(rgb: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let pixels = (0..width).rev().flat_map(|x| (0..height).map(move |y| 3 * (y * width + x)));
    pixels.flat_map(|at| from_fn::<f32, 3, _>(|c| rgb[at + c])).collect()
}

/// A picture with left and right swapped.
fn mirrored(rgb: &[f32], [_, width]: [usize; 2]) -> Vec<f32> {
    let rows = rgb.chunks_exact(3 * width);
    rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied().collect::<Vec<_>>()).collect()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Eight terms of about 1 in another order, and the network's own sums, which do not depend on where a pixel lies.
const REORDERED: f32 = 8.0 * f32::EPSILON;

#[test]
fn the_result_is_the_mean_over_eight_flips_turned_back() {
    let rgb = picture();
    let mut mean = vec![0.0; rgb.len()];
    for mirror in [false, true] {
        for turns in 0..4 {
            let (mut flipped, mut size) = (if mirror { mirrored(&rgb, SIZE) } else { rgb.clone() }, SIZE);
            let turn = |rgb: &mut Vec<f32>, size: &mut [usize; 2]| {
                *rgb = turned(rgb, *size);
                size.reverse();
            };
            (0..turns).for_each(|_| turn(&mut flipped, &mut size));
            let mut result = denoised(&flipped, size, None, false);
            (turns..4).for_each(|_| turn(&mut result, &mut size));
            let result = if mirror { mirrored(&result, SIZE) } else { result };
            mean.iter_mut().zip(result).for_each(|(mean, v)| *mean += v / 8.0);
        }
    }
    let found = denoised(&rgb, SIZE, None, true);
    assert!(apart(&found, &mean) <= REORDERED, "{}", apart(&found, &mean));
    assert!(apart(&found, &denoised(&rgb, SIZE, None, false)) > 0.01, "one pass gives the same");
}

#[test]
fn a_turned_picture_gives_the_turned_result() {
    let rgb = picture();
    let [height, width] = SIZE;
    let upright = denoised(&rgb, SIZE, None, true);
    let of_turned = denoised(&turned(&rgb, SIZE), [width, height], None, true);
    assert!(apart(&of_turned, &turned(&upright, SIZE)) <= REORDERED);
    let of_mirrored = denoised(&mirrored(&rgb, SIZE), SIZE, None, true);
    assert!(apart(&of_mirrored, &mirrored(&upright, SIZE)) <= REORDERED);
}

#[test]
fn tiles_give_the_same_mean_as_one_pass() {
    let rgb = picture();
    let [whole, tiles] = [None, Some(30)].map(|tile| denoised(&rgb, SIZE, tile, true));
    assert!(apart(&whole, &tiles) <= REORDERED, "{}", apart(&whole, &tiles));
}
