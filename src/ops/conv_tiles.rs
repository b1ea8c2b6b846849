//! Tiles of the convolutions' kernels: how many invocations a workgroup has, and what each of them keeps in registers. All tiles
//! of an op add in the same order, so that the choice changes how long it takes and no bit of its result.

use super::Conv;
use crate::graph::{Precision, View};
use crate::kernel::{Shader, kernel};
use crate::limits::Limits;
use crate::plan::{Lowering, TuningKey};

/// Rows or columns of the largest window whose taps the tiled kernels can tell apart.
const LARGEST_WINDOW: usize = 15;

/// Loads of either operand that an invocation can have under way.
const LOADS: usize = 4;
/// Invocations of a wave of the widest GPUs: workgroups of four slices are whole ones.
const WAVE: usize = 64;

/// Slices of a workgroup, among which it splits the inner dimension: as lib/registers.wgsl has it.
const SLICES: usize = 4;

/// SLICES times TX x TY invocations with registers for ROWS rows and COLS vec4s of columns each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub tx: usize,
    pub ty: usize,
    /// 8 or 4.
    pub rows: usize,
    /// 2 or 1.
    pub cols: usize,
    /// Of the inner dimension, what a stage brings: vec4s of channels, or pixels.
    stage: (Inner, usize),
}

impl Tile {
    /// The kernels' constants.
    pub(super) fn constants(&self) -> [(&'static str, f64); 6] {
        let Self { tx, ty, rows, cols, stage: (inner, size) } = *self;
        // Of both operands, as the kernels lay them.
        let (name, vec4s) = match inner {
            Inner::Channels => ("KB", size * (ty * rows + 2 + tx * cols * 4 + 2)),
            Inner::Pixels => ("PB", size * (ty * rows / 4 + tx * cols) + 1),
        };
        let memory = (2 * vec4s).max(4 * self.invocations());
        let sizes = [("TX", tx), ("TY", ty), ("ROWS", rows), ("COLS", cols), (name, size), ("MEMORY", memory)];
        sizes.map(|(name, size)| (name, size as f64))
    }

    fn invocations(&self) -> usize {
        self.tx * self.ty * SLICES
    }
}

/// What a stage of a product brings of its inner dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    /// Channels of all taps.
    Channels,
    /// Pixels.
    Pixels,
}

/// A kind of tiles.
struct Shape {
    rows: usize,
    cols: usize,
    /// Most invocations.
    invocations: usize,
    /// Most vec4s of channels in a stage, or a quarter of its pixels.
    stage: usize,
}

const fn shape(rows: usize, cols: usize, invocations: usize, stage: usize) -> Shape {
    Shape { rows, cols, invocations, stage }
}

/// The tiles that are tried, those first that are defaults: the largest that still keeps the device busy.
const SHAPES: [Shape; 7] = [
    shape(8, 2, 256, 8),
    shape(4, 2, 256, 8),
    shape(4, 1, 256, 8),
    shape(8, 2, 256, 4),
    shape(8, 2, 512, 8),
    shape(8, 2, 128, 8),
    shape(8, 1, 256, 8),
];
const DEFAULTS: usize = 3;
/// Most workgroup memory, bytes: so much that several workgroups fit the larger GPUs' units.
const MEMORY: u32 = 34 << 10;

/// A matrix product of so many rows and vec4s of columns, done `times` times over (phases, splits).
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub rows: usize,
    pub columns4: usize,
    pub times: usize,
    pub inner: Inner,
}

impl Product {
    /// Whether a product of `inners` vec4s is better split along these: it is long, and tiles of 32 x 32 would keep less than an
    /// eighth of the device busy. So are those of enormous windows.
    pub(super) fn is_tiny(&self, inners: usize, conv: Conv, limits: &Limits) -> bool {
        let tiles = self.rows.div_ceil(32) * self.columns4.div_ceil(8) * self.times;
        inners >= 32 && tiles < (limits.busy as usize / 8).max(2) || conv.kernel > LARGEST_WINDOW
    }

    /// Workgroups along rows and along columns.
    pub(super) fn grid(&self, tile: &Tile) -> [usize; 2] {
        [self.rows.div_ceil(tile.ty * tile.rows), self.columns4.div_ceil(tile.tx * tile.cols)]
    }

    fn workgroups(&self, tile: &Tile) -> usize {
        self.grid(tile).iter().product::<usize>() * self.times
    }

    /// Loads of either operand by an invocation in a stage.
    fn loads(&self, tile: &Tile) -> [usize; 2] {
        let Tile { tx, ty, rows, cols, stage: (_, size), .. } = *tile;
        let vec4s = match self.inner {
            Inner::Channels => [size * ty * rows, size * 4 * tx * cols],
            Inner::Pixels => [size * ty * rows / 4, size * tx * cols],
        };
        vec4s.map(|n| n.div_ceil(tile.invocations()))
    }

    /// Whether an invocation always loads from the same row or column: kernels step from a load to the next by whole pixels or
    /// channels.
    fn is_loaded_evenly(&self, tile: &Tile) -> bool {
        let of_pixel = tile.ty * tile.rows / 4;
        let even = self.inner == Inner::Channels || tile.invocations().is_multiple_of(of_pixel);
        even && tile.invocations().is_multiple_of(tile.tx * tile.cols)
    }

    /// Instructions for every multiply-add of the product, about: those of the product, those beyond its rows and columns, and
    /// those of loads and stages, as compilers for AMD's GPUs make them.
    fn cost(&self, tile: &Tile) -> f64 {
        let [down, across] = self.grid(tile);
        let done = down * tile.ty * tile.rows * across * tile.tx * tile.cols;
        let (inner, size) = tile.stage;
        let vec4s = if inner == Inner::Channels { size } else { size / 4 };
        let products = tile.rows * tile.cols * 16 * vec4s / SLICES;
        let [x, w] = self.loads(tile);
        let others = 13 * x + 7 * w + 40 + (tile.rows + 4 * tile.cols) * 3 * vec4s / SLICES;
        done as f64 / (self.rows * self.columns4) as f64 * (products + others) as f64 / products as f64
    }

    /// The best tile of a shape.
    fn tile(&self, shape: &Shape, limits: &Limits, shader: Shader) -> Option<Tile> {
        let most = shape.invocations.min(limits.invocations as usize) / SLICES;
        let sizes = (1..=most.min(16)).flat_map(|tx| (2..=most / tx).step_by(2).map(move |ty| (tx, ty)));
        let stages = [4, 8].into_iter().filter(|&stage| stage <= shape.stage);
        let tiles = stages.flat_map(|stage| {
            let stage = if self.inner == Inner::Channels { stage } else { 4 * stage };
            sizes.clone().map(move |(tx, ty)| Tile { tx, ty, rows: shape.rows, cols: shape.cols, stage: (self.inner, stage) })
        });
        let bytes = |t: &Tile| kernel(shader).workgroup(&t.constants()).bytes;
        let fits = |t: &Tile| {
            (t.tx * t.ty).is_multiple_of(WAVE / 4)
                && self.is_loaded_evenly(t)
                && self.loads(t).into_iter().all(|n| n <= LOADS)
                && bytes(t) <= limits.workgroup_bytes.min(MEMORY)
        };
        tiles.filter(fits).min_by(|a, b| {
            // The smaller of equal ones.
            self.cost(a).total_cmp(&self.cost(b)).then(a.invocations().cmp(&b.invocations()))
        })
    }

    /// The tile of the kernel in that file that the tuner knows or the default, for a convolution with the picture `result` on
    /// the side of its product's rows.
    pub(super) fn choose(&self, l: &mut Lowering, shader: Shader, conv: Conv, result: &View, input: usize) -> Tile {
        let (tiles, default) = self.tiles(l.limits, shader);
        let precision = if l.graph.is_half(result.storage) { Precision::F16 } else { Precision::F32 };
        let key = TuningKey { kernel: shader, shape: result.shape, input, output: result.padded(), conv, precision };
        tiles[l.choose(key, tiles.len(), default)]
    }

    /// Tiles that the device can run, and the number of the one to take where nothing else is known.
    ///
    /// # Panics
    /// If there is none: every device has 128 invocations and 16 KiB.
    fn tiles(&self, limits: &Limits, shader: Shader) -> (Vec<Tile>, usize) {
        // Beside its sums a product over channels holds four vec4s of the filter for each of their columns.
        let narrow = limits.sums < Limits::default().sums && self.inner == Inner::Channels;
        let sums = limits.sums as usize / if narrow { 2 } else { 1 };
        let mut tiles: Vec<Tile> = Vec::new();
        let mut default = 0;
        for (i, shape) in SHAPES.iter().enumerate() {
            let Some(tile) = self.tile(shape, limits, shader).filter(|t| !tiles.contains(t)) else { continue };
            // The last of the defaults is the smallest.
            let good = tiles.get(default).is_some_and(|t| self.workgroups(t) >= limits.busy as usize && t.rows * t.cols <= sums);
            tiles.push(tile);
            if i < DEFAULTS && !good {
                default = tiles.len() - 1;
            }
        }
        assert!(!tiles.is_empty(), "no tile for {self:?} within {limits:?}");
        (tiles, default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernels would stage values of one row in the places of another.
    #[test]
    fn invocations_load_from_one_row_and_column_with_every_tile() {
        let limits = Limits { invocations: 1024, workgroup_bytes: 32 << 10, ..Limits::default() };
        for (c, k) in (4..=200).step_by(4).flat_map(|c| (4..=200).step_by(4).map(move |k| (c, k))) {
            let filter = Product { rows: 9 * c + 1, columns4: k / 4, times: 30, inner: Inner::Pixels };
            let forward = Product { rows: 1000, columns4: k / 4, times: 1, inner: Inner::Channels };
            for (product, shader) in [(filter, Shader::Conv2dDw), (forward, Shader::Conv2d)] {
                let (tiles, _) = product.tiles(&limits, shader);
                assert!(tiles.iter().all(|tile| product.is_loaded_evenly(tile)), "{c} to {k}: {tiles:?}");
            }
        }
    }

    /// With 8 vec4s of them over channels, compilers for Intel's GPUs spill registers: `benches/offline` tells.
    #[test]
    fn defaults_keep_no_more_sums_than_registers_hold() {
        let limits = Limits { sums: 8, ..Limits::default() };
        for (inner, shader, most) in [(Inner::Channels, Shader::Conv2d, 4), (Inner::Pixels, Shader::Conv2dDw, 8)] {
            let product = Product { rows: 100_000, columns4: 12, times: 1, inner };
            let (tiles, default) = product.tiles(&limits, shader);
            assert_eq!(tiles[default].rows * tiles[default].cols, most, "{inner:?}");
        }
    }
}
