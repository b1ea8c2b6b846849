//! Lowering: ops choose their kernels and emit dispatches, one node at a time.

use super::tuning::{Tuning, TuningKey};
use crate::graph::{Graph, StorageId, Tensor, View};
use crate::kernel::{Binding, KernelId, kernel};
use crate::limits::Limits;

/// A storage, or scratch memory that lives for one node, or until its partial results are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Buffer {
    /// A storage of the graph.
    Storage(StorageId),
    /// Scratch memory of a node, and its number there.
    Scratch(usize, usize),
}

/// A range of a buffer, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which buffer.
    pub buffer: Buffer,
    /// First element.
    pub offset: usize,
    /// Elements.
    pub len: usize,
}

/// One run of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: KernelId,
    /// Values of all its constants, in the order the kernel declares them.
    pub constants: Vec<(String, f64)>,
    /// What a shared kernel reads at run time, in its order.
    pub runtime: Vec<u32>,
    /// What it binds, in the order of its bindings.
    pub bindings: Vec<Range>,
    /// Workgroups.
    pub workgroups: [u32; 3],
    /// Floating-point operations of its op that it does: all of them, or none, as of a dispatch that adds up partial sums.
    pub flops: f64,
}

/// What there was to choose in lowering: see [`Tuning`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Number of the node.
    pub node: usize,
    /// Op and shape.
    pub key: TuningKey,
    /// How many variants there are.
    pub variants: usize,
    /// The one taken.
    pub variant: usize,
}

/// A sum whose partial results a node has made, to be added up together with others before somebody reads the totals.
#[derive(Clone, Debug)]
pub struct SplitSum {
    /// The node's scratch memory with all partial results.
    pub partials: Range,
    /// How many there are.
    pub count: usize,
    /// What each partial result has a part of, one range after the other: one or two, in one storage.
    pub totals: Vec<Range>,
}

/// Collects the dispatches of one node.
#[derive(Debug)]
pub struct Lowering<'a> {
    /// The graph that is lowered.
    pub graph: &'a Graph,
    /// What the adapter offers.
    pub limits: &'a Limits,
    /// Number of the node.
    node: usize,
    tuning: &'a Tuning,
    pub(super) choices: Vec<Choice>,
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) scratch: Vec<usize>,
    pub(super) sums: Vec<SplitSum>,
}

impl<'a> Lowering<'a> {
    /// Nothing yet of a node of the graph.
    pub(super) fn new(graph: &'a Graph, node: usize, limits: &'a Limits, tuning: &'a Tuning) -> Self {
        let (choices, dispatches, scratch, sums) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { graph, limits, node, tuning, choices, dispatches, scratch, sums }
    }

    /// Lowers one node of the graph.
    pub(super) fn of(graph: &'a Graph, node: usize, limits: &'a Limits, tuning: &'a Tuning) -> Self {
        let mut lowering = Self::new(graph, node, limits, tuning);
        let node = &graph.nodes()[node];
        node.op.lower(&mut lowering, node);
        lowering
    }

    /// Where `t` lies.
    pub fn view(&self, t: Tensor) -> &View {
        self.graph.view(t)
    }

    /// The range that a kernel binds to see `t`.
    pub fn range(&self, t: Tensor) -> Range {
        let view = self.view(t);
        Range { buffer: Buffer::Storage(view.storage), offset: view.base, len: view.span() }
    }

    /// Which of `variants` to take for an op and shape; all of them have to give the same result.
    pub fn choose(&mut self, key: TuningKey, variants: usize, default: usize) -> usize {
        let variant = self.tuning.choice(&key, variants, default);
        self.choices.push(Choice { node: self.node, key, variants, variant });
        variant
    }

    /// Scratch memory of `len` floats, dead after the node.
    pub fn scratch(&mut self, len: usize) -> Range {
        self.scratch.push(len);
        Range { buffer: Buffer::Scratch(self.node, self.scratch.len() - 1), offset: 0, len }
    }

    /// Leaves a sum to be added up later, before anything reads its totals.
    pub fn sum_later(&mut self, sum: SplitSum) {
        self.sums.push(sum);
    }

    /// Whether elements of a range are in half precision.
    fn is_half(&self, range: &Range) -> bool {
        matches!(range.buffer, Buffer::Storage(id) if self.graph.is_half(id))
    }

    /// The variant of a kernel for the precision of what it binds, for the device's matrices, and for one that compiles slowly.
    fn variant(&self, id: KernelId, bindings: &[(&str, Range)]) -> KernelId {
        let half = |b: &Binding| bindings.iter().any(|(n, range)| *n == b.name && self.is_half(range));
        let halves = kernel(id.shader).bindings.iter().enumerate().filter(|(_, b)| half(b)).map(|(i, _)| i);
        let id = id.with_halves(halves);
        let id = if self.limits.shared { id.to_share() } else { id };
        let matrices = self.limits.cooperative.filter(|_| id.shader.is_cooperative());
        matrices.map_or(id, |m| id.with_matrices(m.matrices))
    }

    /// Emits a dispatch. Bindings and constants are given by the names the kernel declares.
    ///
    /// # Panics
    /// If a name is missing or unknown: mistakes of ours.
    pub fn dispatch(
        &mut self,
        shader: impl Into<KernelId>,
        constants: &[(&str, f64)],
        bindings: &[(&str, Range)],
        workgroups: [u32; 3],
    ) -> &mut Dispatch {
        let k = kernel(self.variant(shader.into(), bindings));
        let name = k.id;
        let find = |c: &str| constants.iter().find(|(n, _)| *n == c).unwrap_or_else(|| panic!("{name}: no value for {c}")).1;
        let bound = |b: &Binding| {
            bindings.iter().find(|(n, _)| *n == b.name).unwrap_or_else(|| panic!("{name}: nothing bound to {}", b.name)).1
        };
        for (c, _) in constants {
            let known = k.constants.iter().chain(k.runtime.iter().map(|r| &r.name)).any(|d| d == c);
            assert!(known, "{name}: has no constant {c}");
        }
        assert_eq!(bindings.len(), k.bindings.len(), "{name}: wrong number of bindings");
        assert!(workgroups.iter().all(|&w| w > 0), "{name}: a grid of {workgroups:?}");
        self.dispatches.push(Dispatch {
            kernel: k.id,
            constants: k.constants.iter().map(|c| (c.clone(), find(c))).collect(),
            runtime: k.runtime.iter().map(|r| r.word(find(&r.name))).collect(),
            bindings: k.bindings.iter().map(bound).collect(),
            workgroups,
            flops: 0.0,
        });
        self.dispatches.last_mut().expect("one was just added")
    }
}

/// `count` workgroups laid out in two dimensions; the kernel's number is `id.x + id.y * grid.x`.
pub fn grid(count: usize, limits: &Limits) -> [u32; 2] {
    let rows = count.div_ceil(limits.workgroups as usize);
    [count.div_ceil(rows) as u32, rows as u32]
}
