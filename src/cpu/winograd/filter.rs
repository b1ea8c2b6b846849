//! The gradient of a filter as the adjoint of the forward pass: dw = Gᵀ [sum over tiles of (Bᵀ d B) ⊙ (A dy Aᵀ)] G. Tiles go in
//! blocks: both transforms first, then the 36 matrix products side by side. A block's sums begin at zero and are added to those
//! of the blocks before: one running sum would lose thirty times as much to rounding.

use rayon::prelude::*;

use pulp::{Simd, WithSimd};

use super::super::accumulate;
use super::super::patches::Patches;
use super::super::registers::{Isa, Panel, many_registers, store};
use super::super::scratch::Scratch;
use super::pixels::{BLOCK, Pictures, Transformed};
use super::transforms::{FilterAdjoint, Input, OutputAdjoint, Planes, Store, both};
use super::{POINTS, SEEN, TILE, tiles};
use crate::graph::View;

/// Tiles that are transformed together.
const TOGETHER: usize = 16;
/// Floats of the transforms of a block of tiles: more than a core's own cache holds, since they are read in order.
const FLOATS: usize = 768 << 10;

/// Some channels of tiles that are transformed together, by points.
type Group = [[[f32; BLOCK]; TOGETHER]; POINTS];

/// What the products are made of, and their shapes.
#[derive(Clone, Copy)]
struct Operands<'a> {
    isa: Isa,
    source: Pictures<'a>,
    target: Pictures<'a>,
    /// Rows and columns of tiles.
    grid: (usize, usize),
    /// Blocks of channels of both.
    blocks: (usize, usize),
}

impl Operands<'_> {
    fn count(&self) -> usize {
        self.target.view.shape[0] * self.grid.0 * self.grid.1
    }

    /// Picture, row and column of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.grid;
        (tile / (rows * columns), tile / columns % rows, tile % columns)
    }
}

/// dw (tap, source channel, target channel) = sum over target pixels of source (seen through the tap) * dy; db = sums of dy
/// alone.
pub(in super::super) fn correlate(
    isa: Isa,
    source: (&View, &[f32]),
    target: (&View, &[f32]),
    patches: &Patches,
    dw: &mut [f32],
    db: &mut [f32],
) {
    let (c, k) = (source.0.padded(), target.0.padded());
    let zeros = Scratch::zeros(isa.width(c.max(k)));
    let tiles = tiles(patches);
    let pictures = |(view, x), channels, tiles| Pictures { view, x, channels, zeros: &zeros, tiles };
    let operands = Operands {
        isa,
        source: pictures(source, c, tiles),
        target: pictures(target, k, Patches { first: (0, 0), ..tiles }),
        grid: tiles.grid(target.0),
        blocks: (c.div_ceil(BLOCK), k.div_ceil(BLOCK)),
    };
    let (count, blocks) = (operands.count(), operands.blocks.0 + operands.blocks.1);
    let together = (FLOATS / (size_of::<Group>() / size_of::<f32>()) / blocks).max(1);
    // V and D of every group, and its sums of dy.
    let mut groups = Scratch::<Group>::new(count.div_ceil(TOGETHER).min(together) * blocks);
    let mut biases = Scratch::new(groups.len() / blocks * k);
    let row = isa.width(k);
    let mut sums = Scratch::new(POINTS * c * row);
    db.fill(0.0);
    for first in (0..count).step_by(together * TOGETHER) {
        let tiles = (together * TOGETHER).min(count - first);
        let used = tiles.div_ceil(TOGETHER);
        let (groups, biases) = (&mut groups[..used * blocks], &mut biases[..used * k]);
        groups.par_chunks_exact_mut(blocks).zip(biases.par_chunks_exact_mut(k)).enumerate().for_each(|(group, (to, db))| {
            let first = first + group * TOGETHER;
            isa.dispatch(Transforms { operands, first, last: count.min(first + TOGETHER), to, db });
        });
        biases.chunks_exact(k).for_each(|bias| accumulate(db, bias));
        let groups = &*groups;
        sums.par_chunks_exact_mut(c * row).enumerate().for_each(|(point, sums)| {
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
    to: &'a mut [Group],
    db: &'a mut [f32],
}

impl WithSimd for Transforms<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { operands, first, last, to, db } = self;
        let (v, d) = to.split_at_mut(operands.blocks.0);
        db.fill(0.0);
        for tile in first..last {
            let at = operands.place(tile);
            let number = tile - first;
            operands.source.transform::<S, Input, Input, SEEN, SEEN, SEEN, SEEN>(
                simd,
                at,
                &mut InGroups { groups: v, tile: number },
            );
            operands.target.transform::<S, OutputAdjoint, OutputAdjoint, TILE, TILE, SEEN, SEEN>(
                simd,
                at,
                &mut InGroups { groups: d, tile: number },
            );
            operands.target.sum(at, TILE, db);
        }
    }
}

/// One tile of the groups of all blocks of channels.
struct InGroups<'a> {
    groups: &'a mut [Group],
    tile: usize,
}

impl<S: Simd> Transformed<S> for InGroups<'_> {
    #[inline(always)]
    fn register(&mut self, register: usize) -> impl Store<S> {
        let registers = BLOCK / S::F32_LANES;
        InGroup { group: &mut self.groups[register / registers], tile: self.tile, register: register % registers }
    }
}

/// One register of a tile of a group.
struct InGroup<'a> {
    group: &'a mut Group,
    tile: usize,
    register: usize,
}

impl<S: Simd> Store<S> for InGroup<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, value: S::f32s) {
        S::as_mut_simd_f32s(&mut self.group[row * SEEN + column][self.tile]).0[self.register] = value;
    }
}

/// The products of a block at one point, added to (source channel, target channel).
struct Products<'a> {
    operands: Operands<'a>,
    groups: &'a [Group],
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
        for panel in self.operands.isa.panels(self.operands.target.channels) {
            match (panel.registers, many_registers(S::F32_LANES)) {
                (1, true) => self.run::<S, 16, 1>(simd, panel),
                (2, true) => self.run::<S, 8, 2>(simd, panel),
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
        let first = panel.first / S::F32_LANES;
        let c = self.operands.source.channels;
        let mut channel = 0;
        while channel < c {
            // Channels are multiples of four, and blocks of `M`.
            if c - channel >= M {
                self.tile::<S, M, V>(simd, channel, first);
                channel += M;
            } else {
                self.tile::<S, 4, V>(simd, channel, first);
                channel += 4;
            }
        }
    }

    /// `M` rows of sums from `channel` on, `V` of their registers from the `first` on.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(&mut self, simd: S, channel: usize, first: usize) {
        let (of_source, of_target) = self.operands.blocks;
        let mut products = [[simd.splat_f32s(0.0); V]; M];
        for (number, blocks) in self.groups.chunks_exact(of_source + of_target).enumerate() {
            let tiles = TOGETHER.min(self.tiles - number * TOGETHER);
            let v = &blocks[channel / BLOCK][self.point][..tiles];
            let mut d = [v; V];
            for (i, d) in d.iter_mut().enumerate() {
                *d = &blocks[of_source + (first + i) * S::F32_LANES / BLOCK][self.point][..tiles];
            }
            products = add_products(simd, products, (v, channel % BLOCK), (d, first));
        }
        let sums = S::as_mut_simd_f32s(self.sums).0;
        let row = self.operands.isa.width(self.operands.target.channels) / S::F32_LANES;
        for (sums, products) in sums[channel * row..].chunks_exact_mut(row).zip(products) {
            for (sum, product) in sums[first..].iter_mut().zip(products) {
                *sum = if self.begin { product } else { simd.add_f32s(*sum, product) };
            }
        }
    }
}

/// Adds the products of every tile: of `M` channels of v from `channel` on, and of the `V` registers of d from number `first` on.
#[inline(always)]
fn add_products<S: Simd, const M: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; M],
    (v, channel): (&[[f32; BLOCK]], usize),
    (d, first): ([&[[f32; BLOCK]]; V], usize),
) -> [[S::f32s; V]; M] {
    let registers = BLOCK / S::F32_LANES;
    for (tile, v) in v.iter().enumerate() {
        let v = &v[channel..channel + M];
        let mut row = [simd.splat_f32s(0.0); V];
        for i in 0..V {
            row[i] = S::as_simd_f32s(&d[i][tile]).0[(first + i) % registers];
        }
        for m in 0..M {
            let v = simd.splat_f32s(v[m]);
            for i in 0..V {
                sums[m][i] = simd.mul_add_e_f32s(v, row[i], sums[m][i]);
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
                let u = Planes { registers: &sums[(first + i) * row + r..], step: c * row, columns: SEEN };
                let mut w = [[simd.splat_f32s(0.0); 3]; 3];
                both::<S, FilterAdjoint, FilterAdjoint, SEEN, SEEN, 3, 3>(simd, &u, &mut w);
                for (plane, &w) in planes.iter_mut().zip(w.as_flattened()) {
                    store(simd, &mut plane[i * k + channel..][..channels], w);
                }
            }
        }
    }
}
