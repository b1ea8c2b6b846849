//! `unet`: the first report's U-Net with blocks of its own at every level. Its `PyTorch` twin is in tests/golden/make.py.

use super::{NetOptions, Norm};
use crate::graph::{Graph, Layout, Tensor};
use crate::ops::{Activation, Conv, GroupNorm};

/// Slope of every leaky ReLU.
const SLOPE: f32 = 0.1;

/// Records the network. Encoder of `levels` blocks conv, conv, strided conv; as many decoder blocks conv, conv,
/// transposed conv on the concatenation with the skip; three convolutions at full size on the concatenation with the input.
pub fn unet(g: &mut Graph, x: Tensor, options: &NetOptions) -> Tensor {
    let w = options.width;
    let mut net = Recorder { g, norm: options.norm };
    let mut skips = vec![x];
    let mut y = x;
    for i in 0..options.levels {
        y = net.block(y, &format!("encoder.{i}"), w);
        y = net.conv(y, &format!("encoder.{i}.down"), w, Conv::same3(2), Activation::NONE);
        skips.push(y);
    }
    skips.pop();
    for j in 0..options.levels {
        if j > 0 {
            let skip = skips.pop().expect("a skip per level");
            y = net.g.concat(&[y, skip]);
        }
        let channels = if j == 0 { w } else { 2 * w };
        y = net.block(y, &format!("decoder.{j}"), channels);
        y = net.up(y, &format!("decoder.{j}.up"), channels);
    }
    y = net.g.concat(&[y, x]);
    let lrelu = Activation::leaky_relu(SLOPE);
    y = net.conv(y, "output.conv1", (w * 4 / 3).max(1), Conv::same3(1), lrelu);
    y = net.conv(y, "output.conv2", (w * 2 / 3).max(1), Conv::same3(1), lrelu);
    net.conv(y, "output.conv3", 3, Conv::same3(1), Activation::NONE)
}

struct Recorder<'a> {
    g: &'a mut Graph,
    norm: Norm,
}

impl Recorder<'_> {
    /// Two convolutions with normalisation and activation.
    fn block(&mut self, x: Tensor, name: &str, channels: usize) -> Tensor {
        let y = self.conv_norm(x, name, 1, channels);
        self.conv_norm(y, name, 2, channels)
    }

    fn conv_norm(&mut self, x: Tensor, name: &str, number: usize, channels: usize) -> Tensor {
        let conv = format!("{name}.conv{number}");
        let activation = Activation::leaky_relu(SLOPE);
        match self.norm {
            Norm::None => self.conv(x, &conv, channels, Conv::same3(1), activation),
            Norm::Group => {
                let y = self.conv(x, &conv, channels, Conv::same3(1), Activation::NONE);
                let gamma = self.g.param(&format!("{name}.norm{number}.weight"), Layout::Vector(channels));
                let beta = self.g.param(&format!("{name}.norm{number}.bias"), Layout::Vector(channels));
                let groups = if channels.is_multiple_of(8) { channels / 8 } else { 1 };
                self.g.group_norm(y, gamma, beta, GroupNorm { groups, eps: 1e-5, activation })
            }
        }
    }

    fn conv(&mut self, x: Tensor, name: &str, output: usize, conv: Conv, activation: Activation) -> Tensor {
        let input = self.g.view(x).parts.clone();
        let w = self.g.param(&format!("{name}.weight"), Layout::Conv { k: conv.kernel, input, output });
        let b = self.g.param(&format!("{name}.bias"), Layout::Vector(output));
        self.g.conv2d(x, w, Some(b), conv, activation)
    }

    fn up(&mut self, x: Tensor, name: &str, output: usize) -> Tensor {
        let input = self.g.view(x).parts.clone();
        let w = self.g.param(&format!("{name}.weight"), Layout::ConvTranspose { k: 3, input, output });
        let b = self.g.param(&format!("{name}.bias"), Layout::Vector(output));
        self.g.conv_transpose2d(x, w, b, Conv::same3(2), 1, Activation::NONE)
    }
}
