//! Convolution in single precision without unfolding, for machines whose GPU is their CPU.
//!
//! The source rows that a part of the target sees are staged once, with their zero border. The inner loops run over the rows of
//! windows, which are contiguous there: they broadcast one value each of four or eight pixels against one to three registers of
//! weights, which are packed in panels of that width. Three, since the products of 8 x 3 registers take eleven loads: a convolution
//! of 48 channels is then as fast as the multiply-adds are. Faster here than unfolding and multiplying, which
//! copies everything nine times.

use std::array::from_fn;

use pulp::{Arch, Simd, WithSimd};

use super::accumulate;
use super::conv::Epilogue;
use super::patches::{Parts, Patches};
use super::scratch::Scratch;
use super::stage::{Stage, Windows};
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

/// Channels that are worked on at once: the first one, how many there are, and their registers.
#[derive(Clone, Copy, Debug)]
struct Panel {
    first: usize,
    channels: usize,
    registers: usize,
    lanes: usize,
}

/// Divides `k` channels into panels of three registers, and of one or two where that would leave a single one over.
fn panels(k: usize) -> impl Iterator<Item = Panel> + Clone {
    let lanes = lanes();
    let mut first = 0;
    std::iter::from_fn(move || {
        let registers = match (k - first).div_ceil(lanes) {
            0 => return None,
            1 => 1,
            2 | 4 => 2,
            _ => 3,
        };
        let panel = Panel { first, channels: (registers * lanes).min(k - first), registers, lanes };
        first += panel.channels;
        Some(panel)
    })
}

impl Panel {
    /// Channels with those that fill up the last register.
    fn width(self) -> usize {
        self.registers * self.lanes
    }

    /// The panel's columns of rows, filled up with zeros.
    fn pack<'a>(self, rows: impl Iterator<Item = &'a [f32]>, to: &mut [f32]) {
        for (row, to) in rows.zip(to.chunks_exact_mut(self.width())) {
            let (to, rest) = to.split_at_mut(self.channels);
            to.copy_from_slice(&row[self.first..][..self.channels]);
            rest.fill(0.0);
        }
    }
}

/// Channels of `k` with those that fill up the last register of every panel.
fn width(k: usize) -> usize {
    panels(k).map(Panel::width).sum()
}

/// Sums of one panel of weights for the windows of a stage, written out with bias and activation.
struct Convolution<'a> {
    stage: &'a Stage,
    windows: &'a Windows,
    patches: &'a Patches,
    /// (tap, source channel, width)
    weights: &'a [f32],
    /// (width)
    bias: &'a [f32],
    epilogue: &'a Epilogue<'a, f32>,
    /// A part of the target, and its first pixel.
    target: (&'a View, &'a mut [f32], usize),
    panel: Panel,
}

impl WithSimd for Convolution<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.panel.registers, many_registers(S::F32_LANES)) {
            (1, true) => self.run::<S, 8, 1>(simd),
            (2, true) => self.run::<S, 8, 2>(simd),
            (_, true) => self.run::<S, 8, 3>(simd),
            (1, false) => self.run::<S, 4, 1>(simd),
            (2, false) => self.run::<S, 4, 2>(simd),
            (_, false) => self.run::<S, 4, 3>(simd),
        }
    }
}

impl Convolution<'_> {
    /// With `M` pixels and `V` registers of channels at once.
    #[inline(always)]
    fn run<S: Simd, const M: usize, const V: usize>(self, simd: S) {
        let (view, memory, first_pixel) = self.target;
        let row = self.patches.size.1 * self.stage.channels;
        let weights = S::as_simd_f32s(self.weights).0.as_chunks::<V>().0.as_chunks::<4>().0;
        let bias: [S::f32s; V] = *S::as_simd_f32s(self.bias).0.first_chunk().expect("a bias per channel");
        for (windows, places) in self.windows.windows.chunks(M).zip(self.windows.places.chunks(M)) {
            let window: [usize; M] = from_fn(|i| windows[i.min(windows.len() - 1)]);
            let mut sums = [bias; M];
            for r in 0..self.patches.size.0 {
                let values = from_fn(|i| self.stage.values[window[i] + r * self.stage.stride..][..row].as_chunks::<4>().0);
                sums = stretch(simd, sums, values, &weights[r * row / 4..][..row / 4]);
            }
            for (sums, place) in sums.into_iter().zip(places) {
                for (v, sum) in sums.into_iter().enumerate() {
                    let first = self.panel.first + v * S::F32_LANES;
                    let channels = S::F32_LANES.min(self.panel.first + self.panel.channels - first);
                    let y = finish(simd, self.epilogue, sum, first_pixel + place, first, channels);
                    store(simd, &mut memory[place * view.stride + view.channel + first..][..channels], y);
                }
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

/// What becomes of the sums of pixel `p`, a register from channel `first` on, of which `channels` count.
#[inline(always)]
fn finish<S: Simd>(simd: S, epilogue: &Epilogue<f32>, sum: S::f32s, p: usize, first: usize, channels: usize) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    let at = |view: &View| p * view.stride + view.channel + first;
    let leaky = |of: S::f32s, y: S::f32s, slope: f32| {
        let small = simd.mul_f32s(simd.splat_f32s(slope), y);
        simd.select_f32s(simd.greater_than_f32s(of, zero), y, small)
    };
    let mut y = leaky(sum, sum, epilogue.slope);
    if let Some((view, addend)) = epilogue.addend {
        y = simd.add_f32s(y, load(simd, &addend[at(view)..][..channels]));
    }
    if let Some(((view, gate), slope)) = epilogue.gate {
        y = leaky(load(simd, &gate[at(view)..][..channels]), y, slope);
    }
    y
}

/// A register, not necessarily full: the full ones are not left to pulp's call through a table.
#[inline(always)]
fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    S::as_simd_f32s(from).0.first().copied().unwrap_or_else(|| simd.partial_load_f32s(from))
}

#[inline(always)]
fn store<S: Simd>(simd: S, to: &mut [f32], y: S::f32s) {
    match S::as_mut_simd_f32s(to).0 {
        [to] => *to = y,
        _ => simd.partial_store_f32s(to, y),
    }
}

/// target = finish(sum over taps of source * weights), for every set of patches and weights.
pub(super) fn convolve<'a>(
    source: (&View, &[f32]),
    (view, target): (&View, &mut [f32]),
    sets: impl Iterator<Item = (Patches, &'a [f32])> + Clone + Sync,
    epilogue: &Epilogue<f32>,
) {
    let (c, k) = (source.0.padded(), view.padded());
    // Per set and panel its weights; per panel its biases.
    let mut packed = Scratch::new(sets.clone().map(|(patches, _)| patches.taps() * c * width(k)).sum());
    let mut rest = &mut packed[..];
    for (weights, panel) in sets.clone().flat_map(|(_, weights)| panels(k).map(move |panel| (weights, panel))) {
        let (to, after) = rest.split_at_mut(weights.len() / k * panel.width());
        panel.pack(weights.chunks_exact(k), to);
        rest = after;
    }
    let mut biases = Scratch::zeros(width(k));
    if let Some(bias) = epilogue.bias {
        biases[..k].copy_from_slice(&bias[..k]);
    }
    let hull = sets.clone().map(|(patches, _)| patches).reduce(Patches::hull).expect("a convolution has patches");
    let arch = Arch::new();
    Parts::new(view, hull.target_step).each(target, &|part, target: &mut [f32]| {
        let stage = Stage::load(&hull, source, view, part);
        let mut rest = &packed[..];
        for (patches, _) in sets.clone() {
            let windows = stage.windows(&patches, &hull, view, part);
            for panel in panels(k) {
                let (weights, after) = rest.split_at(patches.taps() * c * panel.width());
                rest = after;
                arch.dispatch(Convolution {
                    stage: &stage,
                    windows: &windows,
                    patches: &patches,
                    weights,
                    bias: &biases[panel.first..][..panel.width()],
                    epilogue,
                    target: (view, &mut *target, part.first_pixel),
                    panel,
                });
            }
        }
    });
}

/// Adds the products of a stage and of gradients, for one panel of channels, to a filter's gradient.
struct Correlation<'a> {
    stage: &'a Stage,
    windows: &'a [usize],
    patches: &'a Patches,
    /// (pixel, width)
    dy: &'a [f32],
    /// (tap, source channel, width)
    dw: &'a mut [f32],
    registers: usize,
}

impl WithSimd for Correlation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.registers, many_registers(S::F32_LANES)) {
            (1, true) => self.run::<S, 8, 1>(simd),
            (2, true) => self.run::<S, 8, 2>(simd),
            (_, true) => self.run::<S, 8, 3>(simd),
            (1, false) => self.run::<S, 4, 1>(simd),
            (2, false) => self.run::<S, 4, 2>(simd),
            (_, false) => self.run::<S, 4, 3>(simd),
        }
    }
}

impl Correlation<'_> {
    /// With `M` filter rows and `V` registers of channels at once.
    #[inline(always)]
    fn run<S: Simd, const M: usize, const V: usize>(self, simd: S) {
        let dy = S::as_simd_f32s(self.dy).0.as_chunks::<V>().0;
        let dw = S::as_mut_simd_f32s(self.dw).0.as_chunks_mut::<V>().0;
        let row = self.patches.size.1 * self.stage.channels;
        for (r, dw) in dw.chunks_exact_mut(row).enumerate() {
            let values = &self.stage.values[r * self.stage.stride..];
            let mut tiles = dw.chunks_exact_mut(M);
            let mut at = 0;
            for dw in &mut tiles {
                tile::<S, M, V>(simd, &values[at..], self.windows, dy, dw);
                at += M;
            }
            // Channels are multiples of four.
            for dw in tiles.into_remainder().chunks_exact_mut(4) {
                tile::<S, 4, V>(simd, &values[at..], self.windows, dy, dw);
                at += 4;
            }
        }
    }
}

/// `M` rows of a filter's gradient over all pixels of a stage.
#[inline(always)]
fn tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    values: &[f32],
    windows: &[usize],
    dy: &[[S::f32s; V]],
    dw: &mut [[S::f32s; V]],
) {
    let mut sums: [[S::f32s; V]; M] = *dw.first_chunk().expect("a tile of rows");
    for (&window, dy) in windows.iter().zip(dy) {
        let x: &[f32; M] = values[window..].first_chunk().expect("a stage ends behind its last window");
        for m in 0..M {
            let x = simd.splat_f32s(x[m]);
            for v in 0..V {
                sums[m][v] = simd.mul_add_e_f32s(x, dy[v], sums[m][v]);
            }
        }
    }
    dw.copy_from_slice(&sums);
}

/// dw (tap, source channel, target channel) = sum over target pixels of source (seen through the tap) * dy; db = sums of dy alone.
pub(super) fn correlate(source: (&View, &[f32]), (view, dy): (&View, &[f32]), patches: &Patches, dw: &mut [f32], db: &mut [f32]) {
    let (inner, k) = (patches.taps() * source.0.padded(), view.padded());
    let arch = Arch::new();
    // Per panel its rows of the filter, and behind them one for the bias.
    let sums = Parts::new(view, 1).sum((inner + 1) * width(k), &|part, mut sums: &mut [f32]| {
        let stage = Stage::load(patches, source, view, part);
        let Windows { windows, places } = stage.windows(patches, patches, view, part);
        for panel in panels(k) {
            let (dw, rest) = std::mem::take(&mut sums).split_at_mut(inner * panel.width());
            let (db, rest) = rest.split_at_mut(panel.width());
            sums = rest;
            let mut packed = Scratch::new(windows.len() * panel.width());
            let pixels = places.iter().map(|place| &dy[(part.first_pixel + place) * view.stride + view.channel..]);
            panel.pack(pixels, &mut packed);
            packed.chunks_exact(panel.width()).for_each(|dy| accumulate(db, dy));
            arch.dispatch(Correlation { stage: &stage, windows: &windows, patches, dy: &packed, dw, registers: panel.registers });
        }
    });
    let mut rest = &sums[..];
    for panel in panels(k) {
        let (rows, after) = rest.split_at((inner + 1) * panel.width());
        rest = after;
        let to = dw.chunks_exact_mut(k).chain(std::iter::once(&mut *db));
        for (row, to) in rows.chunks_exact(panel.width()).zip(to) {
            to[panel.first..][..panel.channels].copy_from_slice(&row[..panel.channels]);
        }
    }
}
