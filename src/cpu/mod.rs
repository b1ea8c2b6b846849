//! The CPU executor and what ops compute with there. Generic over `f32`, the device of machines without a GPU, and `f64`,
//! the truth that kernels are tested against. Sums are split the same way whatever the number of threads.

mod conv;
mod direct;
mod executor;
mod io;
mod narrow;
mod patches;
mod real;
mod registers;
mod scratch;
mod stage;
#[cfg(test)]
mod tests;
mod winograd;

pub use conv::{Convolve, Epilogue, Packed};
pub use executor::Executor;
pub use io::{Inputs, Io};
pub use patches::Patches;
pub use real::{Real, Store};
pub(crate) use scratch::Scratch;

use pulp::Arch;
use rayon::prelude::*;

use crate::graph::View;

/// Pixels that one task works on.
pub(crate) const BLOCK: usize = 1024;

type Input<'a, T> = (&'a View, &'a [T]);
type Output<'a, 'b, T> = (&'a View, &'b mut [T]);

/// Runs `f` as compiled for the widest registers of this processor: plain loops, and what is inlined into them.
#[inline(always)]
pub(crate) fn wide<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(f)
}

/// y = f(x), element by element.
pub(crate) fn map<T: Real>(x: Input<T>, y: Output<T>, f: impl Fn(T) -> T + Sync) {
    let ((vx, x), (vy, y)) = (x, y);
    let c = vy.padded();
    y.par_chunks_mut(BLOCK * vy.stride).enumerate().for_each(|(block, y)| {
        wide(|| {
            for (p, y) in y.chunks_mut(vy.stride).enumerate() {
                let x = &x[(block * BLOCK + p) * vx.stride + vx.channel..][..c];
                for (y, &x) in y[vy.channel..vy.channel + c].iter_mut().zip(x) {
                    *y = f(x);
                }
            }
        });
    });
}

/// y = f(a, b), element by element.
pub(crate) fn map2<T: Real>(a: Input<T>, b: Input<T>, y: Output<T>, f: impl Fn(T, T) -> T + Sync) {
    let ((va, a), (vb, b), (vy, y)) = (a, b, y);
    let c = vy.padded();
    y.par_chunks_mut(BLOCK * vy.stride).enumerate().for_each(|(block, y)| {
        wide(|| {
            for (p, y) in y.chunks_mut(vy.stride).enumerate() {
                let p = block * BLOCK + p;
                let a = &a[p * va.stride + va.channel..][..c];
                let b = &b[p * vb.stride + vb.channel..][..c];
                for ((y, &a), &b) in y[vy.channel..vy.channel + c].iter_mut().zip(a).zip(b) {
                    *y = f(a, b);
                }
            }
        });
    });
}

/// Calls `f` for every pixel of `y` with its number and its channels.
pub(crate) fn each_pixel<T: Real>((view, y): Output<T>, f: impl Fn(usize, &mut [T]) + Sync) {
    let c = view.padded();
    y.par_chunks_mut(BLOCK * view.stride).enumerate().for_each(|(block, y)| {
        wide(|| {
            for (p, y) in y.chunks_mut(view.stride).enumerate() {
                f(block * BLOCK + p, &mut y[view.channel..view.channel + c]);
            }
        });
    });
}

/// Folds all pixels of `x` into `sums`, block by block, the blocks' sums added in order.
pub(crate) fn sum_pixels<T: Real>(view: &View, x: &[T], sums: &mut [T], fold: impl Fn(&[T], &mut [T]) + Sync) {
    let (c, len) = (view.padded(), sums.len());
    let mut blocks = Scratch::zeros(view.pixels().div_ceil(BLOCK) * len);
    blocks.par_chunks_exact_mut(len).zip(x.par_chunks(BLOCK * view.stride)).for_each(|(sums, x)| {
        wide(|| x.chunks(view.stride).for_each(|pixel| fold(&pixel[view.channel..view.channel + c], sums)));
    });
    sums.fill(T::zero());
    blocks.chunks_exact(len).for_each(|block| accumulate(sums, block));
}

/// The sum of `f` over so many pixels, block by block, the blocks' sums added in order.
pub(crate) fn sum_of(pixels: usize, f: impl Fn(usize) -> f64 + Sync) -> f64 {
    sums_of(pixels, 1, |p, sum| sum[0] += f(p))[0]
}

/// `len` sums over so many pixels, to which `f` adds what belongs to a pixel, block by block, the blocks' sums added in order.
pub(crate) fn sums_of(pixels: usize, len: usize, f: impl Fn(usize, &mut [f64]) + Sync) -> Scratch<f64> {
    let mut blocks = Scratch::zeros(pixels.div_ceil(BLOCK).max(1) * len);
    blocks.par_chunks_exact_mut(len).enumerate().for_each(|(block, sums)| {
        wide(|| (block * BLOCK..pixels.min((block + 1) * BLOCK)).for_each(|p| f(p, sums)));
    });
    let (sums, others) = blocks.split_at_mut(len);
    others.chunks_exact(len).for_each(|block| accumulate(sums, block));
    blocks.truncate(len);
    blocks
}

/// y, times the slope where `of` is not positive. A product, since a choice between two values becomes a jump.
#[inline(always)]
pub(crate) fn leaky<T: Real>(of: T, y: T, slope: T) -> T {
    y * if of > T::zero() { T::one() } else { slope }
}

/// to += from.
pub(crate) fn accumulate<T: Real>(to: &mut [T], from: &[T]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
