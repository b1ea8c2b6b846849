//! Adapters: what they are, and what they offer.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::limits::{Cooperative, Feature, Limits, Matrices};

/// What an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU as a virtual machine sees it.
    Virtual,
    /// Something else, as the driver says.
    Other,
    /// The processor, taken for a GPU.
    Software,
}

impl From<wgpu::DeviceType> for DeviceKind {
    fn from(kind: wgpu::DeviceType) -> Self {
        match kind {
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            wgpu::DeviceType::IntegratedGpu => Self::Integrated,
            wgpu::DeviceType::VirtualGpu => Self::Virtual,
            wgpu::DeviceType::Cpu => Self::Software,
            wgpu::DeviceType::Other => Self::Other,
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

/// What an adapter is, and what it offers.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// Name, as the driver gives it.
    pub name: String,
    /// Vulkan, Metal or Dx12.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Limits the planner works with.
    pub limits: Limits,
    /// Optional features that kernels could use.
    pub features: BTreeSet<Feature>,
    /// Cooperative matrices that kernels could use, for every size of a subgroup that the driver may choose, the smallest first.
    /// They do use them once [`Limits::cooperative`] says so: see [`crate::device::Device::with_precision`].
    pub cooperative: Vec<Cooperative>,
}

impl Adapter {
    /// Whether it is one of Apple's own GPUs: integrated, but as large as discrete ones, with all of the machine's memory. Metal
    /// tells no vendor, so that the name has to.
    fn is_apple(&self) -> bool {
        self.name.starts_with("Apple")
    }

    /// Whether large networks and batches pay on it: a discrete GPU, or one of Apple's.
    pub fn is_large(&self) -> bool {
        self.kind == DeviceKind::Discrete || self.is_apple()
    }

    /// Workgroups of 200 invocations that it runs at once, about. No API tells the number of compute units, so that it goes by
    /// the kind: of a software adapter, the threads of a small machine; of integrated GPUs, with 6 to 16 compute units, 32; of
    /// Apple's, with 8 to 40 cores, 64; of discrete ones, 176: eight waves of 32 for each multiprocessor of the largest, 132.
    fn busy(&self) -> u32 {
        match self.kind {
            DeviceKind::Software => Limits::BUSY_SOFTWARE,
            _ if self.is_apple() => 64,
            DeviceKind::Integrated => 32,
            DeviceKind::Discrete | DeviceKind::Virtual | DeviceKind::Other => Limits::default().busy,
        }
    }

    /// Vec4s of sums that its registers hold beside all else, as their drivers' compilers tell: fewer where threads have 128
    /// registers.
    fn sums(&self) -> u32 {
        if self.is_apple() || self.name.contains("Intel") { 8 } else { Limits::default().sums }
    }

    /// What is known of an adapter; limits and features are its own, or those that a device was opened with.
    ///
    /// The environment variable `N2N_BUSY` says how many workgroups it runs at once, for tests: with 176, software adapters run what
    /// large GPUs do.
    pub(super) fn describe(adapter: &wgpu::Adapter, limits: &wgpu::Limits, features: wgpu::Features) -> Self {
        let info = adapter.get_info();
        let known = FEATURES.into_iter().filter(|(f, _)| features.contains(*f)).map(|(_, known)| known);
        let mut described = Self {
            name: info.name,
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            kind: info.device_type.into(),
            limits: Limits {
                binding_bytes: limits.max_storage_buffer_binding_size,
                buffer_bytes: limits.max_buffer_size,
                invocations: limits.max_compute_invocations_per_workgroup,
                workgroup_bytes: limits.max_compute_workgroup_storage_size,
                workgroups: limits.max_compute_workgroups_per_dimension,
                busy: 0,
                sums: 0,
                shared: false,
                cooperative: None,
            },
            features: known.collect(),
            cooperative: cooperative(adapter, features),
        };
        let given = std::env::var("N2N_BUSY").ok().and_then(|workgroups| workgroups.parse().ok());
        (described.limits.busy, described.limits.sums) = (given.unwrap_or(described.busy()), described.sums());
        described.limits.shared = described.kind == DeviceKind::Software;
        described
    }
}

/// Features of wgpu that kernels or tools make use of.
const FEATURES: [(wgpu::Features, Feature); 5] = [
    (wgpu::Features::SHADER_F16, Feature::F16),
    (wgpu::Features::SUBGROUP, Feature::Subgroup),
    (wgpu::Features::TIMESTAMP_QUERY, Feature::Timestamp),
    (wgpu::Features::PIPELINE_CACHE, Feature::PipelineCache),
    (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, Feature::CooperativeMatrix),
];

/// `WebGPU`'s own limits but for those the planner makes use of. Not all of the adapter's: some cost memory.
pub(super) fn required_limits(of: &wgpu::Limits, planned: &Limits) -> wgpu::Limits {
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

/// The largest square cooperative matrices, of halves and of floats, that are multiplied into floats; naga knows no others, such as
/// Intel's of 8 x 16. Kernels reckon with subgroups of one size that stages divide by; which one it is of those that the driver
/// may choose, a self-test tells.
fn cooperative(adapter: &wgpu::Adapter, features: wgpu::Features) -> Vec<Cooperative> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let wanted = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
    let there = if features.contains(wanted) { adapter.cooperative_matrix_properties() } else { Vec::new() };
    let info = adapter.get_info();
    let kind = |operands| {
        let has = |s: u32| there.iter().any(|p| (p.m_size, p.n_size, p.k_size, p.ab_type, p.cr_type) == (s, s, s, operands, F32));
        let side = [16, 8].into_iter().find(|&side| has(side))?;
        Some(Matrices { side, wide: operands == F32, scalars: info.backend == wgpu::Backend::Metal })
    };
    // Metal tells of smaller ones than Apple's GPUs have.
    let there_are = if info.backend == wgpu::Backend::Metal { 32..=32 } else { info.subgroup_min_size..=info.subgroup_max_size };
    let sizes = [8, 16, 32, 64].into_iter().filter(|s| there_are.contains(s));
    let kinds = [F16, F32].into_iter().filter_map(kind);
    kinds.flat_map(|matrices| sizes.clone().map(move |subgroup| Cooperative { subgroup, matrices })).collect()
}

pub(super) fn enumerate() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()))
}

/// All adapters, in the order of their indices.
pub fn adapters() -> Vec<Adapter> {
    enumerate().iter().map(|a| Adapter::describe(a, &a.limits(), a.features())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apples_gpus_are_large_and_other_integrated_ones_are_not() {
        let adapter = |name: &str, backend: &str, kind| Adapter {
            name: name.into(),
            backend: backend.into(),
            driver: String::new(),
            kind,
            limits: Limits::default(),
            features: BTreeSet::new(),
            cooperative: Vec::new(),
        };
        use DeviceKind::{Discrete, Integrated, Software};
        for (name, backend, kind, large, busy) in [
            ("Apple M2 Max", "Metal", Integrated, true, 64),
            ("Intel Iris Plus", "Metal", Integrated, false, 32),
            ("AMD Radeon 780M", "Vulkan", Integrated, false, 32),
            ("NVIDIA GeForce RTX 4070", "Vulkan", Discrete, true, 176),
            ("llvmpipe", "Vulkan", Software, false, 4),
        ] {
            let adapter = adapter(name, backend, kind);
            assert_eq!((adapter.is_large(), adapter.busy()), (large, busy), "{name}");
        }
        assert_eq!(serde_json::json!(Integrated), "integrated");
        assert_eq!(Software.to_string(), "software");
    }
}
