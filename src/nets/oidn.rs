//! The U-Nets of Intel Open Image Denoise (<https://www.openimagedenoise.org>; `core/unet_filter.cpp`, `training/model.py`), with
//! parameters named as in its weights files: its filters run what is trained here.

use serde::{Deserialize, Serialize};

use super::network::{Network, Values};
use super::registry::{Follows, Kind, Named, NetOption};
use super::{Modules, Transfer};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Channels of the layers: of the encoder's levels, and of both convolutions in each level of the decoder.
struct Widths {
    encoder: [usize; 5],
    decoder: [[usize; 2]; 4],
}

const BASE: Widths = Widths { encoder: [32, 48, 64, 80, 96], decoder: [[112, 112], [96, 96], [64, 64], [64, 32]] };
const SMALL: Widths = Widths { encoder: [32; 5], decoder: [[64, 64], [64, 64], [64, 32], [32, 32]] };

/// A network of these layers.
macro_rules! oidn_network {
    ($(#[$about:meta])* $name:ident, $widths:expr, $command_line:literal, $sentence:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// Channels that it reads: 3 of the colour, 6 with albedo, 9 with albedo and normals.
            pub inputs: usize,
            /// Whether colours are linear values from 0 without an upper end, not sRGB from 0 to 1.
            pub hdr: bool,
        }

        impl Default for $name {
            fn default() -> Self {
                Self { inputs: 3, hdr: false }
            }
        }

        impl Named for $name {
            const NAME: &'static str = $command_line;
            const ABOUT: &'static str = $sentence;
            const OPTIONS: &'static [NetOption] = &[INPUTS, HDR];
        }

        impl Network for $name {
            name_and_options!();

            fn inputs(&self) -> usize {
                self.inputs
            }

            fn values(&self) -> Values {
                Values::range([0.0, 1.0])
            }

            fn transfer(&self) -> Transfer {
                if self.hdr { Transfer::Pu } else { Transfer::None }
            }

            fn check(&self) -> Result<(), String> {
                match self.inputs {
                    3 | 6 | 9 => Ok(()),
                    other => Err(format!("{} of {other} input channels: 3, 6 and 9 are possible", Self::NAME)),
                }
            }

            fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
                record(&$widths, net, x)
            }
        }
    };
}

const INPUTS: NetOption = NetOption::new(
    "inputs",
    "Channels that it reads: 3 of the colour, 6 with albedo, 9 with albedo and normals",
    Kind::Count(3, 9),
)
.following(Follows::All);

const HDR: NetOption = NetOption::new(
    "hdr",
    "Read linear values from 0 without an upper end, as of a renderer, in place of sRGB from 0 to 1",
    Kind::Flag,
);

oidn_network!(
    /// Open Image Denoise's U-Net of balanced quality. Its result is never negative.
    OidnUnet,
    BASE,
    "oidn-unet",
    "U-Net of Intel Open Image Denoise, which runs its weights: four levels, max-pooling, ReLU"
);
oidn_network!(
    /// Open Image Denoise's fast U-Net, else as [`OidnUnet`].
    OidnUnetSmall,
    SMALL,
    "oidn-unet-small",
    "fast U-Net of Intel Open Image Denoise, which runs its weights"
);

/// Skips are the pooled results and the input. A ReLU follows the last convolution as well, but not in training: there it would
/// keep values at 0 that have become negative once.
fn record(Widths { encoder, decoder }: &Widths, net: &mut Modules, x: Tensor) -> Tensor {
    let conv = |net: &mut Modules, name: &str, x, channels| net.conv2d(name, x, channels, Conv::same3(1), Activation::RELU);
    let mut skips = vec![x];
    let mut y = conv(net, "enc_conv0", x, encoder[0]);
    for (level, channels) in (1..).zip(&encoder[..4]) {
        y = conv(net, &format!("enc_conv{level}"), y, *channels);
        y = net.graph.max_pool2d(y, 2);
        skips.push(y);
    }
    skips.pop();
    y = conv(net, "enc_conv5a", y, encoder[4]);
    y = conv(net, "enc_conv5b", y, encoder[4]);
    for (level, (channels, skip)) in (1..=4).rev().zip(decoder.iter().zip(skips.into_iter().rev())) {
        y = net.graph.upsample_nearest(y, 2);
        y = net.graph.concat(&[y, skip]);
        y = conv(net, &format!("dec_conv{level}a"), y, channels[0]);
        y = conv(net, &format!("dec_conv{level}b"), y, channels[1]);
    }
    let last = if net.training { Activation::NONE } else { Activation::RELU };
    net.conv2d("dec_conv0", y, 3, Conv::same3(1), last)
}
