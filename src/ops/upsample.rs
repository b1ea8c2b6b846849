//! Nearest upsampling, and its gradient, the sum over each square.

use super::{Operator, per_vec4, pool::geometry};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Halo, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// y(h, w) = x(h / kernel, w / kernel).
#[derive(Clone, Copy, Debug)]
struct Upsample {
    kernel: usize,
}

/// dx from dy.
#[derive(Clone, Copy, Debug)]
struct UpsampleGrad {
    kernel: usize,
}

impl Graph {
    /// Makes every pixel a square of side `kernel`: (N, H, W, C) to (N, H * kernel, W * kernel, C).
    pub fn upsample_nearest(&mut self, x: Tensor, kernel: usize) -> Tensor {
        let view = self.view(x).clone();
        let [n, h, w] = view.shape;
        assert!(kernel > 0, "upsample_nearest: squares of 0 pixels");
        self.record(Upsample { kernel }, &[x], [n, h * kernel, w * kernel], &view.parts)
    }
}

impl Op for Upsample {
    op_facts!(self, "upsample", Some(Halo { up: self.kernel, ..Halo::POINT }));

    fn operator(&self) -> Option<Operator> {
        Some(Operator::Upsample(self.kernel))
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let view = g.view(node.inputs[0]).clone();
        let dy = dy[0].expect("upsample_nearest has one output");
        vec![Some(g.record(UpsampleGrad { kernel: self.kernel }, &[dy], view.shape, &view.parts))]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let constants = geometry(l.view(x), l.view(y), self.kernel);
        per_vec4(l, Shader::Upsample, &constants, &[("x", x), ("y", y)], &[]);
    }

    fn is_cheap(&self) -> bool {
        true
    }
}

impl Upsample {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let (vx, x) = inputs.x(0);
        let ([_, h, w], [_, oh, ow], k) = (vx.shape, view.shape, self.kernel);
        cpu::each_pixel((view, y), |p, y| {
            let from = (p / (oh * ow) * h + p / ow % oh / k) * w + p % ow / k;
            y.copy_from_slice(&x[from * vx.stride + vx.channel..][..y.len()]);
        });
    }
}

impl Op for UpsampleGrad {
    op_facts!(self, "upsample_dx", Some(Halo { down: self.kernel, ..Halo::POINT }));

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (dy, dx) = (node.inputs[0], node.outputs[0]);
        let constants = geometry(l.view(dx), l.view(dy), self.kernel);
        per_vec4(l, Shader::UpsampleDx, &constants, &[("dy", dy), ("dx", dx)], &[]);
    }
}

impl UpsampleGrad {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, dx) = io.split(0);
        let (vdy, dy) = inputs.x(0);
        let ([_, h, w], [_, oh, ow], k) = (view.shape, vdy.shape, self.kernel);
        cpu::each_pixel((view, dx), |p, dx| {
            let corner = (p / (h * w) * oh + p / w % h * k) * ow + p % w * k;
            dx.fill(T::zero());
            for t in 0..k * k {
                cpu::accumulate(dx, &dy[(corner + t / k * ow + t % k) * vdy.stride + vdy.channel..][..dx.len()]);
            }
        });
    }
}
