//! Networks: what is recorded for each, the names of its parameters, and how they start.

mod epfl;
pub mod import;
mod init;
pub mod model;
mod modules;
mod n2n;
mod sequential;
mod unet;

pub use init::initial;
pub use model::Model;
pub use modules::Modules;
pub use sequential::{Layer, Module, Sequential};

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Tensor};

/// Networks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// Ours: encoder and decoder with skips, blocks of its own at every level.
    Unet,
    /// U-Net of the Noise2Noise paper.
    N2nUnet,
    /// U-Net of the first report.
    EpflUnet,
    /// Residual U-Net of the first report.
    EpflResunet,
    /// Network of hand-made modules of the second report, with 477 parameters.
    EpflConvnet,
}

/// Normalisation after the convolutions of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// None: best for denoising.
    None,
    /// GroupNorm, eight channels to a group.
    Group,
    /// BatchNorm.
    Batch,
}

/// How pictures are halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// By a strided convolution.
    Conv,
    /// By the largest of four.
    Maxpool,
}

/// How pictures are doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Up {
    /// By a transposed convolution.
    Convt,
    /// By repeating pixels.
    Nearest,
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
    /// Channels of the encoder; the others follow. Not of `epfl-convnet`.
    pub width: usize,
    /// Times that the picture is halved. Only `unet` has a choice.
    pub levels: usize,
    /// Normalisation of `unet`.
    pub norm: Norm,
    /// Whether blocks that are alike are one block used several times: `epfl-unet`, `epfl-resunet`.
    #[serde(default)]
    pub shared: bool,
    /// How `unet` and `epfl-resunet` halve pictures.
    #[serde(default = "strided")]
    pub down: Down,
    /// How `unet` doubles pictures.
    #[serde(default = "transposed")]
    pub up: Up,
    /// Whether the network predicts the noise, which is subtracted from the picture.
    #[serde(default)]
    pub residual: bool,
}

fn strided() -> Down {
    Down::Conv
}

fn transposed() -> Up {
    Up::Convt
}

/// What the values 0 and 1 of a picture are to a network that reads and writes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranges {
    /// At its input.
    pub input: [f32; 2],
    /// At its output.
    pub output: [f32; 2],
}

impl Ranges {
    /// The same at both ends.
    pub const fn both(range: [f32; 2]) -> Self {
        Self { input: range, output: range }
    }
}

impl NetOptions {
    /// The network as it was published; of `unet`, the size of the first report's.
    pub fn new(net: Net) -> Self {
        let pooled = matches!(net, Net::EpflResunet | Net::N2nUnet);
        Self {
            net,
            width: 48,
            levels: 5,
            norm: Norm::None,
            shared: false,
            down: if pooled { Down::Maxpool } else { Down::Conv },
            up: if net == Net::N2nUnet { Up::Nearest } else { Up::Convt },
            residual: false,
        }
    }

    /// `unet` of that size.
    pub fn unet(width: usize, levels: usize, norm: Norm) -> Self {
        Self { width, levels, norm, ..Self::new(Net::Unet) }
    }

    /// Records the network for use: from x (N, H, W, 3) in the network's range to the same shape. H and W must divide by
    /// [`NetOptions::multiple`].
    pub fn record(&self, g: &mut Graph, x: Tensor) -> Tensor {
        self.record_modules(&mut Modules::new(g, false), x)
    }

    /// Records the network for training: the same but for batch normalisation, which goes by the batch.
    pub fn record_training(&self, g: &mut Graph, x: Tensor) -> Tensor {
        self.record_modules(&mut Modules::new(g, true), x)
    }

    fn record_modules(&self, modules: &mut Modules, x: Tensor) -> Tensor {
        let [_, h, w] = modules.graph.view(x).shape;
        assert!(h % self.multiple() == 0 && w % self.multiple() == 0, "{h}x{w} does not divide by {}", self.multiple());
        let y = match self.net {
            Net::Unet => unet::unet(modules, x, self),
            Net::N2nUnet => n2n::n2n_unet(modules, x, self),
            Net::EpflUnet => epfl::epfl_unet(modules, x, self),
            Net::EpflResunet => epfl::epfl_resunet(modules, x, self),
            Net::EpflConvnet => epfl::epfl_convnet(modules, x),
        };
        if self.residual { modules.graph.subtract(x, y) } else { y }
    }

    /// What heights and widths must divide by.
    pub fn multiple(&self) -> usize {
        match self.net {
            Net::Unet => 1 << self.levels,
            Net::N2nUnet => 1 << n2n::LEVELS,
            Net::EpflUnet | Net::EpflResunet => 1 << epfl::LEVELS,
            Net::EpflConvnet => 4,
        }
    }

    /// The flags that set what sizes must divide by.
    pub fn size_flags(&self) -> String {
        if self.net == Net::Unet { format!("--levels {}", self.levels) } else { format!("--net {}", self.name()) }
    }

    /// Name for people and files.
    pub fn name(&self) -> &'static str {
        match self.net {
            Net::Unet => "unet",
            Net::N2nUnet => "n2n-unet",
            Net::EpflUnet => "epfl-unet",
            Net::EpflResunet => "epfl-resunet",
            Net::EpflConvnet => "epfl-convnet",
        }
    }

    /// What the network reads and writes. `statistics` are the mean and standard deviation of the noisy training pictures, on
    /// the [0, 1] range, for the network that wants its input normalised.
    pub fn ranges(&self, statistics: (f32, f32)) -> Ranges {
        match self.net {
            Net::Unet | Net::N2nUnet => Ranges::both([-0.5, 0.5]),
            Net::EpflUnet | Net::EpflResunet => Ranges::both([0.0, 255.0]),
            Net::EpflConvnet => {
                let (mean, deviation) = statistics;
                Ranges { input: [-mean / deviation, (1.0 - mean) / deviation], output: [0.0, 1.0] }
            }
        }
    }

    /// Whether the options are those of a network that can be recorded.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let (name, width) = (self.name(), self.width);
        if !(1..=1024).contains(&width) || !(1..=8).contains(&self.levels) {
            return Err(format!("{name} of width {width} and {} levels is no network", self.levels));
        }
        if self.net == Net::EpflResunet && !width.is_multiple_of(12) {
            return Err(format!("{name} of width {width}: its three groups, and channels in fours, want a multiple of 12"));
        }
        if self.residual && self.net == Net::EpflConvnet {
            return Err(format!("{name} ends in a sigmoid and cannot predict noise"));
        }
        Ok(())
    }

    /// Number of trained values.
    pub fn parameters(&self) -> usize {
        self.skeleton().parameter_count()
    }

    /// The network recorded at its smallest size: for its parameters.
    pub fn skeleton(&self) -> Graph {
        let mut g = Graph::new();
        let x = g.host_picture("x", [1, self.multiple(), self.multiple()], 3);
        self.record(&mut g, x);
        g
    }

    /// Farthest input pixel that an output pixel depends on; `None` if it depends on all of them (GroupNorm).
    pub fn radius(&self) -> Option<usize> {
        let mut g = Graph::new();
        let x = g.host_picture("x", [1, self.multiple(), self.multiple()], 3);
        let y = self.record(&mut g, x);
        // Per tensor: how many input pixels its pixels stand for, and how far they see.
        let mut seen = std::collections::BTreeMap::from([(x, (1, 0))]);
        for node in g.nodes() {
            let halo = node.op.halo()?;
            let from = node.inputs.iter().filter_map(|t| seen.get(t));
            let Some((scale, radius)) = from.copied().reduce(|a, b| (a.0, a.1.max(b.1))) else { continue };
            let to = (scale * halo.down / halo.up, radius + halo.radius() * scale);
            seen.extend(node.outputs.iter().map(|&t| (t, to)));
        }
        seen.get(&y).map(|(_, radius)| *radius)
    }
}
