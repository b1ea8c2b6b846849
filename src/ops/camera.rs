//! Photographs of a camera (`noise/camera.rs`): pictures counted by a sensor, developed, and compressed.

use rayon::prelude::*;

use super::{Constants, per_vec4, strides};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Node, Op, Tensor, View};
use crate::kernel::Shader;
use crate::noise::camera::{Camera, Settings, WHITE, light};
use crate::noise::{Stream, jpeg};
use crate::plan::{Lowering, grid};

/// What a sensor counts of sRGB pictures in [0, 1]; inputs: x, draw.
#[derive(Clone, Copy, Debug)]
struct Sense {
    camera: Camera,
    exposure: u32,
}

/// sRGB pictures of what was counted, 0 and 1 being `range`; inputs: x, draw.
#[derive(Clone, Copy, Debug)]
struct Develop {
    camera: Camera,
    exposure: u32,
    range: [f32; 2],
}

/// Pictures in [0, 1] as a file holds them: JPEGs in brightness and colours; inputs: x, draw.
#[derive(Clone, Copy, Debug)]
struct Compress {
    camera: Camera,
}

/// sRGB pictures as they are read from files, 0 and 1 being `range`; inputs: x, draw.
#[derive(Clone, Copy, Debug)]
struct Decompress {
    camera: Camera,
    range: [f32; 2],
}

impl Graph {
    /// What a camera makes of pictures x (N, H, W, 3) in [0, 1], by the step and the seed in `draw`: as exposure 0 a photograph,
    /// as others what is learned from. 0 and 1 of the result are `range`.
    pub(super) fn photograph(&mut self, x: Tensor, draw: Tensor, camera: Camera, exposure: u32, range: [f32; 2]) -> Tensor {
        let shape = self.view(x).shape;
        let counted = self.record(Sense { camera, exposure }, &[x, draw], shape, &[3]);
        if exposure > 0 {
            return self.record(Develop { camera, exposure, range }, &[counted, draw], shape, &[3]);
        }
        let developed = self.record(Develop { camera, exposure, range: [0.0, 1.0] }, &[counted, draw], shape, &[3]);
        let file = self.record(Compress { camera }, &[developed, draw], shape, &[3]);
        self.record(Decompress { camera, range }, &[file, draw], shape, &[3])
    }
}

/// What all kernels know of the camera.
fn constants(camera: Camera, l: &Lowering, node: &Node) -> Constants {
    let [_, h, w] = l.view(node.outputs[0]).shape;
    let [low, high] = camera.gain;
    vec![
        ("H", h as f64),
        ("W", w as f64),
        ("LOW_WHITE", f64::from(WHITE) / f64::from(low)),
        ("GAINS", f64::from(high) / f64::from(low)),
        ("QUALITY", camera.quality.into()),
    ]
}

/// Lowers an op with one invocation to a pixel.
fn per_pixel(l: &mut Lowering, node: &Node, shader: Shader, camera: Camera, own: &[(&'static str, f64)]) {
    let all: Vec<_> = constants(camera, l, node).iter().chain(own).copied().collect();
    let draw = l.range(node.inputs[1]);
    per_vec4(l, shader, &all, &[("x", node.inputs[0]), ("y", node.outputs[0])], &[("draw", draw)]);
}

/// Step and seed of an exposure.
fn stream(draw: &[u32], exposure: u32) -> Stream {
    Stream { step: draw[0], seed: draw[1], exposure }
}

impl Op for Sense {
    op_facts!(self, "camera_sense", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let own = [("EXPOSURE", self.exposure.into()), ("LIGHT", light(self.exposure).into()), ("READ", self.camera.read.into())];
        per_pixel(l, node, Shader::CameraSense, self.camera, &own);
    }
}

impl Sense {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let ((vx, x), draw, [_, h, w]) = (inputs.x(0), inputs.ints(1), view.shape);
        let (stream, first) = (stream(draw, self.exposure), draw[2] * (h * w) as u32);
        let settings = settings::<T>(self.camera, draw, view);
        cpu::each_pixel((view, y), |p, y| {
            y[..3].copy_from_slice(&settings[p / (h * w)].sense(stream, first + p as u32, rgb(x, p * vx.stride + vx.channel)));
            y[3] = T::zero();
        });
    }
}

impl Op for Develop {
    op_facts!(self, "camera_develop", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let [low, high] = self.range.map(f64::from);
        let own = [("EXPOSURE", self.exposure.into()), ("Y_LOW", low), ("Y_HIGH", high)];
        per_pixel(l, node, Shader::CameraDevelop, self.camera, &own);
    }
}

impl Develop {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let develop = |settings: &Settings<T>, counted: Read<T>, size, at| settings.develop(counted, size, at, self.exposure);
        each_of_picture(io, self.camera, self.range, develop);
    }
}

impl Op for Compress {
    op_facts!(self, "camera_compress", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let tensors = [("x", node.inputs[0]), ("y", node.outputs[0])];
        let [n, h, w] = l.view(node.outputs[0]).shape;
        let [gx, gy] = grid(n * h.div_ceil(jpeg::SIDE) * w.div_ceil(jpeg::SIDE), l.limits);
        let own = [("N", n as f64), ("GRID_X", gx.into())];
        let strides = strides(l, &tensors);
        let strides = strides.iter().map(|(n, v)| (n.as_str(), *v));
        let all: Vec<_> = constants(self.camera, l, node).into_iter().chain(own).chain(strides).collect();
        let draw = ("draw", l.range(node.inputs[1]));
        let bindings: Vec<_> = tensors.map(|(n, t)| (n, l.range(t))).into_iter().chain([draw]).collect();
        l.dispatch(Shader::CameraCompress, &all, &bindings, [gx, gy, 1]);
    }
}

impl Compress {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let ((vx, x), [_, h, w]) = (inputs.x(0), view.shape);
        let settings = settings::<T>(self.camera, inputs.ints(1), view);
        // Sixteen rows at a time, of each picture.
        y.par_chunks_mut(h * w * view.stride).enumerate().for_each(|(n, y)| {
            let settings = &settings[n];
            y.par_chunks_mut(jpeg::SIDE * w * view.stride).enumerate().for_each(|(band, y)| {
                let picture = |row: usize, column: usize| rgb(x, ((n * h + row) * w + column) * vx.stride + vx.channel);
                settings.compress_band(picture, [h, w], band, |row, column, put| {
                    let y = &mut y[(row * w + column) * view.stride + view.channel..][..4];
                    y[..3].copy_from_slice(&put);
                    y[3] = T::zero();
                });
            });
        });
    }
}

impl Op for Decompress {
    op_facts!(self, "camera_decompress", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let [low, high] = self.range.map(f64::from);
        per_pixel(l, node, Shader::CameraDecompress, self.camera, &[("Y_LOW", low), ("Y_HIGH", high)]);
    }
}

impl Decompress {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let decompress = |settings: &Settings<T>, put: Read<T>, size, at| settings.decompress(put, size, at);
        each_of_picture(io, self.camera, self.range, decompress);
    }
}

/// Gives a pixel of a picture by its row and column.
type Read<'a, T> = &'a dyn Fn(usize, usize) -> [T; 3];

/// What the pictures of a batch are taken with: all exposures of a picture with the same.
fn settings<T: Real>(camera: Camera, draw: &[u32], view: &View) -> Vec<Settings<T>> {
    (0..view.shape[0] as u32).map(|n| camera.settings(stream(draw, 0), draw[2] + n)).collect()
}

/// Every pixel of y is what `make` gives for its picture's settings, pixels and size, and its row and column; 0 and 1 are
/// `range`.
fn each_of_picture<T: Real>(
    io: &mut Io<T>,
    camera: Camera,
    range: [f32; 2],
    make: impl Fn(&Settings<T>, Read<T>, [usize; 2], [usize; 2]) -> [T; 3] + Sync,
) {
    let (inputs, view, y) = io.split(0);
    let ((vx, x), [_, h, w]) = (inputs.x(0), view.shape);
    let settings = settings(camera, inputs.ints(1), view);
    let [low, high] = range.map(|v| T::of(v.into()));
    cpu::each_pixel((view, y), |p, y| {
        let first = p / (h * w) * h * w;
        let read = |row: usize, column: usize| rgb(x, (first + row * w + column) * vx.stride + vx.channel);
        let made = make(&settings[p / (h * w)], &read, [h, w], [p / w % h, p % w]);
        y[..3].copy_from_slice(&made.map(|v| low + v * (high - low)));
        y[3] = T::zero();
    });
}

fn rgb<T: Real>(x: &[T], at: usize) -> [T; 3] {
    [x[at], x[at + 1], x[at + 2]]
}
