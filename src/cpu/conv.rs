//! Convolution on the CPU, in two ways behind one trait.
//!
//! In double precision, the truth: a matrix product over the unfolded input, the second report's own formulation, with the
//! `gemm` crate. In single precision, the device of machines without a GPU: [`super::direct`], which unfolds nothing.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::{accumulate, direct};
use crate::graph::{Real, View};

/// Target pixels that a task makes, about.
pub(super) const ROWS: usize = 256;
/// Parts of the pixels that sum a filter gradient on their own, whatever the number of threads.
pub(super) const SPLITS: usize = 8;

/// Sets of patches with their weights (tap, source channel, target channel).
pub type Sets<'a, T> = [(Patches, &'a [T])];

/// What becomes of the sums of a convolution before they are written, in this order.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T> {
    /// Added, per channel.
    pub bias: Option<&'a [T]>,
    /// Of a leaky ReLU.
    pub slope: T,
    /// Added, element by element.
    pub addend: Option<(&'a View, &'a [T])>,
    /// Result of a leaky ReLU, and its slope: multiplied by its derivative.
    pub gate: Option<((&'a View, &'a [T]), T)>,
}

impl<T: Real> Epilogue<'_, T> {
    /// All but the bias, for some channels of pixel `p` of the target.
    #[inline(always)]
    pub(super) fn finish(&self, p: usize, first: usize, y: &mut [T]) {
        for y in y.iter_mut() {
            *y = if *y > T::zero() { *y } else { self.slope * *y };
        }
        if let Some((view, addend)) = self.addend {
            accumulate(y, &addend[p * view.stride + view.channel + first..]);
        }
        if let Some(((view, gate), slope)) = self.gate {
            for (y, &gate) in y.iter_mut().zip(&gate[p * view.stride + view.channel + first..]) {
                *y = if gate > T::zero() { *y } else { slope * *y };
            }
        }
    }
}

/// The two sums of products that all convolutions come down to.
pub trait Convolve: Real {
    /// target = finish(bias + sum over taps of source * weights), for every set of patches.
    fn convolve(source: (&View, &[Self]), target: (&View, &mut [Self]), sets: &Sets<Self>, epilogue: &Epilogue<Self>);

    /// dw (tap, source channel, target channel) = sum over target pixels of source (seen through the tap) * dy; returns the sums of
    /// dy alone.
    fn correlate(source: (&View, &[Self]), target: (&View, &[Self]), patches: &Patches, dw: &mut [Self]) -> Vec<Self>;
}

impl Convolve for f32 {
    fn convolve(source: (&View, &[Self]), target: (&View, &mut [Self]), sets: &Sets<Self>, epilogue: &Epilogue<Self>) {
        direct::convolve(source, target, sets, epilogue);
    }

    fn correlate(source: (&View, &[Self]), target: (&View, &[Self]), patches: &Patches, dw: &mut [Self]) -> Vec<Self> {
        direct::correlate(source, target, patches, dw)
    }
}

impl Convolve for f64 {
    fn convolve(source: (&View, &[Self]), target: (&View, &mut [Self]), sets: &Sets<Self>, epilogue: &Epilogue<Self>) {
        convolve(source, target, sets, epilogue);
    }

    fn correlate(source: (&View, &[Self]), target: (&View, &[Self]), patches: &Patches, dw: &mut [Self]) -> Vec<Self> {
        correlate(source, target, patches, dw)
    }
}

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

/// A part of the target: whole pictures, or a band of rows of one, counted in the steps of the patches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// First picture.
    pub picture: usize,
    /// Pictures.
    pub pictures: usize,
    /// First and last + 1 row of (i, j).
    pub rows: (usize, usize),
}

impl Part {
    /// First pixel of a target, for steps of so many of its rows.
    pub(super) fn first_pixel(&self, target: &View, step: usize) -> usize {
        let [_, height, width] = target.shape;
        (self.picture * height + self.rows.0 * step) * width
    }
}

/// Divides a target into parts of about [`ROWS`] pixels (of a phase), in the order of its memory.
pub(super) fn parts(target: &View, step: usize) -> Vec<Part> {
    let [pictures, height, width] = target.shape;
    let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
    let wanted = ROWS.div_ceil(columns);
    if wanted >= rows {
        let together = (ROWS / (rows * columns)).max(1);
        let part = |n: usize| Part { picture: n, pictures: together.min(pictures - n), rows: (0, rows) };
        return (0..pictures).step_by(together).map(part).collect();
    }
    let bands =
        |n: usize| (0..rows).step_by(wanted).map(move |i| Part { picture: n, pictures: 1, rows: (i, (i + wanted).min(rows)) });
    (0..pictures).flat_map(bands).collect()
}

/// The target's memory, cut into its parts.
pub(super) fn cut<'a, T>(parts: &[Part], target: &View, step: usize, mut memory: &'a mut [T]) -> Vec<(Part, &'a mut [T])> {
    let [_, height, width] = target.shape;
    let mut pieces = Vec::with_capacity(parts.len());
    for &part in parts {
        let rows = (part.rows.1 * step).min(height) - part.rows.0 * step;
        let (head, tail) = memory.split_at_mut(part.pictures * rows * width * target.stride);
        pieces.push((part, head));
        memory = tail;
    }
    pieces
}

impl Patches {
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
                for j in 0..columns {
                    f((part.picture + n, i, j), row * width + j * step + self.target_first.1);
                }
            }
        }
    }

    /// Appends what (n, i, j) sees, tap by tap, to a row of the unfolded matrix.
    fn unfold<T: Real>(&self, (view, x): (&View, &[T]), (n, i, j): (usize, usize, usize), row: &mut Vec<T>) {
        let [_, height, width] = view.shape;
        let c = view.padded();
        for &(dh, dw) in &self.taps {
            let h = (i * self.source_step) as isize + dh;
            let w = (j * self.source_step) as isize + dw;
            if h >= 0 && w >= 0 && (h as usize) < height && (w as usize) < width {
                let pixel = (n * height + h as usize) * width + w as usize;
                row.extend_from_slice(&x[pixel * view.stride + view.channel..][..c]);
            } else {
                row.resize(row.len() + c, T::zero());
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
    let (c, cs_c, rs_c) = (c.as_mut_ptr(), 1, n as isize);
    let (a, b, rs_b) = (a.0.as_ptr(), b.0.as_ptr(), b.3 as isize);
    let (cs, rs, one) = (cs as isize, rs as isize, T::one());
    // SAFETY: the assertion above: every element of the three matrices lies in its slice; c is borrowed alone.
    unsafe { gemm(m, n, k, c, cs_c, rs_c, add, a, cs, rs, b, 1, rs_b, one, one, false, false, false, Parallelism::None) }
}

fn convolve<T: Real>(source: (&View, &[T]), target: (&View, &mut [T]), sets: &Sets<T>, epilogue: &Epilogue<T>) {
    let (vt, memory) = target;
    let (c, k) = (source.0.padded(), vt.padded());
    let step = sets[0].0.target_step;
    cut(&parts(vt, step), vt, step, memory).into_par_iter().for_each(|(part, target)| {
        for (patches, weights) in sets {
            let (mut rows, mut places) = (Vec::new(), Vec::new());
            patches.each(part, vt, |at, place| {
                patches.unfold(source, at, &mut rows);
                places.push(place);
            });
            let inner = patches.taps.len() * c;
            let mut product = vec![T::zero(); places.len() * k];
            if !rows.is_empty() {
                multiply(&mut product, &Matrix(&rows, places.len(), inner, inner), false, &Matrix(weights, inner, k, k), false);
            }
            for (place, sums) in places.iter().zip(product.chunks(k)) {
                let y = &mut target[place * vt.stride + vt.channel..][..k];
                y.copy_from_slice(sums);
                if let Some(bias) = epilogue.bias {
                    accumulate(y, bias);
                }
                epilogue.finish(part.first_pixel(vt, step) + place, 0, y);
            }
        }
    });
}

fn correlate<T: Real>(source: (&View, &[T]), target: (&View, &[T]), patches: &Patches, dw: &mut [T]) -> Vec<T> {
    let (vt, dy) = target;
    let (inner, k) = (patches.taps.len() * source.0.padded(), vt.padded());
    let parts = parts(vt, 1);
    let partials: Vec<[Vec<T>; 2]> = parts
        .par_chunks(parts.len().div_ceil(SPLITS))
        .map(|parts| {
            let (mut sum, mut db) = (vec![T::zero(); inner * k], vec![T::zero(); k]);
            for &part in parts {
                let (mut rows, mut count) = (Vec::new(), 0);
                patches.each(part, vt, |at, _| {
                    patches.unfold(source, at, &mut rows);
                    count += 1;
                });
                let dy = &dy[part.first_pixel(vt, 1) * vt.stride + vt.channel..];
                let b = Matrix(dy, count, k, vt.stride);
                multiply(&mut sum, &Matrix(&rows, count, inner, inner), true, &b, true);
                dy.chunks(vt.stride).take(count).for_each(|dy| accumulate(&mut db, dy));
            }
            [sum, db]
        })
        .collect();
    dw.fill(T::zero());
    let mut db = vec![T::zero(); k];
    for [sum, sum_db] in &partials {
        accumulate(dw, sum);
        accumulate(&mut db, sum_db);
    }
    db
}
