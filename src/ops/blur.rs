//! Blurred noise: white noise on a larger field, blurred along both axes, added to a picture.

use super::per_vec4;
use crate::cpu::{self, Io, Real, Scratch};
use crate::graph::{Graph, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::noise::{Noise, Stream};
use crate::plan::Lowering;

/// White Gaussian noise of variance 1; input: draw.
#[derive(Clone, Copy, Debug)]
struct White {
    exposure: u32,
}

/// Blur along one axis; inputs: x and, if it is to be added, a.
#[derive(Clone, Copy, Debug)]
struct Blur {
    rows: bool,
    sigma: f32,
    scale: f32,
}

/// Pixels on either side that a blur of that standard deviation reads.
pub(crate) fn radius(sigma: f32) -> usize {
    (3.0 * sigma).ceil() as usize
}

/// Weights of a blur that keeps the variance of white noise.
pub(crate) fn weights(sigma: f32) -> Vec<f64> {
    let norm = shape(sigma).map(|w| w * w).sum::<f64>().sqrt();
    shape(sigma).map(|w| w / norm).collect()
}

/// The same weights, scaled so that the middle one is 1.
fn shape(sigma: f32) -> impl Iterator<Item = f64> {
    let r = radius(sigma) as i32;
    (-r..=r).map(move |k| (-f64::from(k * k) / (2.0 * f64::from(sigma).powi(2))).exp())
}

impl Graph {
    /// x (N, H, W, 3) plus the blurred noise of a law that has some, drawn by step and seed in `draw`; `amplitude` is what 1 of
    /// the [0, 1] range is in x.
    pub(super) fn add_blurred_noise(&mut self, x: Tensor, draw: Tensor, noise: &Noise, exposure: u32, amplitude: f32) -> Tensor {
        let Some(sigma) = noise.blur() else { return x };
        let [n, h, w] = self.view(x).shape;
        let border = 2 * radius(sigma);
        let norm = weights(sigma)[radius(sigma)] as f32;
        let y = self.record(White { exposure }, &[draw], [n, h + border, w + border], &[3]);
        let y = self.record(Blur { rows: false, sigma, scale: norm }, &[y], [n, h + border, w], &[3]);
        let scale = norm * noise.sigma()[1] * amplitude;
        self.record(Blur { rows: true, sigma, scale }, &[y, x], [n, h, w], &[3])
    }
}

impl Op for White {
    op_facts!(self, "white_noise", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let draw = l.range(node.inputs[0]);
        let [_, h, w] = l.view(node.outputs[0]).shape;
        let own = [("EXPOSURE", self.exposure.into()), ("PICTURE", (h * w) as f64)];
        per_vec4(l, Shader::WhiteNoise, &own, &[("y", node.outputs[0])], &[("draw", draw)]);
    }
}

impl White {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let draw = inputs.ints(0);
        let stream = Stream { step: draw[0], seed: draw[1], exposure: self.exposure };
        let [_, h, w] = view.shape;
        let first = draw[2] * (h * w) as u32;
        cpu::each_pixel((view, y), |p, y| {
            y[3] = T::zero();
            y.iter_mut().zip(stream.white(first + p as u32)).for_each(|(y, z)| *y = T::of(z));
        });
    }
}

impl Op for Blur {
    op_facts!(self, "blur", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let ([_, h, w], [_, oh, ow]) = (l.view(x).shape, l.view(y).shape);
        let flag = |b: bool| f64::from(u8::from(b));
        let constants = [
            ("H", h as f64),
            ("W", w as f64),
            ("OH", oh as f64),
            ("OW", ow as f64),
            ("ROWS", flag(self.rows)),
            ("RADIUS", radius(self.sigma) as f64),
            ("SIGMA", self.sigma.into()),
            ("SCALE", self.scale.into()),
            ("ADD", flag(node.inputs.len() == 2)),
        ];
        let a = node.inputs.get(1).copied().unwrap_or(x);
        per_vec4(l, Shader::Blur, &constants, &[("x", x), ("a", a), ("y", y)], &[]);
    }
}

impl Blur {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let (vx, x) = inputs.x(0);
        let added = (inputs.len() == 2).then(|| inputs.x(1));
        let mut weights = Scratch::new(2 * radius(self.sigma) + 1);
        weights.iter_mut().zip(shape(self.sigma)).for_each(|(to, w)| *to = T::of(w));
        let ([_, h, w], [_, oh, ow], scale) = (vx.shape, view.shape, T::of(self.scale.into()));
        cpu::each_pixel((view, y), |p, y| {
            let first = (p / (oh * ow) * h + p / ow % oh) * w + p % ow;
            let step = if self.rows { w } else { 1 };
            for (c, y) in y.iter_mut().enumerate() {
                let seen = weights.iter().enumerate().map(|(k, &w)| w * x[(first + k * step) * vx.stride + vx.channel + c]);
                *y = scale * seen.sum::<T>() + added.map_or(T::zero(), |(va, a)| a[p * va.stride + va.channel + c]);
            }
        });
    }
}
