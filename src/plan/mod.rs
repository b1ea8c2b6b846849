//! The plan: a graph lowered to plain data. Lifetimes give every intermediate a slot of memory, ops become dispatches of
//! specialised kernels over ranges of slots. An executor replays it; so could a program in another language.

mod lowering;
mod serial;
mod slots;
mod sums;
mod tuning;

pub use lowering::{Buffer, Choice, Dispatch, Lowering, Range, SplitSum, grid};
pub use tuning::{Tuning, TuningKey};

use std::fmt;
use std::ops;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Element, Graph, Role, StorageId};
use crate::kernel::{KernelId, Workgroup, kernel};
use crate::limits::Limits;

/// Names a read that was asked for earlier.
pub type Ticket = u64;

/// Memory that is allocated once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Elements of four bytes.
    pub len: usize,
    /// Type of its elements.
    pub element: Element,
    /// Whether it belongs to one host storage; else intermediates share it.
    pub host: bool,
}

/// One run of a kernel over ranges of slots.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which node of the graph it belongs to.
    pub node: usize,
    /// The kernel.
    pub kernel: KernelId,
    /// Values of the kernel's constants, in its order.
    pub constants: Vec<(String, f64)>,
    /// First word and words of [`Plan::runtime`] that it reads, if its kernel is a shared one.
    pub runtime: Option<(usize, usize)>,
    /// Slot, first word of four bytes, words: in the order of the kernel's bindings.
    pub bindings: Vec<(usize, usize, usize)>,
    /// Workgroups.
    pub workgroups: [u32; 3],
    /// Floating-point operations of its node that it does.
    pub flops: f64,
}

impl Step {
    /// What a workgroup of it takes.
    fn workgroup(&self) -> Workgroup {
        let constants: Vec<_> = self.constants.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        kernel(self.kernel).workgroup(&constants)
    }
}

/// A graph with memory and dispatches.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was lowered.
    pub graph: Graph,
    /// All memory.
    pub slots: Vec<Slot>,
    /// Slot of every storage of the graph.
    pub slot_of: Vec<usize>,
    /// Dispatches in order; none in a plan for the CPU.
    pub steps: Vec<Step>,
    /// What shared kernels read at run time, in a uniform buffer: every part of it from a multiple of 64 words on.
    pub runtime: Vec<u32>,
    /// What there was to choose in lowering.
    pub choices: Vec<Choice>,
    /// First and last node that use each storage and scratch memory, its elements and its slot.
    lifetimes: Vec<Lifetime>,
}

/// When a piece of memory is in use.
#[derive(Clone, Debug)]
struct Lifetime {
    name: String,
    len: usize,
    first: usize,
    last: usize,
    slot: usize,
}

/// Dispatches of all nodes, and the deferred sums, each with the node that it runs after.
fn lower<'a>(graph: &'a Graph, limits: &'a Limits, tuning: &'a Tuning) -> (Vec<Lowering<'a>>, Vec<sums::Batch>) {
    let mut lowered: Vec<_> = (0..graph.nodes().len()).map(|n| Lowering::of(graph, n, limits, tuning)).collect();
    let batches = sums::batches(&lowered);
    for batch in &batches {
        lowered[batch.node].dispatches.extend(batch.lower(graph, limits, tuning).dispatches);
    }
    (lowered, batches)
}

/// Words from where a uniform buffer may be bound to the next such place, on every device.
const PLACE: usize = 64;

/// First of `words` in `all`, to which they are added where they are missing, and how many they are.
fn place(all: &mut Vec<u32>, words: &[u32]) -> Option<(usize, usize)> {
    if words.is_empty() {
        return None;
    }
    assert!(words.len() <= PLACE, "a kernel reads {} words at run time", words.len());
    let at = all.chunks(PLACE).position(|chunk| chunk.starts_with(words)).unwrap_or_else(|| {
        all.resize(all.len().next_multiple_of(PLACE), 0);
        all.extend(words);
        (all.len() - 1) / PLACE
    });
    Some((at * PLACE, words.len()))
}

impl Plan {
    /// Gives every storage memory; with an adapter's limits, also lowers every op to dispatches.
    ///
    /// # Errors
    /// If it does not keep to the adapter's limits.
    pub fn new(graph: Graph, limits: Option<&Limits>) -> Result<Arc<Self>> {
        Self::tuned(graph, limits, &Tuning::default())
    }

    /// [`Plan::new`] where it is known which variants are the fastest.
    ///
    /// # Errors
    /// If it does not keep to the adapter's limits.
    pub fn tuned(graph: Graph, limits: Option<&Limits>, tuning: &Tuning) -> Result<Arc<Self>> {
        let (lowered, batches) = limits.map_or_else(Default::default, |limits| lower(&graph, limits, tuning));
        let mut slots = Vec::new();
        let mut slot_of = vec![usize::MAX; graph.storages().len()];
        for (slot, s) in slot_of.iter_mut().zip(graph.storages()).filter(|(_, s)| s.role == Role::Host) {
            *slot = slots.len();
            slots.push(Slot { len: s.len.max(4), element: s.element, host: true });
        }
        // On a GPU two halves take the place of one float; the CPU executor keeps both kinds in one.
        let packed = |id: StorageId, len: usize| if graph.is_half(id) && limits.is_some() { len / 2 } else { len };
        let (ids, mut lifetimes) = slots::lifetimes(&graph, |id| packed(id, graph.storage(id).len));
        // Behind the intermediates, the scratch memory of every node.
        let mut scratch_of = Vec::new();
        for (node, l) in lowered.iter().enumerate() {
            scratch_of.push(lifetimes.len());
            let name = format!("{}.{node} scratch", graph.nodes()[node].op.name());
            lifetimes.extend(l.scratch.iter().map(|&len| Lifetime { name: name.clone(), len, first: node, last: node, slot: 0 }));
        }
        for (batch, sum) in batches.iter().flat_map(|b| b.sums.iter().map(move |sum| (b, sum))) {
            let place = |range: &Range| match range.buffer {
                Buffer::Storage(id) => ids.iter().position(|&other| other == id),
                Buffer::Scratch(node, i) => Some(scratch_of[node] + i),
            };
            for i in sum.totals.iter().chain([&sum.partials]).filter_map(place) {
                lifetimes[i].last = lifetimes[i].last.max(batch.node);
            }
            if batch.apart {
                // Nothing before it uses the slot: wgpu lets a dispatch wait for all before it that writes to a buffer which was
                // in use.
                place(&sum.partials).into_iter().for_each(|i| lifetimes[i].first = 0);
            }
        }
        slots::assign(&mut lifetimes, &mut slots);
        ids.iter().zip(&lifetimes).for_each(|(id, lifetime)| slot_of[id.0] = lifetime.slot);
        let resolve = |r: &Range| match r.buffer {
            Buffer::Storage(id) => (slot_of[id.0], packed(id, r.offset), packed(id, r.len)),
            Buffer::Scratch(node, i) => (lifetimes[scratch_of[node] + i].slot, r.offset, r.len),
        };
        let (mut steps, mut choices, mut runtime) = (Vec::new(), Vec::new(), Vec::new());
        for (node, l) in lowered.into_iter().enumerate() {
            choices.extend(l.choices);
            steps.extend(l.dispatches.into_iter().map(|d| Step {
                node,
                bindings: d.bindings.iter().map(resolve).collect(),
                kernel: d.kernel,
                constants: d.constants,
                runtime: place(&mut runtime, &d.runtime),
                workgroups: d.workgroups,
                flops: d.flops,
            }));
        }
        let plan = Self { graph, slots, slot_of, steps, runtime, choices, lifetimes };
        limits.map_or(Ok(()), |limits| plan.check(limits))?;
        Ok(Arc::new(plan))
    }

    /// Whether every buffer and every kernel keeps to the limits.
    fn check(&self, limits: &Limits) -> Result<()> {
        let largest = self.slots.iter().map(|s| 4 * s.len as u64).max().unwrap_or(0);
        let most = limits.binding_bytes.min(limits.buffer_bytes);
        if largest > most {
            return Err(Error::Memory(format!(
                "a buffer of {} MiB is needed, but the device binds at most {} MiB: choose a smaller batch, crop or tile",
                largest.div_ceil(1 << 20),
                most >> 20
            )));
        }
        for step in &self.steps {
            let taken = step.workgroup();
            let grid = step.workgroups.into_iter().max().unwrap_or(0);
            for (what, needed, most) in [
                ("storage buffers", step.bindings.len() as u32, Limits::STORAGE_BUFFERS),
                ("invocations in a workgroup", taken.invocations, limits.invocations),
                ("bytes of workgroup memory", taken.bytes, limits.workgroup_bytes),
                ("workgroups along one dimension", grid, limits.workgroups),
            ] {
                if needed > most {
                    return Err(Error::Memory(format!(
                        "kernel {} needs {needed} {what}, but the device has {most}: choose fewer channels, or a smaller batch or crop",
                        step.kernel
                    )));
                }
            }
        }
        Ok(())
    }

    /// Memory of the slots that intermediates share, bytes.
    pub fn intermediate_bytes(&self) -> u64 {
        self.slots.iter().filter(|s| !s.host).map(|s| 4 * s.len as u64).sum()
    }

    /// All memory, bytes.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|s| 4 * s.len as u64).sum::<u64>() + 4 * self.runtime.len() as u64
    }

    /// What all intermediates would take without sharing, bytes.
    pub fn unshared_bytes(&self) -> u64 {
        self.lifetimes.iter().map(|l| 4 * l.len as u64).sum()
    }

    /// Pairs of intermediates that are in use at once and share a slot: none, or the planner is wrong.
    pub fn conflicts(&self) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        for (i, a) in self.lifetimes.iter().enumerate() {
            for b in &self.lifetimes[i + 1..] {
                if a.slot == b.slot && a.first <= b.last && b.first <= a.last {
                    found.push((a.name.as_str(), b.name.as_str()));
                }
            }
        }
        found
    }
}

impl fmt::Display for Plan {
    /// The dispatches as a table, then the memory.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let head = format!("{:>4} {:>4}  {:<17} {:<20} {:>9}", "step", "node", "kernel", "workgroups", "MFLOP");
        writeln!(f, "{head}  bindings (slot:offset+length)")?;
        for (i, s) in self.steps.iter().enumerate() {
            let [x, y, z] = s.workgroups;
            let bindings: Vec<String> = s.bindings.iter().map(|(slot, offset, len)| format!("{slot}:{offset}+{len}")).collect();
            let (workgroups, mflop) = (format!("{x} x {y} x {z}"), s.flops / 1e6);
            writeln!(f, "{i:>4} {:>4}  {:<17} {workgroups:<20} {mflop:>9.2}  {}", s.node, s.kernel, bindings.join(" "))?;
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            f,
            "{} dispatches, {} slots, {:.1} MiB; intermediates {:.1} MiB in place of {:.1} MiB",
            self.steps.len(),
            self.slots.len(),
            mib(self.bytes()),
            mib(self.intermediate_bytes()),
            mib(self.unshared_bytes())
        )
    }
}

/// What replays a plan. Storages are named by the plan's graph; only host storages can be written and read.
/// All fails once the device is lost.
pub trait Executor {
    /// The plan it replays.
    fn plan(&self) -> &Plan;

    /// Writes the first elements of a host storage of floats.
    fn write(&mut self, id: StorageId, data: &[f32]) -> Result<()> {
        self.write_at(id, 0, data)
    }

    /// Writes elements of a host storage of floats, from element `first` on; on a GPU a multiple of four.
    fn write_at(&mut self, id: StorageId, first: usize, data: &[f32]) -> Result<()>;

    /// Writes the first elements of a host storage of integers.
    fn write_ints(&mut self, id: StorageId, data: &[u32]) -> Result<()> {
        self.write_ints_at(id, 0, data)
    }

    /// Writes elements of a host storage of integers, from element `first` on.
    fn write_ints_at(&mut self, id: StorageId, first: usize, data: &[u32]) -> Result<()>;

    /// Runs the plan once. On a GPU it returns once the run is submitted.
    fn run(&mut self) -> Result<()> {
        let nodes = self.plan().graph.nodes().len();
        self.run_nodes(0..nodes)
    }

    /// Runs some nodes of the plan. Those of one run are run in order, each once.
    fn run_nodes(&mut self, nodes: ops::Range<usize>) -> Result<()>;

    /// Runs the plan once, part by part, and tells how many milliseconds each took: every dispatch, or every node on the CPU.
    /// Nothing where the device cannot tell.
    fn profile(&mut self) -> Result<Option<Vec<f64>>>;

    /// Waits for all runs.
    fn wait(&mut self) -> Result<()>;

    /// Waits for all runs and reads a host storage.
    fn read(&mut self, id: StorageId) -> Result<Vec<f32>>;

    /// Asks for the contents of a host storage as they are after the runs so far, without waiting.
    fn read_later(&mut self, id: StorageId) -> Result<Ticket> {
        let len = self.plan().graph.storage(id).len;
        self.read_range_later(id, 0..len)
    }

    /// Asks for some elements of a host storage as they are after the runs so far, without waiting.
    fn read_range_later(&mut self, id: StorageId, range: ops::Range<usize>) -> Result<Ticket>;

    /// What was asked for under that ticket, if it has arrived; [`Executor::finished_reads`] is not told of it then.
    fn take_read(&mut self, ticket: Ticket) -> Result<Option<Vec<f32>>>;

    /// What was asked for by [`Executor::read_later`] and has arrived.
    fn finished_reads(&mut self) -> Result<Vec<(Ticket, Vec<f32>)>>;
}
