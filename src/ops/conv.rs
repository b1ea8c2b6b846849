//! Convolution, transposed convolution, and the gradients of both from the same three kernels: `conv2d` (forward),
//! `conv2d_dx` (input gradient) and `conv2d_dw` (filter gradient). A transposed convolution is the input gradient of a
//! convolution run forward; its own input gradient is that convolution, its filter gradient the same with the two
//! operands swapped (Dumoulin and Visin 2016). Filters are (KH, KW, C_IN, C_OUT). Filter gradients are in `conv_dw.rs`.

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::conv_finish::Finish;
use super::conv_fragments::CooperativeTile;
use super::conv_tiles::{Inner, Product};
use super::{Activation, Constants, Operator, channel4, channels4, stride4};
use crate::cpu::{Convolve, Io, Patches, Real, Scratch};
use crate::graph::{Graph, Halo, Node, Op, Tensor, View, pad4};
use crate::kernel::{KernelId, Shader};
use crate::plan::{Lowering, grid};

/// Window of a convolution: square, with the same stride and zero padding both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Conv {
    /// Size of the window.
    pub kernel: usize,
    /// Input pixels from an output pixel to the next.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
}

impl Conv {
    /// 3x3, padding 1.
    pub const fn same3(stride: usize) -> Self {
        Self { kernel: 3, stride, padding: 1 }
    }

    /// How an output pixel depends on input pixels.
    pub(super) fn halo(&self) -> Halo {
        let Self { kernel, stride, padding } = *self;
        Halo { before: padding, after: kernel.saturating_sub(padding + stride), down: stride, up: 1 }
    }

    /// The same of the transposed convolution.
    pub(super) fn transposed_halo(&self) -> Halo {
        let Self { kernel, stride, padding } = *self;
        let before = (kernel - 1).saturating_sub(padding) / stride;
        Halo { before, after: padding.div_ceil(stride), down: 1, up: stride }
    }

    /// Output pixels along a side of `size` input pixels.
    pub(super) fn output(&self, size: usize) -> usize {
        assert!(size + 2 * self.padding >= self.kernel, "conv2d: a picture of {size} pixels under a window of {}", self.kernel);
        (size + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// The kernels' constants that all three convolutions share; `x` is the large side, `y` the small one.
    pub(super) fn constants(&self, x: &View, y: &View) -> Constants {
        vec![
            ("N", x.shape[0] as f64),
            ("H", x.shape[1] as f64),
            ("W", x.shape[2] as f64),
            ("OH", y.shape[1] as f64),
            ("OW", y.shape[2] as f64),
            ("C4", channels4(x)),
            ("K4", channels4(y)),
            ("X_STRIDE4", stride4(x)),
            ("X_CHANNEL4", channel4(x)),
            ("Y_STRIDE4", stride4(y)),
            ("Y_CHANNEL4", channel4(y)),
            ("KERNEL", self.kernel as f64),
            ("STRIDE", self.stride as f64),
            ("PADDING", self.padding as f64),
        ]
    }

    pub(super) fn flops(&self, x: &View, y: &View) -> f64 {
        2.0 * (y.pixels() * self.kernel * self.kernel * x.channels() * y.channels()) as f64
    }

    /// Pixels of `x` that an output pixel of the convolution sees.
    pub(super) fn forward_patches(&self) -> Patches {
        let p = -(self.padding as isize);
        let size = (self.kernel, self.kernel);
        Patches { first: (p, p), size, source_step: self.stride, target_step: 1, target_first: (0, 0) }
    }

    /// Pixels of `dy` that a pixel of `dx` sees, for the pixels whose remainders modulo the stride are `phase`. It sees the first
    /// of them through the last of the filter's taps in question, which is returned as well: every `stride`th, backwards.
    fn backward_patches(&self, phase: (usize, usize)) -> (Patches, (usize, usize)) {
        let along = |phase: usize| {
            let k = (phase + self.padding) % self.stride;
            let size = (self.kernel + self.stride - 1 - k) / self.stride;
            let last = k + size.saturating_sub(1) * self.stride;
            ((phase + self.padding) as isize - last as isize, size, last)
        };
        let (rows, columns) = (along(phase.0), along(phase.1));
        let first = (rows.0 / self.stride as isize, columns.0 / self.stride as isize);
        let size = (rows.1, columns.1);
        (Patches { first, size, source_step: 1, target_step: self.stride, target_first: phase }, (rows.2, columns.2))
    }
}

/// y = act(w * x + b).
#[derive(Clone, Copy, Debug)]
struct Conv2d {
    conv: Conv,
    finish: Finish,
}

/// dx of [`Conv2d`]; with a bias and an activation, the transposed convolution.
#[derive(Clone, Copy, Debug)]
struct Conv2dInputGrad {
    conv: Conv,
    finish: Finish,
}

impl Graph {
    /// Convolution of x (N, H, W, C) with w (K, K, C, O), bias b (O), activation: (N, OH, OW, O).
    pub fn conv2d(&mut self, x: Tensor, w: Tensor, b: Option<Tensor>, conv: Conv, activation: Activation) -> Tensor {
        let (vx, vw) = (self.view(x), self.view(w));
        let padded = vx.padded();
        assert_eq!(vw.shape, [conv.kernel, conv.kernel, padded], "conv2d: x has {:?} channels, another filter", vx.parts);
        let shape = [vx.shape[0], conv.output(vx.shape[1]), conv.output(vx.shape[2])];
        let parts = vw.parts.clone();
        let inputs: Vec<_> = [x, w].into_iter().chain(b).collect();
        self.record(Conv2d { conv, finish: Finish::new(b.is_some(), activation) }, &inputs, shape, &parts)
    }

    /// Transposed convolution of x (N, H, W, C) with w (K, K, O, C), bias b (O), activation: (N, OH, OW, O) where
    /// OH = (H - 1) * stride - 2 * padding + K + `output_padding`.
    pub fn conv_transpose2d(
        &mut self,
        x: Tensor,
        [w, b]: [Tensor; 2],
        conv: Conv,
        output_padding: usize,
        activation: Activation,
    ) -> Tensor {
        let (vx, vw) = (self.view(x), self.view(w));
        assert_eq!(vw.parts, vx.parts, "conv_transpose2d: x and w have different channels");
        assert_eq!(vw.shape[..2], [conv.kernel, conv.kernel], "conv_transpose2d: w has another window");
        assert!(output_padding < conv.stride, "conv_transpose2d: output padding of {output_padding}");
        let size = |s: usize| (s - 1) * conv.stride + conv.kernel + output_padding - 2 * conv.padding;
        let shape = [vx.shape[0], size(vx.shape[1]), size(vx.shape[2])];
        let channels = self.view(b).channels();
        assert_eq!(vw.shape[2], pad4(channels), "conv_transpose2d: w and b have different channels");
        self.record(Conv2dInputGrad { conv, finish: Finish::new(true, activation) }, &[x, w, b], shape, &[channels])
    }

    fn conv2d_dx(&mut self, dy: Tensor, w: Tensor, conv: Conv, x: Tensor) -> Tensor {
        let view = self.view(x).clone();
        self.record(Conv2dInputGrad { conv, finish: Finish::new(false, Activation::NONE) }, &[dy, w], view.shape, &view.parts)
    }
}

/// Kernels of one direction of a convolution, which share their tiles.
struct Kernels {
    /// From the large side to the small one.
    forward: bool,
    tiled: Shader,
    /// Where there are few pixels and many channels.
    tiny: Shader,
    cooperative: Shader,
    /// On software adapters.
    direct: Shader,
}

const FORWARD: Kernels = Kernels {
    forward: true,
    tiled: Shader::Conv2d,
    tiny: Shader::Conv2dTiny,
    cooperative: Shader::Conv2dCoop,
    direct: Shader::Conv2dDirect,
};
const BACKWARD: Kernels = Kernels {
    forward: false,
    tiled: Shader::Conv2dDx,
    tiny: Shader::Conv2dDxTiny,
    cooperative: Shader::Conv2dDxCoop,
    direct: Shader::Conv2dDxDirect,
};

/// Emits one of the kernels: rows are the result's pixels (of a phase), columns its channels. `x` is the large side, `y` the
/// small one.
fn lower(l: &mut Lowering, node: &Node, kernels: &Kernels, conv: Conv, finish: &Finish) {
    let (input, output) = (l.view(node.inputs[0]).clone(), l.view(node.outputs[0]).clone());
    let (step, x, y) = if kernels.forward { (1, &input, &output) } else { (conv.stride, &output, &input) };
    let (phases, taps) = (step * step, conv.kernel.div_ceil(step).pow(2));
    let rows = output.shape[0] * output.shape[1].div_ceil(step) * output.shape[2].div_ceil(step);
    let product = Product { rows, columns4: output.padded() / 4, times: phases, inner: Inner::Channels };
    let (own, [down, across], shader) = if product.is_tiny(taps * input.padded() / 4, conv, l.limits) {
        // 128 invocations: 16 parts of the inner dimension by eight columns, two pixels each.
        let columns = product.columns4.min(8);
        let [tx, ty] = if kernels.forward { [columns, 16] } else { [16, columns] };
        let grid = [rows.div_ceil(2), product.columns4.div_ceil(columns)];
        (vec![("TX", tx as f64), ("TY", ty as f64)], grid, kernels.tiny.into())
    } else if let Some(cooperative) = CooperativeTile::new(l, &product) {
        // Channels that are an even number of vec4s, at even places, are read two at a time; 32 bits are enough one by one.
        let even = [input.padded(), input.stride, input.channel].iter().all(|n| n.is_multiple_of(8));
        let id = KernelId::from(kernels.cooperative);
        let id = if even && l.graph.is_half(input.storage) { id.with_pairs(0) } else { id };
        (cooperative.constants().to_vec(), cooperative.grid(&product), id)
    } else if l.limits.is_software() {
        // 32 invocations with 8 pixels by two vec4s of channels each.
        (Vec::new(), [rows.div_ceil(256), product.columns4.div_ceil(2)], kernels.direct.into())
    } else {
        let tile = product.choose(l, kernels.tiled, conv, &output, input.padded());
        (tile.constants().to_vec(), product.grid(&tile), kernels.tiled.into())
    };
    let [gx, gy] = grid(down, l.limits);
    let (finish, read) = finish.lower(l, node);
    let constants: Vec<_> = conv.constants(x, y).into_iter().chain(finish).chain(own).chain([("GRID_X", gx.into())]).collect();
    let flops = conv.flops(x, y);
    let [x, y] = if kernels.forward { ["x", "y"] } else { ["dy", "dx"] };
    let tensors = [(x, node.inputs[0]), ("w", node.inputs[1])].into_iter().chain(read).chain([(y, node.outputs[0])]);
    let bindings: Vec<_> = tensors.map(|(name, t)| (name, l.range(t))).collect();
    l.dispatch(shader, &constants, &bindings, [gx, gy, (across * phases) as u32]).flops = flops;
}

/// The forms of both that take over what follows them.
macro_rules! fused_by_finish {
    () => {
        fn adding(&self, _output: usize, input: usize) -> Option<Arc<dyn Op>> {
            Some(Arc::new(Self { finish: self.finish.adding(input)?, ..*self }))
        }

        fn gated(&self, slope: f32, input: usize) -> Option<Arc<dyn Op>> {
            Some(Arc::new(Self { finish: self.finish.gated(slope, input)?, ..*self }))
        }
    };
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let (x, w) = (node.inputs[0], node.inputs[1]);
        let dz = self.finish.activation.backward(g, node.outputs[0], dy[0].expect("conv2d has one output"));
        let b = node.inputs.get(2).copied().filter(|&b| g.needs_grad(b));
        // First what others wait for.
        let dx = g.needs_grad(x).then(|| g.conv2d_dx(dz, w, self.conv, x));
        let (dw, db) = match g.needs_grad(w) {
            true => g.conv2d_dw(x, dz, self.conv, w, b),
            false => (None, b.map(|_| g.channel_sum(dz))),
        };
        vec![dx, dw, db]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        lower(l, node, &FORWARD, self.conv, &self.finish);
    }

    fused_by_finish!();

    fn flops(&self, g: &Graph, node: &Node) -> f64 {
        self.conv.flops(g.view(node.inputs[0]), g.view(node.outputs[0]))
    }

    fn halo(&self) -> Option<Halo> {
        self.finish.reads_window_only().then(|| self.conv.halo())
    }

    fn operator(&self) -> Option<Operator> {
        self.finish.reads_window_only().then_some(Operator::Conv(self.conv, self.finish.activation))
    }

    crate::cpu_meaning!();
}

impl Conv2d {
    fn run<T: Convolve>(&self, io: &mut Io<T>) {
        let mut packed = std::mem::take(&mut io.packed);
        let (inputs, view, y) = io.split(0);
        let epilogue = self.finish.epilogue(&inputs);
        let set = (self.conv.forward_patches(), inputs.x(1).1);
        T::convolve(inputs.x(0), (view, y), std::iter::once(set), &mut packed, &epilogue);
        io.packed = packed;
    }
}

impl Op for Conv2dInputGrad {
    fn name(&self) -> &'static str {
        "conv2d_dx"
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let (x, w) = (node.inputs[0], node.inputs[1]);
        let dz = self.finish.activation.backward(g, node.outputs[0], dy[0].expect("conv_transpose2d has one output"));
        let dx = g.needs_grad(x).then(|| g.conv2d(dz, w, None, self.conv, Activation::NONE));
        let dw = g.needs_grad(w).then(|| g.conv2d_dw(dz, x, self.conv, w, None)).and_then(|(dw, _)| dw);
        let db = node.inputs.get(2).filter(|&&b| g.needs_grad(b)).map(|_| g.channel_sum(dz));
        vec![dx, dw, db]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        lower(l, node, &BACKWARD, self.conv, &self.finish);
    }

    fused_by_finish!();

    fn flops(&self, g: &Graph, node: &Node) -> f64 {
        self.conv.flops(g.view(node.outputs[0]), g.view(node.inputs[0]))
    }

    fn halo(&self) -> Option<Halo> {
        self.finish.reads_window_only().then(|| self.conv.transposed_halo())
    }

    fn operator(&self) -> Option<Operator> {
        self.finish.reads_window_only().then_some(Operator::ConvTranspose(self.conv, self.finish.activation))
    }

    crate::cpu_meaning!();
}

impl Conv2dInputGrad {
    fn run<T: Convolve>(&self, io: &mut Io<T>) {
        let mut packed = std::mem::take(&mut io.packed);
        let (inputs, view, dx) = io.split(0);
        let (w_view, w) = inputs.x(1);
        let (c, k) = (w_view.shape[2], w_view.stride);
        let s = self.conv.stride;
        let patches = |phase: usize| self.conv.backward_patches((phase / s, phase % s));
        // Per phase its taps' filters, transposed to (tap, channel of dy, channel of dx), unless what is made of them is kept.
        let filter_len = self.conv.kernel.div_ceil(s).pow(2) * c * k;
        let mut weights = Scratch::new(s * s * filter_len);
        let missing = if packed.is_made() { 0 } else { weights.len() };
        weights[..missing].par_chunks_exact_mut(c * k).enumerate().for_each(|(i, to)| {
            let (patches, last) = patches(i * c * k / filter_len);
            let tap = i % (filter_len / (c * k));
            if tap < patches.taps() {
                let (row, column) = (last.0 - tap / patches.size.1 * s, last.1 - tap % patches.size.1 * s);
                transpose(&w[(row * self.conv.kernel + column) * c * k..][..c * k], k, to);
            }
        });
        let sets = (0..s * s).map(|phase| {
            let (patches, _) = patches(phase);
            (patches, &weights[phase * filter_len..][..patches.taps() * c * k])
        });
        T::convolve(inputs.x(0), (view, dx), sets, &mut packed, &self.finish.epilogue(&inputs));
        io.packed = packed;
    }
}

/// A matrix with rows of `columns` elements, transposed.
fn transpose<T: Real>(from: &[T], columns: usize, to: &mut [T]) {
    let rows = from.len() / columns;
    for (column, to) in to.chunks_exact_mut(rows).enumerate() {
        for (to, from) in to.iter_mut().zip(from[column..].iter().step_by(columns)) {
            *to = *from;
        }
    }
}
