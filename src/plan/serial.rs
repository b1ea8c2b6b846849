//! A plan as JSON: all that a small player, in a browser say, needs to replay it. It makes the buffers, fills the host's
//! storages, compiles the pipelines, and runs the dispatches in order, as often as it likes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Plan;
use crate::graph::{Element, Param, ParamLayout, StorageId};
use crate::kernel::{KernelId, kernel};
use crate::limits::{Feature, Limits};

/// Number of an item in a list, to which it is added where it is missing.
fn number<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|other| *other == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

/// Where the elements of a parameter's `shape` in files lie: of `conv` as (k, k, in, out), of `conv-transpose` as (k, k, out,
/// in), both with every run of channels padded to a multiple of four.
fn layout(layout: &ParamLayout) -> Value {
    match layout {
        ParamLayout::Conv { input, output, .. } => json!({"kind": "conv", "in": input, "out": [output]}),
        ParamLayout::ConvTranspose { input, output, .. } => json!({"kind": "conv-transpose", "in": input, "out": [output]}),
        ParamLayout::Vector(_) => json!({"kind": "vector"}),
    }
}

impl Plan {
    /// The plan as JSON text. Buffers have bytes, and one with `words` holds them from the beginning: it is a uniform buffer,
    /// which none of version 2 had. Storages have elements; a storage has no buffer where its tensor was laid into another one.
    /// `element` is `f32`, `u32`, or `f16`, two to a word of four bytes; `fill` is the value of all elements before the first
    /// run, of host storages alone. `needs` are the limits that the device must reach at least, `features` what it must have
    /// beyond `WebGPU`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.to_value()).expect("a plan is plain data")
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut kernels: Vec<KernelId> = Vec::new();
        let mut pipelines: Vec<Value> = Vec::new();
        let mut dispatches = Vec::new();
        for step in &self.steps {
            let shader = number(&mut kernels, step.kernel);
            let constants: Map<String, Value> = step.constants.iter().map(|(n, v)| (n.clone(), (*v).into())).collect();
            let pipeline = number(&mut pipelines, json!({"shader": shader, "constants": constants}));
            let bound =
                |&(buffer, offset, len): &(usize, usize, usize)| json!({"buffer": buffer, "offset": 4 * offset, "size": 4 * len});
            let runtime = step.runtime.map(|(offset, len)| (self.slots.len(), offset, len));
            let bindings: Vec<Value> = step.bindings.iter().chain(&runtime).map(bound).collect();
            dispatches.push(json!({"pipeline": pipeline, "bindings": bindings, "workgroups": step.workgroups}));
        }
        let features: BTreeSet<Feature> = kernels.iter().flat_map(|k| k.features()).collect();
        let shader = |&k: &KernelId| json!({"name": k.to_string(), "wgsl": kernel(k).source});
        // Gradients are laid out as parameters are, from the same offsets.
        let parameter = |p: &Param| {
            let (shape, layout) = (p.layout.file_shape(), layout(&p.layout));
            json!({"name": p.name, "shape": shape, "layout": layout, "offset": p.offset, "trained": p.trained, "fill": p.fill})
        };
        let runtime = (!self.runtime.is_empty()).then(|| json!({"bytes": 4 * self.runtime.len(), "words": self.runtime}));
        json!({
            "format": "n2n-gpu plan",
            "version": 3,
            "features": features,
            "needs": self.needs(),
            "shaders": kernels.iter().map(shader).collect::<Vec<_>>(),
            "pipelines": pipelines,
            "buffers": self.slots.iter().map(|s| json!({"bytes": 4 * s.len})).chain(runtime).collect::<Vec<_>>(),
            "storages": (0..self.slot_of.len()).map(|i| self.storage(StorageId(i))).collect::<Vec<_>>(),
            "params": self.graph.params_storage(),
            "gradients": self.graph.gradients(),
            "parameters": self.graph.params().iter().map(parameter).collect::<Vec<_>>(),
            "dispatches": dispatches,
        })
    }

    fn storage(&self, id: StorageId) -> Value {
        let s = self.graph.storage(id);
        let element = match s.element {
            Element::U32 => "u32",
            _ if self.graph.is_half(id) => "f16",
            Element::F32 | Element::Picture => "f32",
        };
        let buffer = Some(self.slot_of[id.0]).filter(|&slot| slot != usize::MAX);
        json!({"name": s.name, "role": s.role, "buffer": buffer, "len": s.len, "element": element, "fill": s.fill})
    }

    fn needs(&self) -> Value {
        let taken: Vec<_> = self.steps.iter().map(super::Step::workgroup).collect();
        json!({
            "buffer_bytes": self.slots.iter().map(|s| 4 * s.len).max().unwrap_or(0),
            "storage_buffers": Limits::STORAGE_BUFFERS,
            "invocations": taken.iter().map(|t| t.invocations).max().unwrap_or(0),
            "workgroup_bytes": taken.iter().map(|t| t.bytes).max().unwrap_or(0),
            "workgroups": self.steps.iter().flat_map(|s| s.workgroups).max().unwrap_or(0),
        })
    }
}
