//! `unet`: the first report's U-Net with blocks of its own at every level. Its `PyTorch` twin is in tests/golden/nets.py.

use serde::{Deserialize, Serialize};

use super::network::Network;
use super::registry::{Kind, Named, NetOption, Task, check_channels, check_width, is_colour};
use super::{Down, Modules, Norm, Up};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Slope of every leaky ReLU.
const SLOPE: f32 = 0.1;

/// The default network: encoder and decoder with skips, every level with blocks of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unet {
    /// Channels of the encoder; the decoder has twice as many.
    pub width: usize,
    /// Times that the picture is halved.
    pub levels: usize,
    /// Normalisation after the convolutions of the blocks.
    pub norm: Norm,
    /// How pictures are halved.
    pub down: Down,
    /// How pictures are doubled.
    pub up: Up,
    /// Whether it predicts the noise, which is subtracted from the picture.
    pub residual: bool,
    /// Channels of the pictures: 3, or 1 of grey ones.
    #[serde(skip_serializing_if = "is_colour")]
    pub channels: usize,
}

impl Unet {
    /// One of that size, in all else as the default.
    pub fn new(width: usize, levels: usize, norm: Norm) -> Self {
        Self { width, levels, norm, ..Self::default() }
    }

    /// Two convolutions with normalisation and activation.
    fn block(&self, net: &mut Modules, x: Tensor, name: &str, channels: usize) -> Tensor {
        let lrelu = Activation::leaky_relu(SLOPE);
        let layer = |number| [format!("{name}.conv{number}"), format!("{name}.norm{number}")];
        let [first, second] = [layer(1), layer(2)];
        let y = net.conv_norm([&first[0], &first[1]], x, channels, self.norm, lrelu);
        net.conv_norm([&second[0], &second[1]], y, channels, self.norm, lrelu)
    }
}

impl Default for Unet {
    /// The size of the first report's.
    fn default() -> Self {
        Self { width: 48, levels: 5, norm: Norm::None, down: Down::Conv, up: Up::Convt, residual: false, channels: 3 }
    }
}

impl Named for Unet {
    const NAME: &'static str = "unet";
    const ABOUT: &'static str = "U-Net of any size: encoder and decoder with skips, own blocks at every level";
    const OPTIONS: &'static [NetOption] = &[
        NetOption::WIDTH,
        NetOption::new("levels", "Times that the picture is halved", Kind::Count(1, 8)),
        NetOption::new(
            "norm",
            "Normalisation after the convolutions; none is best for denoising",
            Kind::Word(&["none", "group", "batch"]),
        ),
        NetOption::DOWN,
        NetOption::new(
            "up",
            "How pictures are doubled: by a transposed convolution, or by repeating pixels",
            Kind::Word(&["convt", "nearest"]),
        ),
        NetOption { hidden: true, ..NetOption::RESIDUAL },
        NetOption::CHANNELS,
    ];

    /// One that a device trains in minutes.
    fn suited(Task { large, subtracts }: Task) -> Self {
        let (width, levels) = if large { (48, 4) } else { (16, 3) };
        Self { width, levels, residual: subtracts, ..Self::default() }
    }
}

impl Network for Unet {
    name_and_options!();

    fn colours(&self) -> usize {
        self.channels
    }

    fn check(&self) -> Result<(), String> {
        check_width(Self::NAME, self.width)?;
        check_channels(Self::NAME, self.channels)?;
        if (1..=8).contains(&self.levels) { Ok(()) } else { Err(format!("unet of {} levels: 1 to 8 are possible", self.levels)) }
    }

    /// Encoder of `levels` blocks conv, conv, halving; as many decoder blocks conv, conv, doubling on the concatenation with the
    /// skip; three convolutions at full size on the concatenation with the input.
    fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
        let w = self.width;
        let mut skips = vec![x];
        let mut y = x;
        for i in 0..self.levels {
            y = self.block(net, y, &format!("encoder.{i}"), w);
            y = match self.down {
                Down::Conv => net.conv2d(&format!("encoder.{i}.down"), y, w, Conv::same3(2), Activation::NONE),
                Down::Maxpool => net.graph.max_pool2d(y, 2),
            };
            skips.push(y);
        }
        skips.pop();
        for j in 0..self.levels {
            if j > 0 {
                let skip = skips.pop().expect("a skip per level");
                y = net.graph.concat(&[y, skip]);
            }
            let channels = if j == 0 { w } else { 2 * w };
            y = self.block(net, y, &format!("decoder.{j}"), channels);
            y = match self.up {
                Up::Convt => net.up2d(&format!("decoder.{j}.up"), y, channels),
                Up::Nearest => net.graph.upsample_nearest(y, 2),
            };
        }
        y = net.graph.concat(&[y, x]);
        let y = tail(net, y, ["output.conv1", "output.conv2", "output.conv3"], w, self.channels);
        net.residual(x, y, self.residual)
    }
}

/// Three convolutions from everything to a picture of so many channels: the last block of the U-Nets here, for an encoder of
/// `width` channels.
pub(super) fn tail(net: &mut Modules, x: Tensor, names: [&str; 3], width: usize, channels: usize) -> Tensor {
    let lrelu = Activation::leaky_relu(SLOPE);
    let y = net.conv2d(names[0], x, (width * 4 / 3).max(1), Conv::same3(1), lrelu);
    let y = net.conv2d(names[1], y, (width * 2 / 3).max(1), Conv::same3(1), lrelu);
    net.conv2d(names[2], y, channels, Conv::same3(1), Activation::NONE)
}
