//! What a training keeps count of: losses as they come in, and what is due when.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::Optimizer;

pub(super) fn unstable(step: u64, signs: &str) -> Error {
    Error::failed(format!(
        "training became unstable at step {step} ({signs}): choose a smaller --lr; what this run saved before is kept"
    ))
}

/// Losses and gradient lengths as they come in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Log {
    /// Steps whose losses are in.
    pub(super) seen: u64,
    loss: f64,
    norm: f64,
    count: u64,
}

impl Log {
    /// Takes in rows of the log up to step `until`; a loss that is not finite ends the training.
    pub(super) fn take(&mut self, rows: &[f32], until: u64) -> Result<()> {
        for step in self.seen..until {
            let row = &rows[(step % Optimizer::ROWS as u64) as usize * 4..];
            if !row[0].is_finite() || !row[1].is_finite() {
                return Err(unstable(step, &format!("loss {}, gradient {}", row[0], row[1])));
            }
            self.loss += f64::from(row[0]);
            self.norm += f64::from(row[1]);
            self.count += 1;
        }
        self.seen = self.seen.max(until);
        Ok(())
    }

    /// Whether nothing came in since the last call of [`Log::means`].
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Mean loss and gradient length since the last call.
    pub(super) fn means(&mut self) -> (f64, f64) {
        let count = std::mem::take(&mut self.count).max(1) as f64;
        (std::mem::take(&mut self.loss) / count, std::mem::take(&mut self.norm) / count)
    }
}

/// Shares of the training at which something is due: so many, evenly spread.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Marks {
    count: f64,
    passed: f64,
}

impl Marks {
    pub(super) fn new(count: f64) -> Self {
        Self { count, passed: 0.0 }
    }

    pub(super) fn due(&mut self, share: f64) -> bool {
        let now = (share * self.count).floor();
        let due = now > self.passed;
        self.passed = self.passed.max(now);
        due
    }
}
