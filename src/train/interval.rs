//! How sure an estimated PSNR is, by how much the estimate scatters between blocks of the held-out pictures.
//!
//! The estimate of a picture is a mean over its pixels, whose scatter is that of the noise, a product of two for every pixel, and
//! that of the error itself between flat and detailed parts. Neighbours share errors, so that pixels do not count as independent;
//! means of blocks do. With n blocks that have a standard deviation of s, the mean has a standard error of s / √n. Pictures count
//! as independent. The PSNR is a logarithm, to which relative errors add: those of the means of P pictures are e = √(Σ eᵢ²) / P
//! together, and nineteen of twenty lie within 1.96 e. As blocks differ by more than noise, this is rather too wide than too
//! narrow.

/// Side of a block, pixels: twice what errors are correlated over. Small pictures have smaller ones, four on a side.
const SIDE: usize = 16;
/// Standard errors to either side of a 95 % confidence interval.
const WITHIN: f64 = 1.96;

/// What blocks of a picture say of its error.
pub(super) struct Blocks {
    width: usize,
    channels: usize,
    side: usize,
    across: usize,
    sums: Vec<f64>,
}

impl Blocks {
    pub(super) fn new(width: usize, height: usize, channels: usize) -> Self {
        let side = SIDE.min(width.min(height) / 4).max(1);
        let (across, down) = (width / side, height / side);
        Self { width, channels, side, across, sums: vec![0.0; across * down] }
    }

    /// Adds the estimates of all values (H, W, C) of the picture.
    pub(super) fn add(&mut self, value: impl Fn(usize) -> f64) {
        let per_block = (self.channels * self.side * self.side) as f64;
        for (block, sum) in self.sums.iter_mut().enumerate() {
            let (top, left) = (block / self.across * self.side, block % self.across * self.side);
            let rows = (top..top + self.side).map(|y| self.channels * (y * self.width + left));
            *sum += rows.flat_map(|start| start..start + self.channels * self.side).map(&value).sum::<f64>() / per_block;
        }
    }

    /// Standard error of the mean of all blocks, of what it is; nothing where there are too few, or nothing is left of the mean.
    pub(super) fn relative(&self) -> Option<f64> {
        let n = self.sums.len() as f64;
        let mean = self.sums.iter().sum::<f64>() / n;
        let square = self.sums.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (n >= 4.0 && mean > 0.0).then(|| (square / n).sqrt() / mean)
    }
}

/// Between which decibels a mean over pictures is, by the relative errors of each; nothing where one of them has none, or there
/// may be no error at all.
pub(super) fn interval(decibels: f64, errors: &[Option<f64>]) -> Option<[f64; 2]> {
    let squares = errors.iter().map(|e| e.map(|e| e * e)).sum::<Option<f64>>()?;
    let relative = WITHIN * squares.sqrt() / errors.len() as f64;
    let ends = [1.0 + relative, 1.0 - relative].map(|share| decibels - 10.0 * share.log10());
    (relative < 1.0).then_some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::pcg4d;

    /// About normal, with a standard deviation of 1.
    fn normal(i: usize, seed: u32) -> f64 {
        let sum: f64 = (0..3).flat_map(|j| pcg4d([i as u32, j, seed, 9])).map(|v| f64::from(v) / f64::from(u32::MAX)).sum();
        sum - 6.0
    }

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_truth() {
        let (width, height, pictures) = (96, 80, 2);
        let truth = -10.0 * 0.01_f64.log10();
        let holds = |seed: u32| {
            let (mut decibels, mut errors) = (0.0, Vec::new());
            for picture in 0..pictures {
                let mut blocks = Blocks::new(width, height, 3);
                // A mean of 0.01 with a product of noises that is far larger.
                let value =
                    |i: usize| 0.01 + 0.05 * normal(i, 1000 * picture + 2 * seed) * normal(i, 1000 * picture + 2 * seed + 1);
                blocks.add(value);
                let mean = (0..3 * width * height).map(value).sum::<f64>() / (3 * width * height) as f64;
                decibels += -10.0 * mean.log10() / f64::from(pictures);
                errors.push(blocks.relative());
            }
            let [lo, hi] = interval(decibels, &errors).unwrap();
            assert!(hi - lo < 1.0, "{lo} to {hi}");
            (lo..hi).contains(&truth)
        };
        let held = (0..200).filter(|seed| holds(*seed)).count();
        assert!((180..=198).contains(&held), "{held} of 200");
    }

    #[test]
    fn there_is_no_interval_without_blocks_or_where_the_error_may_be_none() {
        assert_eq!(interval(30.0, &[Some(0.1), None]), None);
        assert_eq!(interval(30.0, &[Some(0.6)]), None);
        assert!(Blocks::new(1, 1, 3).relative().is_none());
        let mut blocks = Blocks::new(64, 64, 3);
        blocks.add(|i| if i % 2 == 0 { -1.0 } else { 0.5 });
        assert!(blocks.relative().is_none());
    }
}
