//! The U-Net of the first report (EPFL course EE-559, 2022: Calafà, Motta, Rimbot). Parameters are named as in the authors' state
//! dicts. Its `PyTorch` twin is in tests/golden/nets.py.

use serde::{Deserialize, Serialize};

use super::network::{Network, Values};
use super::registry::{Named, NetOption, check_width};
use super::unet::tail;
use super::{Modules, numbered};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Times that pictures are halved.
const LEVELS: usize = 5;
const LRELU: Activation = Activation { slope: 0.1 };

/// First report's U-Net: 783,747 parameters with shared blocks, 1,551,987 with blocks of its own at every level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpflUnet {
    /// Channels of the encoder.
    pub width: usize,
    /// Whether blocks that are alike are one block used several times, as the authors have it.
    pub shared: bool,
    /// Whether it predicts the noise, which is subtracted from the picture.
    pub residual: bool,
}

impl Default for EpflUnet {
    fn default() -> Self {
        Self { width: 48, shared: false, residual: false }
    }
}

impl Named for EpflUnet {
    const NAME: &'static str = "epfl-unet";
    const ABOUT: &'static str = "U-Net of a student report (EPFL, 2022): five levels, values from 0 to 255";
    const OPTIONS: &'static [NetOption] = &[NetOption::WIDTH, NetOption::SHARED, NetOption::RESIDUAL];
}

impl Network for EpflUnet {
    name_and_options!();

    fn values(&self) -> Values {
        Values::range([0.0, 255.0])
    }

    fn check(&self) -> Result<(), String> {
        check_width(Self::NAME, self.width)
    }

    fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
        let w = self.width;
        let mut skips = Vec::new();
        let mut y = x;
        for i in 0..LEVELS {
            let name = if i == 0 { "_block1".into() } else { numbered("_block2", i - 1, self.shared) };
            y = convs(net, y, &name, w);
            y = net.conv2d(&format!("{name}.4"), y, w, Conv::same3(2), Activation::NONE);
            skips.push(y);
        }
        skips.pop();
        for i in 0..LEVELS {
            if i > 0 {
                y = net.graph.concat(&[y, skips.pop().expect("a skip per level")]);
            }
            let (name, channels) = match i {
                0 => ("_block3".into(), w),
                1 => ("_block4".into(), 2 * w),
                _ => (numbered("_block5", i - 2, self.shared), 2 * w),
            };
            y = convs(net, y, &name, channels);
            y = net.up2d(&format!("{name}.4"), y, channels);
        }
        y = net.graph.concat(&[y, x]);
        let y = tail(net, y, ["_block6.0", "_block6.2", "_block6.4"], w, 3);
        net.residual(x, y, self.residual)
    }
}

/// conv, leaky ReLU, conv, leaky ReLU: the modules 0 and 2 of a block.
fn convs(net: &mut Modules, x: Tensor, name: &str, channels: usize) -> Tensor {
    let y = net.conv2d(&format!("{name}.0"), x, channels, Conv::same3(1), LRELU);
    net.conv2d(&format!("{name}.2"), y, channels, Conv::same3(1), LRELU)
}
