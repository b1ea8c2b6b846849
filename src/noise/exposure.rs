//! Noisy exposures of whole pictures, on the CPU: what validation and evaluation look at. Training batches draw theirs on the
//! device (`shaders/batch.wgsl`).

use rayon::prelude::*;

use super::camera::Camera;
use super::{Noise, Place, Shot, Stream, jpeg};
use crate::ops::blur::{radius, weights};

/// Exposures have other random numbers than training steps of the same seed.
const SEED: u32 = 0x5eed_0000;

/// A noisy picture.
#[derive(Clone, Debug)]
pub struct Exposure {
    /// (H, W, 3), about [0, 1], neither clipped nor rounded.
    pub values: Vec<f32>,
    /// Which pixels (H, W) are known, for a law that hides some.
    pub known: Option<Vec<bool>>,
}

/// A clean picture to make exposures of.
#[derive(Clone, Copy, Debug)]
pub struct Clean<'a> {
    /// (H, W, 3) in [0, 1].
    pub rgb: &'a [f32],
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Noise {
    /// What exposures of a picture show: (H, W, 3), width and height. It is the picture itself, or that of the means of its
    /// cells.
    pub fn clean(&self, picture: Clean) -> (Vec<f32>, usize, usize) {
        let cell = self.cell();
        let (width, height) = (picture.width / cell, picture.height / cell);
        if cell == 1 {
            return (picture.rgb.to_vec(), width, height);
        }
        let mean = |p: usize, c: usize| {
            let at = |t: usize| ((p / width * cell + t / cell) * picture.width + p % width * cell + t % cell) * 3 + c;
            (0..cell * cell).map(|t| picture.rgb[at(t)]).sum::<f32>() / (cell * cell) as f32
        };
        ((0..width * height).flat_map(|p| (0..3).map(move |c| mean(p, c))).collect(), width, height)
    }

    /// Exposure 0 or 1 of a picture, in size that of [`Noise::clean`]; the same for the same seed and number.
    pub fn expose(&self, picture: Clean, seed: u32, number: u32, exposure: u32) -> Exposure {
        let stream = Stream { step: number, seed: seed ^ SEED, exposure };
        if let Some(blur) = self.blur() {
            let noise = blurred(stream, picture.width, picture.height, blur);
            let [sigma, _] = self.sigma();
            let values = picture.rgb.iter().zip(noise).map(|(v, z)| v + sigma * z as f32).collect();
            return Exposure { values, known: None };
        }
        if let Some(camera) = self.camera() {
            return Exposure { values: camera.photograph(picture, stream), known: None };
        }
        let cell = self.cell();
        let (width, height) = (picture.width / cell, picture.height / cell);
        // A deviation that is drawn is rounded as kernels do.
        let [low, high] = self.sigma();
        let sigma = f64::from(low + (high - low) * stream.of_picture(0) as f32);
        let draw = self.sampler(Shot { stream, picture: 0, sigma });
        let pixel = |p: usize| {
            let (i, j) = if cell > 1 { stream.in_cell(p as u32, cell) } else { (0, 0) };
            let at = ((p / width * cell + i) * picture.width + p % width * cell + j) * 3;
            let clean = [0, 1, 2].map(|c| f64::from(picture.rgb[at + c]));
            draw(Place { pixel: p as u32, row: (p / width) as u32, column: (p % width) as u32 }, clean)
        };
        let mut values = vec![0.0; 3 * width * height];
        let mut known = vec![true; width * height];
        let pixels = values.as_chunks_mut::<3>().0.par_iter_mut().zip(&mut known).enumerate();
        pixels.for_each(|(p, (to, known))| {
            let (drawn, is_known) = pixel(p);
            (*to, *known) = (drawn.map(|v| v as f32), is_known);
        });
        Exposure { values, known: self.masks().then_some(known) }
    }
}

impl Camera {
    /// An exposure (H, W, 3) of a whole picture.
    fn photograph(&self, Clean { rgb, width, height }: Clean, stream: Stream) -> Vec<f32> {
        let (settings, exposure) = (self.settings::<f32>(stream, 0), stream.exposure);
        let pixels = rgb.as_chunks().0;
        let counted: Vec<_> = pixels.par_iter().enumerate().map(|(p, rgb)| settings.sense(stream, p as u32, *rgb)).collect();
        let size = [height, width];
        let at = |row: usize, column: usize| counted[row * width + column];
        let develop = |p: usize| settings.develop(at, size, [p / width, p % width], exposure);
        let developed: Vec<[f32; 3]> = (0..pixels.len()).into_par_iter().map(develop).collect();
        if exposure > 0 {
            return developed.into_flattened();
        }
        let mut values = developed.clone();
        values.par_chunks_mut(jpeg::SIDE * width).enumerate().for_each(|(band, values)| {
            let at = |row: usize, column: usize| developed[row * width + column];
            settings.compress_band(at, size, band, |row, column, put| values[row * width + column] = put);
        });
        let put = |row: usize, column: usize| values[row * width + column];
        let read = |p: usize| settings.decompress(put, size, [p / width, p % width]);
        let read: Vec<[f32; 3]> = (0..values.len()).into_par_iter().map(read).collect();
        read.into_flattened()
    }
}

/// Blurred noise of variance 1 (H, W, 3).
fn blurred(stream: Stream, width: usize, height: usize, blur: f32) -> Vec<f64> {
    let (weights, border) = (weights(blur), 2 * radius(blur));
    let wide = width + border;
    let rows: Vec<Vec<f64>> = (0..height + border)
        .into_par_iter()
        .map(|row| {
            let white: Vec<f64> = (0..wide).flat_map(|column| stream.white((row * wide + column) as u32)).collect();
            let along = |at: usize| weights.iter().enumerate().map(|(k, w)| w * white[at + 3 * k]).sum();
            (0..3 * width).map(along).collect()
        })
        .collect();
    let across = |at: usize| weights.iter().enumerate().map(|(k, w)| w * rows[at / (3 * width) + k][at % (3 * width)]).sum();
    (0..3 * width * height).into_par_iter().map(across).collect()
}
