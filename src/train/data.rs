//! What training draws from.

use super::{Options, TrainingPicture};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nets::{Network, Statistics};
use crate::noise::{Clean, Noise};
use crate::ops::{Pixels, Shards};

/// Pictures that statistics are taken from.
const SAMPLED: usize = 200;

/// Training pictures.
#[derive(Clone, Debug)]
pub enum Source {
    /// Photographs taken as clean, and the noise that is added to them: see [`Source::photos`].
    Photos(Vec<TrainingPicture>, Noise),
    /// Two noisy exposures of every scene, of one size: see [`Source::pairs`].
    Pairs(Vec<(TrainingPicture, TrainingPicture)>),
}

impl Source {
    /// Photographs taken as clean, of bytes or floats, and the noise that is added to them.
    pub fn photos(photos: Vec<impl Into<TrainingPicture>>, noise: Noise) -> Self {
        Self::Photos(photos.into_iter().map(Into::into).collect(), noise)
    }

    /// The noise that is added, if any is.
    pub fn added_noise(&self) -> Option<Noise> {
        match self {
            Self::Photos(_, noise) => Some(*noise),
            Self::Pairs(_) => None,
        }
    }

    /// Pictures, or pairs.
    pub fn count(&self) -> usize {
        match self {
            Self::Photos(photos, _) => photos.len(),
            Self::Pairs(pairs) => pairs.len(),
        }
    }

    /// All pictures, those of a pair one after the other.
    pub(super) fn pictures(&self) -> Box<dyn Iterator<Item = &TrainingPicture> + '_> {
        match self {
            Self::Photos(photos, _) => Box::new(photos.iter()),
            Self::Pairs(pairs) => Box::new(pairs.iter().flat_map(|(a, b)| [a, b])),
        }
    }

    /// Side of the crops that half of the pictures allow.
    pub fn side(&self) -> usize {
        let side = |p: &TrainingPicture| p.width.min(p.height);
        let (mut sides, cell): (Vec<usize>, usize) = match self {
            Self::Photos(photos, noise) => (photos.iter().map(side).collect(), noise.cell()),
            Self::Pairs(pairs) => (pairs.iter().map(|(a, _)| side(a)).collect(), 1),
        };
        sides.sort_unstable();
        sides.get(sides.len() / 2).map_or(0, |s| s / cell)
    }

    /// Noise as it is written, or `pairs`.
    pub fn noise(&self) -> String {
        self.added_noise().map_or("pairs".into(), |noise| noise.to_string())
    }

    /// Mean and standard deviation of noisy pictures, on the [0, 1] range, from two hundred of them at most.
    pub fn statistics(&self) -> Statistics {
        let step = self.count().div_ceil(SAMPLED).max(1);
        let (mut count, mut sum, mut squares) = (0.0_f64, 0.0, 0.0);
        let mut add = |values: Vec<f32>| {
            count += values.len() as f64;
            sum += values.iter().map(|&v| f64::from(v)).sum::<f64>();
            squares += values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        };
        match self {
            Self::Photos(photos, noise) => {
                for (p, number) in photos.iter().zip(0..).step_by(step) {
                    let rgb = p.pixels.values();
                    add(noise.expose(Clean { rgb: &rgb, width: p.width, height: p.height }, 0, number, 0).values);
                }
            }
            Self::Pairs(pairs) => pairs.iter().step_by(step).for_each(|(a, _)| add(a.pixels.values())),
        }
        let mean = sum / count.max(1.0);
        let variance = squares / count.max(1.0) - mean * mean;
        // A set of one colour has no deviation to divide by.
        Statistics { mean: mean as f32, deviation: variance.max(1e-6).sqrt() as f32 }
    }

    /// Side that pictures must have for crops of `crop` pixels.
    fn least(&self, crop: usize) -> usize {
        match self {
            Self::Photos(_, noise) => noise.least_side().max(crop * noise.cell()),
            Self::Pairs(_) => crop,
        }
    }

    /// Two noisy pictures of every scene. Some may be equal, as those of a night sky are; not all.
    ///
    /// # Errors
    /// If the pictures of a pair differ in size, or those of every pair are the same.
    pub fn pairs(pairs: Vec<(impl Into<TrainingPicture>, impl Into<TrainingPicture>)>) -> Result<Self> {
        let pairs: Vec<_> = pairs.into_iter().map(|(a, b)| (a.into(), b.into())).collect();
        match pairs.iter().find(|(a, b)| a.size() != b.size()) {
            Some((a, b)) => {
                let sizes = format!("{}x{} and {}x{}", a.width, a.height, b.width, b.height);
                Err(Error::data(format!("the two pictures {} of a pair differ in size, {sizes}", a.name)))
            }
            None => match pairs.first() {
                Some((a, _)) if pairs.iter().all(|(a, b)| a.pixels == b.pixels) => Err(Error::data(format!(
                    "{} and its partner are the same, and so are all others: two different shots of every scene are needed",
                    a.name
                ))),
                _ => Ok(Self::Pairs(pairs)),
            },
        }
    }

    /// Drops pictures smaller than `crop`, which is a `multiple` of what the network divides by; returns their names.
    ///
    /// # Errors
    /// If none is left.
    pub fn drop_small(&mut self, crop: usize, multiple: usize) -> Result<Vec<String>> {
        let least = self.least(crop);
        let mut dropped = Vec::new();
        let mut note = |p: &TrainingPicture| {
            if !p.has_side(least) {
                dropped.push(p.name.clone());
            }
            p.has_side(least)
        };
        match self {
            Self::Photos(photos, _) => photos.retain(|p| note(p)),
            Self::Pairs(pairs) => pairs.retain(|(a, _)| note(a)),
        }
        if self.count() == 0 {
            let first = dropped.first().map_or("none", String::as_str);
            let why = match self {
                Self::Photos(_, noise) if least != crop => format!("noise {noise} and a crop of {crop} pixels want {least}"),
                _ => format!("a crop is {crop}"),
            };
            let advice = if crop > multiple {
                "choose a smaller crop"
            } else {
                "choose a network that halves pictures less often, by fewer levels"
            };
            return Err(Error::data(format!(
                "no picture is {least} pixels wide and high ({why}; {first} is the first): {advice}"
            )));
        }
        Ok(dropped)
    }

    /// Drops pictures that a device cannot hold beside the others; returns their names.
    ///
    /// # Errors
    /// If none is left.
    pub fn drop_excess(&mut self, device: &Device) -> Result<Vec<String>> {
        let excess = self.shards(device).left_out;
        let names: Vec<String> = excess.iter().map(|&i| self.name(i).to_owned()).collect();
        let mut number = 0;
        let mut keep = || {
            number += 1;
            !excess.contains(&(number - 1))
        };
        match self {
            Self::Photos(photos, _) => photos.retain(|_| keep()),
            Self::Pairs(pairs) => pairs.retain(|_| keep()),
        }
        if self.count() == 0 {
            let name = device.name();
            return Err(Error::data(format!(
                "{}: is larger than what {name} binds at once: cut it, or train on the CPU",
                names.first().map_or("the picture", String::as_str)
            )));
        }
        Ok(names)
    }

    fn name(&self, i: usize) -> &str {
        match self {
            Self::Photos(photos, _) => &photos[i].name,
            Self::Pairs(pairs) => &pairs[i].0.name,
        }
    }

    /// Whether a training with these options can draw from it.
    pub(super) fn check(&self, network: &dyn Network, options: &Options) -> Result<()> {
        options.check(network)?;
        let most = self.added_noise().map_or(1, |noise| noise.most_targets());
        if options.targets > most {
            let problem = format!("{}: with noise {} a crop has {most} at most", options.targets, self.noise());
            return Err(Error::option("targets", problem));
        }
        let crop = self.least(options.crop);
        if self.count() == 0 || !self.pictures().all(|p| p.has_side(crop)) {
            return Err(Error::data(format!("there are no pictures, or some are smaller than a crop of {crop} pixels")));
        }
        if let Self::Pairs(pairs) = self
            && let Some((a, _)) = pairs.iter().find(|(a, b)| a.size() != b.size())
        {
            return Err(Error::data(format!("the two pictures {} of a pair differ in size", a.name)));
        }
        let finite = |p: &TrainingPicture| match &p.pixels {
            Pixels::Bytes(_) => true,
            Pixels::Floats(values) => values.iter().all(|v| v.is_finite()),
        };
        if let Some(p) = self.pictures().find(|p| !finite(p)) {
            return Err(Error::data(format!("{}: has values that are not finite", p.name)));
        }
        Ok(())
    }

    /// Lays the pictures out for a device.
    pub(super) fn shards(&self, device: &Device) -> Shards {
        // Places in a shard are counted in 32 bits.
        let limit = device.limits().map_or(u64::MAX, |l| l.binding_bytes.min(l.buffer_bytes)).min(u64::from(u32::MAX));
        match self {
            Self::Photos(photos, _) => Shards::new(photos.iter().map(|p| vec![(p.size(), &p.pixels)]), limit),
            Self::Pairs(pairs) => {
                Shards::new(pairs.iter().map(|(a, b)| vec![(a.size(), &a.pixels), (b.size(), &b.pixels)]), limit)
            }
        }
    }
}

/// Most pictures that are held out.
const HELD_OUT: usize = 16;

/// Takes about one picture in twenty out of `source`, spread evenly, for validation: (training, held out). Of a single
/// picture both are the same.
pub fn split(source: Source) -> (Source, Source) {
    fn take<T: Clone>(all: Vec<T>) -> (Vec<T>, Vec<T>) {
        if all.len() == 1 {
            return (all.clone(), all);
        }
        let len = all.len();
        let count = (len / 20).clamp(1, HELD_OUT);
        let held = |i: usize| (0..count).any(|k| i == (2 * k + 1) * len / (2 * count));
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        for (i, item) in all.into_iter().enumerate() {
            if held(i) { &mut validation } else { &mut training }.push(item);
        }
        (training, validation)
    }
    match source {
        Source::Photos(photos, noise) => {
            let (a, b) = take(photos);
            (Source::Photos(a, noise), Source::Photos(b, noise))
        }
        Source::Pairs(pairs) => {
            let (a, b) = take(pairs);
            (Source::Pairs(a), Source::Pairs(b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(value: u8) -> TrainingPicture {
        TrainingPicture::from(crate::data::picture::Rgb8 { name: "picture".into(), width: 2, height: 1, data: vec![value; 6] })
    }

    #[test]
    fn pairs_of_equal_pictures_are_taken_among_others_but_not_alone() {
        let (equal, different) = ((picture(0), picture(0)), (picture(1), picture(2)));
        assert_eq!(Source::pairs(vec![equal.clone(), different]).map(|s| s.count()).ok(), Some(2));
        let refused = Source::pairs(vec![equal.clone(), equal]).map(|s| s.count());
        assert!(refused.is_err_and(|e| e.to_string().contains("are the same")));
    }
}
