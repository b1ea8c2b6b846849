//! How a training is to go: the options of `train` that a recipe has a value for.

use clap::Args;
use n2n_gpu::device::Device;
use n2n_gpu::nets::{Anatomy, Init, Network};
use n2n_gpu::noise::Noise;
use n2n_gpu::ops::{Batch, Loss, Update};
use n2n_gpu::train::{self, Augment, Length, Recipe, Schedule};

use super::Usage;

/// How to train. What is not given is as the recipe has it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
pub(super) struct RecipeArgs {
    /// A published training, with its network and all settings [default: our own]
    #[arg(long, hide_short_help = true, value_enum)]
    pub(super) recipe: Option<Recipe>,
    /// Initialisation of the filters [default: xavier; recipe n2n: he]
    #[arg(long, hide_short_help = true, value_enum)]
    init: Option<Init>,
    /// Training steps [default: 10 minutes of training; recipe n2n: 300000]
    #[arg(long, hide_short_help = true, value_name = "N", group = "length", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Epochs: times that every picture is shown [recipe epfl: 30]
    #[arg(long, hide_short_help = true, value_name = "N", group = "length", value_parser = positive, allow_negative_numbers = true)]
    epochs: Option<f64>,
    /// Minutes of training [default: 10, unless the recipe or --steps or --epochs say otherwise]
    #[arg(long, display_order = 2, help_heading = None::<&str>, value_name = "M", group = "length", value_parser = positive, allow_negative_numbers = true)]
    minutes: Option<f64>,
    /// Crops per step [default: 16 on a discrete GPU, else 4; recipe epfl: 30]
    #[arg(long, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: Option<u16>,
    /// Side of the crops, pixels; a multiple of 2^levels [default: 64, less where pictures are smaller;
    /// recipe epfl: 32, n2n: 256]
    #[arg(long, hide_short_help = true, value_name = "PX", value_parser = clap::value_parser!(u16).range(2..=4096))]
    crop: Option<u16>,
    /// Augmentation of the pictures [default: all; recipe epfl: triple]
    #[arg(long, hide_short_help = true, value_enum)]
    augment: Option<Augment>,
    /// Loss [default: what suits the noise]
    #[arg(long, hide_short_help = true, value_enum)]
    loss: Option<LossName>,
    /// Noisy targets drawn of every crop, whose losses are averaged [default: 8 for text and impulse, else 1]
    #[arg(long, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=Batch::MOST_TARGETS as i64))]
    targets: Option<u16>,
    /// Optimizer [default: adam]
    #[arg(long, hide_short_help = true, value_enum)]
    optimizer: Option<OptimizerName>,
    /// Momentum of sgd [default: 0]
    #[arg(long, hide_short_help = true, value_name = "M", value_parser = share, allow_negative_numbers = true)]
    momentum: Option<f64>,
    /// Weight decay of adamw [default: 0.01]
    #[arg(long, hide_short_help = true, value_name = "D", value_parser = not_negative, allow_negative_numbers = true)]
    decay: Option<f64>,
    /// Highest learning rate [default: 0.001 on a discrete GPU, else 0.002; sgd: 0.1]
    #[arg(long, hide_short_help = true, value_name = "LR", value_parser = positive, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Schedule of the learning rate [default: cosine]
    #[arg(long, hide_short_help = true, value_enum)]
    schedule: Option<Schedule>,
    /// Clip norm of the gradient; 0 for none [default: 1; recipes: 0]
    #[arg(long, hide_short_help = true, value_name = "L", value_parser = not_negative, allow_negative_numbers = true)]
    clip: Option<f64>,
    /// Decay of the exponential moving average of the weights, which is saved; 0 for none [default: 0.999; recipes: 0]
    #[arg(long, hide_short_help = true, value_name = "D", value_parser = share, allow_negative_numbers = true)]
    ema: Option<f64>,
}

/// Losses by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LossName {
    /// Mean squared error: for noise that is zero on average
    L2,
    /// Mean absolute error: for noise whose median is zero (the default for text, less the mean error of letters)
    L1,
    /// Annealed from squares to the number of wrong pixels: for noise that leaves most pixels right
    L0,
}

/// Optimizers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OptimizerName {
    /// Adam
    Adam,
    /// Adam with weight decay (--decay)
    Adamw,
    /// Gradient descent (--momentum)
    Sgd,
}

impl RecipeArgs {
    /// Refuses options that the chosen optimizer or the noise does not have.
    pub(super) fn check(&self, noise: Option<&Noise>) -> anyhow::Result<()> {
        let most = noise.map_or(1, Noise::most_targets);
        if self.targets.is_some_and(|n| usize::from(n) > most) {
            let of = noise.map_or("pairs".into(), |noise| format!("noise {noise}"));
            return Err(Usage::new(format!("--targets: with {of} a crop has only one target")));
        }
        for (flag, given, of) in
            [("--momentum", self.momentum.is_some(), OptimizerName::Sgd), ("--decay", self.decay.is_some(), OptimizerName::Adamw)]
        {
            if given && self.optimizer != Some(of) {
                let name = if of == OptimizerName::Sgd { "sgd" } else { "adamw" };
                return Err(Usage::new(format!("{flag}: belongs to --optimizer {name}, which is not chosen")));
            }
        }
        Ok(())
    }

    /// Options of the recipe. `noise` is what is added to the pictures, `side` the side of the crops that they allow.
    pub(super) fn base(&self, device: &Device, network: &dyn Network, noise: Option<&Noise>, side: usize) -> train::Options {
        let ours = train::Options::new(device, Length::Minutes(10.0));
        let base = match (self.recipe, noise) {
            (Some(recipe), Some(noise)) => train::Options { loss: recipe.loss_for(noise), ..recipe.options() },
            (Some(recipe), None) => recipe.options(),
            (None, Some(noise)) => ours.for_noise(noise),
            (None, None) => ours,
        };
        let crop = if self.recipe.is_some() { base.crop } else { train::crop_for(side, Anatomy::of(network).multiple) };
        let lr = if self.optimizer == Some(OptimizerName::Sgd) { 0.1 } else { base.lr };
        train::Options { crop, lr, ..base }
    }

    /// `base`, with the options that are given in place of its own.
    pub(super) fn options(&self, base: train::Options) -> train::Options {
        let length = match (self.steps, self.epochs, self.minutes) {
            (Some(steps), ..) => Length::Steps(steps),
            (_, Some(epochs), _) => Length::Epochs(epochs),
            (.., Some(minutes)) => Length::Minutes(minutes),
            _ => base.length,
        };
        let loss = match self.loss {
            Some(LossName::L2) => Loss::L2,
            Some(LossName::L1) => Loss::L1,
            Some(LossName::L0) => Loss::ANNEALED,
            None => base.loss,
        };
        let update = match (self.optimizer, base.update) {
            (None, update) => update,
            (Some(OptimizerName::Sgd), _) => Update::Sgd { momentum: self.momentum.unwrap_or(0.0) as f32 },
            (Some(name), Update::Adam { beta1, beta2, eps, .. }) => {
                let decay = if name == OptimizerName::Adamw { self.decay.unwrap_or(0.01) as f32 } else { 0.0 };
                Update::Adam { beta1, beta2, eps, decay }
            }
            // A run that is resumed had another optimizer, and will be refused.
            (Some(_), Update::Sgd { .. }) => Update::ADAM,
        };
        train::Options {
            init: self.init.unwrap_or(base.init),
            length,
            batch: self.batch.map_or(base.batch, usize::from),
            crop: self.crop.map_or(base.crop, usize::from),
            lr: self.lr.unwrap_or(base.lr),
            schedule: self.schedule.unwrap_or(base.schedule),
            augment: self.augment.unwrap_or(base.augment),
            clip: self.clip.map_or(base.clip, |v| v as f32),
            ema: self.ema.unwrap_or(base.ema),
            targets: self.targets.map_or(base.targets, usize::from),
            loss,
            update,
            ..base
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| "not a number".into())
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| if v > 0.0 { Ok(v) } else { Err("must be above 0".into()) })
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| if v >= 0.0 { Ok(v) } else { Err("must not be below 0".into()) })
}

fn share(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| if (0.0..1.0).contains(&v) { Ok(v) } else { Err("must be at least 0 and below 1".into()) })
}
