//! How a training is to go: the options of `train` that a recipe has a value for.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use n2n_gpu::device::Device;
use n2n_gpu::nets::{Anatomy, Network};
use n2n_gpu::noise::Noise;
use n2n_gpu::ops::{Loss, Update};
use n2n_gpu::train::{self, Length, Recipe};

use super::Usage;

/// How to train. What is not given is as the recipe has it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Training")]
pub(super) struct RecipeArgs {
    /// A published training, with its network and all settings [default: our own]
    #[arg(long, hide_short_help = true, value_enum)]
    pub(super) recipe: Option<Recipe>,
    /// Training steps [default: 10 minutes of training; recipe n2n: 300000]
    #[arg(long, hide_short_help = true, value_name = "N", group = "length", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Epochs: times that every picture is shown [recipe epfl: 30]
    #[arg(long, hide_short_help = true, value_name = "N", group = "length", value_parser = positive, allow_negative_numbers = true)]
    epochs: Option<f64>,
    /// Minutes of training [default: 10]
    ///
    /// Unless a recipe, --steps or --epochs say how long it is
    #[arg(long, display_order = 2, help_heading = None::<&str>, value_name = "M", group = "length", value_parser = positive, allow_negative_numbers = true)]
    minutes: Option<f64>,
    /// Highest learning rate, or auto: found by up to 280 steps at rising rates, before training begins [default: 0.001 on a
    /// large GPU, else 0.002; sgd: 0.1]
    #[arg(long, hide_short_help = true, value_name = "LR", value_parser = rate, allow_negative_numbers = true)]
    lr: Option<Rate>,
    /// Loss [default: what suits the noise]
    #[arg(long, hide_short_help = true, value_enum)]
    loss: Option<LossName>,
    /// Optimizer [default: adam]
    #[arg(long, hide_short_help = true, value_enum)]
    optimizer: Option<OptimizerName>,
    /// Momentum of sgd [default: 0]
    #[arg(long, hide_short_help = true, value_name = "M", value_parser = share, allow_negative_numbers = true)]
    momentum: Option<f64>,
    /// Weight decay of adamw [default: 0.01]
    #[arg(long, hide_short_help = true, value_name = "D", value_parser = not_negative, allow_negative_numbers = true)]
    decay: Option<f64>,
    #[command(flatten)]
    given: Given,
}

/// A learning rate on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    /// To be found.
    Auto,
    Of(f64),
}

/// The flags that the library's options declare, as far as they are given.
#[derive(Debug)]
struct Given(ArgMatches);

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        train::Options::augment_args_for_update(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = matches.clone();
        Ok(())
    }
}

/// Losses by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LossName {
    /// Mean squared error: for noise that is zero on average
    L2,
    /// Mean absolute error: for noise whose median is zero (the default for text, less the mean error of letters)
    L1,
    /// Squared up to ten grey levels, linear beyond: for noise that is zero on average but for a few pixels that are far off
    Huber,
    /// Absolute error that is smooth at zero, as restoration networks are trained with
    Charbonnier,
    /// Annealed from squares to the number of wrong pixels: for noise that leaves most pixels right
    L0,
    /// Squared error relative to the linear value: for networks with --hdr, whose default it is
    Hdr,
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
    /// Refuses numbers that make no sense, and options of another optimizer than the chosen one.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.options(train::Options::new(&Device::Cpu, Length::Minutes(10.0))).check_numbers()?;
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

    /// Whether the learning rate is to be found.
    pub(super) fn finds_rate(&self) -> bool {
        self.lr == Some(Rate::Auto)
    }

    /// Whether it is said how much memory pictures may take.
    pub(super) fn has_memory(&self) -> bool {
        self.given.0.value_source("memory") == Some(ValueSource::CommandLine)
    }

    /// Whether it is said how long to train.
    pub(super) fn has_length(&self) -> bool {
        self.steps.is_some() || self.epochs.is_some() || self.minutes.is_some()
    }

    /// Options of the recipe. `noise` is what is added to the pictures, `side` the side of the crops that they allow.
    pub(super) fn base(&self, device: &Device, network: &dyn Network, noise: Option<&Noise>, side: usize) -> train::Options {
        let ours = train::Options::new(device, Length::Minutes(10.0));
        let base = match (self.recipe, noise) {
            (Some(recipe), Some(noise)) => train::Options { loss: recipe.loss_for(noise), ..recipe.options() },
            (Some(recipe), None) => recipe.options(),
            (None, Some(noise)) => ours.for_noise(noise),
            (None, None) => ours.for_network(network),
        };
        let crop = if self.recipe.is_some() { base.crop } else { train::crop_for(side, Anatomy::of(network).multiple) };
        let lr = if self.optimizer == Some(OptimizerName::Sgd) { 0.1 } else { base.lr };
        train::Options { crop, lr, ..base }
    }

    /// `base`, with the options that are given in place of its own.
    pub(super) fn options(&self, mut base: train::Options) -> train::Options {
        base.update_from_arg_matches(&self.given.0).expect("the flags were declared by these options");
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
            Some(LossName::Hdr) => Loss::HDR,
            Some(LossName::Huber) => Loss::HUBER,
            Some(LossName::Charbonnier) => Loss::CHARBONNIER,
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
            (Some(_), _) => Update::ADAM,
        };
        // One that is to be found is not known yet, or is that of a run that is resumed.
        let lr = if let Some(Rate::Of(lr)) = self.lr { lr } else { base.lr };
        train::Options { length, lr, loss, update, ..base }
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| "not a number".into())
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "auto" { Ok(Rate::Auto) } else { number(text).map(Rate::Of).map_err(|e| format!("{e}, and not auto")) }
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
