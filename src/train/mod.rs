//! Training: from photographs with synthetic noise, or pairs of noisy pictures, to a model file.

mod advance;
mod ahead;
mod config;
mod data;
mod film;
mod interval;
mod log;
#[cfg(feature = "mpi")]
mod mpi;
mod picture;
mod range;
mod recipe;
pub mod report;
mod ring;
mod run;
mod runs;
mod schedule;
mod signal;
mod single;
mod split;
mod state;
mod step;
mod supply;
mod team;
mod teamwork;
mod trainer;
mod training;
mod validation;
mod writer;

pub use config::{Config, Data, Origin};
pub use data::Source;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use picture::TrainingPicture;
pub use recipe::Recipe;
pub use run::{Outcome, Progress, Run, Start};
pub use runs::{PastRun, runs};
pub use schedule::{Augment, Length, Schedule};
pub use signal::signal;
pub use split::split;
pub use state::{Resumable, resumable};
pub use step::{Example, Rule, Step, record_step};
pub use supply::{LeftOut, Load, Loaded, Supply};
pub use team::Team;
pub use trainer::Trainer;
pub use validation::Validation;
pub use writer::is_run;

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Precision;
use crate::nets::{Anatomy, Init, Network};
use crate::noise::Noise;
use crate::ops::{Batch, Loss, Update};

/// How to train. Written to a run's `config.toml`. What has an `arg` is a flag of `n2n-gpu train` as well, and its text the help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args), group(skip))]
pub struct Options {
    /// Initialisation of the filters [default: xavier; recipe n2n: he]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_enum))]
    pub init: Init,
    /// How long.
    #[cfg_attr(feature = "cli", arg(skip = Length::Minutes(10.0)))]
    pub length: Length,
    /// Crops per step [default: 16 on a large GPU, else 4; recipe epfl: 30]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "N", allow_negative_numbers = true))]
    pub batch: usize,
    /// Side of the square crops, pixels; networks with levels need a multiple of 2^levels [default: 64, less where pictures are
    /// smaller; recipe epfl: 32, n2n: 256]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "PX", allow_negative_numbers = true))]
    pub crop: usize,
    /// Highest learning rate.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub lr: f64,
    /// Schedule of the learning rate [default: cosine]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_enum))]
    pub schedule: Schedule,
    /// Steps in which the learning rate rises to its highest [default: 50 with cosine, else 0]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "N", allow_negative_numbers = true))]
    pub warm_up: Option<u64>,
    /// Augmentation of the pictures [default: all; recipe epfl: triple]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_enum))]
    pub augment: Augment,
    /// Fraction of the crops that are made grey, noise included, so that grey pictures can be denoised as well
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "SHARE", allow_negative_numbers = true))]
    pub grey: f32,
    /// Clip norm of the gradient; 0 for none [default: 0.01; recipes: 0]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "L", allow_negative_numbers = true))]
    pub clip: f32,
    /// Decay of the exponential moving average of the weights, which is saved; 0 for none [default: 0.999; recipes: 0]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "D", allow_negative_numbers = true))]
    pub ema: f64,
    /// Seed of initialisation, crops and noise.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub seed: u32,
    /// Whether targets have no noise, for comparison.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub clean_targets: bool,
    /// Loss against the targets.
    #[cfg_attr(feature = "cli", arg(skip = Loss::L2))]
    pub loss: Loss,
    /// How gradients change the parameters.
    #[cfg_attr(feature = "cli", arg(skip = Update::ADAM))]
    pub update: Update,
    /// What pictures are kept in within a step.
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub precision: Precision,
    /// Noisy targets drawn of every crop, whose losses are averaged [default: 8 for text and impulse, else 1]
    #[serde(default = "one")]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "N", allow_negative_numbers = true))]
    pub targets: usize,
    /// Batches whose gradients are averaged before a step: as a batch N times as large, in the memory of one
    #[serde(default = "one")]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "N", allow_negative_numbers = true))]
    pub accumulate: usize,
    /// End once N validations in a row bring no better PSNR, estimated if it can be; 0 for never [default: 0]
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, hide_short_help = true, value_name = "N", allow_negative_numbers = true))]
    pub patience: u64,
    /// Memory for pictures, MiB: larger sets are read from their files while it trains [default: 1024]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "cli",
        arg(long, hide_short_help = true, help_heading = "Data", value_name = "MIB", allow_negative_numbers = true)
    )]
    pub memory: Option<usize>,
}

/// Memory for pictures where none is given, MiB.
const MEMORY: usize = 1024;
const MOST_MEMORY: usize = 1 << 24;

/// Most batches of a step.
const MOST_ACCUMULATED: usize = 4096;

fn one() -> usize {
    1
}

impl Options {
    /// The recipe to start from. On a large GPU batches of sixteen and 1e-3. Elsewhere small batches and a higher rate learn more
    /// in the time there is: four crops brought 29.0 dB in 80 s on two cores, where sixteen brought 27.1 dB.
    pub fn new(device: &Device, length: Length) -> Self {
        let (batch, lr) = if device.is_large() { (16, 1e-3) } else { (4, 2e-3) };
        Self {
            init: Init::Xavier,
            length,
            batch,
            crop: 64,
            lr,
            schedule: Schedule::Cosine,
            warm_up: None,
            augment: Augment::All,
            grey: 0.0,
            // Below the norm of most gradients, so that Adam sees their direction alone: at 1, single crops at which a network
            // without normalisation explodes cost 0.35 dB of 32.8 dB after 8,000 steps, and at 0.03 and 0.001 nothing changes.
            clip: 0.01,
            ema: 0.999,
            seed: 1,
            clean_targets: false,
            loss: Loss::L2,
            update: Update::ADAM,
            precision: Precision::F32,
            targets: 1,
            accumulate: 1,
            patience: 0,
            memory: None,
        }
    }

    /// Mean squared error and plain gradient descent at one rate, as in the second report; nothing else.
    pub fn sgd(lr: f64, length: Length) -> Self {
        let update = Update::Sgd { momentum: 0.0 };
        let (schedule, augment) = (Schedule::Constant, Augment::None);
        Self { lr, update, schedule, augment, clip: 0.0, ema: 0.0, ..Self::new(&Device::Cpu, length) }
    }

    /// With the loss and the number of targets that the law of that noise needs.
    #[must_use]
    pub fn for_noise(self, noise: &Noise) -> Self {
        Self { loss: noise.loss(), targets: noise.targets(), ..self }
    }

    /// With the loss that the network's values need: of linear ones, that of [`Loss::Hdr`].
    #[must_use]
    pub fn for_network(self, network: &dyn Network) -> Self {
        if network.transfer().is_linear() { Self { loss: Loss::HDR, ..self } } else { self }
    }

    /// Crops of a step.
    pub(crate) fn crops(&self) -> usize {
        self.batch * self.accumulate
    }

    /// Memory for pictures, MiB.
    pub fn memory(&self) -> usize {
        self.memory.unwrap_or(MEMORY)
    }

    /// Loss, optimizer and clip norm; of a step whose gradients are summed in so many pieces, if they are.
    pub(crate) fn rule(&self, pieces: usize) -> Rule {
        Rule { loss: self.loss, update: self.update, clip: self.clip, pieces }
    }

    /// Whether the options fit each other and the network.
    ///
    /// # Errors
    /// If the crop does not suit the network, or a step would take absurdly much memory.
    pub fn check(&self, network: &dyn Network) -> Result<()> {
        network.check().map_err(|problem| Error::option("net", problem))?;
        if matches!(self.loss, Loss::Hdr { .. }) && !network.transfer().is_linear() {
            let problem =
                format!("hdr: is one of linear values, which {} does not read: take a network with hdr", network.name());
            return Err(Error::option("loss", problem));
        }
        let (crop, multiple, name) = (self.crop, Anatomy::of(network).multiple, network.name());
        if crop == 0 || !crop.is_multiple_of(multiple) {
            let problem =
                format!("{crop} pixels: {name} halves pictures down to {multiple} to 1, so it must be a multiple of {multiple}");
            return Err(Error::option("crop", problem));
        }
        self.check_step()
    }

    /// Whether every number on its own makes sense.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check_numbers(&self) -> Result<()> {
        if !(1..=Batch::MOST_TARGETS).contains(&self.targets) {
            return Err(Error::option("targets", format!("{}: 1 to {} are possible", self.targets, Batch::MOST_TARGETS)));
        }
        if !(1..=MOST_ACCUMULATED).contains(&self.accumulate) {
            return Err(Error::option("accumulate", format!("{}: 1 to {MOST_ACCUMULATED} are possible", self.accumulate)));
        }
        if !(1..=MOST_MEMORY).contains(&self.memory()) {
            return Err(Error::option("memory", format!("{}: 1 to {MOST_MEMORY} MiB are possible", self.memory())));
        }
        let length = match self.length {
            Length::Steps(steps) => steps as f64,
            Length::Epochs(epochs) => epochs,
            Length::Minutes(minutes) => minutes,
        };
        let ranges = [
            ("length", length, length > 0.0, "above 0"),
            ("lr", self.lr, self.lr > 0.0, "above 0"),
            ("clip", self.clip.into(), self.clip >= 0.0, "not below 0"),
            ("grey", self.grey.into(), (0.0..=1.0).contains(&self.grey), "between 0 and 1"),
            ("ema", self.ema, (0.0..1.0).contains(&self.ema), "at least 0 and below 1"),
        ];
        match ranges.into_iter().find(|(_, value, fits, _)| !(*fits && value.is_finite())) {
            Some((option, value, _, range)) => Err(Error::option(option, format!("{value}: it must be {range}"))),
            None => Ok(()),
        }
    }

    /// Whether a step can be recorded.
    pub(crate) fn check_step(&self) -> Result<()> {
        self.check_numbers()?;
        if self.augment == Augment::Triple && !self.batch.is_multiple_of(3) {
            let problem = format!("{}: with threefold augmentation it must be a multiple of 3", self.batch);
            return Err(Error::option("batch", problem));
        }
        check_step(self.batch, self.crop)
    }
}

/// Side of the crops to train on, of pictures that allow crops of `side` ([`Source::side`]): as large as they allow, up to 64
/// pixels, but no smaller than what the network divides sizes by (`multiple`).
pub fn crop_for(side: usize, multiple: usize) -> usize {
    (side.min(64) / multiple).max(1) * multiple
}

/// Refuses steps without pictures, and those whose pictures alone would take over a GiB.
///
/// # Errors
/// If it is such a step.
pub fn check_step(batch: usize, side: usize) -> Result<()> {
    let pixels = side.checked_mul(side).and_then(|pixels| pixels.checked_mul(batch));
    if pixels.is_some_and(|pixels| (1..=1 << 26).contains(&pixels)) {
        return Ok(());
    }
    let problem = format!("{batch} pictures of {side} pixels a side: a step is 1 to 67 million pixels");
    Err(Error::option("batch", problem))
}
