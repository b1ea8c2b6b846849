//! The U-Net of the Noise2Noise paper (Lehtinen et al. 2018, appendix A.1): 991,203 parameters. Its `PyTorch` twin is in
//! tests/golden/nets.py.

use serde::{Deserialize, Serialize};

use super::Modules;
use super::network::Network;
use super::registry::{Named, NetOption, check_channels, check_width, is_colour};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Times that pictures are halved.
const LEVELS: usize = 5;
const LRELU: Activation = Activation { slope: 0.1 };

/// The network of the Noise2Noise paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct N2nUnet {
    /// Channels of the encoder.
    pub width: usize,
    /// Whether it predicts the noise, which is subtracted from the picture.
    pub residual: bool,
    /// Channels of the pictures: 3, or 1 of grey ones.
    #[serde(skip_serializing_if = "is_colour")]
    pub channels: usize,
}

impl Default for N2nUnet {
    fn default() -> Self {
        Self { width: 48, residual: false, channels: 3 }
    }
}

impl Named for N2nUnet {
    const NAME: &'static str = "n2n-unet";
    const ABOUT: &'static str = "U-Net of the Noise2Noise paper: max-pooling and nearest upsampling, 991,203 parameters";
    const OPTIONS: &'static [NetOption] = &[NetOption::WIDTH, NetOption::RESIDUAL, NetOption::CHANNELS];
}

impl Network for N2nUnet {
    name_and_options!();

    fn colours(&self) -> usize {
        self.channels
    }

    fn check(&self) -> Result<(), String> {
        check_width(Self::NAME, self.width)?;
        check_channels(Self::NAME, self.channels)
    }

    /// Skips are the pooled results and the picture itself.
    fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
        let w = self.width;
        let mut skips = vec![x];
        let mut y = net.conv2d("enc.0", x, w, Conv::same3(1), LRELU);
        for i in 1..=LEVELS {
            y = net.conv2d(&format!("enc.{i}"), y, w, Conv::same3(1), LRELU);
            y = net.graph.max_pool2d(y, 2);
            skips.push(y);
        }
        y = net.conv2d(&format!("enc.{}", LEVELS + 1), skips.pop().expect("there are five levels"), w, Conv::same3(1), LRELU);
        for (i, skip) in skips.into_iter().rev().enumerate() {
            let last = i == LEVELS - 1;
            let (first, second) = if last { (w * 4 / 3, w * 2 / 3) } else { (2 * w, 2 * w) };
            y = net.graph.upsample_nearest(y, 2);
            y = net.graph.concat(&[y, skip]);
            y = net.conv2d(&format!("dec.{i}.0"), y, first.max(1), Conv::same3(1), LRELU);
            y = net.conv2d(&format!("dec.{i}.1"), y, second.max(1), Conv::same3(1), LRELU);
        }
        let y = net.conv2d("out", y, self.channels, Conv::same3(1), Activation::NONE);
        net.residual(x, y, self.residual)
    }
}
