//! Unfold and fold: a picture as the windows of a convolution, and windows summed back into a picture. Each is the gradient of
//! the other. A convolution is the product of its filter with the unfolded picture, the second report's formulation.

use super::{Conv, per_vec4};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Node, Op, Tensor, View};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// y(oh, ow) = all of x that a window sees.
#[derive(Clone, Copy, Debug)]
struct Unfold {
    conv: Conv,
}

/// y(h, w) = sum over the windows that a pixel is in.
#[derive(Clone, Copy, Debug)]
struct Fold {
    conv: Conv,
}

impl Graph {
    /// Windows of x (N, H, W, C): (N, OH, OW, K * K * C), tap by tap, row by row. The filter (K, K, C, O) of a convolution,
    /// read as (1, 1, K * K * C, O), is what to multiply it with.
    pub fn unfold(&mut self, x: Tensor, conv: Conv) -> Tensor {
        let view = self.view(x).clone();
        let shape = [view.shape[0], conv.output(view.shape[1]), conv.output(view.shape[2])];
        self.record(Unfold { conv }, &[x], shape, &view.parts.repeat(conv.kernel * conv.kernel))
    }

    /// Sum of windows x (N, OH, OW, K * K * C) in a picture (N, H, W, C); `size` is (H, W).
    pub fn fold(&mut self, x: Tensor, size: [usize; 2], conv: Conv) -> Tensor {
        let view = self.view(x).clone();
        let taps = conv.kernel * conv.kernel;
        let windows = [view.shape[0], conv.output(size[0]), conv.output(size[1])];
        assert_eq!(windows, view.shape, "fold: another number of windows than a picture of {}x{} has", size[0], size[1]);
        let parts = view.parts[..view.parts.len() / taps].to_vec();
        assert_eq!(parts.repeat(taps), view.parts, "fold: windows of {taps} taps do not have {:?} channels", view.parts);
        self.record(Fold { conv }, &[x], [view.shape[0], size[0], size[1]], &parts)
    }
}

fn lower(l: &mut Lowering, node: &Node, shader: Shader, conv: Conv, picture: Tensor, windows: Tensor) {
    let (p, w) = (l.view(picture), l.view(windows));
    let sizes = [("H", p.shape[1]), ("W", p.shape[2]), ("OH", w.shape[1]), ("OW", w.shape[2])];
    let window = [("KERNEL", conv.kernel), ("STRIDE", conv.stride), ("PADDING", conv.padding)];
    let constants: Vec<_> = sizes.into_iter().chain(window).map(|(n, v)| (n, v as f64)).collect();
    per_vec4(l, shader, &constants, &[("x", node.inputs[0]), ("y", node.outputs[0])], &[]);
}

/// For every tap of window (oh, ow) of picture n the pixel that it sees, if it is not outside.
fn seen(conv: Conv, [_, h, w]: [usize; 3], n: usize, oh: usize, ow: usize) -> impl Iterator<Item = Option<usize>> {
    (0..conv.kernel * conv.kernel).map(move |tap| {
        let row = (oh * conv.stride + tap / conv.kernel).checked_sub(conv.padding).filter(|&r| r < h)?;
        let column = (ow * conv.stride + tap % conv.kernel).checked_sub(conv.padding).filter(|&c| c < w)?;
        Some((n * h + row) * w + column)
    })
}

fn pixel(view: &View, p: usize, first: usize, len: usize) -> std::ops::Range<usize> {
    let at = p * view.stride + view.channel + first;
    at..at + len
}

impl Op for Unfold {
    op_facts!(self, "unfold", Some(self.conv.halo()));

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let [_, h, w] = g.view(node.inputs[0]).shape;
        vec![dy[0].map(|dy| g.fold(dy, [h, w], self.conv))]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        lower(l, node, Shader::Unfold, self.conv, node.inputs[0], node.outputs[0]);
    }
}

impl Unfold {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let (vx, x) = inputs.x(0);
        let ([_, oh, ow], c) = (view.shape, vx.padded());
        cpu::each_pixel((view, y), |p, y| {
            let taps = seen(self.conv, vx.shape, p / (oh * ow), p / ow % oh, p % ow);
            for (y, from) in y.chunks_exact_mut(c).zip(taps) {
                match from {
                    Some(from) => y.copy_from_slice(&x[pixel(vx, from, 0, c)]),
                    None => y.fill(T::zero()),
                }
            }
        });
    }
}

impl Op for Fold {
    op_facts!(self, "fold", Some(self.conv.transposed_halo()));

    fn backward(&self, g: &mut Graph, _node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        vec![dy[0].map(|dy| g.unfold(dy, self.conv))]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        lower(l, node, Shader::Fold, self.conv, node.outputs[0], node.inputs[0]);
    }
}

impl Fold {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let (vx, x) = inputs.x(0);
        let ([n, oh, ow], c) = (vx.shape, view.padded());
        cpu::each_pixel((view, &mut *y), |_, y| y.fill(T::zero()));
        for p in 0..n * oh * ow {
            let taps = seen(self.conv, view.shape, p / (oh * ow), p / ow % oh, p % ow);
            for (tap, to) in taps.enumerate() {
                if let Some(to) = to {
                    cpu::accumulate(&mut y[pixel(view, to, 0, c)], &x[pixel(vx, p, tap * c, c)]);
                }
            }
        }
    }
}
