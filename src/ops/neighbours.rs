//! Two pictures of half the size out of one noisy one, of pixels that lie beside each other.

use super::per_vec4;
use super::rng::pcg4d;
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// One of the two; inputs: x, draw.
#[derive(Clone, Copy, Debug)]
struct Neighbours {
    second: bool,
}

impl Graph {
    /// Of every square of 2 x 2 pixels of x (N, 2 H, 2 W, C) one pixel, drawn by step and seed in `draw`, and one of the two that
    /// lie beside and below or above it: two pictures (N, H, W, C) of nearly the same, whose noise is independent where that of
    /// pixels is (Huang et al. 2021, `Neighbor2Neighbor`, fig. 3). Of two tensors with the same N, H, W and `draw`, the same
    /// pixels are taken. No gradient flows back.
    ///
    /// # Panics
    /// If height or width are odd.
    pub fn neighbours(&mut self, x: Tensor, draw: Tensor) -> [Tensor; 2] {
        let view = self.view(x).clone();
        let [n, h, w] = view.shape;
        assert!(h.is_multiple_of(2) && w.is_multiple_of(2), "neighbours: {h}x{w} pixels are no squares of 2 x 2");
        [false, true].map(|second| self.record(Neighbours { second }, &[x, draw], [n, h / 2, w / 2], &view.parts))
    }
}

impl Op for Neighbours {
    op_facts!(self, "neighbours", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let [_, h, w] = l.view(node.outputs[0]).shape;
        let own = [("H", h as f64), ("W", w as f64), ("SECOND", f64::from(u8::from(self.second)))];
        let draw = l.range(node.inputs[1]);
        per_vec4(l, Shader::Neighbours, &own, &[("x", node.inputs[0]), ("y", node.outputs[0])], &[("draw", draw)]);
    }
}

impl Neighbours {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let ((vx, x), draw, [_, h, w]) = (inputs.x(0), inputs.ints(1), view.shape);
        cpu::each_pixel((view, y), |p, y| {
            let [place, beside, ..] = pcg4d([p as u32 + draw[2] * (h * w) as u32, draw[0], draw[1], 0x6e32_6e00]);
            let place = (place >> 16 & 3) ^ (u32::from(self.second) << (beside >> 16 & 1));
            let [row, column] = [2 * (p / w) + place as usize / 2, 2 * (p % w) + place as usize % 2];
            y.copy_from_slice(&x[(row * 2 * w + column) * vx.stride + vx.channel..][..y.len()]);
        });
    }
}
