//! Convolution on the CPU, in two ways behind one trait.
//!
//! In double precision, the truth: a matrix product over the unfolded input, the second report's own formulation, written as
//! plainly as can be. In single precision, the device of machines without a GPU: [`super::winograd`] where that pays, else
//! [`super::direct`]; neither unfolds anything.

use super::patches::{Part, Parts, Patches};
use super::registers::Isa;
use super::scratch::Scratch;
use super::{Real, accumulate, direct, leaky, winograd};
use crate::graph::View;

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
    /// Finishes the sums `y` of pixel `p` of the target.
    fn finish(&self, p: usize, y: &mut [T]) {
        if let Some(bias) = self.bias {
            accumulate(y, bias);
        }
        for y in y.iter_mut() {
            *y = leaky(*y, *y, self.slope);
        }
        if let Some((view, addend)) = self.addend {
            accumulate(y, &addend[p * view.stride + view.channel..]);
        }
        if let Some(((view, gate), slope)) = self.gate {
            for (y, &gate) in y.iter_mut().zip(&gate[p * view.stride + view.channel..]) {
                *y = leaky(gate, *y, slope);
            }
        }
    }
}

/// A filter as the inner loops want it: made in every run, or kept from an earlier one where it stays the same.
#[derive(Debug)]
pub struct Packed<T>(Option<Scratch<T>>);

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Packed<T> {
    /// Whether nothing is left to make.
    pub(crate) fn is_made(&self) -> bool {
        self.0.is_some()
    }

    /// Forgets what was kept.
    pub(super) fn free(&mut self) {
        if let Some(kept) = self.0.take() {
            kept.free();
        }
    }
}

impl<T: Real> Packed<T> {
    /// What is kept, or else made now.
    pub(super) fn get(&mut self, make: impl FnOnce() -> Scratch<T>) -> &[T] {
        self.0.get_or_insert_with(make)
    }
}

/// The two sums of products that all convolutions come down to. A set is patches with their weights (tap, source channel, target
/// channel); the sets of a convolution make different pixels of its target.
pub trait Convolve: Real {
    /// target = finish(sum over taps of source * weights), for every set.
    fn convolve<'a>(
        source: (&View, &[Self]),
        target: (&View, &mut [Self]),
        sets: impl Iterator<Item = (Patches, &'a [Self])> + Clone + Sync,
        packed: &mut Packed<Self>,
        epilogue: &Epilogue<Self>,
    );

    /// dw (tap, source channel, target channel) = sum over target pixels of source (seen through the tap) * dy; db = sums of dy
    /// alone.
    fn correlate(source: (&View, &[Self]), target: (&View, &[Self]), patches: &Patches, dw: &mut [Self], db: &mut [Self]);
}

impl Convolve for f32 {
    fn convolve<'a>(
        source: (&View, &[Self]),
        target: (&View, &mut [Self]),
        sets: impl Iterator<Item = (Patches, &'a [Self])> + Clone + Sync,
        packed: &mut Packed<Self>,
        epilogue: &Epilogue<Self>,
    ) {
        if winograd::pays(sets.clone().map(|(patches, _)| patches), source.0, target.0) {
            winograd::convolve(Isa::Native, source, target, sets, packed, epilogue);
        } else {
            direct::convolve(Isa::Native, source, target, sets, packed, epilogue);
        }
    }

    fn correlate(source: (&View, &[Self]), target: (&View, &[Self]), patches: &Patches, dw: &mut [Self], db: &mut [Self]) {
        if winograd::pays(std::iter::once(*patches), source.0, target.0) {
            winograd::correlate(Isa::Native, source, target, patches, dw, db);
        } else {
            direct::correlate(Isa::Native, source, target, patches, dw, db);
        }
    }
}

impl Convolve for f64 {
    fn convolve<'a>(
        source: (&View, &[Self]),
        (vt, target): (&View, &mut [Self]),
        sets: impl Iterator<Item = (Patches, &'a [Self])> + Clone + Sync,
        _packed: &mut Packed<Self>,
        epilogue: &Epilogue<Self>,
    ) {
        let (c, k) = (source.0.padded(), vt.padded());
        let step = sets.clone().map(|(patches, _)| patches.target_step).next().expect("a convolution has patches");
        Parts::new(vt, step).each(target, &|part, target: &mut [Self]| {
            for (patches, weights) in sets.clone() {
                let inner = patches.taps() * c;
                let (rows, count) = unfold(&patches, source, vt, part);
                let mut product = Scratch::zeros(count * k);
                add_product(&mut product, |row, i| rows[row * inner + i], weights, k);
                let mut sums = product.chunks(k);
                patches.each(part, vt, |_, place| {
                    let y = &mut target[place * vt.stride + vt.channel..][..k];
                    y.copy_from_slice(sums.next().expect("a row for every pixel"));
                    epilogue.finish(part.first_pixel + place, y);
                });
            }
        });
    }

    fn correlate(source: (&View, &[Self]), (vt, dy): (&View, &[Self]), patches: &Patches, dw: &mut [Self], db: &mut [Self]) {
        let (inner, k) = (patches.taps() * source.0.padded(), vt.padded());
        let parts = Parts::new(vt, 1);
        // dw, and db as one more row.
        let sums = parts.sum((inner + 1) * k, &|part, sums: &mut [Self]| {
            let (dw, db) = sums.split_at_mut(inner * k);
            let (rows, count) = unfold(patches, source, vt, part);
            let mut seen = Scratch::new(count * k);
            let mut left = seen.chunks_exact_mut(k);
            patches.each(part, vt, |_, place| {
                let to = left.next().expect("a row for every pixel");
                to.copy_from_slice(&dy[(part.first_pixel + place) * vt.stride + vt.channel..][..k]);
                accumulate(db, to);
            });
            add_product(dw, |i, row| rows[row * inner + i], &seen, k);
        });
        dw.copy_from_slice(&sums[..inner * k]);
        db.copy_from_slice(&sums[inner * k..][..k]);
    }
}

/// The unfolded matrix of a part, and its number of rows.
fn unfold<T: Real>(patches: &Patches, source: (&View, &[T]), target: &View, part: Part) -> (Scratch<T>, usize) {
    let inner = patches.taps() * source.0.padded();
    let mut count = 0;
    patches.each(part, target, |_, _| count += 1);
    let mut rows = Scratch::new(count * inner);
    let mut left = rows.chunks_exact_mut(inner.max(1));
    patches.each(part, target, |at, _| {
        if let Some(row) = left.next() {
            patches.unfold(source, at, row);
        }
    });
    (rows, count)
}

/// c += a * b: rows of `columns` elements; a(row, column) gives an element of the first matrix.
fn add_product<T: Real>(c: &mut [T], a: impl Fn(usize, usize) -> T, b: &[T], columns: usize) {
    for (row, c) in c.chunks_exact_mut(columns).enumerate() {
        for (column, b) in b.chunks_exact(columns).enumerate() {
            let a = a(row, column);
            c.iter_mut().zip(b).for_each(|(c, &b)| *c += a * b);
        }
    }
}
