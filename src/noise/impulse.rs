//! `impulse:0.7`: pixels are replaced by a uniform random colour.

use std::ops::Bound::Excluded;

use super::{Law, Moments, Parameter};
use crate::ops::Loss;
use crate::ops::rng::uniform;

pub(super) const LAW: Law = Law {
    name: "impulse",
    examples: &["impulse:0.7"],
    help: "that share of the pixels has a random colour",
    parameters: &[Parameter::new("share of replaced pixels", Excluded(0.0), Excluded(1.0))],
    unbiased: false,
    // Replaced pixels say nothing of the clean value: a single target gives gradients that are mostly noise, and drawing several
    // costs next to nothing beside the network.
    targets: 8,
    branch: 4,
    // Right most often, neither on average nor in the median.
    loss: |_| Loss::ANNEALED,
    // Colours are uniform in [0, 1].
    moments: Some(|[share, ..], clean| Moments::of_replaced(share, 1.0 / 3.0, clean)),
    parameter: |[share, ..]| share,
    sampler: |share, shot| {
        let share = f64::from(share);
        Box::new(move |at, clean| {
            let u = shot.stream.numbers(at.pixel, 0).map(uniform);
            (if u[0] < share { [u[1], u[2], u[3]] } else { clean }, true)
        })
    },
    ..Law::PIXELWISE
};
