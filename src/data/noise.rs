//! Noise laws: the grammar `name:parameters` of the command line, and noise on the CPU for validation and evaluation.
//! Training batches draw theirs on the device (`shaders/batch.wgsl`).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::ops::{random_normals, random_uniform};

/// A law that noise follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// x + N(0, s/255) with s uniform in [min, max] per picture.
    Gaussian {
        /// Smallest standard deviation, in grey levels of 255.
        min: f32,
        /// Largest standard deviation, in grey levels of 255.
        max: f32,
    },
}

impl FromStr for Noise {
    type Err = Error;

    fn from_str(spec: &str) -> Result<Self> {
        let usage =
            |problem: &str| Error::usage(format!("--noise {spec}: {problem}; write gaussian:25 or, for a range, gaussian:0-50"));
        let (name, parameters) = spec.split_once(':').unwrap_or((spec, ""));
        if name != "gaussian" {
            return Err(usage("unknown noise law"));
        }
        let number = |text: &str| text.trim().parse::<f32>().ok().filter(|v| v.is_finite());
        let (min, max) = match parameters.split_once('-') {
            Some((low, high)) => (number(low), number(high)),
            None => (number(parameters), number(parameters)),
        };
        let (Some(min), Some(max)) = (min, max) else { return Err(usage("its standard deviation is not a number")) };
        if !(0.0..=255.0).contains(&min) || max > 255.0 || min > max || max == 0.0 {
            return Err(usage("the standard deviation must lie above 0 and up to 255, the smaller one first"));
        }
        Ok(Self::Gaussian { min, max })
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Gaussian { min, max } if min == max => write!(f, "gaussian:{min}"),
            Self::Gaussian { min, max } => write!(f, "gaussian:{min}-{max}"),
        }
    }
}

impl Noise {
    /// Smallest and largest standard deviation in units of the [0, 1] range.
    pub fn sigma(&self) -> (f32, f32) {
        match self {
            Self::Gaussian { min, max } => (min / 255.0, max / 255.0),
        }
    }

    /// A noisy version of values in [0, 1], neither clipped nor rounded; the same for the same seed and stream.
    pub fn add(&self, clean: &[f32], seed: u32, stream: u32) -> Vec<f32> {
        // Streams come in pairs that share their standard deviation: the two exposures of one picture.
        let (low, high) = self.sigma();
        let sigma = low + (high - low) * random_uniform(seed, stream / 2) as f32;
        clean.iter().zip(random_normals(seed, stream)).map(|(&x, z)| x + sigma * z as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noise_law_is_written_as_it_is_read() {
        for spec in ["gaussian:25", "gaussian:0-50", "gaussian:12.5"] {
            assert_eq!(spec.parse::<Noise>().unwrap().to_string(), spec);
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
        ] {
            let message = spec.parse::<Noise>().unwrap_err().to_string();
            assert!(message.contains(spec) && message.contains("gaussian:25"), "{message}");
        }
    }

    #[test]
    fn noise_has_the_standard_deviation_asked_for() {
        let noisy = Noise::Gaussian { min: 25.0, max: 25.0 }.add(&vec![0.5; 100_000], 1, 0);
        let mean = noisy.iter().sum::<f32>() / 1e5;
        let deviation = (noisy.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1e5).sqrt() * 255.0;
        // Four standard errors of a mean and of a deviation from 100,000 numbers.
        assert!((mean - 0.5).abs() < 4.0 * 25.0 / 255.0 / 316.0, "{mean}");
        assert!((deviation - 25.0).abs() < 4.0 * 25.0 / 447.0, "{deviation}");
    }
}
