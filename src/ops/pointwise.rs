//! Functions of one picture, element by element: leaky ReLU (Maas, Hannun, Ng 2013), with slope 0 the ReLU (Nair and Hinton
//! 2010), and the logistic sigmoid. Their gradients need only the result.

use super::{Operator, per_vec4};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Halo, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// Records one of them.
pub(crate) type Function = fn(&mut Graph, Tensor) -> Tensor;

/// All of them by name: `check` has a case of each.
pub(crate) const POINTWISE: &[(&str, Function)] =
    &[("leaky_relu", |g, x| g.leaky_relu(x, 0.1)), ("relu", Graph::relu), ("sigmoid", Graph::sigmoid)];

#[derive(Clone, Copy, Debug)]
struct LeakyRelu {
    slope: f32,
}

#[derive(Clone, Copy, Debug)]
struct LeakyReluGrad {
    slope: f32,
}

impl Graph {
    /// y = x where x > 0, else slope * x; any shape.
    pub fn leaky_relu(&mut self, x: Tensor, slope: f32) -> Tensor {
        assert!(slope >= 0.0, "leaky_relu: a slope of {slope}, below 0");
        let view = self.view(x).clone();
        self.record(LeakyRelu { slope }, &[x], view.shape, &view.parts)
    }

    /// y = max(x, 0); any shape.
    pub fn relu(&mut self, x: Tensor) -> Tensor {
        self.leaky_relu(x, 0.0)
    }
}

/// Records dx from dy and the result y; where it can be, in the op that makes dy.
pub(super) fn backward(g: &mut Graph, slope: f32, y: Tensor, dy: Tensor) -> Tensor {
    if g.fuse(dy, y, |op, _, input| op.gated(slope, input)) {
        return dy;
    }
    let view = g.view(y).clone();
    g.record(LeakyReluGrad { slope }, &[dy, y], view.shape, &view.parts)
}

impl Op for LeakyRelu {
    op_facts!(self, "leaky_relu", Some(Halo::POINT));

    fn operator(&self) -> Option<Operator> {
        Some(Operator::LeakyRelu(self.slope))
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        vec![dy[0].map(|dy| backward(g, self.slope, node.outputs[0], dy))]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let constants = [("SLOPE", self.slope.into())];
        per_vec4(l, Shader::LeakyRelu, &constants, &[("x", node.inputs[0]), ("y", node.outputs[0])], &[]);
    }

    fn is_cheap(&self) -> bool {
        true
    }
}

impl LeakyRelu {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let slope = T::of(self.slope.into());
        let (inputs, view, y) = io.split(0);
        cpu::map(inputs.x(0), (view, y), |x| cpu::leaky(x, x, slope));
    }
}

impl Op for LeakyReluGrad {
    op_facts!(self, "leaky_relu_dx", Some(Halo::POINT));

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let tensors = [("dy", node.inputs[0]), ("y", node.inputs[1]), ("dx", node.outputs[0])];
        per_vec4(l, Shader::LeakyReluDx, &[("SLOPE", self.slope.into())], &tensors, &[]);
    }
}

impl LeakyReluGrad {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let slope = T::of(self.slope.into());
        let (inputs, view, dx) = io.split(0);
        cpu::map2(inputs.x(0), inputs.x(1), (view, dx), |dy, y| cpu::leaky(y, dy, slope));
    }
}

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

    fn operator(&self) -> Option<Operator> {
        Some(Operator::Sigmoid)
    }

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
