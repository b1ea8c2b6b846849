//! Addition of two tensors of one shape: residual connections, and gradients that meet.

use super::{channel4, channels4, stride4};
use crate::cpu;
use crate::graph::{Graph, Io, Lowering, Node, Op, Real, Tensor, grid};

#[derive(Clone, Copy, Debug)]
struct Add;

impl Graph {
    /// a + b, of one shape.
    pub fn add(&mut self, a: Tensor, b: Tensor) -> Tensor {
        let (va, vb) = (self.view(a).clone(), self.view(b));
        assert!(
            va.shape == vb.shape && va.parts == vb.parts,
            "add: {:?} {:?} and {:?} {:?}",
            va.shape,
            va.parts,
            vb.shape,
            vb.parts
        );
        self.record(Add, &[a, b], va.shape, &va.parts)
    }
}

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn backward(&self, _g: &mut Graph, _node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        vec![dy[0], dy[0]]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (a, b, y) = (l.view(node.inputs[0]), l.view(node.inputs[1]), l.view(node.outputs[0]));
        let [gx, gy] = grid((y.pixels() * y.padded() / 4).div_ceil(64), l.limits);
        let constants = [
            ("PIXELS", y.pixels() as f64),
            ("C4", channels4(y)),
            ("A_STRIDE4", stride4(a)),
            ("A_CHANNEL4", channel4(a)),
            ("B_STRIDE4", stride4(b)),
            ("B_CHANNEL4", channel4(b)),
            ("Y_STRIDE4", stride4(y)),
            ("Y_CHANNEL4", channel4(y)),
            ("GRID_X", gx.into()),
        ];
        let bindings = [("a", l.range(node.inputs[0])), ("b", l.range(node.inputs[1])), ("y", l.range(node.outputs[0]))];
        l.dispatch("add", &constants, &bindings, [gx, gy, 1]);
    }

    crate::cpu_meaning!();
}

impl Add {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        cpu::map2(inputs.x(0), inputs.x(1), (view, y), |a, b| a + b);
    }
}
