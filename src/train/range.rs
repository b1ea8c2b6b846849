//! A learning rate from a range test (Smith 2017): steps at rates that rise geometrically, until the loss blows up.

use std::sync::Arc;

use super::run::{Run, Start};
use super::trainer::Trainer;
use super::{Length, Options, Schedule};
use crate::error::{Error, Result};
use crate::ops::Optimizer;

/// The lowest rate, and the highest.
const RATES: [f64; 2] = [1e-6, 10.0];
/// Steps at most: forty for every power of ten.
const STEPS: usize = 280;
/// Losses on either side that one is smoothed with. Their median has no lag, and single bad batches have no part in it.
const AROUND: usize = 10;
/// Steps at the lowest rates, which tell how high losses are where nothing has been learnt yet.
const FIRST: usize = 40;
/// How far above them the loss has blown up, in median deviations: it does so by orders of magnitude within a few steps.
const ABOVE: f64 = 5.0;
/// The rate that is taken, of the highest at which the loss has not blown up.
const SAFE: f64 = 0.1;

impl Run<'_> {
    /// The learning rate that a range test finds: a tenth of the highest one at which the loss does not blow up yet. The training
    /// begins anew after it. The same run finds the same rate on the same device.
    ///
    /// # Errors
    /// If options and pictures do not fit each other, the device fails, or the loss rises from the lowest rate on.
    pub fn find_rate(&self, start: Start, stopped: impl Fn() -> bool) -> Result<f64> {
        let Run { device, ref network, options, source, .. } = *self;
        let model = if let Start::From(model) = start { Some(model) } else { None };
        let ranges =
            model.map_or_else(|| network.values().ranges_of(source.signal(), || source.statistics()), |model| model.ranges);
        let (length, schedule) = (Length::Steps(STEPS as u64), Schedule::Constant);
        let options = Options { lr: 1.0, length, schedule, warm_up: None, ema: 0.0, ..options.clone() };
        let mut trainer = Trainer::new(device, Arc::clone(network), &options, source, ranges)?;
        if let Some(model) = model {
            trainer.begin_with(model)?;
        }
        let mut losses = Vec::new();
        for step in 0..STEPS {
            while stopped() || !trainer.is_ready()? {
                if stopped() {
                    return Err(Error::Stopped);
                }
            }
            trainer.scale_rate(rate(step));
            trainer.advance(0.0)?;
            let (executor, parts) = trainer.parts();
            let loss = f64::from(executor.read(parts.optimizer.log)?[step % Optimizer::ROWS * 4]);
            if !loss.is_finite() {
                break;
            }
            losses.push(loss);
            if has_blown_up(&losses) {
                break;
            }
        }
        let problem = || Error::option("lr", "auto: the loss blows up at every rate: look at the pictures, or give a number");
        chosen(&losses).ok_or_else(problem)
    }
}

/// Rate of a step.
fn rate(step: usize) -> f64 {
    let [low, high] = RATES;
    low * (high / low).powf(step as f64 / (STEPS - 1) as f64)
}

/// Above which a loss has blown up.
fn limit(losses: &[f64]) -> f64 {
    let first = &losses[..FIRST.min(losses.len())];
    let level = median(first.to_vec());
    level + ABOVE * median(first.iter().map(|loss| (loss - level).abs()).collect())
}

fn has_blown_up(losses: &[f64]) -> bool {
    let last = losses.iter().rev().take(2 * AROUND + 1);
    losses.len() > FIRST && { last }.all(|loss| *loss > limit(losses))
}

/// The rate for the losses of the steps, to two digits.
fn chosen(losses: &[f64]) -> Option<f64> {
    let limit = limit(losses);
    let smoothed = |i: usize| median(losses[i.saturating_sub(AROUND)..(i + AROUND + 1).min(losses.len())].to_vec());
    let last = (0..losses.len()).take_while(|i| smoothed(*i) <= limit).last()?;
    let rounded = format!("{:.1e}", SAFE * rate(last)).parse().ok();
    rounded.filter(|_| last >= FIRST)
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() { f64::NAN } else { *values.select_nth_unstable_by(middle, f64::total_cmp).1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::pcg4d;

    /// Losses that fall from `high` to `low` around 1e-3, blow up from `edge` on, and vary by `spread`.
    fn losses(high: f64, low: f64, edge: f64, spread: f64) -> Vec<f64> {
        let loss = |step: usize| {
            let (rate, random) = (rate(step), f64::from(pcg4d([step as u32, 1, 2, 3])[0]) / f64::from(u32::MAX));
            let level = low + (high - low) / (1.0 + rate / 1e-3) + (rate / edge).powi(40);
            level * (1.0 + spread * (random - 0.5))
        };
        (0..STEPS).map(loss).collect()
    }

    #[test]
    fn the_rate_is_a_tenth_of_where_the_loss_blows_up() {
        // Also of a model that is trained further, whose loss does not fall, and of batches that differ much.
        for (high, low, spread) in [(0.023, 0.013, 0.1), (0.01, 0.01, 0.1), (0.03, 0.02, 1.5)] {
            for edge in [2e-3, 2e-2, 0.3] {
                let losses = losses(high, low, edge, spread);
                let found = chosen(&losses).unwrap();
                assert!((0.07 * edge..0.1 * edge).contains(&found), "{found} for {edge}");
                // What comes after the end tells nothing.
                let end = (1..STEPS).find(|n| has_blown_up(&losses[..*n])).unwrap();
                assert_eq!(chosen(&losses[..end]), Some(found));
            }
        }
    }

    #[test]
    fn a_loss_that_blows_up_at_once_has_no_rate_and_one_that_never_does_has_the_highest() {
        assert_eq!(chosen(&losses(0.02, 0.01, 3e-6, 0.1)), None);
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&losses(0.02, 0.01, 1e9, 0.1)), Some(1.0));
    }
}
