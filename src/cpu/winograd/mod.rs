//! Convolution with windows of 3x3 by Winograd's F(4x4, 3x3): a tile of 4x4 result pixels takes 36 products per pair of channels
//! where the direct way takes 144 (Winograd 1980; Lavin and Gray 2016).
//!
//! ```text
//!   source, 6x6 per tile ── Bᵀ d B ──> V[36][tile][c] ──┐
//!                                                       ├─ 36 matrix products ─> M[36][tile][k] ── Aᵀ m A ──> target, 4x4 per tile
//!   filter, 3x3 ─────────── G g Gᵀ ──> U[36][c][k] ─────┘
//! ```
//!
//! Tiles are worked on in blocks whose V and M stay in the cache, so that memory does not grow with the picture. No result depends on
//! how tiles are divided into blocks or on the number of threads. The gradient of the filter is in `filter.rs`.

mod filter;
#[cfg(test)]
mod tests;
mod transforms;

pub(super) use filter::correlate;
use pulp::{Simd, WithSimd};

use super::conv::{Epilogue, Packed};
use super::patches::{Part, Parts, Patches};
use super::registers::{Isa, Panel, finish, load, many_registers, store, stretch};
use super::scratch::Scratch;
use crate::graph::View;
use transforms::{Filter, Input, Load, Output, Planes, both};

/// Pixels along a side of a tile of the result, and of what it sees.
const TILE: usize = 4;
const SEEN: usize = 6;
/// Products of a tile.
const POINTS: usize = SEEN * SEEN;
/// Channels below which the transforms cost more than the products that they save.
const CHANNELS: usize = 16;
/// Floats of transformed filters, 64 MiB, above which they are too much beside the filters themselves.
const FILTERS: usize = 16 << 20;
/// Floats of V and M of a block: about what a core's own cache holds.
const BLOCK: usize = 160 << 10;
/// Floats between the planes of V and M beside their rows: planes that lie a power of two apart would share few sets of the cache.
const GAP: usize = 16;

/// Whether a convolution is faster this way: by its shape alone, so that the same network gives the same bits wherever it runs.
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
    let block = (BLOCK / (POINTS * (isa.width(c) + panel))).clamp(8, 144) / 4 * 4;
    let zeros = Scratch::zeros(c);
    let tiles = tiles(&patches);
    Parts::of_tiles(view, TILE, block).each(target, &|part, target: &mut [f32]| {
        isa.dispatch(Block { isa, source, zeros: &zeros, tiles, filters, bias: &bias, epilogue, view, target, part });
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

/// A block of tiles, from the source to the target.
struct Block<'a> {
    isa: Isa,
    source: (&'a View, &'a [f32]),
    /// What a pixel beyond the border is.
    zeros: &'a [f32],
    tiles: Patches,
    /// U, by panels.
    filters: &'a [f32],
    bias: &'a [f32],
    epilogue: &'a Epilogue<'a, f32>,
    view: &'a View,
    /// The memory of the part.
    target: &'a mut [f32],
    part: Part,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Self { view, part, .. } = self;
        let c = self.source.0.padded();
        let at = self.tiles.list(part, view);
        let count = at.len();
        // Of V, in registers: a row, and a plane.
        let row = c.div_ceil(S::F32_LANES);
        let plane = count * row + GAP.div_ceil(S::F32_LANES);
        let mut v = Scratch::new(POINTS * plane * S::F32_LANES);
        let to = S::as_mut_simd_f32s(&mut v).0;
        for (tile, &[n, i, j, _]) in at.iter().enumerate() {
            let seen = self.tiles.seen(self.source.0, (n, i, j));
            transform_input(simd, self.source, self.zeros, seen, &mut to[tile * row..], plane);
        }
        let rows = Rows { values: &v, row: row * S::F32_LANES, plane: plane * S::F32_LANES, count };
        let mut rest = self.filters;
        for panel in self.isa.panels(view.padded()) {
            let (filters, after) = rest.split_at(POINTS * c * panel.width());
            rest = after;
            match (panel.registers, many_registers(S::F32_LANES)) {
                (1, true) => self.panel::<S, 16, 1>(simd, &at, &rows, filters, panel.first),
                (2, true) => self.panel::<S, 8, 2>(simd, &at, &rows, filters, panel.first),
                (_, true) => self.panel::<S, 8, 3>(simd, &at, &rows, filters, panel.first),
                (1, false) => self.panel::<S, 12, 1>(simd, &at, &rows, filters, panel.first),
                (2, false) => self.panel::<S, 6, 2>(simd, &at, &rows, filters, panel.first),
                (_, false) => self.panel::<S, 4, 3>(simd, &at, &rows, filters, panel.first),
            }
        }
    }
}

impl Block<'_> {
    /// Products and results of a panel of `V` registers of channels from `first` on; `M` tiles at once.
    #[inline(always)]
    fn panel<S: Simd, const M: usize, const V: usize>(
        &mut self,
        simd: S,
        at: &[[usize; 4]],
        rows: &Rows,
        filters: &[f32],
        first: usize,
    ) {
        let Self { view, part, .. } = *self;
        let plane = (rows.count + 1) * V;
        let mut m = Scratch::new(POINTS * plane * S::F32_LANES);
        let filters = S::as_simd_f32s(filters).0.as_chunks::<V>().0;
        let to = S::as_mut_simd_f32s(&mut m).0.chunks_exact_mut(plane);
        for ((point, filters), to) in filters.chunks_exact(filters.len() / POINTS).enumerate().zip(to) {
            products::<S, M, V>(simd, &rows.values[point * rows.plane..][..rows.count * rows.row], rows.row, filters, to);
        }
        let m = S::as_simd_f32s(&m).0;
        let bias: [S::f32s; V] = *S::as_simd_f32s(&self.bias[first..]).0.first_chunk().expect("a bias per channel");
        for (tile, &[_, i, j, place]) in at.iter().enumerate() {
            let size = [TILE.min(view.shape[1] - i * TILE), TILE.min(view.shape[2] - j * TILE)];
            for (v, bias) in bias.into_iter().enumerate() {
                let mut y = [[bias; TILE]; TILE];
                both::<S, Output, SEEN, TILE>(simd, &Planes { registers: &m[tile * V + v..], step: plane }, &mut y);
                let first = first + v * S::F32_LANES;
                let channels = S::F32_LANES.min(view.padded() - first);
                for (row, y) in y.iter().enumerate().take(size[0]) {
                    for (column, &y) in y.iter().enumerate().take(size[1]) {
                        let place = place + row * view.shape[2] + column;
                        let y = finish(simd, self.epilogue, simd.add_f32s(y, bias), part.first_pixel + place, first, channels);
                        store(simd, &mut self.target[place * view.stride + view.channel + first..][..channels], y);
                    }
                }
            }
        }
    }
}

/// V of a block: a row of channels per tile, a plane of these per point.
struct Rows<'a> {
    values: &'a [f32],
    /// Elements from a tile to the next, and from a point to the next.
    row: usize,
    plane: usize,
    /// Tiles.
    count: usize,
}

/// V of one tile, from the 6x6 pixels that it sees: `to` begins at its row, in registers, and its next point is `plane` further.
#[inline(always)]
fn transform_input<S: Simd>(
    simd: S,
    (view, x): (&View, &[f32]),
    zeros: &[f32],
    seen: [[Option<usize>; SEEN]; SEEN],
    to: &mut [S::f32s],
    plane: usize,
) {
    let c = view.padded();
    let pixels = seen.map(|row| row.map(|pixel| pixel.map_or(&zeros[..c], |p| &x[p * view.stride + view.channel..][..c])));
    let registers = pixels.map(|row| row.map(|pixel| S::as_simd_f32s(pixel).0));
    let full = c / S::F32_LANES;
    for register in 0..full {
        let mut to = Planes { registers: &mut to[register..], step: plane };
        both::<S, Input, SEEN, SEEN>(simd, &Pixels { registers: &registers, register }, &mut to);
    }
    if c % S::F32_LANES > 0 {
        let mut d = [[simd.splat_f32s(0.0); SEEN]; SEEN];
        for (d, pixel) in d.as_flattened_mut().iter_mut().zip(pixels.as_flattened()) {
            *d = simd.partial_load_f32s(&pixel[full * S::F32_LANES..]);
        }
        both::<S, Input, SEEN, SEEN>(simd, &d, &mut Planes { registers: &mut to[full..], step: plane });
    }
}

/// One register of each of 6x6 pixels.
struct Pixels<'a, R> {
    registers: &'a [[&'a [R]; SEEN]; SEEN],
    register: usize,
}

impl<R: Copy> Load<R> for Pixels<'_, R> {
    #[inline(always)]
    fn load(&self, row: usize, column: usize) -> R {
        self.registers[row][column][self.register]
    }
}

/// Rows of values (tile, source channel), `row` elements each, times the filters of a panel (source channel, `V` registers): sums
/// (tile, `V` registers). `M` tiles at once.
#[inline(always)]
fn products<S: Simd, const M: usize, const V: usize>(
    simd: S,
    values: &[f32],
    row: usize,
    filters: &[[S::f32s; V]],
    sums: &mut [S::f32s],
) {
    let last = values.len() / row - 1;
    for (t, sums) in sums.as_chunks_mut::<V>().0[..=last].chunks_mut(M).enumerate() {
        let mut rows: [&[f32]; M] = [&[]; M];
        for (i, to) in rows.iter_mut().enumerate() {
            *to = &values[(t * M + i).min(last) * row..][..filters.len()];
        }
        let products = stretch(simd, [[simd.splat_f32s(0.0); V]; M], rows, filters);
        for (sum, product) in sums.iter_mut().zip(products) {
            *sum = product;
        }
    }
}
