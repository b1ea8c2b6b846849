//! Test-time augmentation: a picture is denoised in its eight flips and quarter turns, and the results are turned back and
//! averaged. The network's errors differ between them, and partly cancel out.

use super::{Denoiser, blended, not_finite};
use crate::data::picture::{Picture, Rows};
use crate::error::Result;

/// One of the eight symmetries of a square.
#[derive(Clone, Copy)]
struct Flip {
    /// Rows become columns.
    transpose: bool,
    /// Upside down, and left to right, after that.
    rows: bool,
    columns: bool,
}

impl Flip {
    fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|i| Self { transpose: i & 4 != 0, rows: i & 2 != 0, columns: i & 1 != 0 })
    }

    /// Size (height, width) of a picture once it is flipped.
    fn size(self, [height, width]: [usize; 2]) -> [usize; 2] {
        if self.transpose { [width, height] } else { [height, width] }
    }

    /// The pixel of a picture of `size` that lies at (y, x) once it is flipped, counted row by row.
    fn source(self, size: [usize; 2], y: usize, x: usize) -> usize {
        let [height, width] = self.size(size);
        let y = if self.rows { height - 1 - y } else { y };
        let x = if self.columns { width - 1 - x } else { x };
        if self.transpose { x * size[1] + y } else { y * size[1] + x }
    }
}

impl Denoiser {
    /// The mean over all flips of a picture of `size` (height, width). `load` writes the values of a pixel, counted row by row.
    pub(super) fn mean_of_flips(
        &mut self,
        size: [usize; 2],
        load: impl Fn(usize, &mut [f32]) + Sync,
        mut progress: impl FnMut(f64),
    ) -> Result<Vec<[f32; 3]>> {
        let mut mean = vec![[0.0; 3]; size[0] * size[1]];
        let mut done = 0;
        let all = 8 * mean.len();
        for flip in Flip::all() {
            let flipped = flip.size(size);
            let load = |i: usize, to: &mut [f32]| load(flip.source(size, i / flipped[1], i % flipped[1]), to);
            self.each_piece(flipped, load, |piece| {
                for y in piece.rows.clone() {
                    for (x, denoised) in piece.columns.clone().zip(piece.row(y)) {
                        let sum = &mut mean[flip.source(size, y, x)];
                        sum.iter_mut().zip(denoised).for_each(|(sum, v)| *sum += v / 8.0);
                    }
                }
                done += piece.rows.len() * piece.columns.len();
                progress(done as f64 / all as f64);
                Ok(())
            })?;
        }
        Ok(mean)
    }

    /// [`Denoiser::denoise_rows`] by the mean over flips, which is known when all are done.
    pub(super) fn denoise_flips(
        &mut self,
        photo: &Picture,
        strength: f32,
        progress: impl FnMut(f64),
        mut emit: impl FnMut(Rows) -> Result<()>,
    ) -> Result<()> {
        let [width, height] = photo.header().size();
        let scale = self.scale();
        let mean = self.mean_of_flips([height, width], |i, to| scale.load(photo, i, to), progress)?;
        if !mean.as_flattened().iter().all(|v| v.is_finite()) {
            return Err(not_finite(&self.device));
        }
        for (y, denoised) in mean.chunks_exact(width).enumerate() {
            let mut row = photo.row(y);
            for (x, &denoised) in denoised.iter().enumerate() {
                scale.set(&mut row, x, blended(scale.colour(photo, y * width + x), denoised, strength));
            }
            emit(row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_is_another_arrangement_of_all_pixels() {
        let size = [2, 3];
        let mut seen = std::collections::HashSet::new();
        for flip in Flip::all() {
            let [height, width] = flip.size(size);
            let pixels: Vec<usize> = (0..6).map(|i| flip.source(size, i / width, i % width)).collect();
            let mut sorted = pixels.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
            assert!(seen.insert((height, pixels)));
        }
    }
}
