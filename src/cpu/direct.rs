//! Convolution in single precision without unfolding, for machines whose GPU is their CPU.
//!
//! The source rows that a part of the target sees are staged once, with their zero border. The inner loops run over the rows of
//! windows, which are contiguous there: they broadcast one value each of four or eight pixels against one to three registers of
//! weights, which are packed in panels of that width. Three, since the products of 8 x 3 registers take eleven loads: a
//! convolution of 48 channels is then as fast as the multiply-adds are. Faster here than unfolding and multiplying, which copies
//! everything nine times.

use pulp::{Simd, WithSimd};

use super::accumulate;
use super::conv::{Epilogue, Packed};
use super::narrow;
use super::patches::{Parts, Patches};
use super::registers::{Isa, Panel, finish, many_registers, store, stretch};
use super::scratch::Scratch;
use super::stage::{Stage, Windows};
use crate::graph::View;

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
            (1, false) => self.run::<S, 12, 1>(simd),
            (2, false) => self.run::<S, 6, 2>(simd),
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
        let weights = S::as_simd_f32s(self.weights).0.as_chunks::<V>().0;
        let bias: [S::f32s; V] = *S::as_simd_f32s(self.bias).0.first_chunk().expect("a bias per channel");
        let stage = &self.stage.values[..];
        for (windows, places) in self.windows.windows.chunks(M).zip(self.windows.places.chunks(M)) {
            let mut sums = [bias; M];
            for r in 0..self.patches.size.0 {
                let weights = &weights[r * row..][..row];
                let mut values: [&[f32]; M] = [&[]; M];
                for (i, values) in values.iter_mut().enumerate() {
                    let window = windows[i.min(windows.len() - 1)];
                    *values = &stage[window + r * self.stage.stride..][..weights.len()];
                }
                sums = stretch(simd, sums, values, weights);
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

/// target = finish(sum over taps of source * weights), for every set of patches and weights.
pub(super) fn convolve<'a>(
    isa: Isa,
    source: (&View, &[f32]),
    (view, target): (&View, &mut [f32]),
    sets: impl Iterator<Item = (Patches, &'a [f32])> + Clone + Sync,
    packed: &mut Packed<f32>,
    epilogue: &Epilogue<f32>,
) {
    let (c, k) = (source.0.padded(), view.padded());
    // Per set and panel its weights; per panel its biases.
    let packed = packed.get(|| {
        let mut packed = Scratch::new(sets.clone().map(|(patches, _)| patches.taps() * c * isa.width(k)).sum());
        let mut rest = &mut packed[..];
        for ((patches, weights), panel) in sets.clone().flat_map(|set| isa.panels(k).map(move |panel| (set, panel))) {
            let (to, after) = rest.split_at_mut(weights.len() / k * panel.width());
            if narrow::suits(isa, k) {
                narrow::pack(isa, &patches, weights, to);
            } else {
                panel.pack(weights.chunks_exact(k), to);
            }
            rest = after;
        }
        packed
    });
    let mut biases = Scratch::zeros(isa.width(k));
    if let Some(bias) = epilogue.bias {
        biases[..k].copy_from_slice(&bias[..k]);
    }
    let hull = sets.clone().map(|(patches, _)| patches).reduce(Patches::hull).expect("a convolution has patches");
    Parts::new(view, hull.target_step).each(target, &|part, target: &mut [f32]| {
        let stage = Stage::load(&hull, source, view, part);
        let mut rest = packed;
        for (patches, _) in sets.clone() {
            let windows = stage.windows(&patches, &hull, view, part);
            for panel in isa.panels(k) {
                let (weights, after) = rest.split_at(patches.taps() * c * panel.width());
                rest = after;
                let (stage, windows, patches) = (&stage, &windows, &patches);
                let (bias, target) = (&biases[panel.first..][..panel.width()], (view, &mut *target, part.first_pixel));
                if narrow::suits(isa, k) {
                    isa.dispatch(narrow::Convolution { stage, windows, patches, weights, bias, epilogue, target });
                } else {
                    isa.dispatch(Convolution { stage, windows, patches, weights, bias, epilogue, target, panel });
                }
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

/// dw (tap, source channel, target channel) = sum over target pixels of source (seen through the tap) * dy; db = sums of dy
/// alone.
pub(super) fn correlate(
    isa: Isa,
    source: (&View, &[f32]),
    (view, dy): (&View, &[f32]),
    patches: &Patches,
    dw: &mut [f32],
    db: &mut [f32],
) {
    let (inner, k) = (patches.taps() * source.0.padded(), view.padded());
    // Per panel its rows of the filter, and behind them one for the bias.
    let sums = Parts::new(view, 1).sum((inner + 1) * isa.width(k), &|part, mut sums: &mut [f32]| {
        let stage = Stage::load(patches, source, view, part);
        let Windows { windows, places } = stage.windows(patches, patches, view, part);
        for panel in isa.panels(k) {
            let (dw, rest) = std::mem::take(&mut sums).split_at_mut(inner * panel.width());
            let (db, rest) = rest.split_at_mut(panel.width());
            sums = rest;
            let mut packed = Scratch::new(windows.len() * panel.width());
            let pixels = places.iter().map(|place| &dy[(part.first_pixel + place) * view.stride + view.channel..]);
            panel.pack(pixels, &mut packed);
            packed.chunks_exact(panel.width()).for_each(|dy| accumulate(db, dy));
            let (stage, windows, dy) = (&stage, &windows[..], &packed[..]);
            if narrow::suits(isa, k) {
                isa.dispatch(narrow::Correlation { stage, windows, patches, dy: (dy, panel.width()), dw });
            } else {
                isa.dispatch(Correlation { stage, windows, patches, dy, dw, registers: panel.registers });
            }
        }
    });
    if narrow::suits(isa, k) {
        narrow::unpack(&sums, patches, dw);
        db.copy_from_slice(&sums[inner * isa.width(k)..][..k]);
        return;
    }
    let mut rest = &sums[..];
    for panel in isa.panels(k) {
        let (rows, after) = rest.split_at((inner + 1) * panel.width());
        rest = after;
        let to = dw.chunks_exact_mut(k).chain(std::iter::once(&mut *db));
        for (row, to) in rows.chunks_exact(panel.width()).zip(to) {
            to[panel.first..][..panel.channels].copy_from_slice(&row[..panel.channels]);
        }
    }
}
