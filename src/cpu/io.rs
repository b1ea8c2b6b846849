//! What a node reads and writes on the CPU.

use super::{Packed, Real, Store};
use crate::graph::{Graph, Node, Tensor, View};

/// Inputs and outputs of one node on the CPU. Output slots are taken out of the executor while the node runs.
#[derive(Debug)]
pub struct Io<'a, T> {
    pub(crate) graph: &'a Graph,
    pub(super) node: &'a Node,
    pub(super) slots: &'a [Store<T>],
    pub(super) slot_of: &'a [usize],
    pub(super) taken: Vec<(usize, Store<T>)>,
    /// Taken by an op while it writes to [`Self::split`]'s output, and put back.
    pub(crate) packed: Packed<T>,
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

/// Gives an op, whose meaning is one generic function `run`, the two precisions of [`Op`].
#[macro_export]
#[doc(hidden)]
macro_rules! cpu_meaning {
    () => {
        fn run_f32(&self, io: &mut $crate::cpu::Io<f32>) {
            self.run(io);
        }
        fn run_f64(&self, io: &mut $crate::cpu::Io<f64>) {
            self.run(io);
        }
    };
}
