//! Tiles of the convolutions' kernels: how many invocations a workgroup has, and what each of them keeps in registers. All tiles of
//! an op add in the same order, so that the choice changes how long it takes and no bit of its result.

use super::Conv;
use crate::graph::{Precision, View};
use crate::kernel::{Cooperative, Limits, Shader, kernel};
use crate::plan::{Lowering, TuningKey};

/// TX x TY invocations with registers for ROWS rows and COLS vec4s of columns each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub tx: usize,
    pub ty: usize,
    /// 8 or 4.
    pub rows: usize,
    /// 2 or 1.
    pub cols: usize,
}

impl Tile {
    /// The kernels' constants.
    pub(super) fn constants(&self) -> [(&'static str, f64); 4] {
        [("TX", self.tx as f64), ("TY", self.ty as f64), ("ROWS", self.rows as f64), ("COLS", self.cols as f64)]
    }
}

/// Tiles of the kernels on cooperative matrices: four subgroups make eight by `cols` of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct CooperativeTile {
    matrices: Cooperative,
    cols: usize,
}

impl CooperativeTile {
    /// Those for so many vec4s of columns, where the device has cooperative matrices and pictures have 16 bits, as they do then.
    pub(super) fn new(l: &Lowering, columns4: usize) -> Option<Self> {
        let matrices = l.limits.cooperative.filter(|_| l.graph.precision() == Precision::F16)?;
        let fragments = columns4.div_ceil(matrices.side as usize / 4);
        // Columns are spread evenly over the workgroups that they take.
        Some(Self { matrices, cols: fragments.div_ceil(fragments.div_ceil(6)) })
    }

    /// The kernels' constants.
    pub(super) fn constants(&self) -> [(&'static str, f64); 2] {
        [("SUBGROUP", self.matrices.subgroup.into()), ("COLS", self.cols as f64)]
    }

    /// Workgroups along rows and along columns.
    pub(super) fn grid(&self, rows: usize, columns4: usize) -> [usize; 2] {
        let side = self.matrices.side as usize;
        [rows.div_ceil(8 * side), columns4.div_ceil(self.cols * side / 4)]
    }
}

/// Invocations, rows and vec4s of columns of the tiles that are tried, those first that are defaults: the largest that still keeps
/// the device busy.
const SHAPES: [(usize, usize, usize); 8] =
    [(128, 8, 2), (64, 8, 2), (64, 8, 1), (64, 4, 1), (256, 8, 2), (256, 4, 2), (128, 8, 1), (128, 4, 1)];
const DEFAULTS: usize = 4;

/// A matrix product of so many rows and vec4s of columns, done `times` times over (phases, splits).
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub rows: usize,
    pub columns4: usize,
    pub times: usize,
    /// TY has to be a multiple of it.
    pub multiple: usize,
}

impl Product {
    /// Workgroups along rows and along columns.
    pub(super) fn grid(&self, tile: &Tile) -> [usize; 2] {
        [self.rows.div_ceil(tile.ty * tile.rows), self.columns4.div_ceil(tile.tx * tile.cols)]
    }

    fn workgroups(&self, tile: &Tile) -> usize {
        self.grid(tile).iter().product::<usize>() * self.times
    }

    fn tile(&self, (invocations, rows, cols): (usize, usize, usize), limits: &Limits, shader: Shader) -> Option<Tile> {
        let invocations = invocations.min(limits.invocations as usize);
        let needed = self.columns4.div_ceil(cols);
        // Columns are spread evenly over the workgroups that they take.
        let tx = needed.div_ceil(needed.div_ceil(16));
        let down = |ty: usize| ty / self.multiple * self.multiple;
        let most = self.rows.div_ceil(rows).next_multiple_of(self.multiple);
        let mut tile = Tile { tx, ty: down(invocations / tx).min(most), rows, cols };
        while tile.ty > 0 && kernel(shader).workgroup(&tile.constants()).bytes > limits.workgroup_bytes {
            tile.ty -= self.multiple;
        }
        (tile.ty > 0 && cols <= self.columns4).then_some(tile)
    }

    /// The tile of the kernel in that file that the tuner knows or the default, for a convolution with the picture `result` on the
    /// side of its product's rows.
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
        let mut tiles: Vec<Tile> = Vec::new();
        let mut default = 0;
        for (i, shape) in SHAPES.into_iter().enumerate() {
            let Some(tile) = self.tile(shape, limits, shader).filter(|t| !tiles.contains(t)) else { continue };
            // The last of the defaults is the smallest.
            let busy = tiles.get(default).is_some_and(|t| self.workgroups(t) >= limits.busy as usize);
            tiles.push(tile);
            if i < DEFAULTS && !busy {
                default = tiles.len() - 1;
            }
        }
        assert!(!tiles.is_empty(), "no tile for {self:?} within {limits:?}");
        (tiles, default)
    }
}
