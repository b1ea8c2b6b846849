//! Brightness of one shot against the other: B = gain A + offset.
//!
//! Least squares on noisy values find too low a gain, since noise in A looks like structure that B lacks. The noise of one part
//! of a block knows nothing of that of another part, so that one part of A serves as an instrument for the other: the gain is
//! cov(B, A') / cov(A, A'), which noise does not bias (Wald 1940; Reiersøl 1945).

use serde::Serialize;

use super::statistics::{Measured, deviation, median};
use super::windows::Window;

/// A drift by less than this part of the mean is no fault: its square lies 40 dB below the picture.
const LEAST: f64 = 0.01;
/// Means below a grey level of 8 bits are taken for that.
const DARK: f64 = 1.0 / 255.0;
/// Residuals above this many deviations count as if they had so many: something moved there.
const CUT: f64 = 2.0;
/// Rounds of weights.
const ROUNDS: usize = 4;

/// Pixels between the quarters of a block: demosaicking and JPEG hardly couple noise as far.
const GAP: usize = 2;

/// Means over a block: of all of a shot's pixels, and of two opposite quarters and of the other two, with a gap between them.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) means: [f64; 2],
    pub(super) a: [f64; 2],
    pub(super) b: [f64; 2],
}

/// Side of the blocks of a window.
pub(super) fn side(window: &Window) -> usize {
    2 * window.block()
}

/// The mean of the blocks of all channels.
pub(super) fn grey(channels: &[Vec<Block>]) -> Vec<Block> {
    let n = channels.len() as f64;
    let mean = |i: usize, of: fn(&Block) -> [f64; 2]| [0, 1].map(|k| channels.iter().map(|c| of(&c[i])[k]).sum::<f64>() / n);
    let block = |i| Block { means: mean(i, |k| k.means), a: mean(i, |k| k.a), b: mean(i, |k| k.b) };
    (0..channels[0].len()).map(block).collect()
}

/// The blocks of a channel of a window, row by row.
pub(super) fn blocks(window: &Window, channel: usize) -> Vec<Block> {
    let (side, quarter) = (side(window), window.block());
    let sums = |plane: &[f32], [left, top]: [usize; 2]| {
        let (mut halves, mut all) = ([0.0; 2], 0.0);
        for (y, row) in (0..side).map(|y| (y, &plane[(top + y) * window.width + left..][..side])) {
            let inner = |at: usize| (GAP / 2..quarter - GAP / 2).contains(&(at % quarter));
            for (x, &v) in row.iter().enumerate() {
                all += f64::from(v);
                halves[(x / quarter + y / quarter) % 2] += if inner(x) && inner(y) { f64::from(v) } else { 0.0 };
            }
        }
        (halves.map(|sum| sum / (2 * (quarter - GAP).pow(2)) as f64), all / (side * side) as f64)
    };
    let block = |corner| {
        let ((a, mean_a), (b, mean_b)) = (sums(&window.a[channel], corner), sums(&window.b[channel], corner));
        Block { means: [mean_a, mean_b], a, b }
    };
    window.blocks(side).0.into_iter().map(block).collect()
}

/// How brightness of a channel in B follows that in A.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// What values of A are multiplied by.
    pub gain: f64,
    /// What is added then, of 1.
    pub offset: f64,
}

impl Fit {
    /// The fit of values whose black and white were taken for 0 and 1.
    pub(super) fn of_values(self, [black, white]: [f32; 2]) -> Self {
        let [black, white] = [black, white].map(f64::from);
        Self { gain: self.gain, offset: self.offset * (white - black) + black * (1.0 - self.gain) }
    }

    /// The value of A that a value of B stands for.
    pub fn undone(&self, b: f64) -> f64 {
        (b - self.offset) / self.gain
    }
}

/// A fit, and whether it is another than B = A, beyond doubt.
#[derive(Clone, Copy)]
pub(super) struct Drift {
    pub(super) fit: Fit,
    /// Mean of B over that of A, less 1.
    pub(super) share: f64,
    pub(super) found: bool,
}

/// Compares brightness and contrast of a channel's blocks, and fits them. Whether there is a drift is told from statistics that
/// change their sign when shots are exchanged.
pub(super) fn drift(blocks: &[Block]) -> Drift {
    let differences: Vec<f64> = blocks.iter().map(|k| k.means[1] - k.means[0]).collect();
    let middle = median(&mut differences.clone());
    let sums = Sums::new(blocks, weights(differences.iter().map(|d| d - middle)));
    let brightness = sums.measured(|k| k.means[1] - k.means[0]);
    let [mean, other] = [0, 1].map(|shot| sums.measured(|k| k.means[shot]).value);
    let least = LEAST * mean.max(DARK);
    // Variances of the structure: the halves of a shot share nothing else. If all is brighter by a gain g, (g^2 - 1) / 2 is about
    // g - 1.
    let structure = sums.measured(|k| 0.5 * (variance(k.a, sums.a) + variance(k.b, sums.b)));
    let contrast = sums.measured(|k| 0.5 * (variance(k.b, sums.b) - variance(k.a, sums.a)));
    let deviation = structure.value.max(0.0).sqrt();
    let has_contrast = structure.exceeds(0.0) && contrast.is_found() && contrast.value.abs() > least * deviation;
    let is_brighter = brightness.is_found() && brightness.value.abs() > least;
    Drift { fit: fit(blocks), share: (other - mean) / mean.max(DARK), found: is_brighter || has_contrast }
}

/// Fits blocks, in rounds that weigh residuals of the round before.
fn fit(blocks: &[Block]) -> Fit {
    let mut fit = Sums::new(blocks, vec![1.0; blocks.len()]).fit();
    for _ in 0..ROUNDS {
        let residuals = blocks.iter().map(|k| k.means[1] - fit.gain * k.means[0] - fit.offset);
        fit = Sums::new(blocks, weights(residuals)).fit();
    }
    fit
}

/// Huber's weights of residuals (1964).
fn weights(residuals: impl Iterator<Item = f64>) -> Vec<f64> {
    let residuals: Vec<f64> = residuals.collect();
    let most = CUT * deviation(residuals.iter().copied()).max(1e-9);
    residuals.into_iter().map(|r| (most / r.abs()).min(1.0)).collect()
}

/// Product of what the halves of a block of a shot are above these means.
fn variance(halves: [f64; 2], means: [f64; 2]) -> f64 {
    (halves[0] - means[0]) * (halves[1] - means[1])
}

/// Blocks with weights, and the weighted means of the halves of each shot.
struct Sums<'a> {
    blocks: &'a [Block],
    weights: Vec<f64>,
    a: [f64; 2],
    b: [f64; 2],
}

impl<'a> Sums<'a> {
    fn new(blocks: &'a [Block], weights: Vec<f64>) -> Self {
        let mut sums = Self { blocks, weights, a: [0.0; 2], b: [0.0; 2] };
        let means = |of: fn(&Block) -> [f64; 2]| [0, 1].map(|half| sums.measured(|k| of(k)[half]).value);
        let (a, b) = (means(|k| k.a), means(|k| k.b));
        (sums.a, sums.b) = (a, b);
        sums
    }

    /// A weighted mean over the blocks.
    fn measured(&self, of: impl Fn(&Block) -> f64) -> Measured {
        let scale = self.blocks.len() as f64 / self.weights.iter().sum::<f64>();
        let values: Vec<f64> = self.blocks.iter().zip(&self.weights).map(|(k, w)| scale * w * of(k)).collect();
        Measured::mean(&values)
    }

    fn fit(&self) -> Fit {
        let variance = self.measured(|k| variance(k.a, self.a));
        // Each half of A with the other half of B.
        let covariance =
            self.measured(|k| 0.5 * ((k.a[0] - self.a[0]) * (k.b[1] - self.b[1]) + (k.a[1] - self.a[1]) * (k.b[0] - self.b[0])));
        let [a, b] = [0, 1].map(|shot| self.measured(|k| k.means[shot]).value);
        // Where there is hardly any structure, the mean alone tells the exposure.
        let gain = if variance.exceeds(0.0) { covariance.value / variance.value } else { b / a.max(DARK) };
        let gain = if gain > 0.0 { gain } else { 1.0 };
        Fit { gain, offset: b - gain * a }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::random_normals;

    /// Blocks of structure and noise of these deviations, of which B is `gain` A + `offset`. Where there is little noise, one in
    /// fifty shows something else.
    fn planted(structure: f64, noise: f64, gain: f64, offset: f64) -> Vec<Block> {
        let mut normals = random_normals(5, 0);
        let mut z = move || normals.next().unwrap();
        let block = |i: usize| {
            let clean = 0.4 + structure * z();
            let moved = if noise < 0.05 && i.is_multiple_of(50) { 0.4 } else { 0.0 };
            let (a, b) = ([0; 2].map(|_| clean + noise * z()), [0; 2].map(|_| gain * clean + offset + moved + noise * z()));
            Block { means: [a, b].map(|halves| 0.5 * (halves[0] + halves[1])), a, b }
        };
        (0..20_000).map(block).collect()
    }

    #[test]
    fn gain_and_offset_are_found_without_bias_under_noise_of_both() {
        for (noise, gain, offset) in [(0.01, 1.03, 0.0), (0.1, 1.03, 0.0), (0.1, 0.8, 0.05), (0.1, 1.0, -0.02)] {
            let found = drift(&planted(0.1, noise, gain, offset));
            let Fit { gain: g, offset: o } = found.fit;
            // Least squares would find 2/3 of the gain where noise is as large as structure.
            assert!((g - gain).abs() < 0.02 && (o - offset).abs() < 0.01, "{gain} {offset}: {g} {o}");
            assert!(found.found && (found.fit.undone(0.4 * gain + offset) - 0.4).abs() < 0.005);
        }
        for structure in [0.0, 0.001, 0.1] {
            assert!(!drift(&planted(structure, 0.1, 1.0, 0.0)).found);
        }
        let flat = drift(&planted(0.0, 0.02, 1.03, 0.0));
        assert!(flat.found && (flat.fit.gain - 1.03).abs() < 0.005 && flat.fit.offset.abs() < 0.001);
    }
}
