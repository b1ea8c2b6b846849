//! Sums over blocks of pixels and their standard errors.
//!
//! Nothing that is found here relies on a law of noise. It relies on this: if two shots show the same scene under the same
//! conditions, they may be exchanged, so that every statistic that changes its sign when they are has a distribution around zero,
//! whatever the noise is, how it is rounded and where it is clipped. Its standard error is taken from the scatter between blocks
//! of 8x8 pixels, which holds also where the noise of neighbours is correlated over a few pixels, and depends on brightness.

/// How many standard errors count as found. A normal number is that far from zero in 2 of 10⁹ cases, one with the 63 degrees of
/// freedom of the smallest pictures in 1 of 10⁷: with ten tests a pair, that is one false alarm in ten thousand pairs of tiny
/// pictures.
pub(super) const FOUND: f64 = 6.0;

/// A sum or a mean and its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Measured {
    /// The mean of values that are independent of each other.
    pub(super) fn mean(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n.max(1.0);
        let squares: f64 = values.iter().map(|v| (v - value).powi(2)).sum();
        Self { value, error: if n > 1.0 { (squares / (n * (n - 1.0))).sqrt() } else { f64::INFINITY } }
    }

    /// Whether it is above a bound, beyond doubt.
    pub(super) fn exceeds(self, bound: f64) -> bool {
        self.value - FOUND * self.error > bound
    }

    /// Whether it is another number than zero, beyond doubt.
    pub(super) fn is_found(self) -> bool {
        self.value.abs() > FOUND * self.error
    }
}

/// The median; 0 of nothing.
pub(super) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(middle, f64::total_cmp).1 }
}

/// The standard deviation of normal numbers around zero, from the median of their sizes: few others among them do not count.
pub(super) fn deviation(values: impl Iterator<Item = f64>) -> f64 {
    // The quartile of a normal number.
    median(&mut values.map(f64::abs).collect::<Vec<_>>()) / 0.674_489_75
}
