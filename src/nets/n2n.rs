//! The U-Net of the Noise2Noise paper (Lehtinen et al. 2018, appendix A.1): 991,203 parameters. Its `PyTorch` twin is in
//! tests/golden/make.py.

use super::{Modules, NetOptions};
use crate::graph::Tensor;
use crate::ops::{Activation, Conv};

/// Times that pictures are halved.
pub(super) const LEVELS: usize = 5;
const LRELU: Activation = Activation { slope: 0.1 };

/// Records the network. Skips are the pooled results and the picture itself.
pub(super) fn n2n_unet(net: &mut Modules, x: Tensor, options: &NetOptions) -> Tensor {
    let w = options.width;
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
    net.conv2d("out", y, 3, Conv::same3(1), Activation::NONE)
}
