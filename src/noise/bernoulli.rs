//! `bernoulli:0.5`: pixels are missing, and known to be. They are black, and do not count as targets.

use std::ops::Bound::Excluded;

use super::{Law, Moments, Parameter};
use crate::ops::rng::uniform;

pub(super) const LAW: Law = Law {
    name: "bernoulli",
    examples: &["bernoulli:0.5"],
    help: "that share of the pixels is missing, and known to be",
    parameters: &[Parameter::new("share of missing pixels", Excluded(0.0), Excluded(1.0))],
    masks: true,
    branch: 3,
    moments: Some(|[share, ..], clean| {
        let share = f64::from(share);
        Moments { mean: (1.0 - share) * clean, variance: share * (1.0 - share) * clean * clean }
    }),
    parameter: |[share, ..]| share,
    sampler: |share, shot| {
        let share = f64::from(share);
        Box::new(move |at, clean| {
            let known = uniform(shot.stream.numbers(at.pixel, 0)[0]) >= share;
            (if known { clean } else { [0.0; 3] }, known)
        })
    },
    ..Law::PIXELWISE
};
