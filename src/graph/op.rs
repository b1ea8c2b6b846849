//! What an op is to the graph: a gradient rule, a lowering to kernels, a meaning on the CPU, and what of its input a pixel of its
//! result depends on.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Graph, Node, Tensor};
use crate::cpu::Io;
use crate::ops::Operator;
use crate::plan::Lowering;

/// One op. All that belongs to it lives in one file of `ops/`.
pub trait Op: Debug + Send + Sync {
    /// Name in tables and errors; that of its main kernel.
    fn name(&self) -> &'static str;

    /// Records the gradient ops; `dy` holds the gradients of the outputs. Returns one of each input, where it has one.
    fn backward(&self, _g: &mut Graph, _node: &Node, _dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        panic!("{}: has no gradient", self.name())
    }

    /// Chooses kernels and emits their dispatches.
    fn lower(&self, l: &mut Lowering, node: &Node);

    /// Its meaning on the CPU, in single precision.
    fn run_f32(&self, io: &mut Io<f32>);

    /// Its meaning on the CPU, in double precision: the truth kernels are tested against.
    fn run_f64(&self, io: &mut Io<f64>);

    /// The same op that adds its input number `input` to its output number `output`, if it can: gradients that meet are then
    /// added where the second is made.
    fn adding(&self, _output: usize, _input: usize) -> Option<Arc<dyn Op>> {
        None
    }

    /// The same op that multiplies its result by the derivative of a leaky ReLU of that slope, whose result is its input number
    /// `input`, if it can.
    fn gated(&self, _slope: f32, _input: usize) -> Option<Arc<dyn Op>> {
        None
    }

    /// Whether its first result is so cheap that it is rather computed again for gradients than kept for them.
    fn is_cheap(&self) -> bool {
        false
    }

    /// Floating-point operations, a multiply-add counted as two. Only convolutions count.
    fn flops(&self, _g: &Graph, _node: &Node) -> f64 {
        0.0
    }

    /// Which pixels of its pictures a pixel of its result depends on. `None`: on all of them, or there is no such picture, or not
    /// all of its inputs are seen alike.
    fn halo(&self) -> Option<Halo>;

    /// What it is to other programs; `None` if they have nothing of the kind, or it is of training.
    fn operator(&self) -> Option<Operator> {
        None
    }

    /// Of an op that runs nothing and only lays views: records it again, on other inputs.
    fn lay(&self, _g: &mut Graph, _inputs: &[Tensor]) -> Option<Tensor> {
        None
    }
}

/// How an op maps places along an axis: output pixels `up * i .. up * (i + 1)` depend on input pixels `down * i - before` to
/// `down * (i + 1) - 1 + after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halo {
    /// Input pixels needed before those in the same place.
    pub before: usize,
    /// Input pixels needed after them.
    pub after: usize,
    /// How many input pixels there are to an output pixel.
    pub down: usize,
    /// How many output pixels there are to an input pixel.
    pub up: usize,
}

impl Halo {
    /// Of an op that goes pixel by pixel.
    pub const POINT: Self = Self { before: 0, after: 0, down: 1, up: 1 };

    /// Farthest input pixel from the first in the same place.
    pub(crate) fn radius(self) -> usize {
        self.before.max(self.after + self.down - 1)
    }
}
