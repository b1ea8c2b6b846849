//! The record of a noise law.

use std::ops::{Bound, RangeBounds};

use super::camera::Camera;
use super::{Sampler, Shot};
use crate::ops::Loss;

/// Numbers of a law: the ends of the first one, which are equal unless it is a range, and the others.
pub(super) type Values = [f32; 4];

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
    /// Whether its first parameter may be a range `low-high`, from which every picture draws its own: the least that `low` may
    /// be.
    pub(super) spread: Option<f32>,
    pub(super) unbiased: bool,
    pub(super) masks: bool,
    pub(super) targets: usize,
    pub(super) least_side: usize,
    /// Its case in `shaders/lib/noise.wgsl`; 0 of a law that has none there.
    pub(super) branch: u8,
    pub(super) loss: fn(Values) -> Loss,
    /// `None` of a law without a formula for them.
    pub(super) moments: Option<fn(Values, f64) -> Moments>,
    pub(super) cell: fn(Values) -> usize,
    pub(super) blur: fn(Values) -> Option<f32>,
    pub(super) camera: fn(Values) -> Option<Camera>,
    pub(super) parameter: fn(Values) -> f32,
    pub(super) sigma: fn(Values) -> [f32; 2],
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
    /// What it is where it is left out, if it may be.
    pub default: Option<f32>,
}

impl Law {
    /// A law that adds noise to every pixel on its own, is right on average, and whose clean picture has the size of the noisy
    /// one. Records give what is different, and how it is written.
    pub(super) const PIXELWISE: Self = Self {
        name: "",
        examples: &[],
        help: "",
        parameters: &[],
        spread: None,
        unbiased: true,
        masks: false,
        targets: 1,
        least_side: 1,
        branch: 0,
        loss: |_| Loss::L2,
        moments: Some(|_, mean| Moments { mean, variance: 0.0 }),
        cell: |_| 1,
        blur: |_| None,
        camera: |_| None,
        parameter: |_| 1.0,
        sigma: |_| [0.0; 2],
        sampler: |_, _| Box::new(|_, clean| (clean, true)),
    };

    /// The values in what is written after the colon.
    pub(super) fn parse(&self, text: &str) -> Result<Values, String> {
        let first = &self.parameters[0];
        if text.is_empty() {
            return Err(format!("the {} is missing: {}", first.name, self.usage()));
        }
        let given: Vec<&str> = text.split(',').map(str::trim).collect();
        let (most, least) = (self.parameters.len(), self.parameters.iter().filter(|p| p.default.is_none()).count());
        if !(least..=most).contains(&given.len()) {
            let wanted = if least == most { most.to_string() } else { format!("{least} to {most}") };
            let plural = if most == 1 { "" } else { "s" };
            return Err(format!("{} takes {wanted} number{plural}, not {}: {}", self.name, given.len(), self.usage()));
        }
        let [low, high] = if self.spread.is_some() { range(given[0])? } else { [number(given[0])?; 2] };
        let mut values = [low, high, 0.0, 0.0];
        for (i, (value, parameter)) in values[2..].iter_mut().zip(&self.parameters[1..]).enumerate() {
            *value = match (given.get(i + 1), parameter.default) {
                (Some(text), _) => parameter.check(number(text)?)?,
                (None, default) => default.unwrap_or(0.0),
            };
        }
        self.check_first([low, high])?;
        Ok(values)
    }

    /// What is written after the colon; numbers that are left out may be.
    pub(super) fn print(&self, [low, high, others @ ..]: Values) -> String {
        let first = if low == high { low.to_string() } else { format!("{low}-{high}") };
        let others: Vec<_> = others.into_iter().zip(&self.parameters[1..]).collect();
        let written = others.iter().rposition(|(value, p)| p.default != Some(*value)).map_or(0, |last| last + 1);
        others[..written].iter().fold(first, |text, (value, _)| format!("{text},{value}"))
    }

    /// Whether the ends of the first parameter have values that they may have.
    fn check_first(&self, [low, high]: [f32; 2]) -> Result<(), String> {
        let parameter = &self.parameters[0];
        if low > high {
            return Err(format!("the {} cannot be from {low} to {high}: write the smaller one first", parameter.name));
        }
        parameter.check(high)?;
        match self.spread {
            Some(least) if low < least => Err(format!("the {} must not be below {least}, as {low} is", parameter.name)),
            _ => Ok(()),
        }
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
        Self { name, within: (low, high), whole: false, default: None }
    }

    /// The value, if it may have it.
    fn check(&self, value: f32) -> Result<f32, String> {
        if self.within.contains(&value) && (!self.whole || value.fract() == 0.0) {
            return Ok(value);
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

/// The ends of what is written `low-high`, or one number. A minus in front is a sign, not a range.
fn range(text: &str) -> Result<[f32; 2], String> {
    let dash = text.char_indices().skip(1).find(|&(_, c)| c == '-').map(|(at, _)| at);
    match dash.filter(|_| number(text).is_err()) {
        Some(at) => Ok([number(&text[..at])?, number(&text[at + 1..])?]),
        None => Ok([number(text)?; 2]),
    }
}

fn number(text: &str) -> Result<f32, String> {
    let value: Option<f32> = text.trim().parse().ok();
    value.filter(|v| v.is_finite()).ok_or_else(|| format!("{text} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::super::LAWS;

    #[test]
    fn every_branch_of_a_law_is_in_the_kernel_and_every_case_there_is_that_of_a_law() {
        let kernel = include_str!("../../shaders/lib/noise.wgsl");
        let mut branches: Vec<_> = LAWS.iter().map(|law| law.branch).filter(|branch| *branch > 0).collect();
        let cases = (1..=u8::MAX).filter(|branch| kernel.contains(&format!("case {branch}u:")));
        branches.sort_unstable();
        // Poisson noise alone and with Gaussian noise added is one.
        branches.dedup();
        assert_eq!(branches, cases.collect::<Vec<_>>());
    }
}
