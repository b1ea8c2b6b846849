//! The network from hand-made modules of the second report (EPFL course EE-559, 2022: Calafà, Motta, Rimbot): 477 parameters. Its
//! `PyTorch` twin is in tests/golden/nets.py.

use serde::{Deserialize, Serialize};

use super::Modules;
use super::network::{Input, Network, Values};
use super::registry::{Named, NetOption};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Second report's network. From normalised values to the range 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpflConvnet {}

impl Named for EpflConvnet {
    const NAME: &'static str = "epfl-convnet";
    const ABOUT: &'static str =
        "two strided and two upsampling convolutions, from hand-made modules: 477 parameters, to learn from";
    const OPTIONS: &'static [NetOption] = &[];
}

impl Network for EpflConvnet {
    name_and_options!();

    fn values(&self) -> Values {
        Values { input: Input::Normalised, output: [0.0, 1.0] }
    }

    fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
        let one = Conv { kernel: 1, stride: 1, padding: 0 };
        let half = Conv { kernel: 2, stride: 2, padding: 0 };
        let y = net.conv2d("0", x, 6, half, Activation::RELU);
        let y = net.conv2d("2", y, 12, half, Activation::RELU);
        let y = net.graph.upsample_nearest(y, 2);
        let y = net.conv2d("5", y, 6, one, Activation::RELU);
        let y = net.graph.upsample_nearest(y, 2);
        let y = net.conv2d("8", y, 3, one, Activation::NONE);
        net.graph.sigmoid(y)
    }
}
