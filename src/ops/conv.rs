//! Convolution, transposed convolution, and the gradients of both from the same three kernels: `conv2d` (forward),
//! `conv2d_dx` (input gradient) and `conv2d_dw` (filter gradient). A transposed convolution is the input gradient of a
//! convolution run forward; its own input gradient is that convolution, its filter gradient the same with the two
//! operands swapped (Dumoulin and Visin 2016). Filters are (KH, KW, C_IN, C_OUT).

use super::{Activation, channel4, channels4, stride4};
use crate::cpu::{self, Convolve, Patches};
use crate::graph::{Graph, Halo, Io, Lowering, Node, Op, Real, Tensor, View, grid, pad4};
use crate::kernel::Limits;

/// Window of a convolution: square, with the same stride and zero padding both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        Halo { radius: padding.max((kernel - 1).saturating_sub(padding)), down: stride, up: 1 }
    }

    /// The same of the transposed convolution.
    pub(super) fn transposed_halo(&self) -> Halo {
        let Halo { radius, down, up } = self.halo();
        Halo { radius: radius.div_ceil(down), down: up, up: down }
    }

    /// Output pixels along a side of `size` input pixels.
    pub(super) fn output(&self, size: usize) -> usize {
        assert!(size + 2 * self.padding >= self.kernel, "conv2d: a picture of {size} pixels under a window of {}", self.kernel);
        (size + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// The kernels' constants that all three convolutions share; `x` is the large side, `y` the small one.
    fn constants(&self, x: &View, y: &View) -> Vec<(&'static str, f64)> {
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

    fn flops(&self, x: &View, y: &View) -> f64 {
        2.0 * (y.pixels() * self.kernel * self.kernel * x.channels() * y.channels()) as f64
    }

    /// Pixels of `x` that an output pixel of the convolution sees, tap by tap.
    fn forward_patches(&self) -> Patches {
        let p = self.padding as isize;
        let taps = (0..self.kernel * self.kernel).map(|t| ((t / self.kernel) as isize - p, (t % self.kernel) as isize - p));
        Patches { taps: taps.collect(), source_step: self.stride, target_step: 1, target_first: (0, 0) }
    }

    /// Pixels of `dy` that a pixel of `dx` sees, for the pixels whose remainders modulo the stride are `phase`, and the
    /// taps of the filter they are seen through.
    fn backward_patches(&self, phase: (usize, usize)) -> (Patches, Vec<usize>) {
        let along = |phase: usize| -> Vec<(isize, usize)> {
            (0..self.kernel)
                .filter(|k| (phase + self.padding) % self.stride == k % self.stride)
                .map(|k| ((phase as isize + self.padding as isize - k as isize) / self.stride as isize, k))
                .collect()
        };
        let (rows, columns) = (along(phase.0), along(phase.1));
        let pairs = || rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c)));
        let taps = pairs().map(|(r, c)| (r.0, c.0)).collect();
        let windows = pairs().map(|(r, c)| r.1 * self.kernel + c.1).collect();
        (Patches { taps, source_step: 1, target_step: self.stride, target_first: phase }, windows)
    }
}

/// Tile of `conv2d` and `conv2d_dx`: invocations over channels and over pixels, each 8 wide. As many channels as there
/// are, up to 96; then pixels up to 96 invocations, few enough for every device, and up to its workgroup memory.
fn tile(channels4: usize, limits: &Limits) -> (usize, usize) {
    let tx = channels4.div_ceil(2).clamp(1, 12);
    let invocations = 96.min(limits.invocations as usize);
    // KB = 4 staged vec4s of 16 bytes and a corner per pixel; 16 staged rows of TX * 2 vec4s.
    let memory = |ty: usize| ty * 8 * (4 * 16 + 16) + 16 * tx * 2 * 16;
    let mut ty = (invocations / tx).clamp(1, 16);
    while ty > 1 && memory(ty) > limits.workgroup_bytes as usize {
        ty -= 1;
    }
    (tx, ty)
}

/// y = act(w * x + b).
#[derive(Clone, Copy, Debug)]
struct Conv2d {
    conv: Conv,
    activation: Activation,
}

/// dx of [`Conv2d`]; with a bias and an activation, the transposed convolution.
#[derive(Clone, Copy, Debug)]
struct Conv2dInputGrad {
    conv: Conv,
    activation: Activation,
}

/// dw of [`Conv2d`], from x and dy.
#[derive(Clone, Copy, Debug)]
struct Conv2dWeightGrad {
    conv: Conv,
}

/// db: sums over all pixels.
#[derive(Clone, Copy, Debug)]
struct ChannelSum;

impl Graph {
    /// Convolution of x (N, H, W, C) with w (K, K, C, O), bias b (O), activation: (N, OH, OW, O).
    pub fn conv2d(&mut self, x: Tensor, w: Tensor, b: Option<Tensor>, conv: Conv, activation: Activation) -> Tensor {
        let (vx, vw) = (self.view(x), self.view(w));
        let padded = vx.padded();
        assert_eq!(vw.shape, [conv.kernel, conv.kernel, padded], "conv2d: x has {:?} channels, another filter", vx.parts);
        let shape = [vx.shape[0], conv.output(vx.shape[1]), conv.output(vx.shape[2])];
        let parts = vw.parts.clone();
        let inputs: Vec<_> = [x, w].into_iter().chain(b).collect();
        self.record(Conv2d { conv, activation }, &inputs, shape, &parts)
    }

    /// Transposed convolution of x (N, H, W, C) with w (K, K, O, C), bias b (O), activation: (N, OH, OW, O) where
    /// OH = (H - 1) * stride - 2 * padding + K + `output_padding`.
    pub fn conv_transpose2d(
        &mut self,
        x: Tensor,
        w: Tensor,
        b: Tensor,
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
        self.record(Conv2dInputGrad { conv, activation }, &[x, w, b], shape, &[channels])
    }

    fn conv2d_dx(&mut self, dy: Tensor, w: Tensor, conv: Conv, x: Tensor) -> Tensor {
        let view = self.view(x).clone();
        self.record(Conv2dInputGrad { conv, activation: Activation::NONE }, &[dy, w], view.shape, &view.parts)
    }

    fn conv2d_dw(&mut self, x: Tensor, dy: Tensor, conv: Conv, w: Tensor) -> Tensor {
        let view = self.view(w).clone();
        self.record(Conv2dWeightGrad { conv }, &[x, dy], view.shape, &view.parts)
    }

    fn channel_sum(&mut self, dy: Tensor) -> Tensor {
        let parts = self.view(dy).parts.clone();
        self.record(ChannelSum, &[dy], [1, 1, 1], &parts)
    }
}

/// Emits `conv2d` or `conv2d_dx`, which share their tiles: `columns` is the result's channels, `rows` its pixels (of a phase).
fn lower_tiles(l: &mut Lowering, node: &Node, name: &str, conv: Conv, activation: Activation, names: [&str; 2]) {
    let (input, output) = (l.view(node.inputs[0]).clone(), l.view(node.outputs[0]).clone());
    let forward = name == "conv2d";
    let mut constants = if forward { conv.constants(&input, &output) } else { conv.constants(&output, &input) };
    let phases = if forward { 1 } else { conv.stride * conv.stride };
    let step = if forward { 1 } else { conv.stride };
    let rows = output.shape[0] * output.shape[1].div_ceil(step) * output.shape[2].div_ceil(step);
    let columns = output.padded() / 4;
    let (tx, ty) = tile(columns, l.limits);
    let [gx, gy] = grid(rows.div_ceil(ty * 8), l.limits);
    constants.extend([
        ("BIAS", f64::from(u8::from(node.inputs.len() == 3))),
        ("SLOPE", activation.slope.into()),
        ("TX", tx as f64),
        ("TY", ty as f64),
        ("GRID_X", gx.into()),
    ]);
    let w = l.range(node.inputs[1]);
    let b = node.inputs.get(2).map_or(w, |&b| l.range(b));
    let bindings = [(names[0], l.range(node.inputs[0])), ("w", w), ("b", b), (names[1], l.range(node.outputs[0]))];
    l.dispatch(name, &constants, &bindings, [gx, gy, (columns.div_ceil(tx * 2) * phases) as u32]);
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let (x, w) = (node.inputs[0], node.inputs[1]);
        let dz = self.activation.backward(g, node.outputs[0], dy[0].expect("conv2d has one output"));
        let dw = g.needs_grad(w).then(|| g.conv2d_dw(x, dz, self.conv, w));
        let db = node.inputs.get(2).filter(|&&b| g.needs_grad(b)).map(|_| g.channel_sum(dz));
        let dx = g.needs_grad(x).then(|| g.conv2d_dx(dz, w, self.conv, x));
        vec![dx, dw, db]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        lower_tiles(l, node, "conv2d", self.conv, self.activation, ["x", "y"]);
    }

    fn flops(&self, g: &Graph, node: &Node) -> f64 {
        self.conv.flops(g.view(node.inputs[0]), g.view(node.outputs[0]))
    }

    fn halo(&self) -> Option<Halo> {
        Some(self.conv.halo())
    }

    crate::cpu_meaning!();
}

impl Conv2d {
    fn run<T: Convolve>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let bias = (inputs.len() == 3).then(|| inputs.x(2).1);
        T::convolve(
            inputs.x(0),
            (view, y),
            &[(self.conv.forward_patches(), inputs.x(1).1)],
            bias,
            T::of(self.activation.slope.into()),
        );
    }
}

impl Op for Conv2dInputGrad {
    fn name(&self) -> &'static str {
        "conv2d_dx"
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let (x, w) = (node.inputs[0], node.inputs[1]);
        let dz = self.activation.backward(g, node.outputs[0], dy[0].expect("conv_transpose2d has one output"));
        let dw = g.needs_grad(w).then(|| g.conv2d_dw(dz, x, self.conv, w));
        let db = node.inputs.get(2).filter(|&&b| g.needs_grad(b)).map(|_| g.channel_sum(dz));
        let dx = g.needs_grad(x).then(|| g.conv2d(dz, w, None, self.conv, Activation::NONE));
        vec![dx, dw, db]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        lower_tiles(l, node, "conv2d_dx", self.conv, self.activation, ["dy", "dx"]);
    }

    fn flops(&self, g: &Graph, node: &Node) -> f64 {
        self.conv.flops(g.view(node.outputs[0]), g.view(node.inputs[0]))
    }

    fn halo(&self) -> Option<Halo> {
        Some(self.conv.transposed_halo())
    }

    crate::cpu_meaning!();
}

impl Conv2dInputGrad {
    fn run<T: Convolve>(&self, io: &mut Io<T>) {
        let (inputs, view, dx) = io.split(0);
        let (w_view, w) = inputs.x(1);
        let (c, k) = (w_view.shape[2], w_view.stride);
        let s = self.conv.stride;
        // Per phase its patches, and its taps' filters transposed to (tap, channel of dy, channel of dx).
        let phases: Vec<(Patches, Vec<T>)> = (0..s * s)
            .map(|p| {
                let (patches, windows) = self.conv.backward_patches((p / s, p % s));
                let mut weights = Vec::with_capacity(windows.len() * c * k);
                for window in windows {
                    let tap = &w[window * c * k..][..c * k];
                    for o in 0..k {
                        weights.extend((0..c).map(|i| tap[i * k + o]));
                    }
                }
                (patches, weights)
            })
            .collect();
        let phases: Vec<_> = phases.iter().map(|(p, w)| (p.clone(), &w[..])).collect();
        let bias = (inputs.len() == 3).then(|| inputs.x(2).1);
        T::convolve(inputs.x(0), (view, dx), &phases, bias, T::of(self.activation.slope.into()));
    }
}

impl Op for Conv2dWeightGrad {
    fn name(&self) -> &'static str {
        "conv2d_dw"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, dy) = (l.view(node.inputs[0]).clone(), l.view(node.inputs[1]).clone());
        let (rows4, k4) = (self.conv.kernel * self.conv.kernel * x.padded() / 4, dy.padded() / 4);
        let tx = k4.div_ceil(2).clamp(1, 12);
        // Per stage of 16 pixels, two vec4s of 16 bytes each for every row and every column of invocations.
        let staged = (l.limits.workgroup_bytes as usize / (16 * 2 * 16)).saturating_sub(tx).max(1);
        let ty = (96.min(l.limits.invocations as usize) / tx).min(staged).clamp(1, rows4.div_ceil(2));
        let tiles = rows4.div_ceil(ty * 2) * k4.div_ceil(tx * 2);
        // As many splits as give the device 512 workgroups, but at least 64 pixels each.
        let splits = 512_usize.div_ceil(tiles).min(dy.pixels().div_ceil(64)).clamp(1, l.limits.workgroups as usize);
        let split_pixels = dy.pixels().div_ceil(splits).next_multiple_of(16);
        let splits = dy.pixels().div_ceil(split_pixels);
        let mut constants = self.conv.constants(&x, &dy);
        constants.extend([("TX", tx as f64), ("TY", ty as f64), ("SPLIT_PIXELS", split_pixels as f64)]);
        let len = rows4 * 4 * k4 * 4;
        let workgroups = [rows4.div_ceil(ty * 2) as u32, k4.div_ceil(tx * 2) as u32, splits as u32];
        sum_of_splits(
            l,
            node.outputs[0],
            "conv2d_dw",
            &constants,
            &[("x", node.inputs[0]), ("dy", node.inputs[1])],
            len,
            workgroups,
            splits,
        );
    }

    fn flops(&self, g: &Graph, node: &Node) -> f64 {
        self.conv.flops(g.view(node.inputs[0]), g.view(node.inputs[1]))
    }

    crate::cpu_meaning!();
}

impl Conv2dWeightGrad {
    fn run<T: Convolve>(&self, io: &mut Io<T>) {
        let (inputs, _, dw) = io.split(0);
        T::correlate(inputs.x(0), inputs.x(1), &self.conv.forward_patches(), dw);
    }
}

/// Emits a kernel that writes `splits` partial results of `len` floats, and the sum of them into `output`.
fn sum_of_splits(
    l: &mut Lowering,
    output: Tensor,
    name: &str,
    constants: &[(&str, f64)],
    inputs: &[(&str, Tensor)],
    len: usize,
    workgroups: [u32; 3],
    splits: usize,
) {
    let direct = splits == 1;
    let partials = if direct { l.range(output) } else { l.scratch(splits * len) };
    let bindings: Vec<_> = inputs.iter().map(|&(n, t)| (n, l.range(t))).chain([("partials", partials)]).collect();
    l.dispatch(name, constants, &bindings, workgroups);
    if !direct {
        let to = l.range(output);
        super::loss::sum_partials(l, partials, splits, len, 0..len, 1.0, to);
    }
}

impl Op for ChannelSum {
    fn name(&self) -> &'static str {
        "channel_sum"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let dy = l.view(node.inputs[0]).clone();
        let c4 = dy.padded() / 4;
        let splits = dy.pixels().div_ceil(256).clamp(1, 128.min(l.limits.workgroups as usize));
        let split_pixels = dy.pixels().div_ceil(splits);
        let splits = dy.pixels().div_ceil(split_pixels);
        let constants = [
            ("PIXELS", dy.pixels() as f64),
            ("C4", c4 as f64),
            ("Y_STRIDE4", stride4(&dy)),
            ("Y_CHANNEL4", channel4(&dy)),
            ("SPLIT_PIXELS", split_pixels as f64),
        ];
        let workgroups = [splits as u32, c4.div_ceil(8) as u32, 1];
        sum_of_splits(l, node.outputs[0], "channel_sum", &constants, &[("dy", node.inputs[0])], c4 * 4, workgroups, splits);
    }

    crate::cpu_meaning!();
}

impl ChannelSum {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, _, db) = io.split(0);
        let (view, dy) = inputs.x(0);
        let sums = cpu::sum_pixels(view, dy, view.padded(), |pixel, sums| {
            for (s, &v) in sums.iter_mut().zip(pixel) {
                *s += v;
            }
        });
        db.copy_from_slice(&sums);
    }
}
