//! What a training keeps count of: losses as they come in, and what is due when.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::Precision;
use crate::ops::Optimizer;

/// Gradients in a row that may overflow in half precision.
const OVERFLOWS: u32 = 20;

/// Losses and gradient norms as they come in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Log {
    /// Steps whose losses are in.
    pub(super) seen: u64,
    loss: f64,
    norm: f64,
    count: u64,
    /// Steps at the end whose gradients are not finite.
    #[serde(default)]
    overflows: u32,
}

impl Log {
    /// Takes in rows of the log up to step `until`. A loss that is not finite ends the training. A gradient that is not finite
    /// skips its step; it ends the training at once in single precision, and after [`OVERFLOWS`] in a row in half precision.
    pub(super) fn take(&mut self, rows: &[f32], until: u64, precision: Precision) -> Result<()> {
        let most = if precision == Precision::F16 { OVERFLOWS } else { 1 };
        for step in self.seen..until {
            let row = &rows[(step % Optimizer::ROWS as u64) as usize * 4..];
            self.overflows = if row[1].is_finite() { 0 } else { self.overflows + 1 };
            if !row[0].is_finite() || self.overflows >= most {
                let signs = format!("loss {}, gradient {}", row[0], row[1]);
                return Err(Error::Unstable { step, signs });
            }
            if self.overflows > 0 {
                continue;
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

    /// Takes what is due up to a share for done.
    pub(super) fn skip_to(&mut self, share: f64) {
        self.passed = (share * self.count).floor();
    }

    pub(super) fn due(&mut self, share: f64) -> bool {
        let now = (share * self.count).floor();
        let due = now > self.passed;
        self.passed = self.passed.max(now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of losses and lengths, as the device writes them.
    fn rows(values: &[(f32, f32)]) -> Vec<f32> {
        let mut rows = vec![0.0; Optimizer::ROWS * 4];
        rows.chunks_mut(4).zip(values).for_each(|(row, &(loss, norm))| row[..2].copy_from_slice(&[loss, norm]));
        rows
    }

    #[test]
    fn a_gradient_that_overflows_in_half_precision_is_left_out() {
        let some = rows(&[(2.0, 4.0), (1.0, f32::INFINITY), (4.0, 8.0)]);
        let mut log = Log::default();
        log.take(&some, 3, Precision::F16).unwrap();
        assert_eq!(log.means(), (3.0, 6.0));
        assert!(Log::default().take(&some, 3, Precision::F32).is_err());
        let all = rows(&[(1.0, f32::NAN); OVERFLOWS as usize]);
        let mut log = Log::default();
        log.take(&all, u64::from(OVERFLOWS) - 1, Precision::F16).unwrap();
        assert!(log.take(&all, OVERFLOWS.into(), Precision::F16).is_err());
        assert!(Log::default().take(&rows(&[(f32::NAN, 1.0)]), 1, Precision::F16).is_err());
    }
}
