//! Published trainings.

use super::{Augment, Length, Options, Schedule};
use crate::device::Device;
use crate::nets::{EpflUnet, Init, N2nUnet, Named};
use crate::noise::Noise;
use crate::ops::{Loss, Update};

/// A published training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Recipe {
    /// That of the U-Net of an EPFL student report (docs/reports.md): 30 epochs of Adam at 8.5e-4, a tenth after epochs 5 and 7;
    /// ten pictures a step in three flips
    Epfl,
    /// The Noise2Noise paper's: 300,000 steps of Adam at 3e-4 on four crops of 256 pixels, the rate falling at the end
    N2n,
}

impl Recipe {
    /// The network it was made for.
    pub fn net(self) -> &'static str {
        match self {
            Self::Epfl => EpflUnet::NAME,
            Self::N2n => N2nUnet::NAME,
        }
    }

    /// The published loss for that noise: what the law's own loss is without our additions.
    pub fn loss_for(self, noise: &Noise) -> Loss {
        match noise.loss() {
            Loss::Outliers { .. } => Loss::L1,
            Loss::L0 { .. } => Loss::L0 { eps: 1e-8 },
            other => other,
        }
    }

    /// Its options.
    pub fn options(self) -> Options {
        let adam = |beta2| Update::Adam { beta1: 0.9, beta2, eps: 1e-8, decay: 0.0 };
        let common = Options {
            batch: 30,
            crop: 32,
            lr: 8.5e-4,
            schedule: Schedule::Drops,
            augment: Augment::Triple,
            clip: 0.0,
            ema: 0.0,
            update: adam(0.999),
            ..Options::new(&Device::Cpu, Length::Epochs(30.0))
        };
        match self {
            Self::Epfl => common,
            Self::N2n => Options {
                init: Init::He,
                length: Length::Steps(300_000),
                batch: 4,
                crop: 256,
                lr: 3e-4,
                schedule: Schedule::Ramp,
                augment: Augment::None,
                update: adam(0.99),
                ..common
            },
        }
    }
}
