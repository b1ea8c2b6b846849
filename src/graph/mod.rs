//! The graph: straight-line code records ops on tensors here; [`Graph::backward`] records more of the same.
//!
//! A tensor is a *view* of a storage: pictures are NHWC, with every part of their channels padded to a multiple of four and
//! the padding always zero. Views make concatenation free: the producers are made to write into their channel range of
//! the wider storage. Parameters, and their gradients, are ranges of one flat storage each.

mod autodiff;
mod op;
mod param;
mod recompute;

pub use op::{Halo, Op};
pub use param::{Param, ParamLayout};

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Channels rounded up to whole `vec4`s.
pub const fn pad4(c: usize) -> usize {
    c.div_ceil(4) * 4
}

/// Channels of a pixel with every part padded to a multiple of four.
pub fn padded(parts: &[usize]) -> usize {
    parts.iter().map(|&c| pad4(c)).sum()
}

/// Position of each channel within a padded pixel.
pub fn physical(parts: &[usize]) -> Vec<usize> {
    let mut at = 0;
    let mut positions = Vec::new();
    for &part in parts {
        positions.extend(at..at + part);
        at += pad4(part);
    }
    positions
}

/// Parameters begin at multiples of this many floats: 256 bytes, the coarsest offset alignment of a binding.
pub const ALIGN: usize = 64;

/// Handle of a tensor of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tensor(usize);

/// Handle of a storage of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct StorageId(pub usize);

/// What a storage is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats (64-bit ones in the CPU executor's f64 mode).
    F32,
    /// 32-bit unsigned integers.
    U32,
    /// Floats in the graph's [`Precision`].
    Picture,
}

/// What a graph keeps its intermediate pictures in. Sums, parameters, their gradients and an optimizer's moments have 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats
    #[default]
    F32,
    /// 16-bit floats. The CPU executor keeps them in its own precision, rounded to what 16 bits hold
    F16,
}

/// Who a storage's contents belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Made and used up within one run; shares a slot of memory with others.
    Intermediate,
    /// Written or read by the host, and kept from run to run.
    Host,
}

/// A linear piece of memory.
#[derive(Clone, Debug)]
pub struct Storage {
    /// For tables, profiles and errors.
    pub name: String,
    /// Elements.
    pub len: usize,
    /// Type of its elements.
    pub element: Element,
    /// Who its contents belong to.
    pub role: Role,
    /// Value of all its elements at first.
    pub fill: f32,
}

/// Where a tensor (N, H, W, C) lies: element (n, h, w, c) is `base + channel + ((n*H + h)*W + w)*stride + physical(c)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The memory.
    pub storage: StorageId,
    /// (N, H, W). A filter (KH, KW, C_IN padded, C_OUT) counts as a picture of that shape, a vector as (1, 1, 1, C).
    pub shape: [usize; 3],
    /// Channels, in parts that are padded to a multiple of four each: one part, or those of a concatenation.
    pub parts: Vec<usize>,
    /// First element of the range that is bound, a multiple of [`ALIGN`].
    pub base: usize,
    /// First channel within a pixel, a multiple of four.
    pub channel: usize,
    /// Elements from a pixel to the next.
    pub stride: usize,
}

impl View {
    /// N*H*W.
    pub fn pixels(&self) -> usize {
        self.shape.iter().product()
    }
    /// C, without padding.
    pub fn channels(&self) -> usize {
        self.parts.iter().sum()
    }
    /// C with every part padded to a multiple of four.
    pub fn padded(&self) -> usize {
        padded(&self.parts)
    }
    /// Elements of the storage that the view spans from its base.
    pub fn span(&self) -> usize {
        self.pixels() * self.stride
    }
    /// Whether it is dense: no other tensor's channels between its own.
    pub fn dense(&self) -> bool {
        self.stride == self.padded()
    }
    /// Position of each channel within a pixel, relative to the view's first.
    pub fn physical(&self) -> Vec<usize> {
        physical(&self.parts)
    }
}

/// One recorded op.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Arc<dyn Op>,
    /// Tensors it reads.
    pub inputs: Vec<Tensor>,
    /// Tensors it writes. Host tensors among them may be read as well (an optimizer's moments).
    pub outputs: Vec<Tensor>,
}

/// Recorded ops in order, with the tensors and storages they use.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    storages: Vec<Storage>,
    tensors: Vec<View>,
    needs_grad: Vec<bool>,
    nodes: Vec<Node>,
    params: Vec<Param>,
    /// The flat storages of all parameters and of their gradients.
    flat: Option<StorageId>,
    gradients: Option<StorageId>,
    /// Gradients that may be those of several tensors at once, as of the terms of a sum: their ops stay as they are.
    pinned: BTreeSet<Tensor>,
    precision: Precision,
    /// What gradients are multiplied by on their way in [`Precision::F16`].
    gradient_scale: Option<f32>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps all intermediate pictures in that precision; [`Precision::F32`] where nothing is said.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// What intermediate pictures are kept in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether a storage holds 16-bit floats.
    pub fn is_half(&self, id: StorageId) -> bool {
        self.storages[id.0].element == Element::Picture && self.precision == Precision::F16
    }

    /// What gradients are multiplied by in the loss, so that 16 bits hold them, and divided by in the optimizer.
    pub(crate) fn gradient_scale(&self) -> f32 {
        self.gradient_scale.filter(|_| self.precision == Precision::F16).unwrap_or(1.0)
    }

    pub(crate) fn scale_gradients(&mut self, scale: f32) {
        self.gradient_scale = Some(scale);
    }

    /// All storages, by id.
    pub fn storages(&self) -> &[Storage] {
        &self.storages
    }

    /// The storage `id`.
    pub fn storage(&self, id: StorageId) -> &Storage {
        &self.storages[id.0]
    }

    /// Recorded ops in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where `t` lies.
    pub fn view(&self, t: Tensor) -> &View {
        &self.tensors[t.0]
    }

    /// Whether gradients flow to `t`.
    pub fn needs_grad(&self, t: Tensor) -> bool {
        self.needs_grad[t.0]
    }

    /// Asks [`Graph::backward`] for the gradient of an input as well.
    pub fn require_grad(&mut self, t: Tensor) {
        self.needs_grad[t.0] = true;
    }

    /// Keeps gradients from flowing to `t`.
    pub fn detach(&mut self, t: Tensor) {
        self.needs_grad[t.0] = false;
    }

    /// Adds a storage of `len` elements.
    pub fn add_storage(&mut self, name: impl Into<String>, len: usize, element: Element, role: Role) -> StorageId {
        self.storages.push(Storage { name: name.into(), len, element, role, fill: 0.0 });
        StorageId(self.storages.len() - 1)
    }

    /// Adds a tensor over memory that is there already.
    pub fn add_view(&mut self, view: View) -> Tensor {
        let end = view.base + view.span();
        let storage = &self.storages[view.storage.0];
        assert!(end <= storage.len, "{}: a view ends at {end} of {}", storage.name, storage.len);
        self.tensors.push(view);
        self.needs_grad.push(false);
        Tensor(self.tensors.len() - 1)
    }

    /// Adds a dense tensor (N, H, W, parts) with memory of its own.
    pub fn add_tensor(&mut self, name: &str, shape: [usize; 3], parts: &[usize], role: Role) -> Tensor {
        let stride = padded(parts);
        let storage = self.add_storage(name, shape.iter().product::<usize>() * stride, Element::F32, role);
        self.add_view(View { storage, shape, parts: parts.to_vec(), base: 0, channel: 0, stride })
    }

    /// Adds a dense intermediate (N, H, W, parts) in the graph's precision. A single pixel, as a loss is, always has 32 bits.
    pub(crate) fn add_picture(&mut self, name: &str, shape: [usize; 3], parts: &[usize]) -> Tensor {
        let t = self.add_tensor(name, shape, parts, Role::Intermediate);
        if shape != [1, 1, 1] {
            self.storages[self.tensors[t.0].storage.0].element = Element::Picture;
        }
        t
    }

    /// A picture (N, H, W, C) that the host writes or reads.
    pub fn host_picture(&mut self, name: &str, shape: [usize; 3], c: usize) -> Tensor {
        self.add_tensor(name, shape, &[c], Role::Host)
    }

    /// A flat host vector of `len` elements, as the tensor (1, 1, len/4, 4).
    pub fn host_vector(&mut self, name: &str, len: usize, element: Element) -> Tensor {
        let len = pad4(len);
        let storage = self.add_storage(name, len, element, Role::Host);
        self.whole(storage)
    }

    /// A host scalar, which is `fill` until it is written.
    pub fn host_scalar(&mut self, name: &str, fill: f32) -> Tensor {
        let scalar = self.host_picture(name, [1, 1, 1], 1);
        self.storages[self.tensors[scalar.0].storage.0].fill = fill;
        scalar
    }

    /// A host scalar of 1: the gradient a loss starts from.
    pub fn one(&mut self) -> Tensor {
        self.host_scalar("one", 1.0)
    }

    /// The whole of a host storage as a tensor.
    pub fn whole(&mut self, storage: StorageId) -> Tensor {
        let len = self.storages[storage.0].len;
        self.add_view(View { storage, shape: [1, 1, len / 4], parts: vec![4], base: 0, channel: 0, stride: 4 })
    }

    /// Some of the parts of a concatenation, without a copy.
    pub fn parts(&mut self, t: Tensor, range: std::ops::Range<usize>) -> Tensor {
        let mut view = self.view(t).clone();
        view.channel += padded(&view.parts[..range.start]);
        view.parts = view.parts[range].to_vec();
        self.add_view(view)
    }

    /// Records `op`; its result is a new dense intermediate (N, H, W, parts).
    pub fn record(&mut self, op: impl Op + 'static, inputs: &[Tensor], shape: [usize; 3], parts: &[usize]) -> Tensor {
        self.record_shared(Arc::new(op), inputs, shape, parts)
    }

    /// The same of an op that another graph may have as well.
    pub fn record_shared(&mut self, op: Arc<dyn Op>, inputs: &[Tensor], shape: [usize; 3], parts: &[usize]) -> Tensor {
        let y = self.add_picture(&format!("{}.{}", op.name(), self.nodes.len()), shape, parts);
        self.needs_grad[y.0] = inputs.iter().any(|t| self.needs_grad[t.0]);
        self.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: vec![y] });
        y
    }

    /// Records `op` with outputs that exist.
    pub fn record_into(&mut self, op: impl Op + 'static, inputs: &[Tensor], outputs: &[Tensor]) {
        self.nodes.push(Node { op: Arc::new(op), inputs: inputs.to_vec(), outputs: outputs.to_vec() });
    }

    /// Records `op` before node number `before`, with outputs that exist.
    pub(crate) fn record_at(&mut self, before: usize, op: impl Op + 'static, inputs: &[Tensor], outputs: &[Tensor]) {
        let node = Node { op: Arc::new(op), inputs: inputs.to_vec(), outputs: outputs.to_vec() };
        self.nodes.insert(before, node);
    }

    /// The same parameters without ops. Other tensors are still known, but have no memory.
    pub(crate) fn without_ops(&self) -> Self {
        let mut g = Self { nodes: Vec::new(), gradients: None, ..self.clone() };
        for (i, storage) in g.storages.iter_mut().enumerate().filter(|(i, _)| self.flat != Some(StorageId(*i))) {
            storage.role = Role::Intermediate;
            storage.name = format!("unused.{i}");
        }
        g
    }

    /// Whether `t` is an intermediate that alone fills its storage, so that it can be laid elsewhere.
    fn movable(&self, t: Tensor) -> bool {
        let view = self.view(t);
        let alone = self.tensors.iter().filter(|v| v.storage == view.storage).count() == 1;
        alone && self.storages[view.storage.0].role == Role::Intermediate && view.dense() && view.base == 0
    }

    /// Lays `t` at `view` of another storage, if no op would then read and write one storage, or write one place twice; says
    /// whether it did.
    pub fn lay(&mut self, t: Tensor, view: View) -> bool {
        // Kernels write scalars to the first element of their range, wherever the view's channels begin.
        let scalar = view.shape == [1, 1, 1] && view.parts == [1] && view.channel > 0;
        if scalar || !self.movable(t) {
            return false;
        }
        let target = view.storage;
        let uses = |ts: &[Tensor]| ts.iter().any(|&u| self.tensors[u.0].storage == target);
        let range = view.base..view.base + view.span();
        let overlaps = |u: &Tensor| {
            let other = &self.tensors[u.0];
            other.storage == target && other.base < range.end && range.start < other.base + other.span()
        };
        let clash = self.nodes.iter().any(|n| {
            (n.inputs.contains(&t) && uses(&n.outputs))
                || (n.outputs.contains(&t) && (uses(&n.inputs) || n.outputs.iter().any(overlaps)))
        });
        if !clash {
            self.storages[self.tensors[t.0].storage.0].len = 0;
            self.tensors[t.0] = view;
        }
        !clash
    }

    /// Makes `t` readable by the host under a name: laid there, or copied.
    pub fn output(&mut self, name: &str, t: Tensor) -> Tensor {
        let view = self.view(t).clone();
        let y = self.add_tensor(name, view.shape, &view.parts, Role::Host);
        if !self.lay(t, self.view(y).clone()) {
            self.copy_into(t, y);
        }
        y
    }

    /// Floating-point operations of one run, a multiply-add counted as two.
    pub fn flops(&self) -> f64 {
        self.nodes.iter().map(|n| n.op.flops(self, n)).sum()
    }
}
