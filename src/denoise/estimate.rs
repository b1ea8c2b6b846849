//! How noisy a photo is, told by a model, and how much of what the model takes away is that noise.
//!
//! Where the denoised picture is even, all that was taken away is noise. Elsewhere it may be texture as well, of which any model
//! takes some away from a clean picture: where there is hardly any noise, little of the result is blended in. A model for more
//! noise than there is takes texture for noise everywhere. If the noise n and the model's own error are independent, the blend y
//! + w (f(y) - y) nearest to the clean picture has w = |n|^2 / |f(y) - y|^2.
//!
//! So the noise is what this model takes for it: one that has hardly learned takes little away, and sees little noise.

use std::array::from_fn;
use std::fmt;

use super::Denoiser;
use crate::data::picture::Picture;
use crate::device::Device;
use crate::error::Result;
use crate::nets::Model;
use crate::noise::Noise;

/// Side of the windows that a photo is judged by, pixels; more where a network divides by more.
const SIDE: usize = 128;
/// Most windows.
const WINDOWS: usize = 12;
/// Pixels at the borders of a window that do not count: they see less than others.
const BORDER: usize = 8;
/// Side of the blocks that are even or not.
const BLOCK: usize = 8;
/// One block in so many counts as even.
const EVEN: usize = 20;
/// Means outside are clipped, in [0, 1]: black and white hide their noise.
const SEEN: [f64; 2] = [0.02, 0.98];
/// Means within show all of their noise; they alone count where they are one block in [`ENOUGH`].
const OPEN: [f64; 2] = [0.15, 0.85];
const ENOUGH: usize = 8;
/// Deviations of noise, of 255, below which nothing is blended in, and from which on everything is. Models are wrong by so much
/// where a clean picture is even.
const CLEAN: [f64; 2] = [1.0, 3.5];
/// Below this share of the least noise that it was trained for, a model is one for more noise than there is.
const LESS: f64 = 0.7;

/// What a photo shows of its noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Standard deviation of the noise where the picture is even, in grey levels of 255 from black to white of the model.
    pub noise: f64,
    /// How much of the denoised picture to blend in, 0 to 1.
    pub strength: f32,
}

impl fmt::Display for Estimate {
    /// For people: `noise of about 1.9 of 255, strength 0.36`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "noise of about {:.1} of 255, strength {:.2}", self.noise, self.strength)
    }
}

/// Judges photos by a model, on the CPU.
#[derive(Debug)]
pub struct Estimator {
    denoiser: Denoiser,
    side: usize,
    /// Least deviation of the noise that the model was trained for, of 255; 0 if that is not known.
    least: f64,
    /// Which values of a photo are black and white.
    signal: [f32; 2],
}

/// What is known of a block.
struct Block {
    /// Variance of the denoised picture.
    texture: f64,
    /// Mean square of what was taken away.
    residual: f64,
    /// Whether its noise is not clipped.
    open: bool,
}

impl Estimator {
    /// Whether the model is one that photos are judged by: not one of renderers' pictures, nor for noise that leaves most pixels
    /// right, or hides some.
    pub fn suits(model: &Model) -> bool {
        model.network.check_photographs().is_ok() && model.noise.parse().map_or(true, |noise: Noise| noise.suits_residual())
    }

    /// Prepares a model.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(model: &Model) -> Result<Self> {
        let denoiser = Denoiser::new(&Device::Cpu, model, None)?;
        let side = SIDE.next_multiple_of(denoiser.budget.padded([1, 1])[0]);
        let least = model.noise.parse().map_or(0.0, |noise: Noise| 255.0 * noise.least_deviation());
        Ok(Self { denoiser, side, least, signal: model.signal().unwrap_or([0.0, 1.0]) })
    }

    /// Judges a photo by windows spread over it; `None` if nothing of it can be judged: it is tiny, or black and white.
    ///
    /// # Errors
    /// If the network gives values that are not finite.
    pub fn estimate(&mut self, photo: &Picture) -> Result<Option<Estimate>> {
        let [width, height] = photo.header().size();
        let [w, h] = [width.min(self.side), height.min(self.side)];
        let mut blocks = Vec::new();
        for [left, top] in places([width, height], [w, h]) {
            let noisy: Vec<[f32; 3]> = (0..w * h).map(|i| photo.rgb((top + i / w) * width + left + i % w)).collect();
            let denoised = self.denoiser.denoise(noisy.as_flattened(), w, h)?;
            let [noisy, denoised] = [&noisy[..], denoised.as_chunks().0].map(|rgb| self.unit(rgb));
            blocks.extend(blocks_of(&noisy, &denoised, [w, h]));
        }
        Ok(judged(blocks, self.least))
    }

    /// Colours with black at 0 and white at 1.
    fn unit(&self, colours: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let [black, white] = self.signal;
        colours.iter().map(|rgb| rgb.map(|v| (v - black) / (white - black))).collect()
    }
}

/// Left and top of windows of a size, in a grid over a picture of a size (width, height).
fn places(picture: [usize; 2], window: [usize; 2]) -> Vec<[usize; 2]> {
    let aspect = picture[0] as f64 / picture[1] as f64;
    let columns = ((WINDOWS as f64 * aspect).sqrt().round() as usize).clamp(1, WINDOWS);
    let counts = [columns, (WINDOWS / columns).max(1)];
    // No more than fit beside each other.
    let counts: [usize; 2] = from_fn(|i| counts[i].min(picture[i].div_ceil(window[i])));
    let at = |i: usize, k: usize| (picture[i] - window[i]) * (2 * k + 1) / (2 * counts[i]);
    (0..counts[0] * counts[1]).map(|n| [at(0, n % counts[0]), at(1, n / counts[0])]).collect()
}

/// The blocks of a window that are neither black nor white.
fn blocks_of(noisy: &[[f32; 3]], denoised: &[[f32; 3]], [w, h]: [usize; 2]) -> Vec<Block> {
    let border = if w.min(h) > 4 * BORDER { BORDER } else { 0 };
    let starts = |n: usize| (border..(n - border + 1).saturating_sub(BLOCK)).step_by(BLOCK);
    let corners = starts(h).flat_map(|top| starts(w).map(move |left| (top, left)));
    let block = |(top, left): (usize, usize)| {
        let at = |i: usize| (top + i / BLOCK) * w + left + i % BLOCK;
        let n = (BLOCK * BLOCK) as f64;
        let mean: [f64; 3] = from_fn(|c| (0..BLOCK * BLOCK).map(|i| f64::from(denoised[at(i)][c])).sum::<f64>() / n);
        let within = |[low, high]: [f64; 2]| mean.iter().all(|v| (low..=high).contains(v));
        let squares = |of: &dyn Fn(usize, usize) -> f64| {
            (0..BLOCK * BLOCK).flat_map(|i| (0..3).map(move |c| of(i, c).powi(2))).sum::<f64>() / (3.0 * n)
        };
        let texture = squares(&|i, c| f64::from(denoised[at(i)][c]) - mean[c]);
        let residual = squares(&|i, c| f64::from(denoised[at(i)][c] - noisy[at(i)][c]));
        within(SEEN).then(|| Block { texture, residual, open: within(OPEN) })
    };
    corners.filter_map(block).collect()
}

/// Noise is the lower quartile of the residuals of even blocks, for some of them are of fine texture; strength is as told above.
/// `least` is that of [`Estimator`].
fn judged(mut blocks: Vec<Block>, least: f64) -> Option<Estimate> {
    let all = blocks.iter().map(|b| b.residual).sum::<f64>() / blocks.len() as f64;
    if blocks.iter().filter(|b| b.open).count() * ENOUGH >= blocks.len() {
        blocks.retain(|b| b.open);
    }
    blocks.sort_by(|a, b| a.texture.total_cmp(&b.texture));
    let mut even: Vec<f64> = blocks[..blocks.len().div_ceil(EVEN)].iter().map(|b| b.residual).collect();
    even.sort_by(f64::total_cmp);
    let variance = *even.get(even.len() / 4)?;
    let noise = 255.0 * variance.sqrt();
    let strength = if noise < LESS * least {
        // Those of black and white count among all: nothing of theirs is noise.
        (variance / all.max(f64::MIN_POSITIVE)).min(1.0)
    } else {
        let [low, high] = CLEAN;
        ((noise - low) / (high - low)).clamp(0.0, 1.0)
    };
    Some(Estimate { noise, strength: strength as f32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of which one in ten is even; deviations of what is taken away there and elsewhere, of 255.
    fn of(even: f64, elsewhere: f64, least: f64) -> Estimate {
        let block = |i: usize| {
            let (texture, taken) = if i % 10 == 3 { (1e-6, even) } else { (1e-2, elsewhere) };
            Block { texture, residual: (taken / 255.0_f64).powi(2), open: true }
        };
        judged((0..200).map(block).collect(), least).unwrap()
    }

    #[test]
    fn noise_is_what_even_blocks_lose_and_strength_follows() {
        let near = |found: Estimate, noise: f64, strength: f32| {
            assert!(
                (found.noise - noise).abs() < 0.01 && (found.strength - strength).abs() < 0.01,
                "{found:?}, not {noise}, {strength}"
            );
        };
        near(of(25.0, 26.0, 0.0), 25.0, 1.0);
        // Clean pictures, whatever is taken of their texture.
        near(of(0.3, 3.0, 0.0), 0.3, 0.0);
        near(of(2.25, 3.0, 0.0), 2.25, 0.5);
        near(of(0.3, 12.0, 0.0), 0.3, 0.0);
        // A model for more noise: nothing but texture is taken away beside the noise.
        near(of(8.0, 16.0, 25.0), 8.0, 0.27);
        near(of(20.0, 22.0, 25.0), 20.0, 1.0);
        assert_eq!(judged(Vec::new(), 0.0), None);
        // Noise that black clips counts only where there is no other.
        let block = |open| Block { texture: 0.0, residual: if open { 4e-3 } else { 1e-3 }, open };
        near(judged((0..80).map(|i| block(i % 8 == 0)).collect(), 0.0).unwrap(), 16.13, 1.0);
        near(judged((0..80).map(|i| block(i == 0)).collect(), 0.0).unwrap(), 8.06, 1.0);
    }

    #[test]
    fn windows_are_spread_and_lie_within_the_picture() {
        for (picture, count) in
            [([6000, 4000], 12), ([4000, 6000], 12), ([100, 80], 1), ([128, 4000], 12), ([200, 130], 4), ([1, 1], 1)]
        {
            let window = picture.map(|side: usize| side.min(128));
            let places = places(picture, window);
            assert!(places.len() <= count && !places.is_empty(), "{picture:?}: {places:?}");
            assert!(places.iter().all(|at| (0..2).all(|i| at[i] + window[i] <= picture[i])), "{picture:?}: {places:?}");
        }
    }
}
