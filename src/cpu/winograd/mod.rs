//! Convolution with windows of 3x3 by Winograd's F(4x4, 3x3): a tile of 4x4 result pixels takes 36 products per pair of channels
//! where the direct way takes 144 (Winograd 1980; Lavin and Gray 2016). A transposed convolution of stride 2 is four convolutions
//! with windows of one or two taps to a side, each for every fourth pixel: of 3x3, 81 products where the direct way takes 144,
//! of 4x4, 100 of 256. Input gradients of stride 2 are the same.
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
use transforms::{Dimension, Filter, FilterOfTwo, Planes, Points, Same, Taps, Transform, both};

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
const FLOATS: usize = 192 << 10;

/// Whether a convolution is faster this way: by its shape alone, so that the same network is computed the same way wherever it
/// runs.
pub(super) fn pays(sets: impl Iterator<Item = Patches> + Clone, source: &View, target: &View) -> bool {
    let [_, height, width] = target.shape;
    let (c, k) = (source.padded(), target.padded());
    let suits = |patches: Patches| {
        let taps = if patches.target_step == 1 { patches.size == (3, 3) } else { is_phase(&patches) };
        taps && patches.source_step == 1 && height.min(width) >= TILE * patches.target_step
    };
    // Where each pixel sees but one, there is nothing to save.
    sets.clone().all(suits)
        && sets.clone().any(|patches| patches.taps() > 1)
        && c.min(k) >= CHANNELS
        && sets.map(|patches| filter_points(&patches) * c * k).sum::<usize>() <= FILTERS
}

/// Whether windows of these patches are those of a phase of a transposed convolution that has transforms.
fn is_phase(patches: &Patches) -> bool {
    patches.target_step == 2 && matches!(patches.size, (1 | 2, 1 | 2))
}

/// Pixels that a tile sees along a dimension with so many taps.
fn seen(taps: usize) -> usize {
    TILE + taps - 1
}

/// Different transformed filters along a dimension: a single tap is the same for all pixels.
fn different(taps: usize) -> usize {
    if taps == 1 { 1 } else { seen(taps) }
}

/// Points of a transformed filter that differ.
fn filter_points(patches: &Patches) -> usize {
    different(patches.size.0) * different(patches.size.1)
}

/// What the tiles of a result see.
fn tiles(patches: &Patches) -> Patches {
    let size = (seen(patches.size.0), seen(patches.size.1));
    let target_step = TILE * patches.target_step;
    Patches { size, source_step: TILE, target_step, ..*patches }
}

/// target = finish(sum over taps of source * weights (tap, source channel, target channel)), for every set.
pub(super) fn convolve<'a>(
    isa: Isa,
    source: (&View, &[f32]),
    (view, target): (&View, &mut [f32]),
    sets: impl Iterator<Item = (Patches, &'a [f32])> + Clone + Sync,
    packed: &mut Packed<f32>,
    epilogue: &Epilogue<f32>,
) {
    let (c, k) = (source.0.padded(), view.padded());
    let floats = |patches: &Patches| filter_points(patches) * c * isa.width(k);
    let filters = packed.get(|| {
        let mut filters = Scratch::new(sets.clone().map(|(patches, _)| floats(&patches)).sum());
        let mut rest = &mut filters[..];
        for (patches, weights) in sets.clone() {
            let to = rest.split_off_mut(..floats(&patches)).expect("there is room for all");
            transform_panels(isa, (patches, weights), (c, k), (0, isa.panels(k).count()), to);
        }
        filters
    });
    let mut bias = Scratch::zeros(isa.width(k));
    if let Some(given) = epilogue.bias {
        bias[..k].copy_from_slice(&given[..k]);
    }
    let panel = isa.panels(k).map(Panel::width).max().expect("a picture has channels");
    let block = (FLOATS / (POINTS * (isa.width(c) + panel))).clamp(8, 144) / 4 * 4;
    let zeros = Scratch::zeros(isa.width(c));
    let step = sets.clone().map(|(patches, _)| patches.target_step).next().expect("a convolution has patches");
    Parts::of_tiles(view, TILE * step, block).each(target, &|part, target: &mut [f32]| {
        let mut rest = filters;
        for (patches, _) in sets.clone() {
            let (filters, after) = rest.split_at(floats(&patches));
            rest = after;
            let source = Pictures { view: source.0, x: source.1, channels: c, zeros: &zeros, tiles: tiles(&patches) };
            isa.dispatch(Tiles { isa, source, patches, filters, bias: &bias, epilogue, view, target: &mut *target, part });
        }
    });
}

/// U, for the panels of `k` from number `first` to `last` (point, source channel, channel of the panel), from weights (tap, source
/// channel, target channel).
fn transform_panels(
    isa: Isa,
    (patches, weights): (Patches, &[f32]),
    (c, k): (usize, usize),
    (first, last): (usize, usize),
    to: &mut [f32],
) {
    let mut panels = isa.panels(k).skip(first);
    if last - first == 1 {
        let panel = panels.next().expect("panels are counted");
        return isa.dispatch(Filters { patches, weights, c, k, panel, to });
    }
    let middle = first.midpoint(last);
    let width: usize = panels.take(middle - first).map(Panel::width).sum();
    let (head, tail) = to.split_at_mut(filter_points(&patches) * c * width);
    rayon::join(
        || transform_panels(isa, (patches, weights), (c, k), (first, middle), head),
        || transform_panels(isa, (patches, weights), (c, k), (middle, last), tail),
    );
}

/// The filters of one panel of channels.
struct Filters<'a> {
    patches: Patches,
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
        match self.patches.size {
            (1, 1) => self.transform::<S, Same, Same, 1, 1, 1, 1>(simd),
            (1, 2) => self.transform::<S, Same, FilterOfTwo, 1, 2, 1, 5>(simd),
            (2, 1) => self.transform::<S, FilterOfTwo, Same, 2, 1, 5, 1>(simd),
            (2, 2) => self.transform::<S, FilterOfTwo, FilterOfTwo, 2, 2, 5, 5>(simd),
            (3, 3) => self.transform::<S, Filter, Filter, 3, 3, 6, 6>(simd),
            size => panic!("windows of {size:?} have no transforms"),
        }
    }
}

impl Filters<'_> {
    #[inline(always)]
    fn transform<
        S,
        Down,
        Across,
        const ROWS_IN: usize,
        const COLUMNS_IN: usize,
        const ROWS_OUT: usize,
        const COLUMNS_OUT: usize,
    >(
        self,
        simd: S,
    ) where
        S: Simd,
        Down: Transform<ROWS_IN, ROWS_OUT>,
        Across: Transform<COLUMNS_IN, COLUMNS_OUT>,
    {
        let Self { weights, c, k, panel, to, .. } = self;
        let to = S::as_mut_simd_f32s(to).0;
        for i in 0..c {
            for v in 0..panel.registers {
                let first = panel.first + v * S::F32_LANES;
                let count = S::F32_LANES.min(k - first);
                let mut g = [[simd.splat_f32s(0.0); COLUMNS_IN]; ROWS_IN];
                for (tap, g) in g.as_flattened_mut().iter_mut().enumerate() {
                    *g = load(simd, &weights[(tap * c + i) * k + first..][..count]);
                }
                let mut to =
                    Planes { registers: &mut to[i * panel.registers + v..], step: c * panel.registers, columns: COLUMNS_OUT };
                both::<S, Down, Across, ROWS_IN, COLUMNS_IN, ROWS_OUT, COLUMNS_OUT>(simd, &g, &mut to);
            }
        }
    }
}

/// Some tiles, from the source to the target.
struct Tiles<'a> {
    isa: Isa,
    source: Pictures<'a>,
    patches: Patches,
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
    fn with_simd<S: Simd>(self, simd: S) {
        match self.patches.size {
            (1, 1) => self.run::<S, Taps<1>, Taps<1>, 4, 4>(simd),
            (1, 2) => self.run::<S, Taps<1>, Taps<2>, 4, 5>(simd),
            (2, 1) => self.run::<S, Taps<2>, Taps<1>, 5, 4>(simd),
            (2, 2) => self.run::<S, Taps<2>, Taps<2>, 5, 5>(simd),
            (3, 3) => self.run::<S, Taps<3>, Taps<3>, 6, 6>(simd),
            size => panic!("windows of {size:?} have no transforms"),
        }
    }
}

impl Tiles<'_> {
    /// With transforms of `R` by `C` pixels.
    #[inline(always)]
    fn run<S: Simd, Down: Dimension<R>, Across: Dimension<C>, const R: usize, const C: usize>(mut self, simd: S) {
        let Self { view, part, .. } = self;
        let at = self.source.tiles.list(part, view);
        // A part may have no pixels of some phases.
        if at.is_empty() {
            return;
        }
        let blocks = self.source.channels.div_ceil(pixels::BLOCK);
        let mut v = Scratch::<Block>::new(at.len() * blocks);
        for (&[n, i, j, _], to) in at.iter().zip(v.chunks_exact_mut(blocks)) {
            self.source.transform::<S, Down::Input, Across::Input, R, C, R, C>(simd, (n, i, j), to);
        }
        let mut rest = self.filters;
        for panel in self.isa.panels(view.padded()) {
            let (filters, after) = rest.split_at(filter_points(&self.patches) * self.source.channels * panel.width());
            rest = after;
            match (panel.registers, many_registers(S::F32_LANES)) {
                (1, true) => self.panel::<S, Down, Across, R, C, 8, 1>(simd, &at, &v, filters, panel.first),
                (2, true) => self.panel::<S, Down, Across, R, C, 8, 2>(simd, &at, &v, filters, panel.first),
                (_, true) => self.panel::<S, Down, Across, R, C, 8, 3>(simd, &at, &v, filters, panel.first),
                (1, false) => self.panel::<S, Down, Across, R, C, 12, 1>(simd, &at, &v, filters, panel.first),
                (2, false) => self.panel::<S, Down, Across, R, C, 6, 2>(simd, &at, &v, filters, panel.first),
                (_, false) => self.panel::<S, Down, Across, R, C, 4, 3>(simd, &at, &v, filters, panel.first),
            }
        }
    }

    /// Products and results of a panel of `V` registers of channels from `first` on; `M` tiles at once.
    #[inline(always)]
    fn panel<S, Down, Across, const R: usize, const C: usize, const M: usize, const V: usize>(
        &mut self,
        simd: S,
        at: &[[usize; 4]],
        values: &[Block],
        filters: &[f32],
        first: usize,
    ) where
        S: Simd,
        Down: Dimension<R>,
        Across: Dimension<C>,
    {
        let Self { view, part, patches, .. } = *self;
        let mut m = Scratch::new(at.len() * V * POINTS * S::F32_LANES);
        let sums = S::as_mut_simd_f32s(&mut m).0.as_chunks_mut::<POINTS>().0.as_chunks_mut::<V>().0;
        let filters = S::as_simd_f32s(filters).0.as_chunks::<V>().0;
        let (rows, columns) = (different(patches.size.0), different(patches.size.1));
        let channels = filters.len() / (rows * columns);
        for (i, j) in (0..R).flat_map(|i| (0..C).map(move |j| (i, j))) {
            let filters = &filters[(i.min(rows - 1) * columns + j.min(columns - 1)) * channels..][..channels];
            products::<S, M, V>(simd, i * SEEN + j, values, filters, sums);
        }
        let bias: [S::f32s; V] = *S::as_simd_f32s(&self.bias[first..]).0.first_chunk().expect("a bias per channel");
        let (step, grid) = (patches.target_step, patches.grid(view));
        let next = at.iter().skip(1).chain(at.last());
        for ((&[_, i, j, place], &[.., next]), sums) in at.iter().zip(next).zip(&*sums) {
            let ahead = next.wrapping_sub(place).wrapping_mul(view.stride);
            let size = [TILE.min(grid.0 - i * TILE), TILE.min(grid.1 - j * TILE)];
            for (v, (bias, sums)) in bias.into_iter().zip(sums).enumerate() {
                let mut y = [[bias; TILE]; TILE];
                both::<S, Down::Output, Across::Output, R, C, TILE, TILE>(simd, &Points(sums), &mut y);
                let first = first + v * S::F32_LANES;
                let channels = S::F32_LANES.min(view.padded() - first);
                for (row, y) in y.iter().enumerate().take(size[0]) {
                    for (column, &y) in y.iter().enumerate().take(size[1]) {
                        let place = place + (row * view.shape[2] + column) * step;
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
