//! How long to train, the learning rate on the way, and which pictures a step sees.

use serde::{Deserialize, Serialize};

use super::Options;
use crate::error::Error;
use crate::ops::pcg4d;

/// When training ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// After so many steps.
    Steps(u64),
    /// After as many steps as show every picture so often.
    Epochs(f64),
    /// After so many minutes of wall-clock time, validation included.
    Minutes(f64),
}

impl Length {
    /// Share of the training that is done, from 0 to 1; `epochs` are those so far.
    pub(super) fn progress(self, step: u64, seconds: f64, epochs: f64) -> f64 {
        let share = match self {
            Self::Steps(steps) => step as f64 / steps as f64,
            Self::Epochs(all) => epochs / all,
            Self::Minutes(minutes) => seconds / (60.0 * minutes),
        };
        share.min(1.0)
    }

    /// That a training which is to go further has had that much already.
    pub(super) fn is_over(self, step: u64, seconds: f64, epochs: f64) -> Error {
        let (option, wanted, had) = match self {
            Self::Steps(steps) => ("steps", steps as f64, format!("{step} steps")),
            Self::Epochs(all) => ("epochs", all, format!("{epochs:.1} epochs")),
            Self::Minutes(minutes) => ("minutes", minutes, format!("{:.1} minutes", seconds / 60.0)),
        };
        Error::option(option, format!("{wanted}: the run has already trained for {had}: give more to go further"))
    }
}

/// Most validations in a training.
const VALIDATIONS: f64 = 20.0;
/// Largest share of the work of so many steps that validations may make up, the last one excepted.
const VALIDATED: f64 = 0.2;
/// Work of a training step, in forward passes of its pixels.
const STEP_WORK: f64 = 3.0;

impl Options {
    /// How many validations of so many pixels there are in a training; `epochs` are those of a step. Short ones have fewer: by
    /// the pixels of steps and pictures and not by the clock, so that a run can be repeated.
    pub(super) fn validations(&self, epochs: f64, pixels: usize) -> f64 {
        let steps = match self.length {
            Length::Steps(steps) => steps as f64,
            Length::Epochs(all) => all / epochs,
            Length::Minutes(_) => return VALIDATIONS,
        };
        let work = STEP_WORK * steps * (self.crops() * self.crop * self.crop) as f64;
        (VALIDATED * work / pixels as f64).floor().clamp(1.0, VALIDATIONS)
    }
}

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Schedule {
    /// Half a cosine to 0 (Loshchilov and Hutter 2017), after fifty steps of warm-up unless told otherwise.
    Cosine,
    /// The same rate throughout.
    Constant,
    /// A tenth of it after epoch 5, and again after epoch 7: as in the EPFL report of docs/reports.md.
    Drops,
    /// The same rate, then half a cosine to 0 over the last 30 %: the Noise2Noise paper's.
    Ramp,
    /// Up from a 25th of it over the first 30 %, then down to 0, by half cosines (Smith and Topin 2018).
    #[serde(rename = "onecycle")]
    #[cfg_attr(feature = "cli", value(name = "onecycle"))]
    OneCycle,
    /// Half of it whenever three validations in a row bring no better PSNR, estimated if it can be.
    Plateau,
}

/// Steps of linear warm-up with [`Schedule::Cosine`].
const WARM_UP: u64 = 50;

impl Options {
    /// Learning rate at a step, with the share of the training and the epochs that are done.
    pub(super) fn rate(&self, step: u64, progress: f64, epochs: f64) -> f64 {
        let warm_up = self.warm_up.unwrap_or(if self.schedule == Schedule::Cosine { WARM_UP } else { 0 });
        let risen = if step < warm_up { (step + 1) as f64 / warm_up as f64 } else { 1.0 };
        self.lr * (risen * self.schedule.rate(progress, epochs))
    }
}

impl Schedule {
    /// Learning rate as a share of the highest, with the share of the training and the epochs that are done.
    fn rate(self, progress: f64, epochs: f64) -> f64 {
        let cosine = |part: f64| 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
        match self {
            Self::Cosine => cosine(progress),
            Self::Constant => 1.0,
            Self::Drops if epochs < 5.0 => 1.0,
            Self::Drops => {
                if epochs < 7.0 {
                    0.1
                } else {
                    0.01
                }
            }
            Self::Ramp => cosine(((progress - 0.7) / 0.3).max(0.0)),
            Self::OneCycle if progress < RISE => FIRST + (1.0 - FIRST) * (1.0 - cosine(progress / RISE)),
            Self::OneCycle => cosine((progress - RISE) / (1.0 - RISE)),
            // What validations make of it is not known here.
            Self::Plateau => 1.0,
        }
    }
}

/// Share of a training in which the rate of [`Schedule::OneCycle`] rises.
const RISE: f64 = 0.3;
/// Where it begins, of the highest.
const FIRST: f64 = 1.0 / 25.0;

/// Validations without a better one after which [`Schedule::Plateau`] cuts the rate: a tenth to a seventh of a training's.
const PATIENCE: u32 = 3;
/// What it cuts the rate to.
const CUT: f64 = 0.5;
/// How much better is better, dB: what a smaller gain is worth, a lower rate brings as well.
const GAIN: f64 = 0.01;
/// Most cuts: to a thousandth.
const MOST_CUTS: i32 = 10;

/// What the validations that were due have shown, for [`Schedule::Plateau`] and for patience. Others, as where a training is
/// stopped, do not count, so that a resumed training equals the uninterrupted one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Judged {
    best: Option<f64>,
    since_best: u64,
    /// Best score that counts on a plateau, validations since it or since a cut, and cuts.
    level: Option<f64>,
    since: u32,
    cuts: i32,
}

impl Judged {
    /// Takes in the score of a validation.
    pub(super) fn take(&mut self, score: f64) {
        if self.best.is_none_or(|best| score > best) {
            (self.best, self.since_best) = (Some(score), 0);
        } else {
            self.since_best += 1;
        }
        if self.level.is_none_or(|level| score > level + GAIN) {
            (self.level, self.since) = (Some(score), 0);
            return;
        }
        self.since += 1;
        if self.since == PATIENCE {
            (self.since, self.cuts) = (0, (self.cuts + 1).min(MOST_CUTS));
        }
    }

    /// What a schedule leaves of the rate for it.
    pub(super) fn factor(self, schedule: Schedule) -> f64 {
        if schedule == Schedule::Plateau { CUT.powi(self.cuts) } else { 1.0 }
    }
}

impl Options {
    /// Whether there were as many validations without a better one as there is patience.
    pub(super) fn is_over(&self, judged: Judged) -> bool {
        self.patience > 0 && judged.since_best >= self.patience
    }
}

/// How a picture is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Augment {
    /// Not at all.
    None,
    /// By one of the eight flips and rotations, and by exchanging the two pictures of a pair, at random.
    All,
    /// Each batch holds pictures as they are, the same flipped left and right, and the same flipped upside down; every picture
    /// once an epoch: as in the EPFL report of docs/reports.md.
    Triple,
}

impl Augment {
    /// Which flips are drawn at random, as [`crate::ops::Batch`] counts them.
    pub(crate) fn flips(self) -> u32 {
        if self == Self::All { 15 } else { 0 }
    }

    /// Different pictures in a batch.
    pub(super) fn pictures(self, batch: usize) -> usize {
        if self == Self::Triple { batch / 3 } else { batch }
    }
}

/// The order of pictures through the epochs, each a permutation of its own.
#[derive(Debug)]
pub(super) struct Order {
    seed: u32,
    epoch: u64,
    permutation: Vec<u32>,
}

impl Order {
    pub(super) fn new(count: usize, seed: u32) -> Self {
        let mut order = Self { seed, epoch: 0, permutation: (0..count as u32).collect() };
        order.shuffle();
        order
    }

    /// Fisher and Yates 1938, in Durstenfeld's form.
    fn shuffle(&mut self) {
        self.permutation.sort_unstable();
        for i in (1..self.permutation.len()).rev() {
            let r = pcg4d([i as u32, self.epoch as u32, self.seed, 0x6f72_6472]);
            self.permutation.swap(i, r[0] as usize % (i + 1));
        }
    }

    /// Pictures and flips of a batch of `3 * pictures`, one after the other.
    pub(super) fn triple(&mut self, step: u64, pictures: usize) -> Vec<u32> {
        let chosen: Vec<u32> = (0..pictures as u64).map(|i| self.picture(step * pictures as u64 + i)).collect();
        [0, 2, 1].iter().flat_map(|&flips| chosen.iter().flat_map(move |&picture| [picture, flips])).collect()
    }

    /// The picture at a place in the sequence of all epochs.
    pub(super) fn picture(&mut self, place: u64) -> u32 {
        let count = self.permutation.len() as u64;
        if place / count != self.epoch {
            self.epoch = place / count;
            self.shuffle();
        }
        self.permutation[(place % count) as usize]
    }
}

/// Decay of the average of the weights at a step: short at first, so that the start is forgotten.
pub(super) fn ema_decay(step: u64, most: f64) -> f64 {
    most.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    #[test]
    fn the_rate_warms_up_and_falls_to_nothing() {
        let options = Options { lr: 1.0, ..Options::new(&Device::Cpu, Length::Steps(1000)) };
        let rate = |step, progress| options.rate(step, progress, 0.0);
        assert!(rate(0, 0.0) < 0.03 && (rate(50, 0.0) - 1.0).abs() < 1e-12 && rate(1000, 1.0) < 1e-12);
        let slow = Options { warm_up: Some(200), schedule: Schedule::Constant, ..options };
        assert_eq!([0, 99, 199, 200, 999].map(|step| slow.rate(step, 0.5, 0.0)), [0.005, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn the_rate_of_the_report_drops_after_epochs_five_and_seven() {
        let rates = [0.0, 4.99, 5.0, 6.99, 7.0, 29.0].map(|epochs| Schedule::Drops.rate(0.0, epochs));
        assert_eq!(rates, [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
    }

    #[test]
    fn one_cycle_rises_to_the_highest_rate_and_falls_to_nothing() {
        let rate = |progress| Schedule::OneCycle.rate(progress, 0.0);
        for (progress, expected) in [(0.0, 0.04), (0.15, 0.52), (0.3, 1.0), (0.65, 0.5), (1.0, 0.0)] {
            assert!((rate(progress) - expected).abs() < 1e-12, "{} at {progress}", rate(progress));
        }
    }

    fn judged(scores: &[f64]) -> Judged {
        let mut judged = Judged::default();
        scores.iter().for_each(|score| judged.take(*score));
        judged
    }

    #[test]
    fn patience_ends_after_validations_without_a_better_one() {
        let since = |scores: &[f64]| judged(scores).since_best;
        assert_eq!([since(&[]), since(&[1.0]), since(&[1.0, 2.0]), since(&[3.0, 2.0, 3.0, 1.0])], [0, 0, 0, 3]);
        let with = |patience| Options { patience, ..Options::new(&Device::Cpu, Length::Steps(1)) };
        let three = judged(&[3.0, 2.0, 3.0, 1.0]);
        assert_eq!([0, 3, 4].map(|patience| with(patience).is_over(three)), [false, true, false]);
        assert_eq!(three.factor(Schedule::Cosine), 1.0);
    }

    #[test]
    fn a_plateau_halves_the_rate_after_three_validations_without_a_better_one() {
        let factors = |scores: &[f64]| judged(scores).factor(Schedule::Plateau);
        // Counted from the cut on, and from the best one: less than a hundredth of a decibel is not better.
        assert_eq!(factors(&[20.0, 19.0, 20.005]), 1.0);
        assert_eq!(factors(&[20.0, 19.0, 20.005, 20.0]), 0.5);
        assert_eq!(factors(&[20.0, 19.0, 19.0, 21.0, 19.0, 19.0]), 1.0);
        assert_eq!(factors(&[20.0; 6]), 0.5);
        assert_eq!(factors(&[20.0; 7]), 0.25);
        assert_eq!(factors(&[20.0; 1000]), 0.5f64.powi(10));
    }

    #[test]
    fn progress_is_counted_in_the_unit_asked_for() {
        assert!((Length::Steps(200).progress(50, 0.0, 1.0) - 0.25).abs() < 1e-12);
        assert!((Length::Epochs(2.0).progress(50, 0.0, 1.0) - 0.5).abs() < 1e-12);
        assert!((Length::Minutes(1.0).progress(0, 90.0, 1.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn short_trainings_have_fewer_validations() {
        let of = |length| Options::new(&Device::Cpu, length).validations(0.5, 1 << 20);
        // Steps of 4 crops of 64 pixels, or 3/64 of a validation.
        assert_eq!([1, 106, 107, 213, 214, 1_000_000].map(|n| of(Length::Steps(n))), [1.0, 1.0, 1.0, 1.0, 2.0, 20.0]);
        assert_eq!((of(Length::Epochs(107.0)), of(Length::Minutes(0.1))), (2.0, 20.0));
    }

    #[test]
    fn every_picture_comes_once_an_epoch_in_another_order() {
        let mut order = Order::new(10, 1);
        let epochs: Vec<Vec<u32>> =
            (0..2).map(|e| (0..5).flat_map(|s| order.triple(5 * e + s, 2)[..4].to_vec()).step_by(2).collect()).collect();
        assert_ne!(epochs[0], epochs[1]);
        for mut epoch in epochs {
            epoch.sort_unstable();
            assert_eq!(epoch, (0..10).collect::<Vec<_>>());
        }
        let batch = order.triple(0, 2);
        assert_eq!(batch[..4].iter().step_by(2).collect::<Vec<_>>(), batch[4..8].iter().step_by(2).collect::<Vec<_>>());
        assert_eq!(batch.iter().skip(1).step_by(2).copied().collect::<Vec<_>>(), [0, 0, 2, 2, 1, 1]);
    }
}
