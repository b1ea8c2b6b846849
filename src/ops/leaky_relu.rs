//! Leaky ReLU (Maas, Hannun, Ng 2013) and its gradient, which needs only the result.

use super::{channel4, channels4, stride4};
use crate::cpu;
use crate::graph::{Graph, Io, Lowering, Node, Op, Real, Tensor, grid};

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
        assert!(slope > 0.0, "leaky_relu: a slope of {slope}, not above 0");
        let view = self.view(x).clone();
        self.record(LeakyRelu { slope }, &[x], view.shape, &view.parts)
    }
}

/// Records dx from dy and the result y.
pub(super) fn backward(g: &mut Graph, slope: f32, y: Tensor, dy: Tensor) -> Tensor {
    let view = g.view(y).clone();
    g.record(LeakyReluGrad { slope }, &[dy, y], view.shape, &view.parts)
}

impl Op for LeakyRelu {
    fn name(&self) -> &'static str {
        "leaky_relu"
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        vec![dy[0].map(|dy| backward(g, self.slope, node.outputs[0], dy))]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, y) = (l.view(node.inputs[0]), l.view(node.outputs[0]));
        let [gx, gy] = grid((x.pixels() * x.padded() / 4).div_ceil(64), l.limits);
        let constants = [
            ("PIXELS", x.pixels() as f64),
            ("C4", channels4(x)),
            ("SLOPE", self.slope.into()),
            ("X_STRIDE4", stride4(x)),
            ("X_CHANNEL4", channel4(x)),
            ("Y_STRIDE4", stride4(y)),
            ("Y_CHANNEL4", channel4(y)),
            ("GRID_X", gx.into()),
        ];
        let bindings = [("x", l.range(node.inputs[0])), ("y", l.range(node.outputs[0]))];
        l.dispatch("leaky_relu", &constants, &bindings, [gx, gy, 1]);
    }

    crate::cpu_meaning!();
}

impl LeakyRelu {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let slope = T::of(self.slope.into());
        let (inputs, view, y) = io.split(0);
        cpu::map(inputs.x(0), (view, y), |x| if x > T::zero() { x } else { slope * x });
    }
}

impl Op for LeakyReluGrad {
    fn name(&self) -> &'static str {
        "leaky_relu_dx"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (dy, y, dx) = (l.view(node.inputs[0]), l.view(node.inputs[1]), l.view(node.outputs[0]));
        let [gx, gy] = grid((y.pixels() * y.padded() / 4).div_ceil(64), l.limits);
        let constants = [
            ("PIXELS", y.pixels() as f64),
            ("C4", channels4(y)),
            ("SLOPE", self.slope.into()),
            ("DY_STRIDE4", stride4(dy)),
            ("DY_CHANNEL4", channel4(dy)),
            ("Y_STRIDE4", stride4(y)),
            ("Y_CHANNEL4", channel4(y)),
            ("DX_STRIDE4", stride4(dx)),
            ("DX_CHANNEL4", channel4(dx)),
            ("GRID_X", gx.into()),
        ];
        let bindings = [("dy", l.range(node.inputs[0])), ("y", l.range(node.inputs[1])), ("dx", l.range(node.outputs[0]))];
        l.dispatch("leaky_relu_dx", &constants, &bindings, [gx, gy, 1]);
    }

    crate::cpu_meaning!();
}

impl LeakyReluGrad {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let slope = T::of(self.slope.into());
        let (inputs, view, dx) = io.split(0);
        cpu::map2(inputs.x(0), inputs.x(1), (view, dx), |dy, y| if y > T::zero() { dy } else { slope * dy });
    }
}
