//! Training: from photographs with synthetic noise, or pairs of noisy pictures, to a model file.

mod chart;
mod data;
mod fit;
mod log;
mod recipe;
pub mod report;
mod run;
mod schedule;
mod state;
mod step;
mod validation;
mod writer;

pub use data::{Source, split};
pub use fit::{Fit, Trainer};
pub use recipe::Recipe;
pub use run::{Outcome, Progress, resume, train};
pub use schedule::{Augment, Length, Schedule};
pub use state::{Resumable, resumable};
pub use validation::Validation;

use serde::{Deserialize, Serialize};

use crate::data::noise::Noise;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Precision;
use crate::nets::{Init, NetOptions};
use crate::ops::{Loss, Update};

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
    /// Highest learning rate.
    pub lr: f64,
    /// How the rate changes.
    pub schedule: Schedule,
    /// How pictures are varied.
    pub augment: Augment,
    /// Longest gradient; 0: any.
    pub clip: f32,
    /// Decay of the exponential moving average of the weights, which is what validation and checkpoints use.
    pub ema: f64,
    /// Seed of initialisation, crops and noise.
    pub seed: u32,
    /// Whether targets have no noise, for comparison.
    pub clean_targets: bool,
    /// What is made small.
    pub loss: Loss,
    /// By which rule.
    pub update: Update,
    /// What pictures are kept in within a step.
    #[serde(default)]
    pub precision: Precision,
    /// Noisy targets of every crop that the loss is averaged over: see [`targets_for`].
    #[serde(default = "one")]
    pub targets: usize,
}

fn one() -> usize {
    1
}

impl Options {
    /// The recipe to start from. On a large GPU batches of sixteen and 1e-3. Elsewhere small batches and a higher rate learn more
    /// in the time there is: four crops brought 29.0 dB in 80 s on two cores, where sixteen brought 27.1 dB.
    pub fn new(device: &Device, net: NetOptions, length: Length) -> Self {
        let (batch, lr) = if device.is_large() { (16, 1e-3) } else { (4, 2e-3) };
        Self {
            net,
            init: Init::Xavier,
            length,
            batch,
            crop: 64,
            lr,
            schedule: Schedule::Cosine,
            augment: Augment::All,
            clip: 1.0,
            ema: 0.999,
            seed: 1,
            clean_targets: false,
            loss: Loss::L2,
            update: Update::ADAM,
            precision: Precision::F32,
            targets: 1,
        }
    }

    /// Whether the options fit each other.
    ///
    /// # Errors
    /// If the crop does not suit the levels, or a step would take absurdly much memory.
    pub fn check(&self) -> Result<()> {
        let (batch, crop, multiple) = (self.batch, self.crop, self.net.multiple());
        self.net.check().map_err(|problem| Error::option("net", problem))?;
        if crop == 0 || !crop.is_multiple_of(multiple) {
            let flags = self.net.size_flags();
            return Err(Error::option("crop", format!("{crop} pixels: with {flags} it must be a multiple of {multiple}")));
        }
        if self.augment == Augment::Triple && !batch.is_multiple_of(3) {
            return Err(Error::option("batch", format!("{batch}: with threefold augmentation it must be a multiple of 3")));
        }
        check_step(batch, crop)
    }
}

/// The loss that noise of that law is right for: see [`Loss`].
pub fn loss_for(noise: &Noise) -> Loss {
    match *noise {
        Noise::Impulse { .. } => Loss::ANNEALED,
        Noise::Text { share } => Loss::Outliers { share, range: [0.0, 1.0] },
        _ => Loss::L2,
    }
}

/// How many noisy targets of every crop pay, by the noise's law. With noise that is no small deviation, single targets give gradients
/// that say little; drawing several costs next to nothing beside the network.
pub fn targets_for(noise: &Noise) -> usize {
    match noise {
        Noise::Impulse { .. } | Noise::Text { .. } => 8,
        _ => 1,
    }
}

/// Refuses steps whose pictures alone would take over a GiB, before an allocation of many times that aborts the program.
///
/// # Errors
/// If it is such a step.
pub fn check_step(batch: usize, side: usize) -> Result<()> {
    if batch * side * side <= 1 << 26 {
        return Ok(());
    }
    Err(Error::option(
        "batch",
        format!("{batch} pictures of {side} pixels a side: a step of over 67 million pixels; choose fewer or smaller ones"),
    ))
}
