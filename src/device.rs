//! Where plans run: a GPU, or the CPU executor.

use crate::cpu;
use crate::error::{Error, Result};
use crate::gpu::{self, DeviceKind, Gpu};
use crate::graph::{Graph, Precision};
use crate::limits::Limits;
use crate::plan::{Executor, Plan};

/// A device to run plans on.
#[derive(Clone, Debug)]
pub enum Device {
    /// The CPU executor, in single precision.
    Cpu,
    /// An open GPU, or a software adapter.
    Gpu(Gpu),
}

impl Device {
    /// Picks the device named `wanted`: `cpu`, an index or a part of a name as listed by `n2n-gpu devices`, or `auto`: the
    /// best real GPU, else the CPU. A software adapter is taken only by name or index.
    ///
    /// # Errors
    /// If there is no such device or it cannot be opened.
    pub fn select(wanted: &str) -> Result<Self> {
        if wanted.eq_ignore_ascii_case("cpu") {
            return Ok(Self::Cpu);
        }
        let adapters = gpu::adapters();
        if wanted.eq_ignore_ascii_case("auto") {
            // One that cannot be opened is passed over: an old driver must not keep anybody from the CPU.
            let opened = ranked(&adapters).into_iter().find_map(|i| Gpu::open(i).ok());
            return Ok(opened.map_or(Self::Cpu, Self::Gpu));
        }
        let needle = wanted.to_lowercase();
        // The empty name is a part of every name: a script's unset variable is not meant to pick a software adapter.
        let by_name = || adapters.iter().position(|a| !needle.is_empty() && a.name.to_lowercase().contains(&needle));
        // A number is an index, also where a name has it.
        let index = wanted.parse().map_or_else(|_| by_name(), |i: usize| Some(i).filter(|&i| i < adapters.len()));
        match index {
            Some(i) => Gpu::open(i).map(Self::Gpu),
            None => {
                let names: Vec<_> = adapters.iter().enumerate().map(|(i, a)| format!("{i} ({})", a.name)).collect();
                let there = if names.is_empty() {
                    "no adapter was found".into()
                } else {
                    format!("the adapters are {}", names.join(", "))
                };
                Err(Error::device(wanted, format!("no such device; {there}; `cpu` always works")))
            }
        }
    }

    /// Name for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(gpu) => &gpu.adapter.name,
        }
    }

    /// Whether large networks and batches pay on it: a discrete GPU, or one of Apple's.
    pub fn is_large(&self) -> bool {
        matches!(self, Self::Gpu(gpu) if gpu.adapter.is_large())
    }

    /// Whether plans of that precision run on it.
    pub fn supports(&self, precision: Precision) -> bool {
        match (self, precision) {
            (Self::Gpu(gpu), Precision::F16) => gpu.has_f16(),
            (Self::Cpu, _) | (_, Precision::F32) => true,
        }
    }

    /// What the planner has to keep to; nothing on the CPU.
    pub fn limits(&self) -> Option<&Limits> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => Some(&gpu.adapter.limits),
        }
    }

    /// Plans a graph for this device, and makes it ready to run.
    ///
    /// # Errors
    /// If it does not fit the device.
    pub fn prepare(&self, graph: Graph) -> Result<Box<dyn Executor>> {
        self.prepare_beside(graph, 0)
    }

    /// The same where the host needs `copies` bytes for itself.
    pub(crate) fn prepare_beside(&self, graph: Graph, copies: u64) -> Result<Box<dyn Executor>> {
        Ok(match self {
            Self::Cpu => {
                let plan = Plan::new(graph, None)?;
                check_memory(plan.bytes() + copies)?;
                Box::new(cpu::Executor::<f32>::new(plan))
            }
            Self::Gpu(gpu) => {
                check_memory(copies)?;
                Box::new(gpu::Executor::new(gpu, gpu.plan(graph)?)?)
            }
        })
    }
}

/// Fails where the system does not grant so many bytes: a failed allocation later on would abort the program.
fn check_memory(bytes: u64) -> Result<()> {
    let mut all = Vec::<u8>::new();
    // The compiler would remove an allocation that nothing looks at.
    let given = usize::try_from(bytes).is_ok_and(|bytes| std::hint::black_box(&mut all).try_reserve_exact(bytes).is_ok());
    if given { Ok(()) } else { Err(Error::memory(bytes)) }
}

/// Indices of real GPUs, best first, in the order of [`DeviceKind`]; never a software adapter.
pub fn ranked(adapters: &[gpu::Adapter]) -> Vec<usize> {
    let mut real: Vec<_> = (0..adapters.len()).filter(|&i| adapters[i].kind != DeviceKind::Software).collect();
    real.sort_by_key(|&i| adapters[i].kind);
    real
}
