//! `camera:4`, `camera:0.5-8,2,90`: photographs as a camera takes them. An sRGB picture is taken back to the light of a sensor
//! (Brooks et al. 2019, "Unprocessing images for learned raw denoising"), counted as photons with read noise through a Bayer
//! mosaic, and developed again: demosaicking, white balance, colour matrix, curve, 8 bits, JPEG. Pictures are taken as a whole,
//! by ops of their own (`ops/camera.rs`), not pixel by pixel.
//!
//! The input of a network is such a photograph. Its target is another exposure of the same scene, as noisy as three stops more
//! light make it, of three whole sensors and before anything is clipped or rounded: the curve bends, so that noise changes the
//! mean, by f''(v) var / 2, and an eighth of the variance leaves an eighth of that bias. Nothing here needs a clean picture of
//! the scene: a longer exposure is a noisy one (Lehtinen et al. 2018).

use std::ops::Bound::Included;

use super::poisson::poisson3;
use super::{Law, Parameter, Stream};
use crate::cpu::Real;
use crate::ops::rng::{normal3, pcg4d, uniform};

pub(super) const LAW: Law = Law {
    name: "camera",
    examples: &["camera:4", "camera:0.5-8"],
    help: "a camera at that ISO / 100; also read noise and JPEG quality",
    parameters: &[
        Parameter::new("ISO / 100", Included(LEAST), Included(100.0)),
        Parameter { default: Some(2.0), ..Parameter::new("read noise in electrons", Included(0.0), Included(100.0)) },
        Parameter {
            default: Some(DRAWN),
            whole: true,
            ..Parameter::new("JPEG quality (100: 8 bits, 0: neither)", Included(0.0), Included(100.0))
        },
    ],
    spread: Some(LEAST),
    unbiased: false,
    least_side: 16,
    moments: None,
    camera: |[low, high, read, quality]| Some(Camera { gain: [low, high], read, quality }),
    ..Law::PIXELWISE
};

/// Least gain.
const LEAST: f32 = 0.01;
/// The quality that stands for one drawn per picture: 0 or 100 for one in six pictures each, else 70 to 98.
const DRAWN: f32 = -1.0;
/// Electrons of a pixel that is white in the green of a picture at ISO 100.
pub(crate) const WHITE: f32 = 1000.0;
/// How much more light targets get than inputs.
const LIGHT: f32 = 8.0;
/// From this mean on, counts are drawn as numbers near to them.
const MANY: f64 = 16.0;

/// The numbers of a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Camera {
    /// Lowest and highest ISO / 100; each picture has its own in between, on a logarithmic scale.
    pub(crate) gain: [f32; 2],
    /// Standard deviation of the read noise, electrons.
    pub(crate) read: f32,
    /// 0: nothing is rounded; 100: to 8 bits; else the quality of a JPEG; or [`DRAWN`].
    pub(crate) quality: f32,
}

/// What one picture is taken with; all its exposures share it. Shares and factors are uniform.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<T> {
    /// Electrons of white at this gain.
    white: T,
    read: T,
    /// White balance: factors of red, green and blue, 1.2 to 2.4 and 1.2 to 2.2 of the outer two.
    balance: [T; 3],
    /// Of the colour matrix (1 + s) v - s mean(v): 0 to 1.
    saturation: T,
    /// How much of the correction of Malvar, He and Cutler the demosaicking has: 0 is bilinear. `None` for a quarter of the
    /// pictures: without a mosaic, as if they had been made smaller.
    mosaic: Option<T>,
    /// Parities of the rows and columns with red.
    phase: [u32; 2],
    /// As in [`Camera`], drawn.
    pub(super) quality: u32,
    /// Whether a JPEG has one colour to four pixels: three in four have.
    pub(super) halved: bool,
}

/// How much light an exposure gets, over exposure 0.
pub(crate) const fn light(exposure: u32) -> f32 {
    if exposure == 0 { 1.0 } else { LIGHT }
}

impl Camera {
    /// What picture `n` is taken with.
    pub(crate) fn settings<T: Real>(&self, stream: Stream, n: u32) -> Settings<T> {
        let drawn = |key: u32| pcg4d([n, stream.step, stream.seed, 0xca3e_7a00 + key]);
        let [a, b] = [drawn(0).map(uniform), drawn(1).map(uniform)];
        let [low, high] = self.gain.map(f64::from);
        let gain = low * (high / low).powf(a[0]);
        let bits = drawn(1)[0];
        let quality = match self.quality {
            given if given >= 0.0 => given as u32,
            _ if b[2] < 1.0 / 6.0 => 0,
            _ if b[2] < 2.0 / 6.0 => 100,
            _ => 70 + (29.0 * b[3]) as u32,
        };
        Settings {
            white: T::of(f64::from(WHITE) / gain),
            read: T::of(self.read.into()),
            balance: [1.2 + 1.2 * a[1], 1.0, 1.2 + a[2]].map(T::of),
            saturation: T::of(a[3]),
            mosaic: (b[1] >= 0.25).then(|| T::of((b[1] - 0.25) / 0.75)),
            phase: [bits >> 31, bits >> 30 & 1],
            quality,
            halved: bits >> 28 & 3 != 0,
        }
    }
}

impl<T: Real> Settings<T> {
    /// What a pixel counts, over what white does: of an exposure in `stream`, from its sRGB values.
    pub(crate) fn sense(&self, stream: Stream, pixel: u32, rgb: [T; 3]) -> [T; 3] {
        let white = self.white * T::of(light(stream.exposure).into());
        let linear = rgb.map(|v| decode(v.max(T::zero())));
        let grey = mean(linear) * self.saturation;
        let z: [T; 3] = normal3(stream.numbers(pixel, 0));
        let means: [T; 3] =
            std::array::from_fn(|c| white * ((linear[c] + grey) / (T::one() + self.saturation) / self.balance[c]).max(T::zero()));
        let many = T::of(MANY);
        let few = if means.iter().any(|m| *m < many) { poisson3(stream, pixel, means.map(|m| m.min(many)), MANY) } else { means };
        std::array::from_fn(|c| {
            let (m, z) = (means[c], z[c]);
            // Beyond a few counts, a normal number with the third moment of a Poisson number (Cornish and Fisher 1938).
            let variance = m + self.read * self.read;
            let counted = if m < many {
                few[c] + self.read * z
            } else {
                m + variance.sqrt() * z + (z * z - T::one()) / T::of(6.0) * m / variance
            };
            counted / white
        })
    }

    /// A pixel of the developed picture, an sRGB value, from what all pixels counted. `exposure` 0 comes through the mosaic, and
    /// is clipped to [0, 1].
    pub(crate) fn develop(
        &self,
        counted: impl Fn(usize, usize) -> [T; 3],
        size: [usize; 2],
        [row, column]: [usize; 2],
        exposure: u32,
    ) -> [T; 3] {
        let rgb = match self.mosaic.filter(|_| exposure == 0) {
            Some(correction) => {
                let raw = |down: i32, right: i32| {
                    let at = [(row, down, size[0]), (column, right, size[1])].map(|(from, by, n)| reflected(from, by, n));
                    counted(at[0], at[1])[self.colour(at)]
                };
                self.demosaic(raw, [row, column], correction)
            }
            None => counted(row, column),
        };
        let balanced: [T; 3] = std::array::from_fn(|c| rgb[c] * self.balance[c]);
        let grey = mean(balanced) * self.saturation;
        let encoded = balanced.map(|v| encode((T::one() + self.saturation) * v - grey));
        if exposure == 0 { encoded.map(|v| v.max(T::zero()).min(T::one())) } else { encoded }
    }

    /// Which of its three colours a site of the mosaic sees.
    fn colour(&self, [row, column]: [usize; 2]) -> usize {
        (row as u32 ^ self.phase[0]) as usize % 2 + (column as u32 ^ self.phase[1]) as usize % 2
    }

    /// Bilinear, plus `correction` times the gradients that Malvar, He and Cutler 2004 add. `raw` is relative to the place.
    fn demosaic(&self, raw: impl Fn(i32, i32) -> T, at: [usize; 2], correction: T) -> [T; 3] {
        let own = raw(0, 0);
        let [beside, above] = [raw(0, -1) + raw(0, 1), raw(-1, 0) + raw(1, 0)];
        let [far_beside, far_above] = [raw(0, -2) + raw(0, 2), raw(-2, 0) + raw(2, 0)];
        let diagonal = raw(-1, -1) + raw(-1, 1) + raw(1, -1) + raw(1, 1);
        let with = |plain: T, gradient: T| plain + correction * gradient / T::of(8.0);
        let [half, quarter, five] = [0.5, 0.25, 5.0].map(T::of);
        if self.colour(at) == 1 {
            let along = with(half * beside, five * own - diagonal - far_beside + half * far_above);
            let across = with(half * above, five * own - diagonal - far_above + half * far_beside);
            let in_red_row = (at[0] as u32 ^ self.phase[0]).is_multiple_of(2);
            return if in_red_row { [along, own, across] } else { [across, own, along] };
        }
        let far = far_beside + far_above;
        let green = with(quarter * (beside + above), T::of(4.0) * own - far);
        let other = with(quarter * diagonal, T::of(6.0) * own - T::of(1.5) * far);
        if self.colour(at) == 0 { [own, green, other] } else { [other, green, own] }
    }
}

/// The place `by` from `from` among `n`, mirrored at the ends: its parity stays.
fn reflected(from: usize, by: i32, n: usize) -> usize {
    let to = (from as i32 + by).unsigned_abs() as usize;
    to.min(2 * (n - 1) - to.min(2 * (n - 1)))
}

fn mean<T: Real>([r, g, b]: [T; 3]) -> T {
    (r + g + b) / T::of(3.0)
}

/// Light of an sRGB value (IEC 61966-2-1), which goes on above white.
fn decode<T: Real>(v: T) -> T {
    if v <= T::of(0.04045) { v / T::of(12.92) } else { ((v + T::of(0.055)) / T::of(1.055)).powf(T::of(2.4)) }
}

/// sRGB value of light, which goes on below black, as a line, and above white.
fn encode<T: Real>(v: T) -> T {
    if v <= T::of(0.003_130_8) { T::of(12.92) * v } else { T::of(1.055) * v.powf(T::of(1.0 / 2.4)) - T::of(0.055) }
}

#[cfg(test)]
mod tests;
