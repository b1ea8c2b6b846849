//! What an op is to the graph: a gradient rule, a lowering to kernels, and a meaning on the CPU.

use std::fmt::Debug;
use std::sync::Arc;

use half::f16;

use super::{Element, Graph, Node, StorageId, Tensor, View};
use crate::kernel::{Kernel, Limits, Tuning, kernel, variant};

/// `f32` or `f64`: what the CPU executor computes in.
pub trait Real:
    num_traits::Float + num_traits::NumAssign + std::iter::Sum + bytemuck::Pod + Default + Debug + Send + Sync + 'static
{
    /// Rounded from double precision.
    fn of(x: f64) -> Self;
    /// Rounded to the precision of the device.
    fn f32(self) -> f32;
    /// In double precision: for sums of very many.
    fn f64(self) -> f64;
    /// Rounded to what 16 bits hold.
    fn half(self) -> Self;
    /// Runs an op in this precision.
    fn run(op: &dyn Op, io: &mut Io<Self>);
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as Self
    }
    fn f32(self) -> f32 {
        self
    }
    fn f64(self) -> f64 {
        self.into()
    }
    fn half(self) -> Self {
        f16::from_f32(self).into()
    }
    fn run(op: &dyn Op, io: &mut Io<Self>) {
        op.run_f32(io);
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn f32(self) -> f32 {
        self as f32
    }
    fn f64(self) -> f64 {
        self
    }
    fn half(self) -> Self {
        f16::from_f64(self).into()
    }
    fn run(op: &dyn Op, io: &mut Io<Self>) {
        op.run_f64(io);
    }
}

/// One op. All that belongs to it lives in one file of `ops/`.
pub trait Op: Debug + Send + Sync {
    /// Name in tables and errors; that of its main kernel.
    fn name(&self) -> &'static str;

    /// Records the gradient ops; `dy` holds the gradients of the outputs. Returns one of each input, where it has one.
    fn backward(&self, _g: &mut Graph, _node: &Node, _dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        panic!("{}: has no gradient", self.name())
    }

    /// Chooses kernels and emits their dispatches.
    fn lower(&self, l: &mut Lowering, node: &Node);

    /// Its meaning on the CPU, in single precision.
    fn run_f32(&self, io: &mut Io<f32>);

    /// Its meaning on the CPU, in double precision: the truth kernels are tested against.
    fn run_f64(&self, io: &mut Io<f64>);

    /// The same op that adds its input number `input` to its output number `output`, if it can: gradients that meet are then added
    /// where the second is made.
    fn adding(&self, _output: usize, _input: usize) -> Option<Arc<dyn Op>> {
        None
    }

    /// The same op that multiplies its result by the derivative of a leaky ReLU of that slope, whose result is its input number
    /// `input`, if it can.
    fn gated(&self, _slope: f32, _input: usize) -> Option<Arc<dyn Op>> {
        None
    }

    /// Whether its first result is so cheap that it is rather computed again for gradients than kept for them.
    fn is_cheap(&self) -> bool {
        false
    }

    /// Floating-point operations, a multiply-add counted as two. Only convolutions count.
    fn flops(&self, _g: &Graph, _node: &Node) -> f64 {
        0.0
    }

    /// Halo: how many pixels of the input, beyond its own place, an output pixel depends on. `None`: on all of them.
    fn halo(&self) -> Option<Halo> {
        Some(Halo::default())
    }
}

/// How an op maps places along an axis: output pixels `up * i .. up * (i + 1)` depend on input pixels `down * i - before` to
/// `down * (i + 1) - 1 + after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halo {
    /// Input pixels needed before those in the same place.
    pub before: usize,
    /// Input pixels needed after them.
    pub after: usize,
    /// How many input pixels there are to an output pixel.
    pub down: usize,
    /// How many output pixels there are to an input pixel.
    pub up: usize,
}

impl Halo {
    /// Farthest input pixel from the first in the same place.
    pub fn radius(self) -> usize {
        self.before.max(self.after + self.down - 1)
    }
}

impl Default for Halo {
    fn default() -> Self {
        Self { before: 0, after: 0, down: 1, up: 1 }
    }
}

/// Gives an op, whose meaning is one generic function `run`, the two precisions of [`Op`].
#[macro_export]
#[doc(hidden)]
macro_rules! cpu_meaning {
    () => {
        fn run_f32(&self, io: &mut $crate::graph::Io<f32>) {
            self.run(io);
        }
        fn run_f64(&self, io: &mut $crate::graph::Io<f64>) {
            self.run(io);
        }
    };
}

/// Memory of a storage in the CPU executor.
#[derive(Clone, Debug)]
pub enum Store<T> {
    /// Of [`Element::F32`] or [`Element::Picture`].
    Real(Vec<T>),
    /// Of [`Element::U32`].
    Int(Vec<u32>),
}

impl<T: Real> Store<T> {
    /// Zeros.
    pub fn new(element: Element, len: usize) -> Self {
        match element {
            Element::F32 | Element::Picture => Self::Real(vec![T::zero(); len]),
            Element::U32 => Self::Int(vec![0; len]),
        }
    }

    /// The floats.
    pub fn reals(&self) -> &[T] {
        match self {
            Self::Real(v) => v,
            Self::Int(_) => panic!("a storage of integers is read as floats"),
        }
    }

    /// The floats, to write.
    pub fn reals_mut(&mut self) -> &mut [T] {
        match self {
            Self::Real(v) => v,
            Self::Int(_) => panic!("a storage of integers is written as floats"),
        }
    }

    /// The integers.
    pub fn ints(&self) -> &[u32] {
        match self {
            Self::Int(v) => v,
            Self::Real(_) => panic!("a storage of floats is read as integers"),
        }
    }
}

/// Inputs and outputs of one node on the CPU. Output slots are taken out of the executor while the node runs.
#[derive(Debug)]
pub struct Io<'a, T> {
    pub(crate) graph: &'a Graph,
    pub(crate) node: &'a Node,
    pub(crate) slots: &'a [Store<T>],
    pub(crate) slot_of: &'a [usize],
    pub(crate) taken: Vec<(usize, Store<T>)>,
}

impl<T: Real> Io<'_, T> {
    fn store(&self, t: Tensor) -> &Store<T> {
        let slot = self.slot_of[self.graph.view(t).storage.0];
        self.taken.iter().find(|(s, _)| *s == slot).map_or(&self.slots[slot], |(_, store)| store)
    }

    /// Input `i`: its view, and its elements from the view's base.
    pub fn x(&self, i: usize) -> (&View, &[T]) {
        let view = self.graph.view(self.node.inputs[i]);
        (view, &self.store(self.node.inputs[i]).reals()[view.base..view.base + view.span()])
    }

    /// Input `i`, of integers.
    pub fn ints(&self, i: usize) -> &[u32] {
        self.store(self.node.inputs[i]).ints()
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.node.outputs.len()
    }

    /// View of output `i`.
    pub fn view(&self, i: usize) -> &View {
        self.graph.view(self.node.outputs[i])
    }

    /// Inputs, and output `i` to write. `y` begins at the view's base.
    pub fn split(&mut self, i: usize) -> (Inputs<'_, T>, &View, &mut [T]) {
        let view = self.graph.view(self.node.outputs[i]);
        let slot = self.slot_of[view.storage.0];
        let (_, store) = self.taken.iter_mut().find(|(s, _)| *s == slot).expect("outputs are taken before a node runs");
        let inputs = Inputs { graph: self.graph, node: self.node, slots: self.slots, slot_of: self.slot_of };
        (inputs, view, &mut store.reals_mut()[view.base..view.base + view.span()])
    }

    /// Takes all of output `i`'s storage out, to be given back with [`Io::give`]: for ops that write several at once.
    pub fn take(&mut self, i: usize) -> Vec<T> {
        let slot = self.slot_of[self.view(i).storage.0];
        let (_, store) = self.taken.iter_mut().find(|(s, _)| *s == slot).expect("outputs are taken before a node runs");
        match std::mem::replace(store, Store::Real(Vec::new())) {
            Store::Real(v) => v,
            Store::Int(_) => panic!("a storage of integers is written as floats"),
        }
    }

    /// Gives back what [`Io::take`] took.
    pub fn give(&mut self, i: usize, data: Vec<T>) {
        let slot = self.slot_of[self.view(i).storage.0];
        let (_, store) = self.taken.iter_mut().find(|(s, _)| *s == slot).expect("outputs are taken before a node runs");
        *store = Store::Real(data);
    }
}

/// Inputs of a node while one of its outputs is written.
#[derive(Debug)]
pub struct Inputs<'a, T> {
    graph: &'a Graph,
    node: &'a Node,
    slots: &'a [Store<T>],
    slot_of: &'a [usize],
}

impl<'a, T: Real> Inputs<'a, T> {
    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.node.inputs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.node.inputs.is_empty()
    }

    /// Input `i`: its view, and its elements from the view's base.
    pub fn x(&self, i: usize) -> (&'a View, &'a [T]) {
        let view = self.graph.view(self.node.inputs[i]);
        (view, &self.slots[self.slot_of[view.storage.0]].reals()[view.base..view.base + view.span()])
    }

    /// Input `i`, of integers.
    pub fn ints(&self, i: usize) -> &'a [u32] {
        self.slots[self.slot_of[self.graph.view(self.node.inputs[i]).storage.0]].ints()
    }
}

/// A storage, or scratch memory that lives for one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// A storage of the graph.
    Storage(StorageId),
    /// Scratch memory number i of the node.
    Scratch(usize),
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
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Values of all its constants, in the order the kernel declares them.
    pub constants: Vec<(String, f64)>,
    /// What it binds, in the order of its bindings.
    pub bindings: Vec<Range>,
    /// Workgroups.
    pub workgroups: [u32; 3],
}

/// Collects the dispatches of one node.
#[derive(Debug)]
pub struct Lowering<'a> {
    /// The graph that is lowered.
    pub graph: &'a Graph,
    /// What the adapter offers.
    pub limits: &'a Limits,
    /// Which way it is to take where there are several.
    pub tuning: &'a Tuning,
    /// Keys that were asked for, the number of ways there are, and the one taken.
    pub(crate) choices: Vec<(String, usize, usize)>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) scratch: Vec<usize>,
}

impl Lowering<'_> {
    /// Where `t` lies.
    pub fn view(&self, t: Tensor) -> &View {
        self.graph.view(t)
    }

    /// The range that a kernel binds to see `t`.
    pub fn range(&self, t: Tensor) -> Range {
        let view = self.view(t);
        Range { buffer: Buffer::Storage(view.storage), offset: view.base, len: view.span() }
    }

    /// Which of `count` ways to take for an op and shape that `key` names; all of them have to give the same result.
    pub fn choose(&mut self, key: String, count: usize, default: usize) -> usize {
        let choice = self.tuning.choice(&key, count, default);
        self.choices.push((key, count, choice));
        choice
    }

    /// Scratch memory of `len` floats, dead after the node.
    pub fn scratch(&mut self, len: usize) -> Range {
        self.scratch.push(len);
        Range { buffer: Buffer::Scratch(self.scratch.len() - 1), offset: 0, len }
    }

    /// Whether elements of a range are in half precision.
    fn is_half(&self, range: &Range) -> bool {
        matches!(range.buffer, Buffer::Storage(id) if self.graph.is_half(id))
    }

    /// The kernel's variant for the precision of what it binds.
    fn kernel(&self, name: &str, bindings: &[(&str, Range)]) -> &'static Kernel {
        let half = |b: &&crate::kernel::Binding| bindings.iter().any(|(n, range)| *n == b.name && self.is_half(range));
        let halves: Vec<&str> = kernel(name).bindings.iter().filter(half).map(|b| b.name.as_str()).collect();
        let small = name.ends_with("_coop") && self.limits.cooperative.is_some_and(|c| c.side == 8);
        kernel(&variant(name, &halves, small))
    }

    /// Emits a dispatch. Bindings and constants are given by the names the kernel declares.
    ///
    /// # Panics
    /// If a name is missing or unknown, or the grid is larger than the adapter's: mistakes of ours.
    pub fn dispatch(&mut self, name: &str, constants: &[(&str, f64)], bindings: &[(&str, Range)], workgroups: [u32; 3]) {
        let k = self.kernel(name, bindings);
        let find = |c: &String| constants.iter().find(|(n, _)| n == c).unwrap_or_else(|| panic!("{name}: no value for {c}")).1;
        let bound = |b: &crate::kernel::Binding| {
            bindings.iter().find(|(n, _)| *n == b.name).unwrap_or_else(|| panic!("{name}: nothing bound to {}", b.name)).1
        };
        for (c, _) in constants {
            assert!(k.constants.iter().any(|d| d == c), "{name}: has no constant {c}");
        }
        assert_eq!(bindings.len(), k.bindings.len(), "{name}: wrong number of bindings");
        assert!(workgroups.iter().all(|&w| 0 < w && w <= self.limits.workgroups), "{name}: a grid of {workgroups:?}");
        self.dispatches.push(Dispatch {
            kernel: k.name,
            constants: k.constants.iter().map(|c| (c.clone(), find(c))).collect(),
            bindings: k.bindings.iter().map(bound).collect(),
            workgroups,
        });
    }
}

/// `count` workgroups laid out in two dimensions; the kernel's number is `id.x + id.y * grid.x`.
pub fn grid(count: usize, limits: &Limits) -> [u32; 2] {
    let rows = count.div_ceil(limits.workgroups as usize);
    [count.div_ceil(rows) as u32, rows as u32]
}
