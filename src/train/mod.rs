//! Training: from photographs with synthetic noise, or pairs of noisy pictures, to a model file.

mod chart;
mod data;
pub mod report;
mod run;
mod schedule;
mod validation;
mod writer;

pub use data::{Source, split};
pub use run::{Outcome, Progress, train};
pub use schedule::Length;
pub use validation::Validation;

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::nets::{Init, NetOptions};

/// How to train. Written to a run's `config.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// The network.
    pub net: NetOptions,
    /// How its filters start.
    pub init: Init,
    /// How long.
    pub length: Length,
    /// Crops per step.
    pub batch: usize,
    /// Side of the square crops, pixels.
    pub crop: usize,
    /// Highest learning rate: reached after warm-up, then falling to 0 along a cosine.
    pub lr: f64,
    /// Longest gradient; 0: any.
    pub clip: f32,
    /// Decay of the exponential moving average of the weights, which is what validation and checkpoints use.
    pub ema: f64,
    /// Seed of initialisation, crops and noise.
    pub seed: u32,
    /// Whether targets have no noise, for comparison.
    pub clean_targets: bool,
}

impl Options {
    /// The recipe to start from. Small batches learn more in a given time, as long as they keep the device busy: four crops
    /// on the CPU, where 80 s brought 29.0 dB against 27.1 dB with sixteen, and sixteen on a GPU.
    pub fn new(device: &Device, net: NetOptions, length: Length) -> Self {
        let batch = if matches!(device, Device::Cpu) { 4 } else { 16 };
        Self { net, init: Init::Xavier, length, batch, crop: 64, lr: 2e-3, clip: 1.0, ema: 0.999, seed: 1, clean_targets: false }
    }
}
