//! Ops: one file each, with shapes and their checks, gradient rule, lowering to kernels, and meaning on the CPU.
//!
//! Every op is recorded by a method of [`crate::graph::Graph`]; a mistake in shapes panics there, with a sentence.

mod adam;
mod add;
mod batch;
mod concat;
mod conv;
mod group_norm;
mod leaky_relu;
mod mse;

pub use adam::{Adam, Optimizer};
pub use batch::{Batch, Pictures, Shards, random_normals, random_uniform};
pub use conv::Conv;
pub use group_norm::GroupNorm;

use crate::graph::{Graph, Tensor, View};

/// What follows a sum in the same kernel: a leaky ReLU of that slope; 1 is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// Slope for negative values, in (0, 1].
    pub slope: f32,
}

impl Activation {
    /// Values stay as they are.
    pub const NONE: Self = Self { slope: 1.0 };

    /// `LeakyReLU(slope)`.
    pub fn leaky_relu(slope: f32) -> Self {
        assert!(slope > 0.0 && slope <= 1.0, "leaky_relu: a slope of {slope}, not in (0, 1]");
        Self { slope }
    }

    /// Records the gradient through the activation: dz from dy and the activation's result y.
    fn backward(self, g: &mut Graph, y: Tensor, dy: Tensor) -> Tensor {
        if self == Self::NONE { dy } else { leaky_relu::backward(g, self.slope, y, dy) }
    }
}

/// Strides and channel offsets in vec4s, as the kernels' constants want them.
fn stride4(view: &View) -> f64 {
    (view.stride / 4) as f64
}

fn channel4(view: &View) -> f64 {
    (view.channel / 4) as f64
}

fn channels4(view: &View) -> f64 {
    (view.padded() / 4) as f64
}
