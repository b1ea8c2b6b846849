//! `brown:25,2`: Gaussian noise that is blurred, and scaled to its standard deviation again. It is made of a whole picture at a
//! time, by ops of its own (`ops/blur.rs`), not pixel by pixel.

use std::ops::Bound::Included;

use super::{Law, Moments, Parameter};

pub(super) const LAW: Law = Law {
    name: "brown",
    examples: &["brown:25,2"],
    help: "Gaussian noise of that deviation, blurred by so many pixels",
    parameters: &[Parameter::DEVIATION, Parameter::new("blur", Included(0.1), Included(10.0))],
    moments: Some(|[sigma, ..], mean| Moments { mean, variance: (f64::from(sigma) / 255.0).powi(2) }),
    blur: |[_, _, blur, _]| Some(blur),
    sigma: |[sigma, ..]| [sigma / 255.0; 2],
    ..Law::PIXELWISE
};
