//! Kernels: the WGSL programs of `shaders/`, one per file, and what the planner may know of an adapter.
//!
//! Bindings, their access and the constants a kernel is specialised by are declared in the WGSL alone and read back
//! here by naga; nothing repeats them in Rust.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

macro_rules! shaders {
    ($($name:literal),* $(,)?) => {
        const SHADERS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../shaders/", $name, ".wgsl")))),*];
    };
}

shaders!(
    "adam",
    "add",
    "batch",
    "batch_norm",
    "batch_norm_running",
    "blur",
    "channel_sum",
    "conv2d",
    "conv2d_dw",
    "conv2d_dx",
    "copy",
    "fma",
    "fold",
    "group_norm",
    "group_norm_dx",
    "group_norm_stats",
    "group_norm_sums",
    "leaky_relu",
    "leaky_relu_dx",
    "loss",
    "loss_dx",
    "max_pool",
    "max_pool_dx",
    "sgd",
    "sigmoid",
    "sigmoid_dx",
    "sum_partials",
    "sum_squares",
    "unfold",
    "upsample",
    "upsample_dx",
    "white_noise",
);

/// Text that kernels share: a line `//#import rng` stands for `shaders/lib/rng.wgsl`.
const LIBRARY: &[(&str, &str)] = &[
    ("noise", include_str!("../shaders/lib/noise.wgsl")),
    ("optimizer", include_str!("../shaders/lib/optimizer.wgsl")),
    ("rng", include_str!("../shaders/lib/rng.wgsl")),
];

/// A storage buffer that a kernel binds in group 0, in the order of its binding number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Name of the variable in the WGSL.
    pub name: String,
    /// Whether the kernel writes it (`var<storage, read_write>`).
    pub writes: bool,
}

/// A WGSL compute program with the entry point `main`.
#[derive(Debug)]
pub struct Kernel {
    /// Name of its file in `shaders/`, without the ending.
    pub name: &'static str,
    /// Whole text, imports resolved.
    pub source: String,
    /// Buffers it binds.
    pub bindings: Vec<Binding>,
    /// Names of the `override` constants that specialise it.
    pub constants: Vec<String>,
    /// The parsed program.
    pub module: naga::Module,
}

impl Kernel {
    fn parse(name: &'static str, text: &str) -> Self {
        let source = text
            .lines()
            .map(|line| match line.strip_prefix("//#import ") {
                Some(part) => LIBRARY
                    .iter()
                    .find(|(n, _)| *n == part.trim())
                    .unwrap_or_else(|| panic!("{name}.wgsl: no library text {part}"))
                    .1
                    .trim_end(),
                None => line,
            })
            .collect::<Vec<_>>()
            .join("\n");
        let module =
            naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{name}.wgsl: {}", e.emit_to_string(&source)));
        let mut bindings = BTreeMap::new();
        for (_, v) in module.global_variables.iter() {
            if let (Some(at), naga::AddressSpace::Storage { access }) = (v.binding, v.space) {
                let writes = access.contains(naga::StorageAccess::STORE);
                bindings.insert(at.binding, Binding { name: v.name.clone().unwrap_or_default(), writes });
            }
        }
        let constants = module.overrides.iter().filter_map(|(_, o)| o.name.clone()).collect();
        Self { name, source, bindings: bindings.into_values().collect(), constants, module }
    }
}

/// The kernel of that name.
///
/// # Panics
/// If there is none: names come from our own code.
pub fn kernel(name: &str) -> &'static Kernel {
    kernels().iter().find(|k| k.name == name).unwrap_or_else(|| panic!("no kernel named {name}"))
}

/// All kernels, by name.
pub fn kernels() -> &'static [Kernel] {
    static ALL: OnceLock<Vec<Kernel>> = OnceLock::new();
    ALL.get_or_init(|| SHADERS.iter().map(|(name, text)| Kernel::parse(name, text)).collect())
}

/// What the planner takes into account of an adapter. [`Limits::default`] is what every WebGPU device offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest range of a buffer that a kernel can bind, bytes.
    pub binding_bytes: u64,
    /// Largest buffer, bytes.
    pub buffer_bytes: u64,
    /// Most invocations in a workgroup.
    pub invocations: u32,
    /// Workgroup memory, bytes.
    pub workgroup_bytes: u32,
    /// Most workgroups along one dimension of a dispatch.
    pub workgroups: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { binding_bytes: 128 << 20, buffer_bytes: 256 << 20, invocations: 256, workgroup_bytes: 16 << 10, workgroups: 65535 }
    }
}
