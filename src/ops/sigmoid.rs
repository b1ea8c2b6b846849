//! Logistic sigmoid, and its gradient, which needs only the result.

use super::per_vec4;
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Halo, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::plan::Lowering;

#[derive(Clone, Copy, Debug)]
struct Sigmoid;

/// dx = dy * y * (1 - y).
#[derive(Clone, Copy, Debug)]
struct SigmoidGrad;

impl Graph {
    /// y = 1 / (1 + exp(-x)) of x (N, H, W, C).
    pub fn sigmoid(&mut self, x: Tensor) -> Tensor {
        let view = self.view(x).clone();
        assert!(view.parts.len() == 1, "sigmoid: of a concatenation {:?}", view.parts);
        self.record(Sigmoid, &[x], view.shape, &view.parts)
    }
}

impl Op for Sigmoid {
    op_facts!(self, "sigmoid", Some(Halo::POINT));

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let view = g.view(node.outputs[0]).clone();
        let inputs = [dy[0].expect("sigmoid has one output"), node.outputs[0]];
        vec![Some(g.record(SigmoidGrad, &inputs, view.shape, &view.parts))]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let channels = l.view(node.outputs[0]).channels() as f64;
        per_vec4(l, Shader::Sigmoid, &[("C", channels)], &[("x", node.inputs[0]), ("y", node.outputs[0])], &[]);
    }
}

impl Sigmoid {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let (vx, x) = inputs.x(0);
        let c = view.channels();
        cpu::each_pixel((view, y), |p, y| {
            let x = &x[p * vx.stride + vx.channel..][..c];
            y[c..].fill(T::zero());
            for (y, &x) in y.iter_mut().zip(x) {
                *y = T::one() / (T::one() + (-x).exp());
            }
        });
    }
}

impl Op for SigmoidGrad {
    op_facts!(self, "sigmoid_dx", Some(Halo::POINT));

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let tensors = [("dy", node.inputs[0]), ("y", node.inputs[1]), ("dx", node.outputs[0])];
        per_vec4(l, Shader::SigmoidDx, &[], &tensors, &[]);
    }
}

impl SigmoidGrad {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, dx) = io.split(0);
        cpu::map2(inputs.x(0), inputs.x(1), (view, dx), |dy, y| dy * y * (T::one() - y));
    }
}
