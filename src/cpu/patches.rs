//! Which pixels a convolution looks at, and how its target is divided among threads.

use rayon::prelude::*;

use super::scratch::Scratch;
use super::{Real, accumulate};
use crate::graph::View;

/// Target pixels that are made at once, about: what they see stays in the cache, however large the picture.
const BLOCK: usize = 256;
/// Rows of such a block at least, if there are enough: one alone would see three times as many pixels as it makes.
const BLOCK_ROWS: usize = 2;
/// Tasks that even a small target is divided into.
const TASKS: usize = 8;
/// Target pixels below which a task is not worth its overhead.
const LEAST: usize = 32;
/// The same for tiles of several pixels.
const LEAST_TILES: usize = 8;
/// Groups of parts that are summed on their own, and elements of a sum that a task adds up.
const SPLITS: usize = 8;
const ELEMENTS: usize = 4096;

/// Which source pixels a target pixel sees: target (`target_first` + `target_step` * (i, j)) sees the window of `size` pixels of
/// the source that begins at (`source_step` * (i, j) + `first`), zeros outside of the picture.
#[derive(Clone, Copy, Debug)]
pub struct Patches {
    /// Row and column of the window's first pixel.
    pub first: (isize, isize),
    /// Rows and columns of the window.
    pub size: (usize, usize),
    /// Source pixels from (i, j) to (i + 1, j).
    pub source_step: usize,
    /// Target pixels from (i, j) to (i + 1, j).
    pub target_step: usize,
    /// Target pixel of (0, 0).
    pub target_first: (usize, usize),
}

impl Patches {
    /// Pixels of a window.
    pub fn taps(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// The smallest window around both, for target pixels from (0, 0).
    pub(super) fn hull(self, other: Self) -> Self {
        let along = |a: isize, m: usize, b: isize, n: usize| {
            let first = a.min(b);
            (first, ((a + m as isize).max(b + n as isize) - first) as usize)
        };
        let (top, height) = along(self.first.0, self.size.0, other.first.0, other.size.0);
        let (left, width) = along(self.first.1, self.size.1, other.first.1, other.size.1);
        Self { first: (top, left), size: (height, width), target_first: (0, 0), ..self }
    }

    /// Rows and columns of (i, j) that reach into a target of that view.
    pub(super) fn grid(&self, target: &View) -> (usize, usize) {
        let along = |size: usize, first: usize| (size + self.target_step).saturating_sub(first + 1) / self.target_step;
        (along(target.shape[1], self.target_first.0), along(target.shape[2], self.target_first.1))
    }

    /// Calls `f` for every (n, i, j) of a part with the place of its target pixel in the part's memory, counted in pixels.
    pub(super) fn each(&self, part: Part, target: &View, mut f: impl FnMut((usize, usize, usize), usize)) {
        let [_, height, width] = target.shape;
        let (rows, columns) = self.grid(target);
        let step = self.target_step;
        let part_height = (part.rows.1 * step).min(height) - part.rows.0 * step;
        for n in 0..part.pictures {
            for i in part.rows.0..part.rows.1.min(rows) {
                let row = n * part_height + (i - part.rows.0) * step + self.target_first.0;
                for j in part.columns.0..part.columns.1.min(columns) {
                    f((part.picture + n, i, j), row * width + j * step + self.target_first.1);
                }
            }
        }
    }

    /// Every (n, i, j) of a part, and the place of its target pixel as in [`Self::each`].
    pub(super) fn list(&self, part: Part, target: &View) -> Scratch<[usize; 4]> {
        let mut count = 0;
        self.each(part, target, |_, _| count += 1);
        let mut list = Scratch::new(count);
        let mut left = list.iter_mut();
        self.each(part, target, |(n, i, j), place| *left.next().expect("they are counted") = [n, i, j, place]);
        drop(left);
        list
    }

    /// Writes what (n, i, j) sees, tap by tap, to a row of the unfolded matrix.
    pub(super) fn unfold<T: Real>(&self, (view, x): (&View, &[T]), (n, i, j): (usize, usize, usize), row: &mut [T]) {
        let [_, height, width] = view.shape;
        let c = view.padded();
        for (tap, to) in row.chunks_exact_mut(c).enumerate() {
            let h = (i * self.source_step + tap / self.size.1) as isize + self.first.0;
            let w = (j * self.source_step + tap % self.size.1) as isize + self.first.1;
            if h >= 0 && w >= 0 && (h as usize) < height && (w as usize) < width {
                let pixel = (n * height + h as usize) * width + w as usize;
                to.copy_from_slice(&x[pixel * view.stride + view.channel..][..c]);
            } else {
                to.fill(T::zero());
            }
        }
    }
}

/// A part of the target: whole pictures, a band of rows of one, or a block of columns of those; rows and columns are counted in
/// the steps of the patches. The memory of a block is that of its band.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// First picture.
    pub picture: usize,
    /// Pictures.
    pub pictures: usize,
    /// First and last + 1 row of (i, j).
    pub rows: (usize, usize),
    /// First and last + 1 column of (i, j).
    pub columns: (usize, usize),
    /// First pixel of the target in its memory.
    pub first_pixel: usize,
}

/// The pictures or bands of a target, in the order of its memory; the same for any number of threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    target: &'a View,
    step: usize,
    /// Rows and columns of (i, j).
    grid: (usize, usize),
    /// Pictures of a part.
    together: usize,
    /// Parts of a picture.
    bands: usize,
    /// (i, j) of a block at most, about.
    block: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn new(target: &'a View, step: usize) -> Self {
        let [pictures, height, width] = target.shape;
        let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
        let pixels = (pictures * rows * columns / TASKS).clamp(LEAST, BLOCK);
        let together = (pixels / (rows * columns)).clamp(1, pictures);
        let band = pixels.div_ceil(columns).max(BLOCK_ROWS.min(pictures * rows / TASKS));
        Self { target, step, grid: (rows, columns), together, bands: rows.div_ceil(band), block: BLOCK }
    }

    /// For tiles of `step` by `step` pixels, worked on in blocks of `block` of them.
    pub(super) fn of_tiles(target: &'a View, step: usize, block: usize) -> Self {
        let [pictures, height, width] = target.shape;
        let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
        let tiles = (pictures * rows * columns / TASKS).clamp(LEAST_TILES.min(block), block);
        let together = (tiles / (rows * columns)).clamp(1, pictures);
        let band = (tiles / columns).clamp(1, rows);
        Self { target, step, grid: (rows, columns), together, bands: rows.div_ceil(band), block }
    }

    pub(super) fn count(&self) -> usize {
        self.target.shape[0].div_ceil(self.together) * self.bands
    }

    pub(super) fn get(&self, number: usize) -> Part {
        let [all, height, width] = self.target.shape;
        let (picture, band) = (number / self.bands * self.together, number % self.bands);
        let pictures = self.together.min(all.saturating_sub(picture));
        let rows = (band * self.grid.0 / self.bands, (band + 1) * self.grid.0 / self.bands);
        Part {
            picture,
            pictures,
            rows,
            columns: (0, self.grid.1),
            first_pixel: (picture.min(all) * height + rows.0 * self.step) * width,
        }
    }

    /// The blocks of a part.
    fn blocks(&self, part: Part) -> impl Iterator<Item = Part> {
        let columns = self.grid.1;
        let count = (part.pictures * (part.rows.1 - part.rows.0) * columns).div_ceil(self.block).clamp(1, columns);
        (0..count).map(move |b| Part { columns: (b * columns / count, (b + 1) * columns / count), ..part })
    }

    /// Calls `f` for every block with its part of the target's memory, on all threads.
    pub(super) fn each<T: Real>(&self, memory: &mut [T], f: &(impl Fn(Part, &mut [T]) + Sync)) {
        self.some(0, self.count(), memory, f);
    }

    fn some<T: Real>(&self, first: usize, last: usize, memory: &mut [T], f: &(impl Fn(Part, &mut [T]) + Sync)) {
        if last - first == 1 {
            return self.blocks(self.get(first)).for_each(|block| f(block, memory));
        }
        let middle = first.midpoint(last);
        let pixels = self.get(middle).first_pixel - self.get(first).first_pixel;
        let (head, tail) = memory.split_at_mut(pixels * self.target.stride);
        rayon::join(|| self.some(first, middle, head, f), || self.some(middle, last, tail, f));
    }

    /// Sums over all blocks, in the first `len` elements of the result; `f` adds a block's share.
    pub(super) fn sum<T: Real>(&self, len: usize, f: &(impl Fn(Part, &mut [T]) + Sync)) -> Scratch<T> {
        let (count, splits) = (self.count(), self.count().min(SPLITS));
        let mut partials = Scratch::new(splits * len);
        partials.par_chunks_exact_mut(len).enumerate().for_each(|(split, sums)| {
            sums.fill(T::zero());
            let parts = (split * count / splits..(split + 1) * count / splits).map(|number| self.get(number));
            parts.flat_map(|part| self.blocks(part)).for_each(|block| f(block, sums));
        });
        let (sums, others) = partials.split_at_mut(len);
        sums.par_chunks_mut(ELEMENTS).enumerate().for_each(|(block, sums)| {
            others.chunks_exact(len).for_each(|other| accumulate(sums, &other[block * ELEMENTS..]));
        });
        partials
    }
}
