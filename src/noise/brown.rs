//! `brown:25,2`: Gaussian noise that is blurred, and scaled to its standard deviation again. It is made of a whole picture at a time,
//! by ops of its own (`ops/blur.rs`), not pixel by pixel.

use std::ops::Bound;

use super::{Law, Moments, Noise, Parameter};

pub(super) const LAW: Law = Law {
    name: "brown",
    examples: &["brown:25,2"],
    help: "Gaussian noise of that deviation, blurred by so many pixels",
    parameters: &[
        Parameter::DEVIATION,
        Parameter { name: "blur", within: (Bound::Included(0.1), Bound::Included(10.0)), whole: false },
    ],
    moments: |[sigma, _], mean| Moments { mean, variance: (f64::from(sigma) / 255.0).powi(2) },
    blur: |[_, blur]| Some(blur),
    sigma: |[sigma, _]| [sigma / 255.0; 2],
    ..Law::PIXELWISE
};

impl Noise {
    /// Gaussian noise of standard deviation `sigma`, in grey levels of 255, blurred with a standard deviation of `blur` pixels.
    ///
    /// # Panics
    /// If `sigma` is not above 0 and up to 255, or `blur` not from 0.1 to 10.
    pub fn brown(sigma: f32, blur: f32) -> Self {
        Self::new(&LAW, [sigma, blur])
    }
}
