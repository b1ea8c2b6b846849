//! A network as a sequence of layers, as in the second report.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Modules, Network};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// A layer of a [`Sequential`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Layer {
    /// Convolution to so many channels, with bias.
    Conv2d(usize, Conv),
    /// Transposed 3x3 convolution to so many channels that doubles the size, with bias.
    ConvTranspose2d(usize),
    /// max(x, 0).
    ReLU,
    /// x where x > 0, else that slope times x.
    LeakyReLU(f32),
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// The largest of every square of that side.
    MaxPool2d(usize),
    /// Every pixel as a square of that side.
    Upsample(usize),
    /// Normalisation in so many groups of channels.
    GroupNorm(usize),
    /// Normalisation by channel over the batch.
    BatchNorm2d,
}

impl Layer {
    fn record(self, modules: &mut Modules, name: &str, x: Tensor) -> Tensor {
        match self {
            Self::Conv2d(output, conv) => modules.conv2d(name, x, output, conv, Activation::NONE),
            Self::ConvTranspose2d(output) => modules.up2d(name, x, output),
            Self::ReLU => modules.graph.relu(x),
            Self::LeakyReLU(slope) => modules.graph.leaky_relu(x, slope),
            Self::Sigmoid => modules.graph.sigmoid(x),
            Self::MaxPool2d(kernel) => modules.graph.max_pool2d(x, kernel),
            Self::Upsample(kernel) => modules.graph.upsample_nearest(x, kernel),
            Self::GroupNorm(groups) => modules.group_norm(name, x, groups, Activation::NONE),
            Self::BatchNorm2d => modules.batch_norm(name, x, Activation::NONE),
        }
    }
}

/// Layers one after the other. Parameters are named by the number of their layer, as in `PyTorch`: `0.weight`, `0.bias`,
/// `2.weight`.
///
/// ```
/// use n2n_gpu::{nets::{Layer, Sequential}, ops::Conv};
/// let net = Sequential::new([Layer::Conv2d(8, Conv::same3(1)), Layer::ReLU, Layer::Conv2d(3, Conv::same3(1))]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequential {
    layers: Vec<Layer>,
}

impl Sequential {
    /// The sequence of these layers.
    pub fn new(layers: impl IntoIterator<Item = Layer>) -> Self {
        Self { layers: layers.into_iter().collect() }
    }
}

impl Network for Sequential {
    fn name(&self) -> &'static str {
        "sequential"
    }

    fn options(&self) -> Map<String, Value> {
        super::options_of(self)
    }

    fn record(&self, modules: &mut Modules, x: Tensor) -> Tensor {
        self.layers.iter().enumerate().fold(x, |x, (i, layer)| layer.record(modules, &i.to_string(), x))
    }
}
