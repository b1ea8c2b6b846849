//! Ops: one file each, with shapes and their checks, gradient rule, lowering to kernels, and meaning on the CPU.
//!
//! Every op is recorded by a method of [`crate::graph::Graph`]; a mistake in shapes panics there, with a sentence.

/// What each op says of itself in a line: its name, that of its main kernel; its [`Halo`](crate::graph::Halo); and that its
/// meaning on the CPU is `run`, in both precisions.
macro_rules! op_facts {
    ($self:ident, $name:expr, $halo:expr) => {
        fn name(&$self) -> &'static str {
            $name
        }

        fn halo(&$self) -> Option<crate::graph::Halo> {
            $halo
        }

        crate::cpu_meaning!();
    };
}

mod accumulate;
mod add;
mod batch;
mod batch_norm;
pub(crate) mod blur;
mod camera;
mod concat;
mod conv;
mod conv_dw;
mod conv_finish;
mod conv_fragments;
mod conv_tiles;
mod desaturate;
mod fma;
mod group_norm;
mod line_buffer;
mod loss;
mod neighbours;
mod operator;
mod optimizer;
mod pointwise;
mod pool;
pub(crate) mod rng;
mod shards;
mod strips;
mod sums;
mod transfer;
mod unfold;
mod upsample;

pub use accumulate::Accumulated;
pub(crate) use accumulate::summed_parts;
pub use batch::{Batch, Drawn, Pictures};
pub use batch_norm::BatchNorm;
pub use conv::Conv;
pub use group_norm::GroupNorm;
pub(crate) use line_buffer::LineBuffer;
pub use loss::Loss;
pub use operator::Operator;
pub use optimizer::{Optimizer, Update};
pub(crate) use pointwise::{Function, POINTWISE};
pub use rng::{pcg4d, random_normals};
pub use shards::{Group, Pixels, Shards};
pub use strips::Strips;
pub use transfer::Transfer;
pub(crate) use transfer::pu;

use crate::graph::{Graph, Tensor, View};
use crate::kernel::Shader;
use crate::plan::{Lowering, Range, grid};

/// What follows a sum in the same kernel: a leaky ReLU of that slope; 1 is none, 0 the plain ReLU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// Slope for negative values, in [0, 1].
    pub slope: f32,
}

impl Activation {
    /// Values stay as they are.
    pub const NONE: Self = Self { slope: 1.0 };
    /// max(x, 0).
    pub const RELU: Self = Self { slope: 0.0 };

    /// `LeakyReLU(slope)`.
    pub fn leaky_relu(slope: f32) -> Self {
        assert!((0.0..=1.0).contains(&slope), "leaky_relu: a slope of {slope}, not in [0, 1]");
        Self { slope }
    }

    /// Records the gradient through the activation: dz from dy and the activation's result y.
    fn backward(self, g: &mut Graph, y: Tensor, dy: Tensor) -> Tensor {
        if self == Self::NONE { dy } else { pointwise::backward(g, self.slope, y, dy) }
    }
}

/// Values of a kernel's constants.
type Constants = Vec<(&'static str, f64)>;

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

/// Emits a kernel with one invocation for every vec4 of its result, the last of `tensors`. Its constants are PIXELS and C4 of
/// the result, GRID_X, the strides and channel offsets of all tensors under their names in capitals, and those given.
/// `vectors` are bound as they are.
fn per_vec4(l: &mut Lowering, shader: Shader, constants: &[(&str, f64)], tensors: &[(&str, Tensor)], vectors: &[(&str, Range)]) {
    let y = l.view(tensors.last().expect("a kernel has a result").1);
    let [gx, gy] = grid((y.pixels() * y.padded() / 4).div_ceil(64), l.limits);
    let own = [("PIXELS", y.pixels() as f64), ("C4", channels4(y)), ("GRID_X", gx.into())];
    let mut all: Vec<(String, f64)> = own.iter().chain(constants).map(|&(n, v)| (n.to_owned(), v)).collect();
    all.extend(strides(l, tensors));
    let all: Vec<_> = all.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    let bindings: Vec<_> = tensors.iter().map(|&(n, t)| (n, l.range(t))).chain(vectors.iter().copied()).collect();
    l.dispatch(shader, &all, &bindings, [gx, gy, 1]);
}

/// Strides and channel offsets of tensors, as constants under their names in capitals.
fn strides(l: &Lowering, tensors: &[(&str, Tensor)]) -> Vec<(String, f64)> {
    let constants = |&(name, t): &(&str, Tensor)| {
        let (name, view) = (name.to_uppercase(), l.view(t));
        [(format!("{name}_STRIDE4"), stride4(view)), (format!("{name}_CHANNEL4"), channel4(view))]
    };
    tensors.iter().flat_map(constants).collect()
}
