//! Noise laws: the grammar `name:parameters` of the command line, and noisy exposures of whole pictures for validation and
//! evaluation. Training batches draw theirs on the device (`shaders/batch.wgsl`).

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;

use crate::error::{Error, Result};
pub use crate::ops::Noise;
use crate::ops::brown::{radius, weights};
use crate::ops::noise::{Place, Stream};

/// What can be written for a noise law.
pub const GRAMMAR: &str = "gaussian:25, gaussian:0-50, poisson:30, poisson-gaussian:30,5, bernoulli:0.5, impulse:0.7, text:0.25, \
                           brown:25,2 or pixelate:8";

/// Smallest side of a picture that text can be written on, pixels.
const LEAST_FOR_TEXT: usize = 32;

/// Exposures have other random numbers than training steps of the same seed.
const SEED: u32 = 0x5eed_0000;

fn numbers(parameters: &str) -> Option<Vec<f32>> {
    parameters.split(',').map(|p| p.trim().parse().ok().filter(|v: &f32| v.is_finite())).collect()
}

impl FromStr for Noise {
    type Err = Error;

    fn from_str(spec: &str) -> Result<Self> {
        let usage = |problem: &str| Error::option("noise", format!("{spec}: {problem}; write {GRAMMAR}"));
        let (name, parameters) = spec.split_once(':').unwrap_or((spec, ""));
        let parameters = match (name, parameters.split_once('-')) {
            ("gaussian", Some((low, high))) => format!("{low},{high}"),
            _ => parameters.to_owned(),
        };
        let known = ["gaussian", "poisson", "poisson-gaussian", "bernoulli", "impulse", "text", "brown", "pixelate"];
        if !known.contains(&name) {
            return Err(usage("unknown noise law"));
        }
        let values = numbers(&parameters).ok_or_else(|| usage("its parameters are not numbers"))?;
        let deviation = |v: f32| v > 0.0 && v <= 255.0;
        let (noise, right, range) = match (name, values[..].first().copied().unwrap_or(0.0), &values[1..]) {
            ("gaussian", max, []) => (Self::Gaussian { min: max, max }, deviation(max), "above 0 and up to 255"),
            ("gaussian", min, &[max]) => {
                let right = (0.0..=max).contains(&min) && deviation(max);
                (Self::Gaussian { min, max }, right, "from 0 to 255, the smaller one first")
            }
            ("poisson", peak, []) => {
                (Self::Poisson { peak, sigma: 0.0 }, peak > 0.0 && peak <= 1000.0, "a peak above 0 and up to 1000")
            }
            ("poisson-gaussian", peak, &[sigma]) => {
                let right = peak > 0.0 && peak <= 1000.0 && deviation(sigma);
                (Self::Poisson { peak, sigma }, right, "a peak above 0 and up to 1000, and a deviation above 0 and up to 255")
            }
            ("bernoulli", share, []) => (Self::Bernoulli { share }, share > 0.0 && share < 1.0, "a share above 0 and below 1"),
            ("impulse", share, []) => (Self::Impulse { share }, share > 0.0 && share < 1.0, "a share above 0 and below 1"),
            ("text", share, []) => (Self::Text { share }, share > 0.0 && share <= 0.8, "a share above 0 and up to 0.8"),
            ("brown", sigma, &[blur]) => {
                let right = deviation(sigma) && (0.1..=10.0).contains(&blur);
                (Self::Brown { sigma, blur }, right, "a deviation above 0 and up to 255, and a blur of 0.1 to 10 pixels")
            }
            ("pixelate", cell, []) => {
                let right = (2.0..=64.0).contains(&cell) && cell.fract() == 0.0;
                (Self::Pixelate { cell: cell as usize }, right, "whole cells of 2 to 64 pixels")
            }
            _ => return Err(usage("another number of parameters than the law has")),
        };
        if right { Ok(noise) } else { Err(usage(&format!("out of range, which is {range}"))) }
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Gaussian { min, max } if min == max => write!(f, "gaussian:{min}"),
            Self::Gaussian { min, max } => write!(f, "gaussian:{min}-{max}"),
            Self::Poisson { peak, sigma } if *sigma == 0.0 => write!(f, "poisson:{peak}"),
            Self::Poisson { peak, sigma } => write!(f, "poisson-gaussian:{peak},{sigma}"),
            Self::Bernoulli { share } => write!(f, "bernoulli:{share}"),
            Self::Impulse { share } => write!(f, "impulse:{share}"),
            Self::Text { share } => write!(f, "text:{share}"),
            Self::Brown { sigma, blur } => write!(f, "brown:{sigma},{blur}"),
            Self::Pixelate { cell } => write!(f, "pixelate:{cell}"),
        }
    }
}

/// A noisy picture.
#[derive(Clone, Debug)]
pub struct Exposure {
    /// (H, W, 3), about [0, 1], neither clipped nor rounded.
    pub values: Vec<f32>,
    /// Which pixels (H, W) are known, for a law that hides some.
    pub known: Option<Vec<bool>>,
}

/// A clean picture to make exposures of.
#[derive(Clone, Copy, Debug)]
pub struct Clean<'a> {
    /// (H, W, 3) in [0, 1].
    pub rgb: &'a [f32],
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Noise {
    /// Smallest side that a picture must have, pixels.
    pub fn least(&self) -> usize {
        match self {
            Self::Text { .. } => LEAST_FOR_TEXT,
            _ => self.cell(),
        }
    }

    /// What exposures of a picture show: (H, W, 3), width and height. It is the picture itself, or that of the means of its cells.
    pub fn clean(&self, picture: Clean) -> (Vec<f32>, usize, usize) {
        let cell = self.cell();
        let (width, height) = (picture.width / cell, picture.height / cell);
        if cell == 1 {
            return (picture.rgb.to_vec(), width, height);
        }
        let mean = |p: usize, c: usize| {
            let at = |t: usize| ((p / width * cell + t / cell) * picture.width + p % width * cell + t % cell) * 3 + c;
            (0..cell * cell).map(|t| picture.rgb[at(t)]).sum::<f32>() / (cell * cell) as f32
        };
        ((0..width * height).flat_map(|p| (0..3).map(move |c| mean(p, c))).collect(), width, height)
    }

    /// Exposure 0 or 1 of a picture, in size that of [`Noise::clean`]; the same for the same seed and number.
    pub fn expose(&self, picture: Clean, seed: u32, number: u32, exposure: u32) -> Exposure {
        let stream = Stream { step: number, seed: seed ^ SEED, exposure };
        if let Some(blur) = self.blur() {
            let noise = brown(stream, picture.width, picture.height, blur);
            let sigma = self.sigma().0;
            let values = picture.rgb.iter().zip(noise).map(|(v, z)| v + sigma * z as f32).collect();
            return Exposure { values, known: None };
        }
        let cell = self.cell();
        let (width, height) = (picture.width / cell, picture.height / cell);
        let (low, high) = self.sigma();
        let sigma = f64::from(low + (high - low) * stream.of_picture() as f32);
        let draw = self.draw(stream, 0, sigma);
        let pixel = |p: usize| {
            let (i, j) = if cell > 1 { draw.chosen(p as u32) } else { (0, 0) };
            let at = ((p / width * cell + i) * picture.width + p % width * cell + j) * 3;
            let clean = [0, 1, 2].map(|c| f64::from(picture.rgb[at + c]));
            draw.pixel(Place { pixel: p as u32, row: (p / width) as u32, column: (p % width) as u32 }, clean)
        };
        let pixels: Vec<_> = (0..width * height).into_par_iter().map(pixel).collect();
        let values = pixels.iter().flat_map(|(v, _)| v.map(|v| v as f32)).collect();
        Exposure { values, known: self.masks().then(|| pixels.iter().map(|&(_, known)| known).collect()) }
    }
}

/// Blurred noise of variance 1 (H, W, 3).
fn brown(stream: Stream, width: usize, height: usize, blur: f32) -> Vec<f64> {
    let (weights, border) = (weights(blur), 2 * radius(blur));
    let wide = width + border;
    let rows: Vec<Vec<f64>> = (0..height + border)
        .into_par_iter()
        .map(|row| {
            let white: Vec<f64> = (0..wide).flat_map(|column| stream.white((row * wide + column) as u32)).collect();
            let blurred = |at: usize| weights.iter().enumerate().map(|(k, w)| w * white[at + 3 * k]).sum();
            (0..3 * width).map(blurred).collect()
        })
        .collect();
    let blurred = |at: usize| weights.iter().enumerate().map(|(k, w)| w * rows[at / (3 * width) + k][at % (3 * width)]).sum();
    (0..3 * width * height).into_par_iter().map(blurred).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noise_law_is_written_as_it_is_read() {
        for spec in GRAMMAR.replace(" or ", ", ").split(", ").chain(["gaussian:12.5"]) {
            assert_eq!(spec.trim().parse::<Noise>().unwrap().to_string(), spec.trim());
        }
    }

    #[test]
    fn unknown_laws_and_ranges_are_refused() {
        for spec in [
            "nonsense:1",
            "gaussian",
            "gaussian:",
            "gaussian:x",
            "gaussian:50-0",
            "gaussian:-3",
            "gaussian:300",
            "gaussian:nan",
            "gaussian:0",
            "gaussian:1,2,3",
            "poisson:0",
            "poisson:-1",
            "poisson:5000",
            "poisson-gaussian:30",
            "poisson-gaussian:30,0",
            "bernoulli:0",
            "bernoulli:1",
            "impulse:1.5",
            "impulse:",
            "text:0.9",
            "text:0",
            "brown:25",
            "brown:25,0",
            "brown:25,11",
            "pixelate:1",
            "pixelate:2.5",
            "pixelate:1000",
        ] {
            let message = spec.parse::<Noise>().unwrap_err().to_string();
            assert!(message.contains(spec) && message.contains("gaussian:25"), "{message}");
        }
    }
}
