//! Mean squared error over all elements, and its gradient 2 (x - t) / count.

use super::{channel4, channels4, stride4};
use crate::cpu;
use crate::graph::{Graph, Io, Lowering, Node, Op, Range, Real, Tensor, grid};

#[derive(Clone, Copy, Debug)]
struct Mse;

#[derive(Clone, Copy, Debug)]
struct MseGrad;

impl Graph {
    /// Mean over all elements of (x - t)^2, as a tensor of one element. Gradients flow to x only.
    pub fn mse(&mut self, x: Tensor, t: Tensor) -> Tensor {
        let (vx, vt) = (self.view(x), self.view(t));
        assert!(vx.shape == vt.shape && vx.parts == vt.parts, "mse: prediction and target differ in shape");
        self.record(Mse, &[x, t], [1, 1, 1], &[1])
    }
}

/// Emits the sum of `count` partial results: `part` of each `stride` floats, times `scale`, into `to`.
pub(super) fn sum_partials(
    l: &mut Lowering,
    partials: Range,
    count: usize,
    stride: usize,
    part: std::ops::Range<usize>,
    scale: f64,
    to: Range,
) {
    let len4 = part.len() / 4;
    let [gx, gy] = grid(len4.div_ceil(64), l.limits);
    let constants = [
        ("COUNT", count as f64),
        ("STRIDE4", (stride / 4) as f64),
        ("FIRST4", (part.start / 4) as f64),
        ("LEN4", len4 as f64),
        ("SCALE", scale),
        ("GRID_X", gx.into()),
    ];
    l.dispatch("sum_partials", &constants, &[("partials", partials), ("y", to)], [gx, gy, 1]);
}

impl Op for Mse {
    fn name(&self) -> &'static str {
        "mse"
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let view = g.view(node.inputs[0]).clone();
        let inputs = [node.inputs[0], node.inputs[1], dy[0].expect("mse has one output")];
        vec![Some(g.record(MseGrad, &inputs, view.shape, &view.parts)), None]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, t) = (l.view(node.inputs[0]).clone(), l.view(node.inputs[1]).clone());
        let groups = (x.pixels() * x.padded() / 4).div_ceil(64 * 4).clamp(1, 256.min(l.limits.workgroups as usize));
        let constants = [
            ("PIXELS", x.pixels() as f64),
            ("C4", channels4(&x)),
            ("X_STRIDE4", stride4(&x)),
            ("X_CHANNEL4", channel4(&x)),
            ("T_STRIDE4", stride4(&t)),
            ("T_CHANNEL4", channel4(&t)),
            ("GROUPS", groups as f64),
        ];
        let partials = l.scratch(groups * 4);
        let bindings = [("x", l.range(node.inputs[0])), ("t", l.range(node.inputs[1])), ("partials", partials)];
        l.dispatch("mse", &constants, &bindings, [groups as u32, 1, 1]);
        let scale = 1.0 / (x.pixels() * x.channels()) as f64;
        let to = l.range(node.outputs[0]);
        sum_partials(l, partials, groups, 4, 0..4, scale, to);
    }

    crate::cpu_meaning!();
}

impl Mse {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, _, y) = io.split(0);
        let ((vx, x), (vt, t)) = (inputs.x(0), inputs.x(1));
        let c = vx.padded();
        let sum: f64 = (0..vx.pixels())
            .map(|p| {
                let x = &x[p * vx.stride + vx.channel..][..c];
                let t = &t[p * vt.stride + vt.channel..][..c];
                x.iter().zip(t).map(|(&x, &t)| (x - t).f64().powi(2)).sum::<f64>()
            })
            .sum();
        y.fill(T::zero());
        y[0] = T::of(sum / (vx.pixels() * vx.channels()) as f64);
    }
}

impl Op for MseGrad {
    fn name(&self) -> &'static str {
        "mse_dx"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, t, dx) = (l.view(node.inputs[0]).clone(), l.view(node.inputs[1]).clone(), l.view(node.outputs[0]).clone());
        let [gx, gy] = grid((x.pixels() * x.padded() / 4).div_ceil(64), l.limits);
        let constants = [
            ("PIXELS", x.pixels() as f64),
            ("C4", channels4(&x)),
            ("SCALE", 2.0 / (x.pixels() * x.channels()) as f64),
            ("X_STRIDE4", stride4(&x)),
            ("X_CHANNEL4", channel4(&x)),
            ("T_STRIDE4", stride4(&t)),
            ("T_CHANNEL4", channel4(&t)),
            ("DX_STRIDE4", stride4(&dx)),
            ("DX_CHANNEL4", channel4(&dx)),
            ("GRID_X", gx.into()),
        ];
        let bindings = [
            ("x", l.range(node.inputs[0])),
            ("t", l.range(node.inputs[1])),
            ("dy", l.range(node.inputs[2])),
            ("dx", l.range(node.outputs[0])),
        ];
        l.dispatch("mse_dx", &constants, &bindings, [gx, gy, 1]);
    }

    crate::cpu_meaning!();
}

impl MseGrad {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, dx) = io.split(0);
        let scale = inputs.x(2).1[0] * T::of(2.0) / T::of((view.pixels() * view.channels()) as f64);
        cpu::map2(inputs.x(0), inputs.x(1), (view, dx), |x, t| (x - t) * scale);
    }
}
