//! Networks: what is recorded for each, the names of its parameters, and how they start.

mod init;
pub mod model;
mod unet;

pub use init::initial;
pub use model::Model;
pub use unet::unet;

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Tensor};

/// Networks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// Encoder and decoder of strided and transposed convolutions, with skips.
    Unet,
}

/// Normalisation after the convolutions of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// None: best for denoising.
    None,
    /// GroupNorm, eight channels to a group.
    Group,
}

/// How filters start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Normal, variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010).
    Xavier,
    /// Normal, variance 2 / fan-in (He et al. 2015).
    He,
}

/// A network and its options: all that is needed to record it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetOptions {
    /// Which network.
    pub net: Net,
    /// Channels of the encoder.
    pub width: usize,
    /// Times that the picture is halved.
    pub levels: usize,
    /// Normalisation.
    pub norm: Norm,
}

impl NetOptions {
    /// Records the network: from x (N, H, W, 3) in [-0.5, 0.5] to the same shape. H and W must divide by
    /// [`NetOptions::multiple`].
    pub fn record(&self, g: &mut Graph, x: Tensor) -> Tensor {
        let [_, h, w] = g.view(x).shape;
        assert!(h % self.multiple() == 0 && w % self.multiple() == 0, "{h}x{w} does not divide by {}", self.multiple());
        match self.net {
            Net::Unet => unet(g, x, self),
        }
    }

    /// What heights and widths must divide by.
    pub fn multiple(&self) -> usize {
        1 << self.levels
    }

    /// Name for people and files.
    pub fn name(&self) -> &'static str {
        match self.net {
            Net::Unet => "unet",
        }
    }

    /// Number of trained values.
    pub fn parameters(&self) -> usize {
        let mut g = Graph::new();
        let x = g.host_picture("x", [1, self.multiple(), self.multiple()], 3);
        self.record(&mut g, x);
        g.parameter_count()
    }

    /// Farthest input pixel that an output pixel depends on; `None` if it depends on all of them (GroupNorm).
    pub fn radius(&self) -> Option<usize> {
        if self.norm == Norm::Group {
            return None;
        }
        let mut g = Graph::new();
        let x = g.host_picture("x", [1, self.multiple(), self.multiple()], 3);
        let y = self.record(&mut g, x);
        // Per tensor: how many input pixels its pixels stand for, and how far they see.
        let mut seen = std::collections::BTreeMap::from([(x, (1, 0))]);
        for node in g.nodes() {
            let halo = node.op.halo()?;
            let from = node.inputs.iter().filter_map(|t| seen.get(t));
            let Some((scale, radius)) = from.copied().reduce(|a, b| (a.0, a.1.max(b.1))) else { continue };
            let to = (scale * halo.down / halo.up, radius + halo.radius * scale);
            seen.extend(node.outputs.iter().map(|&t| (t, to)));
        }
        seen.get(&y).map(|(_, radius)| *radius)
    }
}
