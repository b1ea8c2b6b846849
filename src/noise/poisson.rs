//! `poisson:30`, `poisson-gaussian:30,5`: Poisson(peak x) / peak + N(0, s / 255), with s = 0 in the first.

use std::ops::Bound;

use super::{Law, Moments, Noise, Parameter, Sampler, Shot, Stream};
use crate::ops::rng::uniform;

const PEAK: Parameter =
    Parameter { name: "mean count of white", within: (Bound::Excluded(0.0), Bound::Included(1000.0)), whole: false };

pub(super) const POISSON: Law = Law {
    name: "poisson",
    examples: &["poisson:30"],
    help: "photon counts, white being that many on average",
    parameters: &[PEAK],
    branch: 2,
    moments: |[peak, sigma], mean| {
        let sigma = f64::from(sigma) / 255.0;
        Moments { mean, variance: mean / f64::from(peak) + sigma * sigma }
    },
    parameter: |[peak, _]| peak,
    sigma: |[_, sigma]| [sigma / 255.0; 2],
    sampler,
    ..Law::PIXELWISE
};

pub(super) const POISSON_GAUSSIAN: Law = Law {
    name: "poisson-gaussian",
    examples: &["poisson-gaussian:30,5"],
    help: "photon counts, and Gaussian noise of the second number added",
    parameters: &[PEAK, Parameter::DEVIATION],
    ..POISSON
};

impl Noise {
    /// Poisson noise; `peak` is the mean count of white.
    ///
    /// # Panics
    /// If it is not above 0 and up to 1000.
    pub fn poisson(peak: f32) -> Self {
        Self::new(&POISSON, [peak, 0.0])
    }

    /// Poisson noise, and Gaussian noise of standard deviation `sigma`, in grey levels of 255.
    ///
    /// # Panics
    /// If `peak` is not above 0 and up to 1000, or `sigma` not above 0 and up to 255.
    pub fn poisson_gaussian(peak: f32, sigma: f32) -> Self {
        Self::new(&POISSON_GAUSSIAN, [peak, sigma])
    }
}

fn sampler(peak: f32, shot: Shot) -> Sampler {
    let peak = f64::from(peak);
    Box::new(move |at, clean| {
        let counted = poisson3(shot.stream, at.pixel, clean.map(|v| peak * v), peak).map(|k| k / peak);
        (shot.plus_gaussian(at.pixel, counted), true)
    })
}

/// Three Poisson numbers: sums of numbers of means up to 16, each by inversion (Devroye 1986, X.3).
fn poisson3(stream: Stream, pixel: u32, means: [f64; 3], peak: f64) -> [f64; 3] {
    let parts = (peak / 16.0).ceil();
    let mut total = [0.0; 3];
    for part in 1..=parts as u32 {
        let u = stream.numbers(pixel, part).map(uniform);
        for ((total, mean), &u) in total.iter_mut().zip(means).zip(&u) {
            let l = mean / parts;
            let (mut p, mut k) = ((-l).exp(), 0.0);
            let mut sum = p;
            while u > sum && p > 1e-9 && k < 99.0 {
                k += 1.0;
                p *= l / k;
                sum += p;
            }
            *total += k;
        }
    }
    total
}
