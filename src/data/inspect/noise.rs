//! The noise of a pair, which is what its two shots do not share: how strong it is, and how neighbours are correlated.

use super::brightness::Fit;
use super::statistics::{Measured, median};
use super::windows::Window;

/// Correlation of neighbours below which it makes no difference to any training.
const LEAST: f64 = 0.1;
/// Blocks whose differences are smaller than rounding to 8 bits show nothing of their noise.
pub(super) const ROUNDING: f64 = 0.3 / 255.0;
/// Side of the blocks of JPEG.
const BLOCK: usize = 8;

/// What correlates the noise of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Neighbours within blocks of eight pixels are coupled, those across their borders less.
    Jpeg,
    /// Pixels of one colour of a mosaic are noisier than those between.
    Mosaic,
    /// A smoothing filter, scaling, a camera's own denoising.
    Other,
}

/// The noise of one channel of a pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    /// Standard deviation in a shot, of 1.
    pub(super) deviation: f64,
    /// Correlation of neighbours.
    pub(super) correlation: f64,
    /// Why, if it is beyond doubt and matters.
    pub(super) cause: Option<Cause>,
}

/// What blocks of a channel say, each a value per block.
#[derive(Default)]
struct Blocks {
    variance: Vec<f64>,
    /// Correlation of neighbours on both axes.
    within: Vec<f64>,
    /// The same across the right border, where blocks are those of JPEG.
    across: Vec<f64>,
    /// Variance at the four places of a 2x2 cell, of that of the block.
    cell: [Vec<f64>; 4],
}

/// The noise of a channel, where B is as `fit` says.
pub(super) fn noise(windows: &[Window], channel: usize, fit: Fit) -> Noise {
    let mut blocks = Blocks::default();
    for window in windows {
        let (a, b) = (&window.a[channel], &window.b[channel]);
        let difference: Vec<f64> = a.iter().zip(b).map(|(&a, &b)| fit.undone(b.into()) - f64::from(a)).collect();
        blocks.add(window, &difference);
    }
    let pixels = windows.first().map_or(BLOCK, Window::block).pow(2);
    // The median of a chi-squared variable lies below its mean (Wilson and Hilferty 1931).
    let below = (1.0 - 2.0 / (9.0 * (pixels - 1) as f64)).powi(3);
    let variance = median(&mut blocks.variance) / below;
    let correlation = Measured::mean(&blocks.within);
    let matters = correlation.is_found() && correlation.value.abs() > LEAST;
    let cause = matters.then(|| blocks.cause());
    Noise { deviation: (variance / 2.0).sqrt(), correlation: correlation.value, cause }
}

impl Blocks {
    fn add(&mut self, window: &Window, difference: &[f64]) {
        let side = window.block();
        let (corners, columns) = window.blocks(side);
        let blocks: Vec<Vec<f64>> = corners.iter().map(|&corner| centred(difference, window.width, corner, side)).collect();
        for (i, block) in blocks.iter().enumerate() {
            let squares: f64 = block.iter().map(|v| v * v).sum();
            self.variance.push(squares / (block.len() - 1) as f64);
            let variance = squares / block.len() as f64;
            if variance < ROUNDING * ROUNDING {
                continue;
            }
            let pairs = (side * (side - 1)) as f64;
            let right = (0..side * side).filter(|p| p % side + 1 < side).map(|p| block[p] * block[p + 1]).sum::<f64>();
            let down = (0..side * (side - 1)).map(|p| block[p] * block[p + side]).sum::<f64>();
            self.within.push((right + down) / (2.0 * pairs * variance));
            for (place, cell) in self.cell.iter_mut().enumerate() {
                let of_cell = |p: &usize| p % side % 2 + p / side % 2 * 2 == place;
                let squares: f64 = (0..side * side).filter(of_cell).map(|p| block[p] * block[p]).sum();
                cell.push(4.0 * squares / (block.len() as f64 * variance));
            }
            let next = blocks.get(i + 1).filter(|_| side == BLOCK && (i + 1) % columns != 0);
            if let Some(next) = next {
                let other = next.iter().map(|v| v * v).sum::<f64>() / next.len() as f64;
                let products: f64 = (0..side).map(|y| block[y * side + side - 1] * next[y * side]).sum();
                if other >= ROUNDING * ROUNDING {
                    self.across.push(products / (side as f64 * (variance * other).sqrt()));
                }
            }
        }
    }

    /// Why neighbours are correlated.
    fn cause(&self) -> Cause {
        let more = |a: Measured, b: Measured| Measured { value: a.value - b.value, error: a.error.hypot(b.error) };
        let (within, across) = (Measured::mean(&self.within), Measured::mean(&self.across));
        let cell = self.cell.each_ref().map(|values| Measured::mean(values));
        let by_size = |a: &Measured, b: &Measured| a.value.total_cmp(&b.value);
        let (high, low) = (cell.into_iter().max_by(by_size), cell.into_iter().min_by(by_size));
        if more(within, across).exceeds(0.5 * LEAST) {
            Cause::Jpeg
        } else if high.zip(low).is_some_and(|(high, low)| more(high, low).exceeds(LEAST)) {
            Cause::Mosaic
        } else {
            Cause::Other
        }
    }
}

/// The values of a block, less their mean.
fn centred(values: &[f64], width: usize, [left, top]: [usize; 2], side: usize) -> Vec<f64> {
    let mut block: Vec<f64> = (0..side * side).map(|p| values[(top + p / side) * width + left + p % side]).collect();
    let mean = block.iter().sum::<f64>() / block.len() as f64;
    block.iter_mut().for_each(|v| *v -= mean);
    block
}
