//! A plan as JSON: WGSL text, constants, buffers, dispatches. All that a small player, in a browser say, needs to replay it.

use serde::Serialize;

use super::Plan;
use crate::graph::{Element, Role};
use crate::kernel::kernel;

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    shaders: Vec<Shader<'a>>,
    pipelines: Vec<Pipeline>,
    buffers: Vec<Memory>,
    storages: Vec<Named<'a>>,
    parameters: Vec<Parameter<'a>>,
    dispatches: Vec<Dispatch>,
}

#[derive(Serialize)]
struct Shader<'a> {
    name: &'a str,
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

/// A storage that the host writes or reads.
#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    buffer: usize,
    len: usize,
    element: &'static str,
    fill: f32,
}

#[derive(Serialize)]
struct Parameter<'a> {
    name: &'a str,
    shape: Vec<usize>,
    /// First element in `params`.
    offset: usize,
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

impl Plan {
    /// The plan as JSON text.
    pub fn to_json(&self) -> String {
        let mut shaders: Vec<Shader> = Vec::new();
        let mut pipelines: Vec<Pipeline> = Vec::new();
        let mut dispatches = Vec::new();
        for step in &self.steps {
            let shader = shaders.iter().position(|s| s.name == step.kernel).unwrap_or_else(|| {
                shaders.push(Shader { name: step.kernel, wgsl: &kernel(step.kernel).source });
                shaders.len() - 1
            });
            let constants = step.constants.iter().map(|(n, v)| (n.clone(), (*v).into())).collect();
            let wanted = Pipeline { shader, constants };
            let pipeline = pipelines.iter().position(|p| *p == wanted).unwrap_or_else(|| {
                pipelines.push(wanted);
                pipelines.len() - 1
            });
            let bindings = step.bindings.iter().map(|&(buffer, offset, len)| Bound { buffer, offset: 4 * offset, size: 4 * len });
            dispatches.push(Dispatch { pipeline, bindings: bindings.collect(), workgroups: step.workgroups });
        }
        let hosts = self.graph.storages().iter().zip(&self.slot_of).filter(|(s, _)| s.role == Role::Host);
        let document = Document {
            format: "n2n-gpu plan",
            version: 1,
            shaders,
            pipelines,
            buffers: self.slots.iter().map(|s| Memory { bytes: 4 * s.len }).collect(),
            storages: hosts
                .map(|(s, &buffer)| {
                    let element = if s.element == Element::F32 { "f32" } else { "u32" };
                    Named { name: &s.name, buffer, len: s.len, element, fill: s.fill }
                })
                .collect(),
            parameters: self
                .graph
                .params()
                .iter()
                .map(|p| Parameter { name: &p.name, shape: p.layout.file_shape(), offset: p.offset })
                .collect(),
            dispatches,
        };
        serde_json::to_string_pretty(&document).expect("a plan is plain data")
    }
}
