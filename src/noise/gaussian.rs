//! `gaussian:25`: x + N(0, s / 255), s given or drawn per picture.

use super::{Law, Moments, Parameter};

pub(super) const LAW: Law = Law {
    name: "gaussian",
    examples: &["gaussian:25", "gaussian:0-50"],
    help: "Gaussian noise of that deviation (of 255), or one drawn per picture",
    parameters: &[Parameter::DEVIATION],
    spread: Some(0.0),
    branch: 1,
    // The mean of s^2 over s uniform from a to b.
    moments: Some(|[low, high, ..], mean| {
        let [a, b] = [low, high].map(|s| f64::from(s) / 255.0);
        Moments { mean, variance: (a * a + a * b + b * b) / 3.0 }
    }),
    sigma: |[low, high, ..]| [low / 255.0, high / 255.0],
    sampler: |_, shot| Box::new(move |at, clean| (shot.plus_gaussian(at.pixel, clean), true)),
    ..Law::PIXELWISE
};
