//! Convolution in single precision without unfolding, for machines whose GPU is their CPU.
//!
//! The source rows that a part of the target sees are staged once, with their zero border. In NHWC the taps of a window's row
//! lie one after the other there, so that the inner loop runs over long contiguous stretches: it broadcasts one value each of
//! six or twelve pixels against one or two registers of weights, which are packed in panels of that width. Faster here than
//! unfolding and multiplying with the `gemm` crate, which copies everything nine times.

use std::array::from_fn;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::accumulate;
use super::conv::{Epilogue, Part, Patches, SPLITS, Sets, cut, parts};
use crate::graph::View;

/// Floats in a register of this processor.
fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// Whether a processor with registers of so many floats has 32 of them (AVX-512, NEON), not 16: then more sums fit.
const fn many_registers(lanes: usize) -> bool {
    lanes != 8
}

/// Channels that are worked on at once: the first one, and one or two registers of them.
#[derive(Clone, Copy, Debug)]
struct Panel {
    first: usize,
    registers: usize,
}

/// Divides `k` channels into panels of two registers, the last of one where that holds the rest.
fn panels(k: usize) -> Vec<Panel> {
    let lanes = lanes();
    let registers = |first: usize| if k - first <= lanes { 1 } else { 2 };
    (0..k).step_by(2 * lanes).map(|first| Panel { first, registers: registers(first) }).collect()
}

impl Panel {
    /// Channels with those that fill up the last register.
    fn width(self) -> usize {
        self.registers * lanes()
    }

    /// Appends the panel's columns of rows of `k` values, filled up with zeros.
    fn pack<'a>(self, rows: impl Iterator<Item = &'a [f32]>, k: usize, to: &mut Vec<f32>) {
        let columns = self.first..(self.first + self.width()).min(k);
        for row in rows {
            to.extend_from_slice(&row[columns.clone()]);
            to.resize(to.len() + self.width() - columns.len(), 0.0);
        }
    }
}

/// A contiguous stretch of the inner dimension: first row of the weights, offset in the stage, length.
type Stretch = (usize, usize, usize);

/// Source rows of a part with their border, and where each target pixel's window begins in them.
#[derive(Default)]
struct Stage {
    values: Vec<f32>,
    windows: Vec<usize>,
    places: Vec<usize>,
    stretches: Vec<Stretch>,
}

impl Stage {
    fn load(&mut self, patches: &Patches, (view, x): (&View, &[f32]), target: &View, part: Part) {
        let [_, height, width] = view.shape;
        let (c, step) = (view.padded(), patches.source_step);
        let (rows, columns) = patches.grid(target);
        let bounds = |of: fn(&(isize, isize)) -> isize| {
            let all = || patches.taps.iter().map(of);
            (all().min().unwrap_or(0), all().max().unwrap_or(0))
        };
        let ((top, bottom), (left, right)) = (bounds(|t| t.0), bounds(|t| t.1));
        let last_row = part.rows.1.min(rows);
        let stage_rows = (last_row.saturating_sub(part.rows.0 + 1)) * step + (bottom - top) as usize + 1;
        let stage_columns = columns.saturating_sub(1) * step + (right - left) as usize + 1;
        // Columns of the source that the stage covers, and where they begin in it.
        let first = left.max(0) as usize;
        let last = ((stage_columns as isize + left).max(0) as usize).min(width).max(first);
        let border = (first as isize - left) as usize * c;
        self.values.clear();
        self.values.resize(part.pictures * stage_rows * stage_columns * c, 0.0);
        for (r, to) in self.values.chunks_exact_mut(stage_columns * c).enumerate() {
            let (n, r) = (part.picture + r / stage_rows, r % stage_rows);
            let h = (part.rows.0 * step + r) as isize + top;
            if h < 0 || h as usize >= height {
                continue;
            }
            let from = &x[((n * height + h as usize) * width + first) * view.stride..];
            let to = &mut to[border..border + (last - first) * c];
            if view.dense() {
                to.copy_from_slice(&from[..to.len()]);
            } else {
                for (to, from) in to.chunks_exact_mut(c).zip(from.chunks(view.stride)) {
                    to.copy_from_slice(&from[view.channel..view.channel + c]);
                }
            }
        }
        self.windows.clear();
        self.places.clear();
        patches.each(part, target, |(n, i, j), place| {
            let row = (n - part.picture) * stage_rows + (i - part.rows.0) * step;
            self.windows.push((row * stage_columns + j * step) * c);
            self.places.push(place);
        });
        self.stretches.clear();
        for (t, &(dh, dw)) in patches.taps.iter().enumerate() {
            let offset = ((dh - top) as usize * stage_columns + (dw - left) as usize) * c;
            match self.stretches.last_mut() {
                Some((_, at, len)) if *at + *len == offset => *len += c,
                _ => self.stretches.push((t * c, offset, c)),
            }
        }
    }
}

/// Sums of one panel of weights for all windows of a stage, written out with bias and activation.
struct Convolution<'a> {
    stage: &'a Stage,
    weights: &'a [f32],
    bias: &'a [f32],
    epilogue: &'a Epilogue<'a, f32>,
    /// Target memory, its first pixel, elements from a pixel to the next.
    target: (&'a mut [f32], usize, usize),
    /// First channel of the target memory's pixels, of the target, channels.
    channels: (usize, usize, usize),
    registers: usize,
}

impl WithSimd for Convolution<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.registers, many_registers(S::F32_LANES)) {
            (1, _) => self.run::<S, 12, 1>(simd),
            (_, true) => self.run::<S, 12, 2>(simd),
            (_, false) => self.run::<S, 6, 2>(simd),
        }
    }
}

impl Convolution<'_> {
    /// With `M` pixels and `V` registers of channels at once.
    #[inline(always)]
    fn run<S: Simd, const M: usize, const V: usize>(self, simd: S) {
        let (memory, first_pixel, stride) = self.target;
        let (place_channel, first, channels) = self.channels;
        let weights = S::as_simd_f32s(self.weights).0;
        for (windows, places) in self.stage.windows.chunks(M).zip(self.stage.places.chunks(M)) {
            let window: [usize; M] = from_fn(|i| windows[i.min(windows.len() - 1)]);
            let mut sums = [[simd.splat_f32s(0.0); V]; M];
            for &(row, offset, len) in &self.stage.stretches {
                let values = window.map(|w| self.stage.values[w + offset..][..len].as_chunks::<4>().0);
                sums = stretch(simd, sums, values, weights[row * V..][..len * V].as_chunks::<V>().0.as_chunks::<4>().0);
            }
            for (sums, place) in sums.iter().zip(places) {
                let to = &mut memory[place * stride + place_channel..][..channels];
                let sums: &[f32] = bytemuck::cast_slice(sums);
                for ((to, sum), bias) in to.iter_mut().zip(sums).zip(self.bias) {
                    *to = sum + bias;
                }
                self.epilogue.finish(first_pixel + place, first, to);
            }
        }
    }
}

/// Adds a stretch of the inner dimension, four channels at a time, to the sums, which go in and out by value so that they stay
/// in registers.
#[inline(always)]
fn stretch<S: Simd, const M: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; M],
    values: [&[[f32; 4]]; M],
    weights: &[[[S::f32s; V]; 4]],
) -> [[S::f32s; V]; M] {
    for (i, w) in weights.iter().enumerate() {
        let x: [&[f32; 4]; M] = from_fn(|m| &values[m][i]);
        for (c, w) in w.iter().enumerate() {
            for m in 0..M {
                let x = simd.splat_f32s(x[m][c]);
                for v in 0..V {
                    sums[m][v] = simd.mul_add_e_f32s(x, w[v], sums[m][v]);
                }
            }
        }
    }
    sums
}

/// target = finish(bias + sum over taps of source * weights), for every set of patches.
pub(super) fn convolve(source: (&View, &[f32]), target: (&View, &mut [f32]), sets: &Sets<f32>, epilogue: &Epilogue<f32>) {
    let (vt, memory) = target;
    let k = vt.padded();
    let panels = panels(k);
    // Per set of patches and panel its weights.
    let packed: Vec<Vec<Vec<f32>>> = sets
        .iter()
        .map(|(_, weights)| {
            let pack = |panel: &Panel| {
                let mut packed = Vec::new();
                panel.pack(weights.chunks_exact(k), k, &mut packed);
                packed
            };
            panels.iter().map(pack).collect()
        })
        .collect();
    let mut biases = epilogue.bias.map_or_else(|| vec![0.0; k], <[f32]>::to_vec);
    biases.resize(k + 2 * lanes(), 0.0);
    let step = sets[0].0.target_step;
    let arch = Arch::new();
    cut(&parts(vt, step), vt, step, memory).into_par_iter().for_each_init(Stage::default, |stage, (part, target)| {
        for ((patches, _), packed) in sets.iter().zip(&packed) {
            stage.load(patches, source, vt, part);
            for (panel, weights) in panels.iter().zip(packed) {
                let channels = panel.width().min(k - panel.first);
                arch.dispatch(Convolution {
                    stage,
                    weights,
                    bias: &biases[panel.first..][..panel.width()],
                    epilogue,
                    target: (target, part.first_pixel(vt, step), vt.stride),
                    channels: (vt.channel + panel.first, panel.first, channels),
                    registers: panel.registers,
                });
            }
        }
    });
}

/// Adds the products of a stage and of gradients, for one panel of channels, to a filter's gradient.
struct Correlation<'a> {
    stage: &'a Stage,
    /// (pixel, width)
    dy: &'a [f32],
    /// (filter row, width)
    dw: &'a mut [f32],
    registers: usize,
}

impl WithSimd for Correlation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.registers, many_registers(S::F32_LANES)) {
            (1, _) => self.run::<S, 12, 1>(simd),
            (_, true) => self.run::<S, 12, 2>(simd),
            (_, false) => self.run::<S, 6, 2>(simd),
        }
    }
}

impl Correlation<'_> {
    /// With `M` filter rows and `V` registers of channels at once.
    #[inline(always)]
    fn run<S: Simd, const M: usize, const V: usize>(self, simd: S) {
        let dy = S::as_simd_f32s(self.dy).0;
        let dw = S::as_mut_simd_f32s(self.dw).0;
        for &(row, offset, len) in &self.stage.stretches {
            let mut at = 0;
            while at < len {
                let rows = &mut dw[(row + at) * V..];
                // Stretches are multiples of four long.
                at += match len - at {
                    left if left >= M => tile::<S, M, V>(simd, self.stage, offset + at, dy, rows),
                    4.. => tile::<S, 4, V>(simd, self.stage, offset + at, dy, rows),
                    _ => tile::<S, 2, V>(simd, self.stage, offset + at, dy, rows),
                };
            }
        }
    }
}

/// `M` rows of a filter's gradient over all pixels of a stage; returns `M`.
#[inline(always)]
fn tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    stage: &Stage,
    offset: usize,
    dy: &[S::f32s],
    dw: &mut [S::f32s],
) -> usize {
    let mut sums: [[S::f32s; V]; M] = from_fn(|m| from_fn(|v| dw[m * V + v]));
    let values = &stage.values[offset..];
    for (&window, dy) in stage.windows.iter().zip(dy.as_chunks::<V>().0) {
        let x: &[f32; M] = values[window..].first_chunk().expect("a stage ends behind its last window");
        for m in 0..M {
            let x = simd.splat_f32s(x[m]);
            for v in 0..V {
                sums[m][v] = simd.mul_add_e_f32s(x, dy[v], sums[m][v]);
            }
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        dw[m * V..(m + 1) * V].copy_from_slice(sums);
    }
    M
}

/// dw (tap, source channel, target channel) = sum over target pixels of source (seen through the tap) * dy; returns the sums of dy
/// alone.
pub(super) fn correlate(source: (&View, &[f32]), target: (&View, &[f32]), patches: &Patches, dw: &mut [f32]) -> Vec<f32> {
    let (vt, dy) = target;
    let (inner, k) = (patches.taps.len() * source.0.padded(), vt.padded());
    let panels = panels(k);
    // Behind a panel's rows of the filter comes one for the bias.
    let total = panels.iter().map(|p| (inner + 1) * p.width()).sum();
    let parts = parts(vt, 1);
    let arch = Arch::new();
    let partials: Vec<Vec<f32>> = parts
        .par_chunks(parts.len().div_ceil(SPLITS))
        .map(|parts| {
            let (mut stage, mut packed) = (Stage::default(), Vec::new());
            let mut sums = vec![0.0; total];
            for &part in parts {
                stage.load(patches, source, vt, part);
                let first = part.first_pixel(vt, 1);
                let mut rest = &mut sums[..];
                for panel in &panels {
                    let pixels = dy[first * vt.stride..].chunks(vt.stride).take(stage.windows.len());
                    packed.clear();
                    panel.pack(pixels.map(|p| &p[vt.channel..vt.channel + k]), k, &mut packed);
                    let (dw, after) = rest.split_at_mut(inner * panel.width());
                    arch.dispatch(Correlation { stage: &stage, dy: &packed, dw, registers: panel.registers });
                    let (db, after) = after.split_at_mut(panel.width());
                    packed.chunks_exact(panel.width()).for_each(|dy| accumulate(db, dy));
                    rest = after;
                }
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; total];
    for partial in &partials {
        accumulate(&mut sums, partial);
    }
    let mut rest = &sums[..];
    let mut db = Vec::with_capacity(k);
    for panel in &panels {
        let (rows, after) = rest.split_at(inner * panel.width());
        for (row, to) in rows.chunks_exact(panel.width()).zip(dw.chunks_exact_mut(k)) {
            let to = &mut to[panel.first..(panel.first + panel.width()).min(k)];
            to.copy_from_slice(&row[..to.len()]);
        }
        let (sums, after) = after.split_at(panel.width());
        db.extend_from_slice(&sums[..panel.width().min(k - panel.first)]);
        rest = after;
    }
    db
}
