//! Tiles of the convolutions' kernels on cooperative matrices (`shaders/lib/coop.wgsl`): how many subgroups a workgroup has, and
//! how many fragments of sums each of them keeps. All tiles add in the same order.

use super::conv_tiles::{Inner, Product};
use crate::graph::Precision;
use crate::kernel::{KernelId, Shader, kernel};
use crate::limits::{Cooperative, Limits};
use crate::plan::Lowering;

/// Subgroups of a workgroup along the rows of the product and along its columns.
const SUBGROUPS: [[usize; 2]; 5] = [[4, 1], [2, 2], [2, 1], [1, 1], [4, 2]];
/// Loads of either operand that an invocation can have under way, four for each block of four rows or columns.
const LOADS: usize = 16;
/// Most invocations: more of them would wait for each other at barriers.
const INVOCATIONS: usize = 256;
/// Most workgroup memory, bytes: so much that two workgroups fit the larger GPUs' units.
const MEMORY: usize = 48 << 10;
/// Most registers for sums and loads: with more of them compilers for NVIDIA's GPUs, which have 255, spill some.
const REGISTERS: usize = 150;

/// Subgroups of a workgroup, and fragments of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct CooperativeTile {
    kind: Cooperative,
    down: usize,
    across: usize,
    /// Fragments along the rows, 1 to 4.
    rows: usize,
    /// And along the columns.
    cols: usize,
}

impl CooperativeTile {
    /// The device's cooperative matrices for the pictures' precision, if it has such.
    fn kind(l: &Lowering) -> Option<Cooperative> {
        l.limits.cooperative.filter(|kind| kind.matrices.wide == (l.graph.precision() == Precision::F32))
    }

    /// Whether convolutions are done by such tiles.
    pub(super) fn are_used(l: &Lowering) -> bool {
        Self::kind(l).is_some()
    }

    /// The best one for a product, where there are any.
    pub(super) fn new(l: &Lowering, product: &Product) -> Option<Self> {
        let kind = Self::kind(l)?;
        Self::all(kind, l.limits).min_by(|a, b| a.cost(product, l.limits).total_cmp(&b.cost(product, l.limits)))
    }

    /// Those that the device can run.
    fn all(kind: Cooperative, limits: &Limits) -> impl Iterator<Item = Self> {
        let (invocations, bytes) = (limits.invocations as usize, MEMORY.min(limits.workgroup_bytes as usize));
        let fragments = (1..=4).flat_map(|rows| (1..=4).map(move |cols| (rows, cols)));
        let tiles = SUBGROUPS
            .into_iter()
            .flat_map(move |[down, across]| fragments.clone().map(move |(rows, cols)| Self { kind, down, across, rows, cols }));
        tiles.filter(move |tile| {
            let fits = tile.invocations() <= invocations.min(INVOCATIONS) && tile.bytes() <= bytes;
            fits && tile.loads().into_iter().all(|n| n <= LOADS) && tile.registers() <= REGISTERS
        })
    }

    /// The kernels' constants.
    pub(super) fn constants(&self) -> [(&'static str, f64); 5] {
        let Self { kind, down, across, rows, cols } = *self;
        let subgroup = kind.subgroup as usize;
        let sizes = [("SUBGROUP", subgroup), ("DOWN", down), ("ACROSS", across), ("ROWS", rows), ("COLS", cols)];
        sizes.map(|(name, size)| (name, size as f64))
    }

    /// Workgroups along rows and along columns.
    pub(super) fn grid(&self, product: &Product) -> [usize; 2] {
        let [rows, columns] = self.shape();
        [product.rows.div_ceil(rows), (product.columns4 * 4).div_ceil(columns)]
    }

    fn invocations(&self) -> usize {
        self.down * self.across * self.kind.subgroup as usize
    }

    /// Rows and columns of a workgroup.
    fn shape(&self) -> [usize; 2] {
        let side = self.kind.matrices.side as usize;
        [self.down * self.rows * side, self.across * self.cols * side]
    }

    /// Bytes of workgroup memory, which are the same for the three kernels.
    fn bytes(&self) -> usize {
        kernel(KernelId::from(Shader::Conv2dCoop).with_matrices(self.kind.matrices)).workgroup(&self.constants()).bytes as usize
    }

    /// Loads of either operand by an invocation in a stage, at most: by blocks of four vec4s, or by pairs of them.
    fn loads(&self) -> [usize; 2] {
        let step = self.invocations() / self.kind.matrices.inner4() as usize;
        self.shape().map(|lines| ((lines / 4).div_ceil(step) * 4).max(lines.div_ceil(2 * step) * 2))
    }

    /// Registers of an invocation for sums and for what it loads, about.
    fn registers(&self) -> usize {
        let side = self.kind.matrices.side as usize;
        let sums = self.rows * self.cols * (side * side).div_ceil(self.kind.subgroup as usize);
        sums + 3 * self.loads().iter().sum::<usize>()
    }

    /// How long it takes, about, in products of fragments: those of a stage, and for every fragment of an operand that is brought
    /// from workgroup memory for them 1.5 (at most 2 on RDNA3, 1.3 on NVIDIA's GPUs), for a load 0.4 or, over pixels that are
    /// counted one by one, 1, and for the stage 2. Subgroups that leave a part of the device idle take as long as those that fill
    /// it: with three for every workgroup of about six waves that it runs at once, its matrix cores are busy.
    fn cost(&self, product: &Product, limits: &Limits) -> f64 {
        let Self { down, across, rows, cols, .. } = *self;
        let steps = (self.kind.matrices.inner4() * 4 / self.kind.matrices.side) as f64;
        let loads: usize = self.loads().iter().sum();
        let per_load = if product.inner == Inner::Pixels { 1.0 } else { 0.4 };
        let stage = steps * ((rows * cols) as f64 + 1.5 * (rows + cols) as f64) + per_load * loads as f64 + 2.0;
        let subgroups = self.grid(product).iter().product::<usize>() * product.times * down * across;
        stage * (subgroups as f64 / (3 * limits.busy) as f64).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Matrices;

    /// Every kind, on the smallest device that can have it and on others.
    #[test]
    fn there_are_tiles_for_every_kind_that_keep_to_the_kernels_arrays() {
        let kinds = [8, 16].into_iter().flat_map(|side| [false, true].map(|wide| Matrices { side, wide, scalars: wide }));
        for (matrices, subgroup) in kinds.flat_map(|matrices| [8, 16, 32, 64].map(|subgroup| (matrices, subgroup))) {
            let kind = Cooperative { subgroup, matrices };
            let smallest = Limits { invocations: subgroup, ..Limits::default() };
            let largest = Limits { workgroup_bytes: 64 << 10, invocations: 1024, ..Limits::default() };
            for limits in [smallest, Limits::default(), largest] {
                let tiles: Vec<_> = CooperativeTile::all(kind, &limits).collect();
                assert!(!tiles.is_empty(), "{kind:?}: none within {limits:?}");
                for (tile, &shader) in
                    tiles.iter().zip([Shader::Conv2dCoop, Shader::Conv2dDxCoop, Shader::Conv2dDwCoop].iter().cycle())
                {
                    let kernel = kernel(KernelId::from(shader).with_matrices(matrices));
                    let taken = kernel.workgroup(&tile.constants());
                    assert_eq!(
                        (taken.invocations as usize, taken.bytes as usize),
                        (tile.invocations(), tile.bytes()),
                        "{tile:?}"
                    );
                    assert!(taken.bytes <= limits.workgroup_bytes && taken.invocations <= limits.invocations, "{tile:?}");
                    let constant = |name| kernel.constant(name).unwrap() as usize;
                    assert_eq!((constant("LOADS"), constant("KB")), (LOADS, matrices.inner4() as usize), "{shader:?}");
                    // Vulkan asks for rows that begin at 16 bytes: VUID-RuntimeSpirv-OpCooperativeMatrixLoadKHR-08986.
                    assert!((constant("LINE") * if matrices.wide { 16 } else { 8 }).is_multiple_of(16), "{tile:?}");
                }
            }
        }
    }
}
