//! What training draws from.

mod fit;

use super::picture::of_one_size;
use super::ring::{Layout, Ring};
use super::signal::signal;
use super::supply::{LeftOut, Supply};
use super::validation::CROP as VALIDATED;
use super::{Options, TrainingPicture};
use crate::data::range::{median, spread};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nets::Statistics;
use crate::noise::{Clean, Noise};
use crate::ops::{Group, Pixels, Shards};

/// Pictures that statistics are taken from.
const SAMPLED: usize = 200;
/// Values that are looked at to tell whether a photograph is one.
const VALUES: usize = 20_000;

/// Training pictures.
#[derive(Clone, Debug)]
pub struct Source {
    /// One photograph each, or two and more noisy shots of one size. Of a supply, pieces of the first ones.
    scenes: Vec<Vec<TrainingPicture>>,
    /// Files that are read while it trains, where memory does not hold them all.
    supply: Option<Supply>,
    /// What is added to photographs.
    noise: Option<Noise>,
    /// Which values of shots are black and white, where they are others than 0 and 1.
    signal: Option<[f32; 2]>,
    /// Which noisy pictures are learned from each other.
    partners: Partners,
}

/// Two noisy pictures of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partners {
    /// Any two shots of a scene; or two exposures of a photograph.
    Any,
    /// Neighbours in a scene: the pages of a stack.
    Neighbours,
    /// Pixels beside each other in a single picture, which is a scene.
    Pixels,
}

impl Source {
    /// What stands for the noise of single pictures.
    pub(super) const SINGLE: &str = "single";

    /// Photographs taken as clean, of bytes or floats, and the noise that is added to them.
    pub fn photos(photos: Vec<impl Into<TrainingPicture>>, noise: Noise) -> Self {
        let scenes = photos.into_iter().map(|p| vec![p.into()]).collect();
        Self { scenes, supply: None, noise: Some(noise), signal: None, partners: Partners::Any }
    }

    /// More files than memory holds: photographs and the noise that is added to them, or scenes of noisy shots.
    ///
    /// # Errors
    /// If none of the first ones can be read, or they are no such scenes.
    pub fn of_files(supply: Supply, noise: Option<Noise>) -> Result<Self> {
        let scenes = supply.first_scenes()?;
        let source = match noise {
            Some(noise) => Self { scenes, supply: None, noise: Some(noise), signal: None, partners: Partners::Any },
            None => Self::shots(scenes)?,
        };
        Ok(Self { supply: Some(supply), ..source })
    }

    /// Two noisy pictures of every scene. Some may be equal, as those of a night sky are; not all.
    ///
    /// # Errors
    /// If the pictures of a pair differ in size, or those of every pair are the same.
    pub fn pairs(pairs: Vec<(impl Into<TrainingPicture>, impl Into<TrainingPicture>)>) -> Result<Self> {
        Self::shots(pairs.into_iter().map(|(a, b)| vec![a.into(), b.into()]).collect())
    }

    /// Two and more noisy shots of every scene, of which any two are trained on.
    ///
    /// # Errors
    /// If a scene has one shot only, or shots that differ in size, or those of every scene are the same.
    pub fn shots(scenes: Vec<Vec<TrainingPicture>>) -> Result<Self> {
        scenes.iter().try_for_each(|scene| of_one_size(scene))?;
        let alike = |scene: &[TrainingPicture]| scene.windows(2).all(|two| two[0].pixels == two[1].pixels);
        if let Some([a, ..]) = scenes.first().map(Vec::as_slice)
            && scenes.iter().all(|scene| alike(scene))
        {
            let name = &a.name;
            return Err(Error::data(format!(
                "{name} and its partner are the same, and so are all others: two different shots of every scene are needed"
            )));
        }
        let signal = signal(scenes.iter().flatten());
        Ok(Self { scenes, supply: None, noise: None, signal, partners: Partners::Any })
    }

    /// Stacks of pages, of which each and the next one are two noisy shots of nearly the same.
    ///
    /// # Errors
    /// As [`Source::shots`].
    pub fn neighbours(stacks: Vec<Vec<TrainingPicture>>) -> Result<Self> {
        Ok(Self { partners: Partners::Neighbours, ..Self::shots(stacks)? })
    }

    /// Single noisy pictures, of which pixels that lie beside each other are two noisy ones of nearly the same. Noise must not be
    /// correlated from pixel to pixel.
    pub fn single(pictures: Vec<impl Into<TrainingPicture>>) -> Self {
        let scenes: Vec<_> = pictures.into_iter().map(|p| vec![p.into()]).collect();
        let signal = signal(scenes.iter().flatten());
        Self { scenes, supply: None, noise: None, signal, partners: Partners::Pixels }
    }

    /// The noise that is added, if any is.
    pub fn added_noise(&self) -> Option<Noise> {
        self.noise
    }

    /// The same pictures as a network of so many colours reads them: grey ones in three channels for one of 3, and those whose
    /// colours are all equal in one channel for one of 1.
    ///
    /// # Errors
    /// If the network is one for grey pictures, and some have colours.
    pub fn in_channels(mut self, colours: usize) -> Result<Self> {
        let of = |p: TrainingPicture| p.in_channels(colours);
        let scenes = self.take_scenes().into_iter().map(|scene| scene.into_iter().map(of).collect());
        let scenes = scenes.collect::<Result<_>>()?;
        self.supply = self.supply.map(|supply| supply.in_channels(colours));
        Ok(Self { scenes, ..self })
    }

    /// What was left out of files that are read while it trains.
    pub fn left_out(&self) -> Vec<LeftOut> {
        self.supply.as_ref().map_or_else(Vec::new, Supply::left_out)
    }

    /// Whether files are read while it trains.
    pub fn is_supplied(&self) -> bool {
        self.supply.is_some()
    }

    pub(super) fn supply(&self) -> Option<&Supply> {
        self.supply.as_ref()
    }

    /// What is held out of files that are read while it trains, and why others are left out of that.
    pub fn held_out(&self) -> Option<(Self, Vec<Error>)> {
        let (scenes, left_out) = self.supply.as_ref()?.held_out(VALIDATED * self.cell());
        Some((self.with_scenes(scenes), left_out))
    }

    /// Photographs to which noise is added as if black were 0 and white 1, but of which half of the values or more lie beyond:
    /// how many, and the name of the first. Of more than memory holds, those among the first.
    pub fn beyond_white(&self) -> Option<(usize, &str)> {
        self.noise?;
        let is_beyond = |p: &&TrainingPicture| {
            let values = || spread(p.pixels.count(), VALUES).map(|i| p.pixels.value(i)).collect();
            matches!(p.pixels, Pixels::Floats(_)) && median(values()).is_some_and(|middle| middle > 1.0)
        };
        let mut beyond = self.scenes.iter().flatten().filter(is_beyond);
        let first = beyond.next()?;
        Some((1 + beyond.count(), &first.name))
    }

    /// Whether all pictures have one channel.
    pub fn is_grey(&self) -> bool {
        self.scenes.iter().flatten().all(|p| p.channels == 1)
    }

    /// Which values of the pictures are black and white to a network that is trained on them, where they fill another range than
    /// 0 to 1: 16-bit and float pictures may.
    pub fn signal(&self) -> Option<[f32; 2]> {
        self.signal
    }

    /// Whether there are shots of floats, as they were measured.
    pub fn is_measured(&self) -> bool {
        let measured = |p: &TrainingPicture| matches!(p.pixels, Pixels::Floats(_)) && !p.linear && p.channels <= 3;
        self.noise.is_none() && self.scenes.iter().flatten().any(measured)
    }

    /// Whether it has the same pictures as another part of one set.
    pub fn is_same(&self, other: &Self) -> bool {
        let [first, of_other] = [self, other].map(|source| source.scenes.first().map(|scene| &scene[0].pixels));
        self.count() == other.count() && self.pictures() == other.pictures() && first == of_other
    }

    /// Pictures, or scenes; of stacks, pairs of neighbours.
    pub fn count(&self) -> usize {
        match &self.supply {
            Some(supply) => supply.count(),
            None if self.has_neighbours() => self.scenes.iter().map(|stack| stack.len() - 1).sum(),
            None => self.scenes.len(),
        }
    }

    /// How many pictures each scene has: one photograph, or two shots and more; of stacks, two of every pair of neighbours. Of
    /// more than memory holds, the others are taken to be as the first are.
    pub fn shots_of_scenes(&self) -> Vec<usize> {
        match self.partners {
            Partners::Neighbours => vec![2; self.count()],
            _ => self.scenes.iter().map(Vec::len).cycle().take(self.count()).collect(),
        }
    }

    /// Noisy pictures, or shots.
    pub fn pictures(&self) -> usize {
        self.scenes.iter().map(Vec::len).sum()
    }

    /// Whether only neighbours are shots of the same.
    pub(super) fn has_neighbours(&self) -> bool {
        self.partners == Partners::Neighbours
    }

    /// Whether pictures have no second shot.
    pub fn is_single(&self) -> bool {
        self.partners == Partners::Pixels
    }

    /// Values of a pixel of all pictures, if these agree.
    pub fn channels(&self) -> usize {
        self.scenes.first().map_or(3, |scene| scene[0].channels)
    }

    /// Whether colours are linear light.
    pub fn is_linear(&self) -> bool {
        self.scenes.first().is_some_and(|scene| scene[0].linear)
    }

    /// All scenes, of which none is left.
    pub(super) fn take_scenes(&mut self) -> Vec<Vec<TrainingPicture>> {
        std::mem::take(&mut self.scenes)
    }

    /// Other scenes of the kind.
    pub(super) fn with_scenes(&self, scenes: Vec<Vec<TrainingPicture>>) -> Self {
        Self { scenes, supply: None, ..*self }
    }

    /// The pictures of every scene: one photograph, or two and more noisy shots.
    pub(super) fn scenes(&self) -> &[Vec<TrainingPicture>] {
        &self.scenes
    }

    /// Side of the crops that half of the pictures allow.
    pub fn side(&self) -> usize {
        let mut sides: Vec<usize> = self.scenes.iter().map(|scene| scene[0].width.min(scene[0].height)).collect();
        sides.sort_unstable();
        sides.get(sides.len() / 2).map_or(0, |side| side / self.cell())
    }

    /// Noise as it is written, or `pairs`, or `single`.
    pub fn noise(&self) -> String {
        self.noise.map_or(if self.is_single() { Self::SINGLE } else { "pairs" }.into(), |noise| noise.to_string())
    }

    /// Mean and standard deviation of noisy pictures, from two hundred of them at most.
    pub fn statistics(&self) -> Statistics {
        let step = self.scenes.len().div_ceil(SAMPLED).max(1);
        let (mut count, mut sum, mut squares) = (0.0_f64, 0.0, 0.0);
        for (scene, number) in self.scenes.iter().zip(0..).step_by(step) {
            let TrainingPicture { width, height, ref pixels, .. } = scene[0];
            let values = pixels.values();
            let exposed = self.noise.map(|noise| noise.expose(Clean { rgb: &values, width, height }, 0, number, 0).values);
            let values = exposed.unwrap_or(values);
            count += values.len() as f64;
            sum += values.iter().map(|&v| f64::from(v)).sum::<f64>();
            squares += values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        }
        let mean = sum / count.max(1.0);
        let variance = squares / count.max(1.0) - mean * mean;
        // A set of one colour has no deviation to divide by.
        let span = self.signal.map_or(1.0, |[black, white]| f64::from(white - black));
        Statistics { mean: mean as f32, deviation: variance.max(1e-6 * span * span).sqrt() as f32 }
    }

    /// Side of the squares of pixels that become one of a crop.
    fn cell(&self) -> usize {
        self.noise.map_or(if self.is_single() { 2 } else { 1 }, |noise| noise.cell())
    }

    /// Side that pictures must have for crops of `crop` pixels.
    pub(super) fn least(&self, crop: usize) -> usize {
        self.noise.map_or(0, |noise| noise.least_side()).max(crop * self.cell())
    }

    fn groups(&self) -> Vec<Group<'_>> {
        self.scenes.iter().map(|scene| scene.iter().map(|p| (p.size(), &p.pixels)).collect()).collect()
    }

    /// The ring that files are read into while it trains, if they are.
    pub(super) fn ring(&self, options: &Options, device: &Device) -> Result<Option<Ring>> {
        Ring::new(self, options, most_bytes(device))
    }

    /// Whether there is room for files that are read while it trains, if they are.
    ///
    /// # Errors
    /// If the memory for pictures, or what the device binds, is too little.
    pub fn check_memory(&self, device: &Device) -> Result<()> {
        Layout::new(self, most_bytes(device)).map(drop)
    }

    /// Lays the pictures out for a device. Fails if they do not fit: see [`Source::drop_excess`].
    pub(super) fn shards(&self, device: &Device) -> Result<Shards> {
        let shards = Shards::new(self.groups(), most_bytes(device));
        let shards = match self.partners {
            Partners::Any => shards,
            Partners::Neighbours => shards.of_neighbours(),
            Partners::Pixels => shards.of_singles(),
        };
        match shards.left_out.first() {
            Some(&number) => {
                let name = &self.scenes[number][0].name;
                Err(Error::Memory(format!(
                    "{name}: finds no place on {} beside the other pictures: leave some out",
                    device.name()
                )))
            }
            None => Ok(shards),
        }
    }
}

/// Most bytes of a shard on a device. Places in it are counted in 32 bits.
fn most_bytes(device: &Device) -> u64 {
    device.limits().map_or(u64::MAX, |l| l.binding_bytes.min(l.buffer_bytes)).min(u64::from(u32::MAX))
}
