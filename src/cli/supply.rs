//! Pictures to train on in more files than memory holds: these are read while it trains.

use std::ffi::OsStr;
use std::path::PathBuf;

use n2n_gpu::data::extent::Extent;
use n2n_gpu::data::inspect::{Look, Mends};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::error::Error;
use n2n_gpu::noise::Noise;
use n2n_gpu::train::{LeftOut, Load, Source, Supply, TrainingPicture};
use rayon::prelude::*;

use super::Common;
use super::output::{complain, counted};
use super::pairs::readable;

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

impl Memory {
    /// What the files of these scenes need, MiB, by the headers of some. `renders` have so many values of 4 bytes for each pixel.
    fn needed(scenes: &[Vec<PathBuf>], renders: Option<u64>) -> u64 {
        let count = SAMPLED.min(scenes.len());
        let sampled = (0..count).into_par_iter().flat_map(|i| &scenes[i * scenes.len() / count]);
        // What cannot be read needs nothing.
        let extents: Vec<Extent> = sampled.filter_map(|file| Extent::of(file).ok()).collect();
        let most = |of: fn(&Extent) -> u64| extents.iter().map(of).max().unwrap_or(0);
        let values = renders.map_or_else(|| most(|e| e.colours) * most(|e| e.value_bytes), |channels| 4 * channels);
        let bytes = extents.iter().map(|e| e.pixels as f64).sum::<f64>() * values as f64;
        (bytes * scenes.len() as f64 / count.max(1) as f64 / f64::from(1 << 20)) as u64
    }

    /// What reads the files of scenes while it trains, if they need more memory than there is.
    pub(super) fn supply(
        self,
        common: &Common,
        scenes: Vec<Vec<PathBuf>>,
        renders: Option<u64>,
        load: Box<Load>,
    ) -> Option<Supply> {
        let needed = Self::needed(&scenes, renders);
        if needed <= self.mib as u64 {
            return None;
        }
        common.remark(&format!(
            "the pictures need about {needed} MiB, and --memory is {} MiB: files are read again and again while it trains",
            self.mib
        ));
        Some(Supply::new(scenes, load, self.seed, self.mib, self.holds_out, self.strict))
    }

    /// Photographs to which noise is added: all of them in memory, or read while it trains where they need more.
    pub(super) fn photographs(self, common: &Common, files: &[PathBuf], noise: Noise) -> Result<Source, Error> {
        let load = |files: &[PathBuf]| Ok(vec![TrainingPicture::load(&files[0])?]);
        let scenes = files.iter().map(|file| vec![file.clone()]).collect();
        match self.supply(common, scenes, None, Box::new(load)) {
            Some(supply) => Source::of_files(supply, Some(noise)),
            None => Ok(Source::photos(readable(TrainingPicture::load_each(files), self.strict)?, noise)),
        }
    }
}

/// Reads the shots of a scene, and mends them by the first. They have the names of their files; where these are not `alone` in a scene, with
/// the folder.
pub(super) fn load_shots(files: &[PathBuf], mends: Mends, alone: bool) -> Result<Vec<TrainingPicture>, Error> {
    let pictures = files.iter().map(|file| Picture::load(file).map(Picture::as_measured)).collect::<Result<Vec<_>, _>>()?;
    let part = |path: Option<&OsStr>| path.unwrap_or_default().to_string_lossy().into_owned();
    let named = |file: &PathBuf| match file.parent().filter(|_| !alone) {
        Some(folder) => format!("{}/{}", part(folder.file_name()), part(file.file_name())),
        None => part(file.file_name()),
    };
    let names: Vec<String> = files.iter().map(named).collect();
    let picture = |i: usize, picture: &Picture| TrainingPicture::new(names[i].clone(), picture);
    if !mends.align && !mends.brightness {
        return Ok(pictures.iter().enumerate().map(|(i, p)| picture(i, p)).collect());
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
    Ok(shots)
}

/// Says what was left out while it trained; returns how many.
pub(super) fn remark_left_out(common: &Common, pictures: &Source) -> usize {
    let left_out = pictures.left_out();
    let small = left_out.iter().filter_map(|one| if let LeftOut::Small(name) = one { Some(name) } else { None });
    let small: Vec<&String> = small.collect();
    if let Some(first) = small.first() {
        let count = counted(small.len(), "picture");
        common.remark(&format!("left out for being smaller than a crop: {count}, {first} first"));
    }
    let broken = left_out.iter().filter_map(|one| if let LeftOut::Broken(what) = one { Some(what) } else { None });
    let broken: Vec<&String> = broken.collect();
    broken.iter().take(NAMED).for_each(|what| complain(&format!("left out: {what}")));
    if broken.len() > NAMED {
        complain(&format!("left out: {} more", broken.len() - NAMED));
    }
    left_out.len()
}
