//! Grey pictures among the coloured ones of a batch.

use super::per_vec4;
use super::rng::{pcg4d, uniform};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// A share of the pictures turned to grey; inputs: x, draw.
#[derive(Clone, Copy, Debug)]
struct Desaturate {
    share: f32,
}

impl Graph {
    /// x (N, H, W, 3, or several such side by side) with that share of its N pictures turned to grey, drawn by step and seed in
    /// `draw`: the three channels become their mean, by weights that are drawn for each picture, uniformly among those with the
    /// sum 1. Two tensors of the same N and `draw` get the same weights, so that noisy exposures of one scene stay such, with
    /// noise that is equal in all colours.
    pub(super) fn desaturate(&mut self, x: Tensor, draw: Tensor, share: f32) -> Tensor {
        if share == 0.0 {
            return x;
        }
        let view = self.view(x);
        let (shape, groups) = (view.shape, vec![3; view.padded() / 4]);
        self.record(Desaturate { share }, &[x, draw], shape, &groups)
    }
}

impl Op for Desaturate {
    op_facts!(self, "desaturate", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let [_, h, w] = l.view(node.outputs[0]).shape;
        let own = [("SHARE", self.share.into()), ("PICTURE", (h * w) as f64)];
        let draw = l.range(node.inputs[1]);
        per_vec4(l, Shader::Desaturate, &own, &[("x", node.inputs[0]), ("y", node.outputs[0])], &[("draw", draw)]);
    }
}

impl Desaturate {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let ((vx, x), draw, [n, h, w]) = (inputs.x(0), inputs.ints(1), view.shape);
        let weights: Vec<_> =
            (0..n as u32).map(|n| self.weights::<T>(pcg4d([n + draw[2], draw[0], draw[1], 0x6e6e_7e00]))).collect();
        cpu::each_pixel((view, y), |p, y| {
            y.copy_from_slice(&x[p * vx.stride + vx.channel..][..y.len()]);
            if let Some(weights) = weights[p / (h * w)] {
                for rgb in y.chunks_mut(4) {
                    let grey = rgb.iter().zip(weights).map(|(&v, w)| v * w).sum();
                    rgb[..3].fill(grey);
                }
            }
        });
    }

    /// What a picture's colours weigh in its grey, if it becomes grey.
    fn weights<T: Real>(&self, drawn: [u32; 4]) -> Option<[T; 3]> {
        let [r, g, b, chosen] = drawn.map(uniform);
        let logs = [r, g, b].map(|v| -v.ln());
        (chosen < self.share.into()).then(|| logs.map(|v| T::of(v / logs.iter().sum::<f64>())))
    }
}
