//! Forward ops in the terms that other programs share: the layers of `PyTorch`, the operators of ONNX. Exports read them.

use super::{Activation, BatchNorm, Conv, GroupNorm};

/// What an op of a network is to other programs. Inputs are those of its node, in their order.
#[derive(Clone, Copy, Debug)]
pub enum Operator {
    /// Convolution of x with a filter and, if there is a third input, a bias.
    Conv(Conv, Activation),
    /// Transposed convolution of the same inputs. The size of its result tells the output padding.
    ConvTranspose(Conv, Activation),
    /// Group normalisation of x with gamma and beta.
    GroupNorm(GroupNorm),
    /// Batch normalisation of x with gamma, beta, mean and variance.
    BatchNorm(BatchNorm),
    /// The largest of every square of that side.
    MaxPool(usize),
    /// Every pixel as a square of that side.
    Upsample(usize),
    /// act(a + `b_scale` * b).
    Add {
        /// Factor of the second input.
        b_scale: f32,
        /// What follows.
        activation: Activation,
    },
    /// x where x > 0, else that slope times x.
    LeakyRelu(f32),
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// All inputs beside each other, along channels.
    Concat,
    /// x times that.
    Scale(f32),
    /// x, seen otherwise.
    Identity,
}
