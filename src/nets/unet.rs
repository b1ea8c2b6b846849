//! `unet`: the first report's U-Net with blocks of its own at every level. Its `PyTorch` twin is in tests/golden/make.py.

use super::{Down, Modules, NetOptions, Up};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Slope of every leaky ReLU.
const SLOPE: f32 = 0.1;

/// Records the network. Encoder of `levels` blocks conv, conv, halving; as many decoder blocks conv, conv, doubling on the
/// concatenation with the skip; three convolutions at full size on the concatenation with the input.
pub(super) fn unet(net: &mut Modules, x: Tensor, options: &NetOptions) -> Tensor {
    let w = options.width;
    let mut skips = vec![x];
    let mut y = x;
    for i in 0..options.levels {
        y = block(net, y, &format!("encoder.{i}"), w, options);
        y = match options.down {
            Down::Conv => net.conv2d(&format!("encoder.{i}.down"), y, w, Conv::same3(2), Activation::NONE),
            Down::Maxpool => net.graph.max_pool2d(y, 2),
        };
        skips.push(y);
    }
    skips.pop();
    for j in 0..options.levels {
        if j > 0 {
            let skip = skips.pop().expect("a skip per level");
            y = net.graph.concat(&[y, skip]);
        }
        let channels = if j == 0 { w } else { 2 * w };
        y = block(net, y, &format!("decoder.{j}"), channels, options);
        y = match options.up {
            Up::Convt => net.up2d(&format!("decoder.{j}.up"), y, channels),
            Up::Nearest => net.graph.upsample_nearest(y, 2),
        };
    }
    y = net.graph.concat(&[y, x]);
    tail(net, y, ["output.conv1", "output.conv2", "output.conv3"], w)
}

/// Two convolutions with normalisation and activation.
fn block(net: &mut Modules, x: Tensor, name: &str, channels: usize, options: &NetOptions) -> Tensor {
    let lrelu = Activation::leaky_relu(SLOPE);
    let layer = |number| [format!("{name}.conv{number}"), format!("{name}.norm{number}")];
    let [first, second] = [layer(1), layer(2)];
    let y = net.conv_norm([&first[0], &first[1]], x, channels, options.norm, lrelu);
    net.conv_norm([&second[0], &second[1]], y, channels, options.norm, lrelu)
}

/// Three convolutions from everything to a picture: the last block of all U-Nets here, for an encoder of `width` channels.
pub(super) fn tail(net: &mut Modules, x: Tensor, names: [&str; 3], width: usize) -> Tensor {
    let lrelu = Activation::leaky_relu(SLOPE);
    let y = net.conv2d(names[0], x, (width * 4 / 3).max(1), Conv::same3(1), lrelu);
    let y = net.conv2d(names[1], y, (width * 2 / 3).max(1), Conv::same3(1), lrelu);
    net.conv2d(names[2], y, 3, Conv::same3(1), Activation::NONE)
}
