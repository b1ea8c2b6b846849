//! A plan as JSON: all that a small player, in a browser say, needs to replay it. It makes the buffers, fills the host's storages,
//! compiles the pipelines, and runs the dispatches in order, as often as it likes.

use serde::Serialize;

use super::Plan;
use crate::graph::{Element, Param, Role, StorageId};
use crate::kernel::{Feature, KernelId, Limits, kernel};

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    /// What the device must have beyond `WebGPU`.
    features: Vec<Feature>,
    needs: Needs,
    shaders: Vec<Shader<'a>>,
    pipelines: Vec<Pipeline>,
    buffers: Vec<Memory>,
    /// All of the graph's, by number.
    storages: Vec<Storage<'a>>,
    /// Storage of all parameters.
    params: Option<StorageId>,
    /// Storage of their gradients, laid out alike.
    gradients: Option<StorageId>,
    parameters: Vec<Parameter<'a>>,
    dispatches: Vec<Dispatch>,
}

/// The limits that the device must reach at least.
#[derive(Serialize)]
struct Needs {
    buffer_bytes: usize,
    storage_buffers: u32,
    invocations: u32,
    workgroup_bytes: u32,
    workgroups: u32,
}

#[derive(Serialize)]
struct Shader<'a> {
    name: String,
    wgsl: &'a str,
}

#[derive(Serialize, PartialEq)]
struct Pipeline {
    shader: usize,
    constants: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Memory {
    bytes: usize,
}

#[derive(Serialize)]
struct Storage<'a> {
    name: &'a str,
    role: Role,
    /// None of a tensor that was laid into another storage.
    buffer: Option<usize>,
    len: usize,
    /// `f32`, `u32`, or `f16`, two to a word of four bytes.
    element: &'static str,
    /// Value of all elements before the first run; of host storages alone.
    fill: f32,
}

#[derive(Serialize)]
struct Parameter<'a> {
    name: &'a str,
    shape: Vec<usize>,
    /// First element in the storage `params`.
    offset: usize,
    trained: bool,
}

impl<'a> Parameter<'a> {
    fn of(p: &'a Param) -> Self {
        Self { name: &p.name, shape: p.layout.file_shape(), offset: p.offset, trained: p.trained }
    }
}

#[derive(Serialize)]
struct Dispatch {
    pipeline: usize,
    bindings: Vec<Bound>,
    workgroups: [u32; 3],
}

/// Bytes of a buffer.
#[derive(Serialize)]
struct Bound {
    buffer: usize,
    offset: usize,
    size: usize,
}

/// Number of an item in a list, to which it is added where it is missing.
fn number<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|other| *other == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

impl Plan {
    /// The plan as JSON text.
    pub fn to_json(&self) -> String {
        let mut kernels: Vec<KernelId> = Vec::new();
        let mut pipelines: Vec<Pipeline> = Vec::new();
        let mut dispatches = Vec::new();
        for step in &self.steps {
            let shader = number(&mut kernels, step.kernel);
            let constants = step.constants.iter().map(|(n, v)| (n.clone(), (*v).into())).collect();
            let wanted = Pipeline { shader, constants };
            let pipeline = number(&mut pipelines, wanted);
            let bindings = step.bindings.iter().map(|&(buffer, offset, len)| Bound { buffer, offset: 4 * offset, size: 4 * len });
            dispatches.push(Dispatch { pipeline, bindings: bindings.collect(), workgroups: step.workgroups });
        }
        let mut features: Vec<Feature> = kernels.iter().flat_map(|k| k.features()).collect();
        features.sort_unstable();
        features.dedup();
        let document = Document {
            format: "n2n-gpu plan",
            version: 2,
            features,
            needs: self.needs(),
            shaders: kernels.iter().map(|&k| Shader { name: k.to_string(), wgsl: &kernel(k).source }).collect(),
            pipelines,
            buffers: self.slots.iter().map(|s| Memory { bytes: 4 * s.len }).collect(),
            storages: (0..self.slot_of.len()).map(|i| self.storage(StorageId(i))).collect(),
            params: self.graph.params_storage(),
            gradients: self.graph.gradients(),
            parameters: self.graph.params().iter().map(Parameter::of).collect(),
            dispatches,
        };
        serde_json::to_string_pretty(&document).expect("a plan is plain data")
    }

    fn storage(&self, id: StorageId) -> Storage<'_> {
        let s = self.graph.storage(id);
        let element = match s.element {
            Element::U32 => "u32",
            _ if self.graph.is_half(id) => "f16",
            Element::F32 | Element::Picture => "f32",
        };
        let buffer = Some(self.slot_of[id.0]).filter(|&slot| slot != usize::MAX);
        Storage { name: &s.name, role: s.role, buffer, len: s.len, element, fill: s.fill }
    }

    fn needs(&self) -> Needs {
        let taken: Vec<_> = self.steps.iter().map(super::Step::workgroup).collect();
        Needs {
            buffer_bytes: self.slots.iter().map(|s| 4 * s.len).max().unwrap_or(0),
            storage_buffers: Limits::STORAGE_BUFFERS,
            invocations: taken.iter().map(|t| t.invocations).max().unwrap_or(0),
            workgroup_bytes: taken.iter().map(|t| t.bytes).max().unwrap_or(0),
            workgroups: self.steps.iter().flat_map(|s| s.workgroups).max().unwrap_or(0),
        }
    }
}
