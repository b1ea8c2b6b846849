//! Convolution on the CPU as a matrix product over the unfolded input: the second report's own formulation. Blocks of
//! pixels are unfolded into a buffer that stays in the cache, multiplied by the `gemm` crate, and written out with bias
//! and activation.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::accumulate;
use crate::graph::{Real, View};

/// Rows of the unfolded matrix that are multiplied at once.
const ROWS: usize = 256;
/// Parts of the pixels that sum a filter gradient on their own, whatever the number of threads.
const SPLITS: usize = 8;

/// Which source pixels a target pixel sees: target (`first` + `target_step` * (i, j)) sees, through tap t, source
/// (`source_step` * (i, j) + taps\[t\]), or zero outside of the picture.
#[derive(Clone, Debug)]
pub struct Patches {
    /// Row and column offset of every tap.
    pub taps: Vec<(isize, isize)>,
    /// Source pixels from (i, j) to (i + 1, j).
    pub source_step: usize,
    /// Target pixels from (i, j) to (i + 1, j).
    pub target_step: usize,
    /// Target pixel of (0, 0).
    pub target_first: (usize, usize),
}

/// Pixel (n, i, j) of a grid of patches.
fn position(at: usize, rows: usize, columns: usize) -> (usize, usize, usize) {
    (at / (rows * columns), at / columns % rows, at % columns)
}

impl Patches {
    /// Rows and columns of (i, j) that reach into a target of that view.
    fn grid(&self, target: &View) -> (usize, usize) {
        let along = |size: usize, first: usize| (size + self.target_step).saturating_sub(first + 1) / self.target_step;
        (along(target.shape[1], self.target_first.0), along(target.shape[2], self.target_first.1))
    }

    /// Unfolds patches `first..first + count` of a grid into rows of (tap, channel).
    fn unfold<T: Real>(&self, view: &View, x: &[T], grid: (usize, usize), first: usize, count: usize, rows: &mut Vec<T>) {
        let [_, height, width] = view.shape;
        let c = view.padded();
        rows.clear();
        for at in first..first + count {
            let (n, i, j) = position(at, grid.0, grid.1);
            for &(dh, dw) in &self.taps {
                let h = (i * self.source_step) as isize + dh;
                let w = (j * self.source_step) as isize + dw;
                if h >= 0 && w >= 0 && (h as usize) < height && (w as usize) < width {
                    let pixel = (n * height + h as usize) * width + w as usize;
                    rows.extend_from_slice(&x[pixel * view.stride + view.channel..][..c]);
                } else {
                    rows.resize(rows.len() + c, T::zero());
                }
            }
        }
    }
}

/// A row-major matrix: elements, rows, columns, elements from a row to the next.
struct Matrix<'a, T>(&'a [T], usize, usize, usize);

/// c = a * b, or c += a * b; `transposed`: with a transposed.
fn multiply<T: Real>(c: &mut [T], a: &Matrix<T>, transposed: bool, b: &Matrix<T>, add: bool) {
    let (m, k, rs, cs) = if transposed { (a.2, a.1, 1, a.3) } else { (a.1, a.2, a.3, 1) };
    let n = b.2;
    assert!(b.1 == k && c.len() >= m * n && a.0.len() >= (a.1 - 1) * a.3 + a.2 && b.0.len() >= (k - 1) * b.3 + n);
    // SAFETY: the assertion above: every element of the three matrices lies in its slice; c is borrowed alone.
    unsafe {
        gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.0.as_ptr(),
            cs as isize,
            rs as isize,
            b.0.as_ptr(),
            1,
            b.3 as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// target = act(bias + sum over taps of source * weights), for every set of patches with its weights
/// (tap, source channel, target channel).
pub fn convolve<T: Real>(
    source: (&View, &[T]),
    target: (&View, &mut [T]),
    sets: &[(Patches, &[T])],
    bias: Option<&[T]>,
    slope: T,
) {
    let ((vs, s), (vt, t)) = (source, target);
    let [pictures, height, width] = vt.shape;
    let (c, k) = (vs.padded(), vt.padded());
    let step = sets[0].0.target_step;
    // A task makes whole target rows: `bands` of `step` rows in a picture, or several pictures if they are small.
    let bands = height.div_ceil(step);
    let per_band = width.div_ceil(step);
    let wanted = ROWS.div_ceil(per_band);
    let mut tasks = Vec::new();
    let mut rest = t;
    if wanted >= bands {
        let together = (ROWS / (bands * per_band)).max(1);
        for n in (0..pictures).step_by(together) {
            let count = together.min(pictures - n);
            let (head, tail) = rest.split_at_mut(count * height * width * vt.stride);
            tasks.push((n, count, 0, bands, head));
            rest = tail;
        }
    } else {
        for n in 0..pictures {
            for band in (0..bands).step_by(wanted) {
                let end = (band + wanted).min(bands);
                let (head, tail) = rest.split_at_mut(((end * step).min(height) - band * step) * width * vt.stride);
                tasks.push((n, 1, band, end, head));
                rest = tail;
            }
        }
    }
    tasks.into_par_iter().for_each_init(
        || (Vec::new(), Vec::new()),
        |(rows, product), (n0, count, band0, band1, target)| {
            for (patches, weights) in sets {
                let grid = patches.grid(vt);
                let band1 = band1.min(grid.0);
                if band1 <= band0 || grid.1 == 0 {
                    continue;
                }
                let inner = patches.taps.len() * c;
                let total = count * (band1 - band0) * grid.1;
                let first = (n0 * grid.0 + band0) * grid.1;
                product.clear();
                product.resize(total * k, T::zero());
                if inner > 0 {
                    patches.unfold(vs, s, grid, first, total, rows);
                    multiply(product, &Matrix(rows, total, inner, inner), false, &Matrix(weights, inner, k, k), false);
                }
                for (at, sums) in product.chunks(k).enumerate() {
                    let (n, i, j) = position(first + at, grid.0, grid.1);
                    let row = (n - n0) * height + i * step + patches.target_first.0 - band0 * step;
                    let pixel = row * width + j * step + patches.target_first.1;
                    let y = &mut target[pixel * vt.stride + vt.channel..][..k];
                    for (o, (y, &sum)) in y.iter_mut().zip(sums).enumerate() {
                        let v = bias.map_or(sum, |b| sum + b[o]);
                        *y = if v > T::zero() { v } else { slope * v };
                    }
                }
            }
        },
    );
}

/// dw (tap, source channel, target channel) = sum over target pixels of source (seen through the tap) * dy.
pub fn correlate<T: Real>(source: (&View, &[T]), target: (&View, &[T]), patches: &Patches, dw: &mut [T]) {
    let ((vs, s), (vt, dy)) = (source, target);
    let grid = (vt.shape[1], vt.shape[2]);
    let (inner, k) = (patches.taps.len() * vs.padded(), vt.padded());
    let part = vt.pixels().div_ceil(SPLITS).next_multiple_of(ROWS);
    let partials: Vec<Vec<T>> = (0..vt.pixels())
        .step_by(part)
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|start| {
            let mut rows = Vec::new();
            let mut sum = vec![T::zero(); inner * k];
            for first in (start..(start + part).min(vt.pixels())).step_by(ROWS) {
                let count = ROWS.min(vt.pixels() - first);
                patches.unfold(vs, s, grid, first, count, &mut rows);
                let b = Matrix(&dy[first * vt.stride + vt.channel..], count, k, vt.stride);
                multiply(&mut sum, &Matrix(&rows, count, inner, inner), true, &b, true);
            }
            sum
        })
        .collect();
    dw.fill(T::zero());
    for sum in &partials {
        accumulate(dw, sum);
    }
}
