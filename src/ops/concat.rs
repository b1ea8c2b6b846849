//! Concatenation along channels. Producers are laid into the result's storage, so that it costs nothing; what cannot
//! be moved (an input, a tensor already concatenated elsewhere) is copied.

use super::{Operator, per_vec4};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Halo, Node, Op, Tensor, View};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// Copies one tensor, times a number.
#[derive(Clone, Copy, Debug)]
struct Copy {
    scale: f32,
}

/// Marks that the tensors together are the concatenated one: runs nothing, but has a gradient.
#[derive(Clone, Copy, Debug)]
struct Concat;

/// Marks that the channels of a concatenation are taken as those of one tensor: runs nothing, but has a gradient.
#[derive(Clone, Copy, Debug)]
struct Join;

impl Graph {
    /// (N, H, W, C of all parts together), in that order; every part starts at a multiple of four channels.
    pub fn concat(&mut self, tensors: &[Tensor]) -> Tensor {
        let shape = self.view(tensors[0]).shape;
        assert!(tensors.iter().all(|&t| self.view(t).shape == shape), "concat: pictures of different sizes");
        let parts: Vec<usize> = tensors.iter().flat_map(|&t| self.view(t).parts.clone()).collect();
        let y = self.add_picture(&format!("concat.{}", self.nodes().len()), shape, &parts);
        let mut channel = 0;
        let mut laid = Vec::new();
        for &t in tensors {
            let part = View { channel, parts: self.view(t).parts.clone(), ..self.view(y).clone() };
            channel += part.padded();
            if self.lay(t, part.clone()) {
                laid.push(t);
            } else {
                let copy = self.add_view(part);
                self.copy_into(t, copy);
                laid.push(copy);
            }
        }
        self.record_into(Concat, &laid, &[y]);
        if laid.iter().any(|&t| self.needs_grad(t)) {
            self.require_grad(y);
        }
        y
    }

    /// A concatenation x (N, H, W, C of all parts together) as one part (N, H, W, C), without a copy.
    ///
    /// # Panics
    /// If padding lies between the parts: all but the last must have a multiple of four channels.
    pub fn join(&mut self, x: Tensor) -> Tensor {
        let view = self.view(x).clone();
        let gapless = view.parts.iter().rev().skip(1).all(|c| c.is_multiple_of(4));
        assert!(gapless, "join: padding lies between parts of {:?} channels", view.parts);
        let y = self.add_view(View { parts: vec![view.channels()], ..view });
        self.record_into(Join, &[x], &[y]);
        if self.needs_grad(x) {
            self.require_grad(y);
        }
        y
    }

    /// scale * x.
    pub fn scale(&mut self, x: Tensor, scale: f32) -> Tensor {
        let view = self.view(x).clone();
        self.record(Copy { scale }, &[x], view.shape, &view.parts)
    }

    /// Copies `x` to where `y` lies.
    pub(crate) fn copy_into(&mut self, x: Tensor, y: Tensor) {
        self.record_into(Copy { scale: 1.0 }, &[x], &[y]);
        if self.needs_grad(x) {
            self.require_grad(y);
        }
    }
}

impl Op for Concat {
    op_facts!(self, "concat", Some(Halo::POINT));

    fn operator(&self) -> Option<Operator> {
        Some(Operator::Concat)
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let mut first = 0;
        let mut slices = Vec::new();
        for &t in &node.inputs {
            let count = g.view(t).parts.len();
            slices.push(dy[0].map(|dy| g.parts(dy, first..first + count)));
            first += count;
        }
        slices
    }

    fn lower(&self, _l: &mut Lowering, _node: &Node) {}

    fn lay(&self, g: &mut Graph, inputs: &[Tensor]) -> Option<Tensor> {
        Some(g.concat(inputs))
    }
}

impl Concat {
    fn run<T: Real>(&self, _io: &mut Io<T>) {}
}

impl Op for Join {
    op_facts!(self, "join", Some(Halo::POINT));

    fn operator(&self) -> Option<Operator> {
        Some(Operator::Identity)
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let parts = g.view(node.inputs[0]).parts.clone();
        vec![dy[0].map(|dy| g.add_view(View { parts, ..g.view(dy).clone() }))]
    }

    fn lower(&self, _l: &mut Lowering, _node: &Node) {}

    fn lay(&self, g: &mut Graph, inputs: &[Tensor]) -> Option<Tensor> {
        Some(g.join(inputs[0]))
    }
}

impl Join {
    fn run<T: Real>(&self, _io: &mut Io<T>) {}
}

impl Op for Copy {
    op_facts!(self, "copy", Some(Halo::POINT));

    fn operator(&self) -> Option<Operator> {
        Some(if self.scale == 1.0 { Operator::Identity } else { Operator::Scale(self.scale) })
    }

    fn backward(&self, g: &mut Graph, _node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let scaled = |dy| if self.scale == 1.0 { dy } else { g.scale(dy, self.scale) };
        vec![dy[0].map(scaled)]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        per_vec4(l, Shader::Copy, &[("SCALE", self.scale.into())], &[("x", node.inputs[0]), ("y", node.outputs[0])], &[]);
    }
}

impl Copy {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let scale = T::of(self.scale.into());
        let (inputs, view, y) = io.split(0);
        cpu::map(inputs.x(0), (view, y), |x| scale * x);
    }
}
