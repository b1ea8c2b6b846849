//! Max-pooling of squares side by side, and its gradient, which goes to the first largest value of each square, or to the last that
//! is no number, as in `PyTorch`.
//! The CPU passes on what is not a number; WGSL leaves open what `max` makes of it.

use super::{Operator, per_vec4};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Halo, Node, Op, Tensor, View};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// y(h, w) = max of x over a square of side `kernel`.
#[derive(Clone, Copy, Debug)]
struct MaxPool {
    kernel: usize,
}

/// dx from x and dy.
#[derive(Clone, Copy, Debug)]
struct MaxPoolGrad {
    kernel: usize,
}

impl Graph {
    /// Largest values of the squares of side `kernel`: (N, H, W, C) to (N, H / kernel, W / kernel, C), rounded down.
    pub fn max_pool2d(&mut self, x: Tensor, kernel: usize) -> Tensor {
        let view = self.view(x).clone();
        let [n, h, w] = view.shape;
        assert!(kernel > 0 && h >= kernel && w >= kernel, "max_pool2d: squares of {kernel} in a picture of {h}x{w}");
        self.record(MaxPool { kernel }, &[x], [n, h / kernel, w / kernel], &view.parts)
    }
}

/// Sizes of `x` and `y` and the side of the squares, as kernels want them.
pub(super) fn geometry(x: &View, y: &View, kernel: usize) -> [(&'static str, f64); 5] {
    [("H", x.shape[1]), ("W", x.shape[2]), ("OH", y.shape[1]), ("OW", y.shape[2]), ("KERNEL", kernel)].map(|(n, v)| (n, v as f64))
}

/// The square that `y` has its pixel p from: places of the first channel of its pixels in `x`, row by row.
fn square(vx: &View, vy: &View, kernel: usize, p: usize) -> impl Iterator<Item = usize> {
    let [_, h, w] = vx.shape;
    let [_, oh, ow] = vy.shape;
    let corner = (p / (oh * ow) * h + p / ow % oh * kernel) * w + p % ow * kernel;
    let (stride, channel) = (vx.stride, vx.channel);
    (0..kernel * kernel).map(move |t| (corner + t / kernel * w + t % kernel) * stride + channel)
}

impl Op for MaxPool {
    op_facts!(self, "max_pool", Some(Halo { down: self.kernel, ..Halo::POINT }));

    fn operator(&self) -> Option<Operator> {
        Some(Operator::MaxPool(self.kernel))
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let x = node.inputs[0];
        let view = g.view(x).clone();
        let inputs = [x, dy[0].expect("max_pool2d has one output")];
        vec![Some(g.record(MaxPoolGrad { kernel: self.kernel }, &inputs, view.shape, &view.parts))]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let constants = geometry(l.view(x), l.view(y), self.kernel);
        per_vec4(l, Shader::MaxPool, &constants, &[("x", x), ("y", y)], &[]);
    }
}

impl MaxPool {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let (vx, x) = inputs.x(0);
        cpu::each_pixel((view, y), |p, y| {
            y.fill(T::neg_infinity());
            for at in square(vx, view, self.kernel, p) {
                for (y, &x) in y.iter_mut().zip(&x[at..]) {
                    *y = if x > *y || x.is_nan() { x } else { *y };
                }
            }
        });
    }
}

impl Op for MaxPoolGrad {
    op_facts!(self, "max_pool_dx", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, dy, dx) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let constants = geometry(l.view(x), l.view(dy), self.kernel);
        per_vec4(l, Shader::MaxPoolDx, &constants, &[("x", x), ("dy", dy), ("dx", dx)], &[]);
    }
}

impl MaxPoolGrad {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, dx) = io.split(0);
        let ((vx, x), (vdy, dy)) = (inputs.x(0), inputs.x(1));
        let ([_, h, w], [_, oh, ow], k) = (view.shape, vdy.shape, self.kernel);
        cpu::each_pixel((view, dx), |p, dx| {
            let (n, row, column) = (p / (h * w), p / w % h, p % w);
            if row / k >= oh || column / k >= ow {
                dx.fill(T::zero());
                return;
            }
            let from = (n * oh + row / k) * ow + column / k;
            let mine = row % k * k + column % k;
            let channels = dx.len();
            let own = &x[p * vx.stride + vx.channel..][..channels];
            // One where it is the largest, as factors: choices among numbers become jumps.
            dx.fill(T::one());
            for (t, at) in square(vx, vdy, k, from).enumerate().filter(|&(t, _)| t != mine) {
                let values = own.iter().zip(&x[at..][..channels]);
                if t < mine {
                    for (dx, (&own, &before)) in dx.iter_mut().zip(values) {
                        *dx *= if (own > before) | own.is_nan() { T::one() } else { T::zero() };
                    }
                } else {
                    for (dx, (&own, &behind)) in dx.iter_mut().zip(values) {
                        *dx *= if (behind > own) | behind.is_nan() { T::zero() } else { T::one() };
                    }
                }
            }
            for (dx, &dy) in dx.iter_mut().zip(&dy[from * vdy.stride + vdy.channel..][..channels]) {
                *dx = if *dx > T::zero() { dy } else { T::zero() };
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Executor, Plan};

    /// As `PyTorch` has it: a value takes the place of the largest if it is larger or no number.
    #[test]
    fn the_gradient_goes_to_the_first_largest_value_or_to_the_last_that_is_no_number() {
        let nan = f32::NAN;
        for (values, winner) in [([1.0, 3.0, 3.0, 2.0], 1), ([1.0, nan, nan, 5.0], 2), ([nan, 1.0, 2.0, 0.0], 0), ([-1.0; 4], 0)]
        {
            let mut g = Graph::new();
            let [x, dy] = [("x", 2), ("dy", 1)].map(|(name, side)| g.host_picture(name, [1, side, side], 4));
            g.require_grad(x);
            let y = g.max_pool2d(x, 2);
            let dx = g.backward(&[(y, dy)])[&x];
            let dx = g.output("dx", dx);
            let [x, dy, dx] = [x, dy, dx].map(|t| g.view(t).storage);
            let plan = Plan::new(g, None).expect("it is small");
            let mut executor = cpu::Executor::<f32>::new(plan);
            executor.write(x, &values.map(|v| [v; 4]).concat()).unwrap();
            executor.write(dy, &[f32::INFINITY; 4]).unwrap();
            executor.run().unwrap();
            let expected: Vec<f32> = (0..4).flat_map(|i| [if i == winner { f32::INFINITY } else { 0.0 }; 4]).collect();
            assert_eq!(executor.read(dx).unwrap(), expected, "{values:?}");
        }
    }
}
