//! How long to train, and the learning rate on the way.

use serde::{Deserialize, Serialize};

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
    /// Share of the training that is done, from 0 to 1.
    pub(super) fn progress(self, step: u64, seconds: f64, pictures: usize, batch: usize) -> f64 {
        let share = match self {
            Self::Steps(steps) => step as f64 / steps as f64,
            Self::Epochs(epochs) => step as f64 * batch as f64 / (epochs * pictures as f64),
            Self::Minutes(minutes) => seconds / (60.0 * minutes),
        };
        share.min(1.0)
    }
}

/// Steps of linear warm-up.
const WARM_UP: f64 = 50.0;

/// Learning rate as a share of the highest: linear warm-up, then half a cosine to 0 (Loshchilov and Hutter 2017).
pub(super) fn rate(step: u64, progress: f64) -> f64 {
    let warm = ((step + 1) as f64 / WARM_UP).min(1.0);
    warm * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// Decay of the average of the weights at a step: short at first, so that the start is forgotten.
pub(super) fn ema_decay(step: u64, most: f64) -> f64 {
    most.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_and_falls_to_nothing() {
        assert!(rate(0, 0.0) < 0.03 && (rate(50, 0.0) - 1.0).abs() < 1e-12 && rate(1000, 1.0) < 1e-12);
    }

    #[test]
    fn progress_is_counted_in_the_unit_asked_for() {
        assert!((Length::Steps(200).progress(50, 0.0, 1, 1) - 0.25).abs() < 1e-12);
        assert!((Length::Epochs(2.0).progress(50, 0.0, 400, 8) - 0.5).abs() < 1e-12);
        assert!((Length::Minutes(1.0).progress(0, 90.0, 1, 1) - 1.0).abs() < 1e-12);
    }
}
