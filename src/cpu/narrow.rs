//! Convolution to so few channels, as of a picture, that they would leave most of a register idle: here registers lie along the
//! rows of windows, and are summed at the end.

use pulp::{Simd, WithSimd};

use super::conv::Epilogue;
use super::patches::Patches;
use super::registers::{Isa, finish, load, store};
use super::stage::{Stage, Windows};
use crate::graph::View;

/// Channels of the target: those of one picture, padded.
const CHANNELS: usize = 4;
/// Pixels that are made at once, and registers that are summed at once.
const PIXELS: usize = 4;
const REGISTERS: usize = 4;

/// Whether that is better for so many channels of a target.
pub(super) fn suits(isa: Isa, channels: usize) -> bool {
    channels == CHANNELS && channels < isa.lanes()
}

/// Filters (tap, source channel, target channel) as (row of taps, target channel, tap of the row and source channel), every row
/// of them with zeros that fill up its last register.
pub(super) fn pack(isa: Isa, patches: &Patches, weights: &[f32], to: &mut [f32]) {
    let row = weights.len() / CHANNELS / patches.size.0;
    let rows = to.chunks_exact_mut(isa.width(row)).take(patches.size.0 * CHANNELS);
    for (number, to) in rows.enumerate() {
        let (r, k) = (number / CHANNELS, number % CHANNELS);
        to.fill(0.0);
        for (i, to) in to[..row].iter_mut().enumerate() {
            *to = weights[(r * row + i) * CHANNELS + k];
        }
    }
}

/// Sums for the windows of a stage, written out with bias and activation.
pub(super) struct Convolution<'a> {
    pub(super) stage: &'a Stage,
    pub(super) windows: &'a Windows,
    pub(super) patches: &'a Patches,
    /// As [`pack`] makes them.
    pub(super) weights: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) epilogue: &'a Epilogue<'a, f32>,
    /// A part of the target, and its first pixel.
    pub(super) target: (&'a View, &'a mut [f32], usize),
}

impl WithSimd for Convolution<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (view, memory, first_pixel) = self.target;
        let row = self.patches.size.1 * self.stage.channels;
        let registers = row.div_ceil(S::F32_LANES);
        let weights = S::as_simd_f32s(self.weights).0;
        let stage = &self.stage.values[..];
        for (windows, places) in self.windows.windows.chunks(PIXELS).zip(self.windows.places.chunks(PIXELS)) {
            let mut sums = [[simd.splat_f32s(0.0); CHANNELS]; PIXELS];
            for r in 0..self.patches.size.0 {
                let mut values: [&[f32]; PIXELS] = [&[]; PIXELS];
                for (i, values) in values.iter_mut().enumerate() {
                    let window = windows[i.min(windows.len() - 1)];
                    *values = &stage[window + r * self.stage.stride..][..row];
                }
                sums = stretch(simd, sums, values, &weights[r * CHANNELS * registers..][..CHANNELS * registers]);
            }
            for (sums, place) in sums.into_iter().zip(places) {
                let mut y = [0.0; CHANNELS];
                for ((y, sum), bias) in y.iter_mut().zip(sums).zip(self.bias) {
                    *y = simd.reduce_sum_f32s(sum) + bias;
                }
                let y = finish(simd, self.epilogue, load(simd, &y), first_pixel + place, 0, CHANNELS);
                store(simd, &mut memory[place * view.stride + view.channel..][..CHANNELS], y);
            }
        }
    }
}

/// Adds the products of a row of taps.
#[inline(always)]
fn stretch<S: Simd>(
    simd: S,
    mut sums: [[S::f32s; CHANNELS]; PIXELS],
    values: [&[f32]; PIXELS],
    weights: &[S::f32s],
) -> [[S::f32s; CHANNELS]; PIXELS] {
    let registers = weights.len() / CHANNELS;
    for i in 0..registers {
        for p in 0..PIXELS {
            let rest = &values[p][i * S::F32_LANES..];
            let x = load(simd, &rest[..S::F32_LANES.min(rest.len())]);
            for k in 0..CHANNELS {
                sums[p][k] = simd.mul_add_e_f32s(x, weights[k * registers + i], sums[p][k]);
            }
        }
    }
    sums
}

/// Adds the products of a stage and of gradients to a filter's gradient.
pub(super) struct Correlation<'a> {
    pub(super) stage: &'a Stage,
    pub(super) windows: &'a [usize],
    pub(super) patches: &'a Patches,
    /// (pixel, so many elements)
    pub(super) dy: (&'a [f32], usize),
    /// (row of taps, target channel, tap of the row and source channel)
    pub(super) dw: &'a mut [f32],
}

impl WithSimd for Correlation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let row = self.patches.size.1 * self.stage.channels;
        for (r, dw) in self.dw.chunks_exact_mut(CHANNELS * row).enumerate().take(self.patches.size.0) {
            let values = &self.stage.values[r * self.stage.stride..];
            let mut at = 0;
            while at + REGISTERS * S::F32_LANES <= row {
                add::<S, REGISTERS>(simd, (values, self.windows), self.dy, (&mut *dw, row), at, S::F32_LANES);
                at += REGISTERS * S::F32_LANES;
            }
            while at < row {
                add::<S, 1>(simd, (values, self.windows), self.dy, (&mut *dw, row), at, S::F32_LANES.min(row - at));
                at += S::F32_LANES;
            }
        }
    }
}

/// `N` registers of a row from element `at` on, `len` elements in each.
#[inline(always)]
fn add<S: Simd, const N: usize>(
    simd: S,
    (values, windows): (&[f32], &[usize]),
    (dy, width): (&[f32], usize),
    (dw, row): (&mut [f32], usize),
    at: usize,
    len: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); CHANNELS]; N];
    for (&window, dy) in windows.iter().zip(dy.chunks_exact(width)) {
        let dy: &[f32; CHANNELS] = dy.first_chunk().expect("a pixel has these channels");
        for n in 0..N {
            let x = load(simd, &values[window + at + n * S::F32_LANES..][..len]);
            for k in 0..CHANNELS {
                sums[n][k] = simd.mul_add_e_f32s(simd.splat_f32s(dy[k]), x, sums[n][k]);
            }
        }
    }
    for (n, sums) in sums.into_iter().enumerate() {
        for (k, sum) in sums.into_iter().enumerate() {
            let to = &mut dw[k * row + at + n * S::F32_LANES..][..len];
            let sum = simd.add_f32s(sum, load(simd, to));
            store(simd, to, sum);
        }
    }
}

/// Sums of [`Correlation`] as a filter (tap, source channel, target channel).
pub(super) fn unpack(sums: &[f32], patches: &Patches, dw: &mut [f32]) {
    let row = dw.len() / CHANNELS / patches.size.0;
    for (i, dw) in dw.chunks_exact_mut(CHANNELS).enumerate() {
        for (k, dw) in dw.iter_mut().enumerate() {
            *dw = sums[(i / row * CHANNELS + k) * row + i % row];
        }
    }
}
