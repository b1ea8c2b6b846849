//! Convolution with windows of 3x3 by Winograd's F(4x4, 3x3): a tile of 4x4 result pixels takes 36 products per pair of channels
//! where the direct way takes 144 (Winograd 1980; Lavin and Gray 2016).
//!
//! ```text
//!   source, 6x6 per tile ── Bᵀ d B ──> V (tile, c, 36) ──┐
//!                                                        ├─ 36 matrix products ─> M (tile, k, 36) ── Aᵀ m A ──> target, 4x4 per tile
//!   filter, 3x3 ─────────── G g Gᵀ ──> U (36, c, k) ─────┘
//! ```
//!
//! V and M hold the points of a register one after the other: transforms then go by constant places, without checks. Tiles are
//! worked on in blocks whose V and M stay in the cache, so that memory does not grow with the picture. No result depends on how
//! tiles are divided into blocks or on the number of threads. The gradient of the filter is in `filter.rs`.

mod filter;
mod pixels;
mod transforms;

pub(super) use filter::correlate;
use pulp::{Simd, WithSimd};

use super::conv::{Epilogue, Packed};
use super::patches::{Part, Parts, Patches};
use super::registers::{Isa, Panel, finish, load, many_registers, prefetch, store, stretch};
use super::scratch::Scratch;
use crate::graph::View;
use pixels::{Block, Pictures};
use transforms::{Filter, Input, Output, Planes, Points, both};

/// Pixels along a side of a tile of the result, and of what it sees.
const TILE: usize = 4;
const SEEN: usize = 6;
/// Products of a tile.
const POINTS: usize = SEEN * SEEN;
/// Channels, padded to four, below which the transforms cost more than the products that they save.
const CHANNELS: usize = 8;
/// Floats of transformed filters, 64 MiB, above which they are too much beside the filters themselves.
const FILTERS: usize = 16 << 20;
/// Floats of V and M of a block: about what a core's own cache holds.
const FLOATS: usize = 160 << 10;

/// Whether a convolution is faster this way: by its shape alone, so that the same network is
/// computed the same way wherever it runs.
pub(super) fn pays(patches: &Patches, source: &View, target: &View) -> bool {
    let [_, height, width] = target.shape;
    patches.size == (3, 3)
        && patches.source_step == 1
        && patches.target_step == 1
        && source.padded().min(target.padded()) >= CHANNELS
        && POINTS * source.padded() * target.padded() <= FILTERS
        && height.min(width) >= TILE
}

/// What the tiles of a result see.
fn tiles(patches: &Patches) -> Patches {
    Patches { size: (SEEN, SEEN), source_step: TILE, target_step: TILE, ..*patches }
}

/// target = finish(sum over the nine taps of source * weights (tap, source channel, target channel)).
pub(super) fn convolve(
    isa: Isa,
    source: (&View, &[f32]),
    (view, target): (&View, &mut [f32]),
    (patches, weights): (Patches, &[f32]),
    packed: &mut Packed<f32>,
    epilogue: &Epilogue<f32>,
) {
    let (c, k) = (source.0.padded(), view.padded());
    let filters = packed.get(|| transform_filters(isa, weights, c, k));
    let mut bias = Scratch::zeros(isa.width(k));
    if let Some(given) = epilogue.bias {
        bias[..k].copy_from_slice(&given[..k]);
    }
    let panel = isa.panels(k).map(Panel::width).max().expect("a picture has channels");
    let block = (FLOATS / (POINTS * (isa.width(c) + panel))).clamp(8, 144) / 4 * 4;
    let zeros = Scratch::zeros(c);
    let source = Pictures { view: source.0, x: source.1, zeros: &zeros, tiles: tiles(&patches) };
    Parts::of_tiles(view, TILE, block).each(target, &|part, target: &mut [f32]| {
        isa.dispatch(Tiles { isa, source, filters, bias: &bias, epilogue, view, target, part });
    });
}

/// U, for every panel of `k` (point, source channel, channel of the panel), from weights (tap, source channel, target channel).
fn transform_filters(isa: Isa, weights: &[f32], c: usize, k: usize) -> Scratch<f32> {
    let mut filters = Scratch::new(POINTS * c * isa.width(k));
    transform_panels(isa, weights, (c, k), (0, isa.panels(k).count()), &mut filters);
    filters
}

/// The same for the panels from number `first` to `last`.
fn transform_panels(isa: Isa, weights: &[f32], (c, k): (usize, usize), (first, last): (usize, usize), to: &mut [f32]) {
    let mut panels = isa.panels(k).skip(first);
    if last - first == 1 {
        let panel = panels.next().expect("panels are counted");
        return isa.dispatch(Filters { weights, c, k, panel, to });
    }
    let middle = first.midpoint(last);
    let width: usize = panels.take(middle - first).map(Panel::width).sum();
    let (head, tail) = to.split_at_mut(POINTS * c * width);
    rayon::join(
        || transform_panels(isa, weights, (c, k), (first, middle), head),
        || transform_panels(isa, weights, (c, k), (middle, last), tail),
    );
}

/// The filters of one panel of channels.
struct Filters<'a> {
    weights: &'a [f32],
    c: usize,
    k: usize,
    panel: Panel,
    to: &'a mut [f32],
}

impl WithSimd for Filters<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, c, k, panel, to } = self;
        let to = S::as_mut_simd_f32s(to).0;
        for i in 0..c {
            for v in 0..panel.registers {
                let first = panel.first + v * S::F32_LANES;
                let count = S::F32_LANES.min(k - first);
                let mut g = [[simd.splat_f32s(0.0); 3]; 3];
                for (tap, g) in g.as_flattened_mut().iter_mut().enumerate() {
                    *g = load(simd, &weights[(tap * c + i) * k + first..][..count]);
                }
                let mut to = Planes { registers: &mut to[i * panel.registers + v..], step: c * panel.registers };
                both::<S, Filter, 3, SEEN>(simd, &g, &mut to);
            }
        }
    }
}

/// Some tiles, from the source to the target.
struct Tiles<'a> {
    isa: Isa,
    source: Pictures<'a>,
    /// U, by panels.
    filters: &'a [f32],
    bias: &'a [f32],
    epilogue: &'a Epilogue<'a, f32>,
    view: &'a View,
    /// The memory of the part.
    target: &'a mut [f32],
    part: Part,
}

impl WithSimd for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Self { view, part, .. } = self;
        let c = self.source.zeros.len();
        let at = self.source.tiles.list(part, view);
        let count = at.len();
        let blocks = c.div_ceil(pixels::BLOCK);
        let mut v = Scratch::<Block>::new(count * blocks);
        for (&[n, i, j, _], to) in at.iter().zip(v.chunks_exact_mut(blocks)) {
            self.source.transform::<S, Input, SEEN, SEEN>(simd, (n, i, j), to);
        }
        let mut rest = self.filters;
        for panel in self.isa.panels(view.padded()) {
            let (filters, after) = rest.split_at(POINTS * c * panel.width());
            rest = after;
            match (panel.registers, many_registers(S::F32_LANES)) {
                (1, true) => self.panel::<S, 8, 1>(simd, &at, &v, filters, panel.first),
                (2, true) => self.panel::<S, 8, 2>(simd, &at, &v, filters, panel.first),
                (_, true) => self.panel::<S, 8, 3>(simd, &at, &v, filters, panel.first),
                (1, false) => self.panel::<S, 12, 1>(simd, &at, &v, filters, panel.first),
                (2, false) => self.panel::<S, 6, 2>(simd, &at, &v, filters, panel.first),
                (_, false) => self.panel::<S, 4, 3>(simd, &at, &v, filters, panel.first),
            }
        }
    }
}

impl Tiles<'_> {
    /// Products and results of a panel of `V` registers of channels from `first` on; `M` tiles at once.
    #[inline(always)]
    fn panel<S: Simd, const M: usize, const V: usize>(
        &mut self,
        simd: S,
        at: &[[usize; 4]],
        values: &[Block],
        filters: &[f32],
        first: usize,
    ) {
        let Self { view, part, .. } = *self;
        let mut m = Scratch::new(at.len() * V * POINTS * S::F32_LANES);
        let sums = S::as_mut_simd_f32s(&mut m).0.as_chunks_mut::<POINTS>().0.as_chunks_mut::<V>().0;
        let filters = S::as_simd_f32s(filters).0.as_chunks::<V>().0;
        for (point, filters) in filters.chunks_exact(filters.len() / POINTS).enumerate() {
            products::<S, M, V>(simd, point, values, filters, sums);
        }
        let bias: [S::f32s; V] = *S::as_simd_f32s(&self.bias[first..]).0.first_chunk().expect("a bias per channel");
        let next = at.iter().skip(1).chain(at.last());
        for ((&[_, i, j, place], &[.., next]), sums) in at.iter().zip(next).zip(&*sums) {
            let ahead = (next - place) * view.stride;
            let size = [TILE.min(view.shape[1] - i * TILE), TILE.min(view.shape[2] - j * TILE)];
            for (v, (bias, sums)) in bias.into_iter().zip(sums).enumerate() {
                let mut y = [[bias; TILE]; TILE];
                both::<S, Output, SEEN, TILE>(simd, &Points(sums), &mut y);
                let first = first + v * S::F32_LANES;
                let channels = S::F32_LANES.min(view.padded() - first);
                for (row, y) in y.iter().enumerate().take(size[0]) {
                    for (column, &y) in y.iter().enumerate().take(size[1]) {
                        let place = place + row * view.shape[2] + column;
                        let y = finish(simd, self.epilogue, simd.add_f32s(y, bias), part.first_pixel + place, first, channels);
                        let to = &mut self.target[place * view.stride + view.channel + first..][..channels];
                        prefetch(to.as_ptr().wrapping_add(ahead));
                        store(simd, to, y);
                    }
                }
            }
        }
    }
}

/// Products at one point: of values (tile, block of source channels) with the filters of a panel (source channel, `V` registers),
/// as sums (tile, register). `M` tiles at once.
#[inline(always)]
fn products<S: Simd, const M: usize, const V: usize>(
    simd: S,
    point: usize,
    values: &[Block],
    filters: &[[S::f32s; V]],
    sums: &mut [[[S::f32s; POINTS]; V]],
) {
    let blocks = values.len() / sums.len();
    for (sums, values) in sums.chunks_mut(M).zip(values.chunks(M * blocks)) {
        let mut products = [[simd.splat_f32s(0.0); V]; M];
        for (block, filters) in filters.chunks(pixels::BLOCK).enumerate() {
            let mut rows: [&[f32]; M] = [&[]; M];
            for (m, row) in rows.iter_mut().enumerate() {
                *row = &values[m.min(sums.len() - 1) * blocks + block][point][..filters.len()];
            }
            products = stretch(simd, products, rows, filters);
        }
        for (sums, products) in sums.iter_mut().zip(products) {
            for (sums, product) in sums.iter_mut().zip(products) {
                sums[point] = product;
            }
        }
    }
}
