//! The record of a noise law.

use std::ops::{Bound, RangeBounds};

use super::{Sampler, Shot};
use crate::ops::Loss;

/// All that there is to know of a noise law.
#[derive(Debug)]
#[non_exhaustive]
pub struct Law {
    /// What is written before the colon.
    pub name: &'static str,
    /// The ways to write it, with parameters that make sense.
    pub examples: &'static [&'static str],
    /// What it is, in a line.
    pub help: &'static str,
    /// The numbers after the colon.
    pub parameters: &'static [Parameter],
    /// Whether its one parameter may be a range `low-high`, from which every picture draws its own.
    pub(super) spread: bool,
    pub(super) unbiased: bool,
    pub(super) masks: bool,
    pub(super) targets: usize,
    pub(super) least_side: usize,
    pub(super) branch: u8,
    pub(super) loss: fn([f32; 2]) -> Loss,
    pub(super) moments: fn([f32; 2], f64) -> Moments,
    pub(super) cell: fn([f32; 2]) -> usize,
    pub(super) blur: fn([f32; 2]) -> Option<f32>,
    pub(super) parameter: fn([f32; 2]) -> f32,
    pub(super) sigma: fn([f32; 2]) -> [f32; 2],
    /// Makes the CPU twin of the kernel's branch, from [`Noise::parameter`](super::Noise::parameter).
    pub(super) sampler: fn(f32, Shot) -> Sampler,
}

/// Mean and variance of noisy values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Their mean.
    pub mean: f64,
    /// Their variance.
    pub variance: f64,
}

impl Moments {
    /// Of pixels that a share of random colours replaces; colours have the mean 1/2 and that mean square.
    pub(super) fn of_replaced(share: f32, mean_square: f64, clean: f64) -> Self {
        let share = f64::from(share);
        let mean = clean + share * (0.5 - clean);
        Self { mean, variance: share * mean_square + (1.0 - share) * clean * clean - mean * mean }
    }
}

/// A number of a law.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// What it is, in words.
    pub name: &'static str,
    /// From where to where it may be.
    pub within: (Bound<f32>, Bound<f32>),
    /// Whether it is a whole number.
    pub whole: bool,
}

impl Law {
    /// A law that adds noise to every pixel on its own, is right on average, and whose clean picture has the size of the noisy one.
    /// Records give what is different, and how it is written.
    pub(super) const PIXELWISE: Self = Self {
        name: "",
        examples: &[],
        help: "",
        parameters: &[],
        spread: false,
        unbiased: true,
        masks: false,
        targets: 1,
        least_side: 1,
        branch: 0,
        loss: |_| Loss::L2,
        moments: |_, mean| Moments { mean, variance: 0.0 },
        cell: |_| 1,
        blur: |_| None,
        parameter: |_| 1.0,
        sigma: |_| [0.0; 2],
        sampler: |_, _| Box::new(|_, clean| (clean, true)),
    };

    /// The values in what is written after the colon.
    pub(super) fn parse(&self, text: &str) -> Result<[f32; 2], String> {
        let first = &self.parameters[0];
        if text.is_empty() {
            return Err(format!("the {} is missing: {}", first.name, self.usage()));
        }
        let given: Vec<&str> = text.split(',').map(str::trim).collect();
        if given.len() != self.parameters.len() {
            let (wanted, given) = (self.parameters.len(), given.len());
            let plural = if wanted == 1 { "" } else { "s" };
            return Err(format!("{} takes {wanted} number{plural}, not {given}: {}", self.name, self.usage()));
        }
        let mut values = [0.0; 2];
        if self.spread {
            // A minus in front is a sign, not a range.
            let dash = given[0].char_indices().skip(1).find(|&(_, c)| c == '-').map(|(at, _)| at);
            let (low, high) = dash.filter(|_| number(given[0]).is_err()).map_or((given[0], given[0]), |at| {
                let (low, high) = given[0].split_at(at);
                (low, &high[1..])
            });
            values = [number(low)?, number(high)?];
        } else {
            for (value, text) in values.iter_mut().zip(given) {
                *value = number(text)?;
            }
        }
        self.check(values)?;
        Ok(values)
    }

    /// What is written after the colon.
    pub(super) fn print(&self, values: [f32; 2]) -> String {
        match (values, self.parameters.len()) {
            ([low, high], _) if self.spread && low != high => format!("{low}-{high}"),
            ([first, second], 2) => format!("{first},{second}"),
            ([first, _], _) => first.to_string(),
        }
    }

    /// Whether the parameters have values that they may have.
    pub(super) fn check(&self, values: [f32; 2]) -> Result<(), String> {
        if !self.spread {
            return self.parameters.iter().zip(values).try_for_each(|(parameter, value)| parameter.check(value));
        }
        let ([low, high], parameter) = (values, &self.parameters[0]);
        if low > high {
            return Err(format!("the {} cannot be from {low} to {high}: write the smaller one first", parameter.name));
        }
        parameter.check(high)?;
        if low < 0.0 { Err(format!("the {} must not be below 0, as {low} is", parameter.name)) } else { Ok(()) }
    }

    fn usage(&self) -> String {
        format!("write {}", self.examples.join(" or "))
    }
}

impl Parameter {
    /// A standard deviation of Gaussian noise, in grey levels of 255.
    pub(super) const DEVIATION: Self = Self::new("standard deviation", Bound::Excluded(0.0), Bound::Included(255.0));

    /// Any number between these.
    pub(super) const fn new(name: &'static str, low: Bound<f32>, high: Bound<f32>) -> Self {
        Self { name, within: (low, high), whole: false }
    }

    fn check(&self, value: f32) -> Result<(), String> {
        if self.within.contains(&value) && (!self.whole || value.fract() == 0.0) {
            return Ok(());
        }
        let whole = if self.whole { "a whole number " } else { "" };
        Err(format!("the {} must be {whole}{}, not {value}", self.name, self.range()))
    }

    /// Where it may be, in words.
    fn range(&self) -> String {
        let (low, high) = match self.within {
            (Bound::Included(low), Bound::Included(high)) => return format!("from {low} to {high}"),
            (low, high) => (low, high),
        };
        let low = match low {
            Bound::Excluded(low) => format!("above {low}"),
            Bound::Included(low) => format!("at least {low}"),
            Bound::Unbounded => "any number".into(),
        };
        match high {
            Bound::Excluded(high) => format!("{low} and below {high}"),
            Bound::Included(high) => format!("{low} and up to {high}"),
            Bound::Unbounded => low,
        }
    }
}

fn number(text: &str) -> Result<f32, String> {
    let value: Option<f32> = text.trim().parse().ok();
    value.filter(|v| v.is_finite()).ok_or_else(|| format!("{text} is not a number"))
}
