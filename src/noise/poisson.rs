//! `poisson:30`, `poisson-gaussian:30,5`: Poisson(peak x) / peak + N(0, s / 255), with s = 0 in the first.

use std::ops::Bound::{Excluded, Included};

use super::{Law, Moments, Parameter, Sampler, Shot, Stream};
use crate::cpu::Real;
use crate::ops::rng::uniform;

const PEAK: Parameter = Parameter::new("mean count of white", Excluded(0.0), Included(1000.0));

pub(super) const POISSON: Law = Law {
    name: "poisson",
    examples: &["poisson:30"],
    help: "photon counts, white being that many on average",
    parameters: &[PEAK],
    branch: 2,
    moments: Some(|[peak, _, sigma, _], mean| {
        let sigma = f64::from(sigma) / 255.0;
        Moments { mean, variance: mean / f64::from(peak) + sigma * sigma }
    }),
    parameter: |[peak, ..]| peak,
    sigma: |[_, _, sigma, _]| [sigma / 255.0; 2],
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

fn sampler(peak: f32, shot: Shot) -> Sampler {
    let peak = f64::from(peak);
    Box::new(move |at, clean| {
        let counted = poisson3(shot.stream, at.pixel, clean.map(|v| peak * v), peak).map(|k| k / peak);
        (shot.plus_gaussian(at.pixel, counted), true)
    })
}

/// Three Poisson numbers: sums of numbers of means up to 16, each by inversion (Devroye 1986, X.3).
pub(super) fn poisson3<T: Real>(stream: Stream, pixel: u32, means: [T; 3], peak: f64) -> [T; 3] {
    let parts = (peak / 16.0).ceil();
    let mut total = [T::zero(); 3];
    for part in 1..=parts as u32 {
        let u = stream.numbers(pixel, part).map(|bits| T::of(uniform(bits)));
        for ((total, mean), &u) in total.iter_mut().zip(means).zip(&u) {
            let l = mean / T::of(parts);
            let (mut p, mut k) = ((-l).exp(), T::zero());
            let mut sum = p;
            while u > sum && p > T::of(1e-9) && k < T::of(99.0) {
                k += T::one();
                p *= l / k;
                sum += p;
            }
            *total += k;
        }
    }
    total
}
