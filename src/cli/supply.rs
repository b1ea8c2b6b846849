//! Pictures to train on in more files than memory holds: these are read while it trains.

use std::path::PathBuf;

use n2n_gpu::data::extent::Extent;
use n2n_gpu::data::inspect::{Look, Mends};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::error::Error;
use n2n_gpu::noise::Noise;
use n2n_gpu::train::{LeftOut, Load, Loaded, Source, Supply, TrainingPicture};
use rayon::prelude::*;

use super::Common;
use super::output::{complain, counted};
use super::pairs::{name, readable_of};
use super::scenes::{Burst, errors, form, form_of_shot, unlike};
use super::shots::Given;

/// Scenes whose headers are read to tell what all need.
const SAMPLED: usize = 256;
/// Files that are named at the end, of those that could not be read.
const NAMED: usize = 20;

/// How much memory pictures may take, and how they are read where they need more.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// MiB.
    pub(super) mib: usize,
    pub(super) seed: u32,
    /// Whether some of them are held out.
    pub(super) holds_out: bool,
    pub(super) strict: bool,
}

/// What the files of scenes need in memory, by the headers of some.
struct Needed {
    /// All of them.
    mib: u64,
    /// Bytes of a pixel.
    pixel: u64,
    /// Pixels of the largest.
    largest: u64,
}

impl Needed {
    fn by(scenes: &[Vec<PathBuf>], renders: Option<u64>) -> Self {
        let count = SAMPLED.min(scenes.len());
        let sampled = (0..count).into_par_iter().flat_map(|i| &scenes[i * scenes.len() / count]);
        // What cannot be read needs nothing.
        let extents: Vec<Extent> = sampled.filter_map(|file| Extent::of(file).ok()).collect();
        let most = |of: fn(&Extent) -> u64| extents.iter().map(of).max().unwrap_or(0);
        let pixel = renders.map_or_else(|| most(|e| e.colours) * most(|e| e.value_bytes), |channels| 4 * channels);
        let bytes = extents.iter().map(|e| e.pixels as f64).sum::<f64>() * pixel as f64;
        let mib = (bytes * scenes.len() as f64 / count.max(1) as f64 / f64::from(1 << 20)) as u64;
        Self { mib, pixel, largest: most(|e| e.pixels) }
    }
}

impl Memory {
    /// What reads the files of scenes while it trains, if they need more memory than there is. `renders` have so many values of 4
    /// bytes for each pixel.
    ///
    /// # Errors
    /// If there is no room for a few pieces of them.
    pub(super) fn supply(
        self,
        common: &Common,
        scenes: Vec<Vec<PathBuf>>,
        renders: Option<u64>,
        load: Box<Load>,
    ) -> Result<Option<Supply>, Error> {
        let Needed { mib, pixel, largest } = Needed::by(&scenes, renders);
        if mib <= self.mib as u64 {
            return Ok(None);
        }
        common.remark(&format!(
            "the pictures need about {mib} MiB, and --memory is {} MiB: they are read from their files while it trains",
            self.mib
        ));
        let shots = scenes.iter().map(Vec::len).max().unwrap_or(1);
        Supply::check_memory(self.mib, shots, pixel, largest)?;
        Ok(Some(Supply::new(scenes, load, self.seed, self.mib, self.holds_out, self.strict)))
    }

    /// Photographs to which noise is added: all of them in memory, or read while it trains where they need more.
    pub(super) fn photographs(self, common: &Common, files: &[PathBuf], noise: Noise) -> Result<Given, Error> {
        let load = |files: &[PathBuf]| TrainingPicture::load(&files[0]).map(|picture| vec![picture]).into();
        let scenes = files.iter().map(|file| vec![file.clone()]).collect();
        let (source, told) = match self.supply(common, scenes, None, Box::new(load))? {
            Some(supply) => (Source::of_files(supply, Some(noise))?, Vec::new()),
            None => {
                let (photos, told) = readable_of(TrainingPicture::load_each(files), self.strict)?;
                (Source::photos(photos, noise), told)
            }
        };
        Ok(Given { source, seen: None, told })
    }
}

/// Reads the shots of a scene and mends them by the first: both of a pair, or those of a burst that can be used together.
pub(super) fn load_shots(files: &[PathBuf], mends: Mends, pairs: bool) -> Loaded {
    let read = files.iter().map(|file| Picture::load(file).map(Picture::as_measured));
    if pairs {
        let names = [name(&files[0]), name(&files[0])];
        return read.collect::<Result<Vec<_>, _>>().and_then(|shots| pair(mended(&names, shots, mends))).into();
    }
    let (burst, mut left_out) = (Burst::of(files), Vec::new());
    let (numbers, pictures): (Vec<usize>, Vec<Picture>) = burst.usable(read.collect(), form, &mut left_out).into_iter().unzip();
    let names: Vec<String> = numbers.into_iter().map(|i| burst.shot(i)).collect();
    Loaded { pictures: mended(&names, pictures, mends), left_out: errors(left_out) }
}

/// The same of renders, each of which `load` reads with its features.
pub(super) fn load_renders(files: &[PathBuf], load: impl Fn(&PathBuf) -> Result<TrainingPicture, Error>, pairs: bool) -> Loaded {
    let read = files.iter().map(load);
    if pairs {
        return read.collect::<Result<Vec<_>, _>>().and_then(pair).into();
    }
    let mut left_out = Vec::new();
    let used = Burst::of(files).usable(read.collect(), form_of_shot, &mut left_out);
    Loaded { pictures: used.into_iter().map(|(_, shot)| shot).collect(), left_out: errors(left_out) }
}

/// The shots of a pair, which have to be alike.
fn pair(shots: Vec<TrainingPicture>) -> Result<Vec<TrainingPicture>, Error> {
    let [a, b] = [0, 1].map(|i| form_of_shot(&shots[i]));
    unlike(&shots[1].name, a, b).map_or(Ok(shots), Err)
}

/// Shots to train on, mended by the first.
fn mended(names: &[String], pictures: Vec<Picture>, mends: Mends) -> Vec<TrainingPicture> {
    let picture = |i: usize, picture: &Picture| TrainingPicture::new(names[i].clone(), picture);
    if !mends.align && !mends.brightness {
        return pictures.iter().enumerate().map(|(i, p)| picture(i, p)).collect();
    }
    let mut shots = Vec::new();
    for i in 1..pictures.len() {
        let mut look = Look::new(&names[i], [&names[0], &names[i]], [&pictures[0], &pictures[i]]);
        let [first, other] = mends.mend(&mut look, [pictures[0].clone(), pictures[i].clone()]);
        if i == 1 {
            shots.push(picture(0, &first));
        }
        shots.push(picture(i, &other));
    }
    shots
}

/// Says what was left out while it trained, but for what was `told` before; returns how much in all.
pub(super) fn remark_left_out(common: &Common, pictures: &Source, told: &[String]) -> usize {
    let (mut small, mut broken) = (Vec::new(), Vec::new());
    for left_out in pictures.left_out() {
        match left_out {
            LeftOut::Small(name) => small.push(name),
            LeftOut::Broken(what) if !told.contains(&what) => broken.push(what),
            LeftOut::Broken(_) => {}
        }
    }
    if let Some(first) = small.first() {
        let count = counted(small.len(), "picture");
        common.remark(&format!("left out for being smaller than a crop: {count}, {first} first"));
    }
    broken.iter().take(NAMED).for_each(|what| complain(&format!("left out: {what}")));
    if broken.len() > NAMED {
        complain(&format!("left out: {} more", broken.len() - NAMED));
    }
    told.len() + small.len() + broken.len()
}
