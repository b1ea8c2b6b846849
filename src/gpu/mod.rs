//! The GPU: adapters, a device, and the executor that replays plans through wgpu. No other module knows wgpu.

mod executor;
mod tuner;

pub use executor::Executor;
pub use tuner::Tuner;

use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernel::{Cooperative, Limits};

/// What an adapter is, and what it offers.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// Name, as the driver gives it.
    pub name: String,
    /// Vulkan, Metal or Dx12.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Limits the planner works with.
    pub limits: Limits,
    /// Optional features that kernels could use.
    pub features: Vec<&'static str>,
    /// Cooperative matrices that kernels could use. They do once [`Limits::cooperative`] says so: see [`crate::check::cooperative_matrices`].
    pub cooperative: Option<Cooperative>,
}

/// An open device.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) trouble: Trouble,
    /// Its adapter.
    pub adapter: Box<Adapter>,
    tuner: Option<Arc<Tuner>>,
    /// Whether shaders check bounds and loops at run time; slow, for tests.
    pub checked: bool,
}

/// The first error that the driver reported outside of any call, and whether it was for want of memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<(bool, String)>>>);

impl Trouble {
    fn note(&self, memory: bool, message: String) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert((memory, message));
    }

    /// The error as a failure, if there was one.
    pub(crate) fn check(&self, adapter: &str) -> Result<()> {
        let mut trouble = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match trouble.clone() {
            // Less may fit: said once.
            Some((true, message)) => {
                *trouble = None;
                Err(Error::Memory(format!("{adapter}: {message}")))
            }
            Some((false, message)) => Err(Error::Lost(format!("{adapter}: {message}"))),
            None => Ok(()),
        }
    }
}

fn limits(of: &wgpu::Limits, kind: wgpu::DeviceType) -> Limits {
    Limits {
        binding_bytes: of.max_storage_buffer_binding_size,
        buffer_bytes: of.max_buffer_size,
        invocations: of.max_compute_invocations_per_workgroup,
        workgroup_bytes: of.max_compute_workgroup_storage_size,
        workgroups: of.max_compute_workgroups_per_dimension,
        busy: if kind == wgpu::DeviceType::Cpu { Limits::BUSY_SOFTWARE } else { Limits::default().busy },
        cooperative: None,
    }
}

/// `WebGPU`'s own limits but for those the planner makes use of. Not all of the adapter's: some cost memory.
fn required_limits(of: &wgpu::Limits, planned: &Limits) -> wgpu::Limits {
    wgpu::Limits {
        max_storage_buffer_binding_size: planned.binding_bytes,
        max_buffer_size: planned.buffer_bytes,
        max_compute_invocations_per_workgroup: planned.invocations,
        max_compute_workgroup_size_x: of.max_compute_workgroup_size_x.min(planned.invocations),
        max_compute_workgroup_size_y: of.max_compute_workgroup_size_y.min(planned.invocations),
        max_compute_workgroup_storage_size: planned.workgroup_bytes,
        max_compute_workgroups_per_dimension: planned.workgroups,
        ..wgpu::Limits::default()
    }
}

/// The largest square cooperative matrices of halves that are multiplied into floats.
fn cooperative(adapter: &wgpu::Adapter) -> Option<Cooperative> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let wanted = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
    let there = adapter.cooperative_matrix_properties();
    let has = |s: u32| there.iter().any(|p| (p.m_size, p.n_size, p.k_size, p.ab_type, p.cr_type) == (s, s, s, F16, F32));
    let side = [16, 8].into_iter().find(|&side| has(side))?;
    let info = adapter.get_info();
    // Kernels reckon with subgroups of one size that stages divide by.
    let subgroup = info.subgroup_min_size;
    let one_size = subgroup == info.subgroup_max_size && [8, 16, 32, 64].contains(&subgroup);
    (adapter.features().contains(wanted) && one_size).then_some(Cooperative { subgroup, side })
}

fn describe(adapter: &wgpu::Adapter) -> Adapter {
    let info = adapter.get_info();
    let features = [
        (wgpu::Features::SHADER_F16, "f16"),
        (wgpu::Features::SUBGROUP, "subgroup"),
        (wgpu::Features::TIMESTAMP_QUERY, "timestamp"),
        (wgpu::Features::PIPELINE_CACHE, "pipeline-cache"),
        (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative-matrix"),
    ];
    Adapter {
        name: info.name,
        backend: format!("{:?}", info.backend),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        },
        limits: limits(&adapter.limits(), info.device_type),
        cooperative: cooperative(adapter),
        features: features.iter().filter(|(f, _)| adapter.features().contains(*f)).map(|(_, n)| *n).collect(),
    }
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()))
}

/// All adapters, in the order of their indices.
pub fn adapters() -> Vec<Adapter> {
    enumerate().iter().map(describe).collect()
}

impl Gpu {
    /// Opens adapter number `index` of [`adapters`] with all of its limits.
    ///
    /// # Errors
    /// If there is no such adapter, or the driver refuses.
    pub fn open(index: usize) -> Result<Self> {
        Self::open_with(index, |_| ())
    }

    /// Opens adapter number `index` with limits that `lower` makes of its own; the driver then refuses whatever exceeds them.
    ///
    /// # Errors
    /// If there is no such adapter, or the driver refuses, as it does where a limit was raised.
    pub fn open_with(index: usize, lower: impl FnOnce(&mut Limits)) -> Result<Self> {
        let adapters = enumerate();
        let Some(adapter) = adapters.get(index) else {
            return Err(Error::device(format!("adapter {index}"), "there is no such adapter"));
        };
        let mut described = describe(adapter);
        lower(&mut described.limits);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("n2n-gpu"),
            required_features: adapter.features() & (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SHADER_F16),
            required_limits: required_limits(&adapter.limits(), &described.limits),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let experimental = wgpu::DeviceDescriptor {
            required_features: descriptor.required_features | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            // SAFETY: of what is experimental, only cooperative matrices are used, in kernels that the tests and a self-test run.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..descriptor.clone()
        };
        let request = |descriptor| pollster::block_on(adapter.request_device(descriptor));
        let Limits { workgroup_bytes, invocations, .. } = described.limits;
        // What the kernels take with matrices of 16 x 16.
        described.cooperative = described.cooperative.filter(|c| workgroup_bytes >= 24 << 10 && invocations >= 4 * c.subgroup);
        let opened = if described.cooperative.is_some() { request(&experimental).ok() } else { None };
        described.cooperative = described.cooperative.filter(|_| opened.is_some());
        let (device, queue) = opened
            .map_or_else(|| request(&descriptor), Ok)
            .map_err(|e| Error::device(&described.name, format!("the device cannot be opened: {e}")))?;
        let trouble = Trouble::default();
        let (uncaptured, lost) = (trouble.clone(), trouble.clone());
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            uncaptured.note(matches!(e, wgpu::Error::OutOfMemory { .. }), one_line(&e.to_string()));
        }));
        device.set_device_lost_callback(move |reason, message| {
            let destroyed = reason == wgpu::DeviceLostReason::Destroyed;
            lost.note(
                false,
                format!("the device was lost: {}", if destroyed { "it was destroyed".into() } else { one_line(&message) }),
            );
        });
        Ok(Self { device, queue, trouble, adapter: Box::new(described), tuner: None, checked: false })
    }
}

impl Gpu {
    /// The same device with plans for its cooperative matrices, if it has them.
    pub fn with_cooperative_matrices(&self) -> Option<Self> {
        let mut gpu = self.clone();
        gpu.adapter.limits.cooperative = Some(self.adapter.cooperative?);
        Some(gpu)
    }

    /// Plans for this device from now on are made by what `tuner` knows or finds.
    pub fn set_tuner(&mut self, tuner: Tuner) {
        self.tuner = Some(Arc::new(tuner));
    }

    /// Memory that buffers take on the device, bytes, where the backend tells.
    pub fn allocated_bytes(&self) -> Option<u64> {
        self.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    /// Gives the device back at once, as if the driver had lost it: all that uses it fails from now on.
    pub fn destroy(&self) {
        self.device.destroy();
    }
}

/// An error message of several lines, as one.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
