//! Runs a plan on the CPU, node by node, in the plan's slots of memory.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::{Io, Packed, Real, Store};
use crate::error::Result;
use crate::graph::{Node, Role, StorageId};
use crate::plan::{self, Plan, Ticket};

/// Above so many pixels of a result, packing a filter costs nothing beside using it: it is not kept.
const KEPT: usize = 64 << 10;

/// A plan with its memory.
#[derive(Debug)]
pub struct Executor<T> {
    plan: Arc<Plan>,
    slots: Vec<Store<T>>,
    /// Room for the slots that a node writes, with their numbers.
    taken: Vec<(usize, Store<T>)>,
    /// Filters of nodes as their inner loops want them, and the storages, if they are the host's alone, for which they hold.
    packed: Vec<(Packed<T>, Option<StorageId>)>,
    reads: Vec<(Ticket, Vec<f32>)>,
    next: Ticket,
}

impl<T: Real> Executor<T> {
    /// Allocates the plan's slots.
    pub fn new(plan: Arc<Plan>) -> Self {
        let mut slots: Vec<Store<T>> = plan.slots.iter().map(|s| Store::new(s.element, s.len)).collect();
        for (storage, &slot) in plan.graph.storages().iter().zip(&plan.slot_of) {
            if storage.fill != 0.0 && storage.role == Role::Host {
                slots[slot].reals_mut().fill(T::of(storage.fill.into()));
            }
        }
        let graph = &plan.graph;
        let written: HashSet<_> = graph.nodes().iter().flat_map(|n| &n.outputs).map(|&t| graph.view(t).storage).collect();
        let filter = |node: &Node| {
            let storage = graph.view(*node.inputs.get(1)?).storage;
            let small = graph.view(*node.outputs.first()?).pixels() <= KEPT;
            (small && !written.contains(&storage)).then_some(storage)
        };
        let packed = graph.nodes().iter().map(|node| (Packed::default(), filter(node))).collect();
        Self { plan, slots, taken: Vec::new(), packed, reads: Vec::new(), next: 0 }
    }

    /// Contents of a host storage in this executor's precision.
    pub fn reals(&self, id: StorageId) -> &[T] {
        &self.slots[self.plan.slot_of[id.0]].reals()[..self.plan.graph.storage(id).len]
    }

    /// Contents of a host storage in this executor's precision, to write.
    pub fn reals_mut(&mut self, id: StorageId) -> &mut [T] {
        for (packed, _) in self.packed.iter_mut().filter(|(_, filter)| *filter == Some(id)) {
            packed.free();
        }
        let len = self.plan.graph.storage(id).len;
        &mut self.slots[self.plan.slot_of[id.0]].reals_mut()[..len]
    }

    fn run_node(&mut self, number: usize) {
        let node = &self.plan.graph.nodes()[number];
        let mut taken = std::mem::take(&mut self.taken);
        for &output in &node.outputs {
            let slot = self.plan.slot_of[self.plan.graph.view(output).storage.0];
            if taken.iter().all(|(s, _)| *s != slot) {
                taken.push((slot, std::mem::replace(&mut self.slots[slot], Store::Real(Vec::new()))));
            }
        }
        let packed = std::mem::take(&mut self.packed[number].0);
        let mut io = Io { graph: &self.plan.graph, node, slots: &self.slots, slot_of: &self.plan.slot_of, taken, packed };
        T::run(node.op.as_ref(), &mut io);
        self.taken = io.taken;
        if self.packed[number].1.is_some() {
            self.packed[number].0 = io.packed;
        }
        for (slot, store) in self.taken.drain(..) {
            self.slots[slot] = store;
        }
        for &t in &node.outputs {
            let view = self.plan.graph.view(t);
            if self.plan.graph.is_half(view.storage) {
                let memory = &mut self.slots[self.plan.slot_of[view.storage.0]].reals_mut()[view.base..view.base + view.span()];
                super::each_pixel((view, memory), |_, y| y.iter_mut().for_each(|v| *v = v.half()));
            }
        }
    }
}

impl<T> Drop for Executor<T> {
    fn drop(&mut self) {
        self.packed.iter_mut().for_each(|(packed, _)| packed.free());
    }
}

impl<T: Real> plan::Executor for Executor<T> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write_at(&mut self, id: StorageId, first: usize, data: &[f32]) -> Result<()> {
        for (to, &from) in self.reals_mut(id)[first..].iter_mut().zip(data) {
            *to = T::of(from.into());
        }
        Ok(())
    }

    fn write_ints_at(&mut self, id: StorageId, first: usize, data: &[u32]) -> Result<()> {
        match &mut self.slots[self.plan.slot_of[id.0]] {
            Store::Int(v) => v[first..first + data.len()].copy_from_slice(data),
            Store::Real(_) => panic!("{}: integers are written to floats", self.plan.graph.storage(id).name),
        }
        Ok(())
    }

    fn run_nodes(&mut self, nodes: Range<usize>) -> Result<()> {
        // All of it on a thread of the pool: it would have to be woken for every node otherwise.
        rayon::scope(|_| {
            for number in nodes {
                self.run_node(number);
            }
        });
        Ok(())
    }

    fn profile(&mut self) -> Result<Option<Vec<f64>>> {
        let nodes = self.plan.graph.nodes().len();
        let time = |number: usize| {
            let start = Instant::now();
            self.run_node(number);
            start.elapsed().as_secs_f64() * 1e3
        };
        Ok(Some(rayon::scope(|_| (0..nodes).map(time).collect())))
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn read(&mut self, id: StorageId) -> Result<Vec<f32>> {
        Ok(self.reals(id).iter().map(|v| v.f32()).collect())
    }

    fn read_range_later(&mut self, id: StorageId, range: Range<usize>) -> Result<Ticket> {
        let data = self.reals(id)[range].iter().map(|v| v.f32()).collect();
        self.next += 1;
        self.reads.push((self.next, data));
        Ok(self.next)
    }

    fn take_read(&mut self, ticket: Ticket) -> Result<Option<Vec<f32>>> {
        let at = self.reads.iter().position(|(t, _)| *t == ticket);
        Ok(at.map(|i| self.reads.swap_remove(i).1))
    }

    fn finished_reads(&mut self) -> Result<Vec<(Ticket, Vec<f32>)>> {
        Ok(std::mem::take(&mut self.reads))
    }
}
