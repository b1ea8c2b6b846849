//! The networks of two student reports (EPFL course EE-559, 2022: Calafà, Motta, Rimbot): a U-Net, a Residual U-Net, and a network
//! from hand-made modules. Parameters are named as in the authors' state dicts. Their `PyTorch` twins are in
//! tests/golden/make.py.

use super::{Down, Modules, NetOptions, unet::tail};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Times that pictures are halved.
pub(super) const LEVELS: usize = 5;
const LRELU: Activation = Activation { slope: 0.1 };
/// In residual blocks.
const BLOCK_LRELU: Activation = Activation { slope: 0.01 };
const ONE: Conv = Conv { kernel: 1, stride: 1, padding: 0 };

/// Name of a block that is used several times: the same each time where its parameters are shared.
fn numbered(name: &str, i: usize, options: &NetOptions) -> String {
    if options.shared { name.into() } else { format!("{name}.{i}") }
}

/// conv, leaky ReLU, conv, leaky ReLU: the modules 0 and 2 of a block.
fn convs(net: &mut Modules, x: Tensor, name: &str, channels: usize) -> Tensor {
    let y = net.conv2d(&format!("{name}.0"), x, channels, Conv::same3(1), LRELU);
    net.conv2d(&format!("{name}.2"), y, channels, Conv::same3(1), LRELU)
}

/// First report's U-Net: 783,747 parameters with shared blocks, 1,551,987 with blocks of its own at every level.
pub(super) fn epfl_unet(net: &mut Modules, x: Tensor, options: &NetOptions) -> Tensor {
    let w = options.width;
    let mut skips = Vec::new();
    let mut y = x;
    for i in 0..LEVELS {
        let name = if i == 0 { "_block1".into() } else { numbered("_block2", i - 1, options) };
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
            _ => (numbered("_block5", i - 2, options), 2 * w),
        };
        y = convs(net, y, &name, channels);
        y = net.up2d(&format!("{name}.4"), y, channels);
    }
    y = net.graph.concat(&[y, x]);
    tail(net, y, ["_block6.0", "_block6.2", "_block6.4"], w)
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

/// First report's Residual U-Net as its code has it (`Down::Maxpool`): 693,843 parameters with shared blocks, 1,387,731 with own
/// ones. As its text has it (`Down::Conv`), a strided convolution halves, and in the decoder a 1x1 convolution on the shortcut
/// matches the channels, where the code has one before the block.
pub(super) fn epfl_resunet(net: &mut Modules, x: Tensor, options: &NetOptions) -> Tensor {
    let w = options.width;
    let mut y = net.conv2d("in_", x, w, ONE, Activation::NONE);
    let mut skips = Vec::new();
    for i in 0..LEVELS {
        let name = numbered("_block1", i, options);
        y = residual_block(net, y, &format!("{name}.0"), w);
        y = match options.down {
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
        let name = numbered("_block4", i, options);
        y = net.graph.concat(&[y, skip]);
        let (block, up) = match options.down {
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
    tail(net, y, ["_block5.0", "_block5.2", "_block5.4"], w)
}

/// Second report's network: 477 parameters. From normalised values to the range 0 to 1.
pub(super) fn epfl_convnet(net: &mut Modules, x: Tensor) -> Tensor {
    let half = Conv { kernel: 2, stride: 2, padding: 0 };
    let y = net.conv2d("0", x, 6, half, Activation::RELU);
    let y = net.conv2d("2", y, 12, half, Activation::RELU);
    let y = net.graph.upsample_nearest(y, 2);
    let y = net.conv2d("5", y, 6, ONE, Activation::RELU);
    let y = net.graph.upsample_nearest(y, 2);
    let y = net.conv2d("8", y, 3, ONE, Activation::NONE);
    net.graph.sigmoid(y)
}
