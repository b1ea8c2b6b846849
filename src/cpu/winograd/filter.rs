//! The gradient of a filter as the adjoint of the forward pass: dw = Gᵀ [sum over tiles of (Bᵀ d B) ⊙ (A dy Aᵀ)] G. Tiles go
//! in blocks: both transforms first, then the 36 matrix products side by side. A block's sums begin at zero and are added to those
//! of the blocks before: one running sum would lose thirty times as much to rounding.

use rayon::prelude::*;

use pulp::{Simd, WithSimd};

use super::super::accumulate;
use super::super::patches::Patches;
use super::super::registers::{Isa, Panel, load, many_registers, store};
use super::super::scratch::Scratch;
use super::transforms::{FilterAdjoint, OutputAdjoint, Planes, both};
use super::{POINTS, SEEN, TILE, tiles, transform_input};
use crate::graph::View;

/// Tiles that are transformed together.
const GROUP: usize = 16;
/// Floats of the transforms of a block: more than a core's own cache holds, since they are read in order.
const BLOCK: usize = 768 << 10;

/// What the products are made of, and their shapes.
#[derive(Clone, Copy)]
struct Operands<'a> {
    isa: Isa,
    source: (&'a View, &'a [f32]),
    target: (&'a View, &'a [f32]),
    /// What a pixel beyond the border is.
    zeros: &'a [f32],
    tiles: Patches,
    /// Rows and columns of tiles.
    grid: (usize, usize),
    /// Channels of both with those that fill up the last register.
    widths: (usize, usize),
}

impl Operands<'_> {
    fn count(&self) -> usize {
        self.target.0.shape[0] * self.grid.0 * self.grid.1
    }

    /// Picture, row and column of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.grid;
        (tile / (rows * columns), tile / columns % rows, tile % columns)
    }

    /// Floats of a group: V (point, tile, source channel), D (point, tile, target channel), and the sums of dy.
    fn group(&self) -> usize {
        POINTS * GROUP * (self.widths.0 + self.widths.1) + self.widths.1
    }
}

/// dw (tap, source channel, target channel) = sum over target pixels of source (seen through the tap) * dy; db = sums of dy alone.
pub(in super::super) fn correlate(
    isa: Isa,
    source: (&View, &[f32]),
    target: (&View, &[f32]),
    patches: &Patches,
    dw: &mut [f32],
    db: &mut [f32],
) {
    let (c, k) = (source.0.padded(), target.0.padded());
    let zeros = Scratch::zeros(c.max(k));
    let tiles = tiles(patches);
    let widths = (isa.width(c), isa.width(k));
    let operands = Operands { isa, source, target, zeros: &zeros, tiles, grid: tiles.grid(target.0), widths };
    let count = operands.count();
    let block = (BLOCK / operands.group()).max(1) * GROUP;
    let mut groups = Scratch::new(block.min(count).div_ceil(GROUP) * operands.group());
    let mut sums = Scratch::new(POINTS * c * widths.1);
    db.fill(0.0);
    for first in (0..count).step_by(block) {
        let tiles = block.min(count - first);
        let groups = &mut groups[..tiles.div_ceil(GROUP) * operands.group()];
        groups.par_chunks_exact_mut(operands.group()).enumerate().for_each(|(group, to)| {
            let first = first + group * GROUP;
            isa.dispatch(Transforms { operands, first, last: count.min(first + GROUP), to });
        });
        for group in groups.chunks_exact(operands.group()) {
            accumulate(db, &group[group.len() - widths.1..]);
        }
        let groups = &*groups;
        sums.par_chunks_exact_mut(c * widths.1).enumerate().for_each(|(point, sums)| {
            isa.dispatch(Products { operands, groups, tiles, point, begin: first == 0, sums });
        });
    }
    let mut rest = dw;
    let planes = std::array::from_fn(|_| rest.split_off_mut(..c * k).expect("a filter has nine taps"));
    finish_filters(isa, &sums, (c, k), (0, c), planes);
}

/// V and D of the tiles of a group, and its sums of dy.
struct Transforms<'a> {
    operands: Operands<'a>,
    first: usize,
    last: usize,
    to: &'a mut [f32],
}

impl WithSimd for Transforms<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { operands, first, last, to } = self;
        let (width_v, width_d) = operands.widths;
        let (view, dy) = operands.target;
        let k = view.padded();
        let (v, d) = to.split_at_mut(POINTS * GROUP * width_v);
        let (d, db) = d.split_at_mut(POINTS * GROUP * width_d);
        let (row_v, row_d) = (width_v / S::F32_LANES, width_d / S::F32_LANES);
        let [v, d, db] = [v, d, db].map(|to| S::as_mut_simd_f32s(to).0);
        db.fill(simd.splat_f32s(0.0));
        let own = Patches { first: (0, 0), ..operands.tiles };
        for (tile, at) in (first..last).map(|tile| operands.place(tile)).enumerate() {
            let seen = operands.tiles.seen(operands.source.0, at);
            transform_input(simd, operands.source, operands.zeros, seen, &mut v[tile * row_v..], GROUP * row_v);
            let pixels = own
                .seen::<TILE, TILE>(view, at)
                .map(|row| row.map(|p| p.map_or(&operands.zeros[..k], |p| &dy[p * view.stride + view.channel..][..k])));
            for (r, db) in db.iter_mut().enumerate() {
                let from = r * S::F32_LANES;
                let channels = S::F32_LANES.min(k - from);
                let mut y = [[simd.splat_f32s(0.0); TILE]; TILE];
                let mut sum = y[0][0];
                for (y, pixel) in y.as_flattened_mut().iter_mut().zip(pixels.as_flattened()) {
                    *y = load(simd, &pixel[from..][..channels]);
                    sum = simd.add_f32s(sum, *y);
                }
                *db = simd.add_f32s(*db, sum);
                let mut to = Planes { registers: &mut d[tile * row_d + r..], step: GROUP * row_d };
                both::<S, OutputAdjoint, TILE, SEEN>(simd, &y, &mut to);
            }
        }
    }
}

/// The products of a block at one point, added to (source channel, target channel).
struct Products<'a> {
    operands: Operands<'a>,
    groups: &'a [f32],
    tiles: usize,
    point: usize,
    /// Whether this is the first block: there is nothing to add to.
    begin: bool,
    sums: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for panel in self.operands.isa.panels(self.operands.target.0.padded()) {
            match (panel.registers, many_registers(S::F32_LANES)) {
                (1, true) => self.run::<S, 16, 1>(simd, panel),
                (2, true) => self.run::<S, 12, 2>(simd, panel),
                (_, true) => self.run::<S, 8, 3>(simd, panel),
                (1, false) => self.run::<S, 8, 1>(simd, panel),
                (2, false) => self.run::<S, 4, 2>(simd, panel),
                (_, false) => self.run::<S, 4, 3>(simd, panel),
            }
        }
    }
}

impl Products<'_> {
    /// With `M` source channels and a panel of `V` registers at once.
    #[inline(always)]
    fn run<S: Simd, const M: usize, const V: usize>(&mut self, simd: S, panel: Panel) {
        let row = self.operands.widths.1 / S::F32_LANES;
        let first = panel.first / S::F32_LANES;
        let c = self.operands.source.0.padded();
        let mut channel = 0;
        while channel < c {
            // Channels are multiples of four.
            if c - channel >= M {
                self.tile::<S, M, V>(simd, channel, first, row);
                channel += M;
            } else {
                self.tile::<S, 4, V>(simd, channel, first, row);
                channel += 4;
            }
        }
    }

    /// `M` rows of sums from `channel` on, `V` of their registers from the `first` on.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(&mut self, simd: S, channel: usize, first: usize, row: usize) {
        let width_v = self.operands.widths.0;
        let mut products = [[simd.splat_f32s(0.0); V]; M];
        for (number, group) in self.groups.chunks_exact(self.operands.group()).enumerate() {
            let tiles = GROUP.min(self.tiles - number * GROUP);
            let (v, d) = group.split_at(POINTS * GROUP * width_v);
            let v = &v[self.point * GROUP * width_v..][..tiles * width_v];
            let d = &S::as_simd_f32s(d).0[self.point * GROUP * row..][..tiles * row];
            products = add_products(simd, products, (v, width_v, channel), (d, row, first));
        }
        let sums = S::as_mut_simd_f32s(self.sums).0;
        for (sums, products) in sums[channel * row..].chunks_exact_mut(row).zip(products) {
            for (sum, product) in sums[first..].iter_mut().zip(products) {
                *sum = if self.begin { product } else { simd.add_f32s(*sum, product) };
            }
        }
    }
}

/// Adds the products of every tile: of `M` of the `width` elements of its row of v, and of `V` of the `row` registers of its row of d.
#[inline(always)]
fn add_products<S: Simd, const M: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; M],
    (v, width, channel): (&[f32], usize, usize),
    (d, row, first): (&[S::f32s], usize, usize),
) -> [[S::f32s; V]; M] {
    assert!(channel + M <= width && first + V <= row);
    for (v, d) in v.chunks_exact(width).zip(d.chunks_exact(row)) {
        let (v, d) = (&v[channel..channel + M], &d[first..first + V]);
        for m in 0..M {
            let v = simd.splat_f32s(v[m]);
            for i in 0..V {
                sums[m][i] = simd.mul_add_e_f32s(v, d[i], sums[m][i]);
            }
        }
    }
    sums
}

/// Gᵀ u G of the source channels from `first` to `last`, to their rows of the planes of nine taps.
fn finish_filters(isa: Isa, sums: &[f32], (c, k): (usize, usize), (first, last): (usize, usize), planes: [&mut [f32]; 9]) {
    if last - first <= 4 {
        return isa.dispatch(Filters { sums, c, k, first, planes });
    }
    let middle = first.midpoint(last);
    let mut tails: [&mut [f32]; 9] = Default::default();
    let mut heads: [&mut [f32]; 9] = Default::default();
    for (plane, (head, tail)) in planes.into_iter().zip(heads.iter_mut().zip(&mut tails)) {
        (*head, *tail) = plane.split_at_mut((middle - first) * k);
    }
    rayon::join(
        || finish_filters(isa, sums, (c, k), (first, middle), heads),
        || finish_filters(isa, sums, (c, k), (middle, last), tails),
    );
}

/// Some rows of a filter's gradient.
struct Filters<'a> {
    /// (point, source channel, target channel)
    sums: &'a [f32],
    c: usize,
    k: usize,
    first: usize,
    planes: [&'a mut [f32]; 9],
}

impl WithSimd for Filters<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums, c, k, first, mut planes } = self;
        let sums = S::as_simd_f32s(sums).0;
        let row = k.div_ceil(S::F32_LANES);
        for i in 0..planes[0].len() / k {
            for r in 0..row {
                let channel = r * S::F32_LANES;
                let channels = S::F32_LANES.min(k - channel);
                let u = Planes { registers: &sums[(first + i) * row + r..], step: c * row };
                let mut w = [[simd.splat_f32s(0.0); 3]; 3];
                both::<S, FilterAdjoint, SEEN, 3>(simd, &u, &mut w);
                for (plane, &w) in planes.iter_mut().zip(w.as_flattened()) {
                    store(simd, &mut plane[i * k + channel..][..channels], w);
                }
            }
        }
    }
}
