//! The Residual U-Net of the first report (EPFL course EE-559, 2022: Calafà, Motta, Rimbot). Parameters are named as in the
//! authors' state dicts. Its `PyTorch` twin is in tests/golden/nets.py.

use serde::{Deserialize, Serialize};

use super::network::{Network, Values};
use super::registry::{Named, NetOption, check_width};
use super::unet::tail;
use super::{Down, Modules, numbered};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Times that pictures are halved.
const LEVELS: usize = 5;
const LRELU: Activation = Activation { slope: 0.1 };
/// In residual blocks.
const BLOCK_LRELU: Activation = Activation { slope: 0.01 };
const ONE: Conv = Conv { kernel: 1, stride: 1, padding: 0 };

/// First report's Residual U-Net as its code has it ([`Down::Maxpool`]): 693,843 parameters with shared blocks, 1,387,731 with
/// own ones. As its text has it ([`Down::Conv`]), a strided convolution halves, and in the decoder a 1x1 convolution on the
/// shortcut matches the channels, where the code has one before the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpflResunet {
    /// Channels of the encoder, a multiple of 12.
    pub width: usize,
    /// Whether blocks that are alike are one block used several times, as the authors have it.
    pub shared: bool,
    /// How pictures are halved.
    pub down: Down,
    /// Whether it predicts the noise, which is subtracted from the picture.
    pub residual: bool,
}

impl Default for EpflResunet {
    fn default() -> Self {
        Self { width: 48, shared: false, down: Down::Maxpool, residual: false }
    }
}

impl Named for EpflResunet {
    const NAME: &'static str = "epfl-resunet";
    const ABOUT: &'static str = "residual U-Net with GroupNorm of the same report: five levels, values from 0 to 255";
    const OPTIONS: &'static [NetOption] = &[NetOption::WIDTH, NetOption::SHARED, NetOption::DOWN, NetOption::RESIDUAL];
}

impl Network for EpflResunet {
    name_and_options!();

    fn values(&self) -> Values {
        Values::range([0.0, 255.0])
    }

    fn check(&self) -> Result<(), String> {
        check_width(Self::NAME, self.width)?;
        if self.width.is_multiple_of(12) {
            return Ok(());
        }
        Err(format!("{} of width {}: its three groups, and channels in fours, want a multiple of 12", Self::NAME, self.width))
    }

    fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
        let w = self.width;
        let mut y = net.conv2d("in_", x, w, ONE, Activation::NONE);
        let mut skips = Vec::new();
        for i in 0..LEVELS {
            let name = numbered("_block1", i, self.shared);
            y = residual_block(net, y, &format!("{name}.0"), w);
            y = match self.down {
                Down::Maxpool => net.graph.max_pool2d(y, 2),
                Down::Conv => net.conv2d(&format!("{name}.1"), y, w, Conv::same3(2), Activation::NONE),
            };
            skips.push(y);
        }
        y = skips.pop().expect("there are five levels");
        y = residual_block(net, y, "_block2.0", w);
        y = net.up2d("_block2.1", y, w);
        y = net.graph.concat(&[y, skips.pop().expect("a skip per level")]);
        y = residual_block(net, y, "_block3.0", 2 * w);
        y = net.up2d("_block3.1", y, 2 * w);
        for (i, skip) in skips.into_iter().rev().enumerate() {
            let name = numbered("_block4", i, self.shared);
            y = net.graph.concat(&[y, skip]);
            let (block, up) = match self.down {
                Down::Maxpool => {
                    y = net.conv2d(&format!("{name}.0"), y, 2 * w, ONE, LRELU);
                    (format!("{name}.2"), format!("{name}.3"))
                }
                Down::Conv => (format!("{name}.0"), format!("{name}.1")),
            };
            y = residual_block(net, y, &block, 2 * w);
            y = net.up2d(&up, y, 2 * w);
        }
        y = net.graph.concat(&[y, x]);
        let y = tail(net, y, ["_block5.0", "_block5.2", "_block5.4"], w, 3);
        net.residual(x, y, self.residual)
    }
}

/// conv, norm, leaky ReLU, conv, norm, + input, leaky ReLU; the input through a 1x1 convolution where its channels differ.
fn residual_block(net: &mut Modules, x: Tensor, name: &str, channels: usize) -> Tensor {
    let y = net.conv2d(&format!("{name}.conv1"), x, channels, Conv::same3(1), Activation::NONE);
    let y = net.group_norm(&format!("{name}.bn1"), y, 3, BLOCK_LRELU);
    let y = net.conv2d(&format!("{name}.conv2"), y, channels, Conv::same3(1), Activation::NONE);
    let y = net.group_norm(&format!("{name}.bn2"), y, 3, Activation::NONE);
    let input = net.graph.view(x).clone();
    let shortcut = match input.channels() == channels {
        true if input.parts.len() == 1 => x,
        true => net.graph.join(x),
        false => net.conv2d(&format!("{name}.shortcut"), x, channels, ONE, Activation::NONE),
    };
    net.graph.add_with(y, shortcut, BLOCK_LRELU)
}
