//! What the planner may know of an adapter: its limits, and what it offers beyond what every adapter does.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an adapter may offer beyond what every adapter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Feature {
    /// 16-bit floats in shaders.
    F16,
    /// Operations among the invocations of a subgroup.
    Subgroup,
    /// Timestamps, to time kernels with.
    Timestamp,
    /// Compiled pipelines can be stored.
    PipelineCache,
    /// Cooperative matrices.
    CooperativeMatrix,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.serialize(f)
    }
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
    /// Workgroups it runs at once, about: fewer leave a part of it idle. [`Limits::BUSY_SOFTWARE`] or fewer are the processor's.
    pub busy: u32,
    /// Vec4s of sums that an invocation keeps in registers without spilling them: 16 or 8.
    pub sums: u32,
    /// Whether kernels read sizes, windows and flags at run time, so that few pipelines are compiled: where that takes longer than
    /// running them.
    pub shared: bool,
    /// Cooperative matrices, where the adapter has them and they are wanted.
    pub cooperative: Option<Cooperative>,
}

/// Cooperative matrices that a subgroup multiplies into 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooperative {
    /// Invocations of a subgroup.
    pub subgroup: u32,
    /// What they are.
    pub matrices: Matrices,
}

/// A kind of cooperative matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Matrices {
    /// Rows and columns: 16 or 8.
    pub side: u32,
    /// Whether the elements that are multiplied have 32 bits, and not 16.
    pub wide: bool,
    /// Whether the backend loads and stores them by pointers to scalars alone, as Metal does, and not to vec4s.
    pub scalars: bool,
}

impl Matrices {
    /// Vec4s of the inner dimension that a stage of the kernels brings: about as many bytes of either kind.
    pub(crate) fn inner4(self) -> u32 {
        if self.wide { 4 } else { 8 }
    }
}

impl Default for Matrices {
    /// Those that the kernels' files have.
    fn default() -> Self {
        Self { side: 16, wide: false, scalars: false }
    }
}

impl Limits {
    /// Of a software adapter, whose workgroups are tasks for a few threads.
    pub const BUSY_SOFTWARE: u32 = 4;
    /// Storage buffers that a kernel may bind: as many as every WebGPU device has, and more are asked of none.
    pub const STORAGE_BUFFERS: u32 = 8;

    /// Those limits, of a software adapter.
    #[must_use]
    pub fn software(self) -> Self {
        Self { busy: Self::BUSY_SOFTWARE, ..self }
    }

    /// Whether it is a software adapter.
    pub fn is_software(&self) -> bool {
        self.busy <= Self::BUSY_SOFTWARE
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            binding_bytes: 128 << 20,
            buffer_bytes: 256 << 20,
            invocations: 256,
            workgroup_bytes: 16 << 10,
            workgroups: 65535,
            busy: 176,
            sums: 16,
            shared: false,
            cooperative: None,
        }
    }
}
