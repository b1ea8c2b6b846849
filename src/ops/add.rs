//! Sums and differences of two tensors of one shape, with an activation: residual connections, and gradients that meet.

use super::{Activation, Operator, per_vec4};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Halo, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// y = act(a + scale * b).
#[derive(Clone, Copy, Debug)]
struct Add {
    scale: f32,
    activation: Activation,
}

impl Graph {
    /// a + b, of one shape.
    pub fn add(&mut self, a: Tensor, b: Tensor) -> Tensor {
        self.add_with(a, b, Activation::NONE)
    }

    /// act(a + b), of one shape.
    pub fn add_with(&mut self, a: Tensor, b: Tensor, activation: Activation) -> Tensor {
        self.record_sum(a, b, Add { scale: 1.0, activation })
    }

    /// a - b, of one shape.
    pub fn subtract(&mut self, a: Tensor, b: Tensor) -> Tensor {
        self.record_sum(a, b, Add { scale: -1.0, activation: Activation::NONE })
    }

    fn record_sum(&mut self, a: Tensor, b: Tensor, op: Add) -> Tensor {
        let (va, vb) = (self.view(a).clone(), self.view(b));
        let same = va.shape == vb.shape && va.parts == vb.parts;
        assert!(same, "add: {:?} {:?} and {:?} {:?}", va.shape, va.parts, vb.shape, vb.parts);
        self.record(op, &[a, b], va.shape, &va.parts)
    }
}

impl Op for Add {
    op_facts!(self, "add", Some(Halo::POINT));

    fn operator(&self) -> Option<Operator> {
        Some(Operator::Add { b_scale: self.scale, activation: self.activation })
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let dz = self.activation.backward(g, node.outputs[0], dy[0].expect("add has one output"));
        let wanted = g.needs_grad(node.inputs[1]);
        let db = if wanted && self.scale != 1.0 { g.scale(dz, self.scale) } else { dz };
        vec![Some(dz), Some(db)]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let constants = [("B_SCALE", self.scale.into()), ("SLOPE", self.activation.slope.into())];
        let tensors = [("a", node.inputs[0]), ("b", node.inputs[1]), ("y", node.outputs[0])];
        per_vec4(l, Shader::Add, &constants, &tensors, &[]);
    }

    fn is_cheap(&self) -> bool {
        true
    }
}

impl Add {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (scale, slope) = (T::of(self.scale.into()), T::of(self.activation.slope.into()));
        let (inputs, view, y) = io.split(0);
        cpu::map2(inputs.x(0), inputs.x(1), (view, y), |a, b| {
            let x = a + scale * b;
            cpu::leaky(x, x, slope)
        });
    }
}
