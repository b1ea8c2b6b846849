//! Folders of photographs that are more than memory holds.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::path::{Path, PathBuf};

use n2n_gpu::noise::Noise;
use n2n_gpu::train::{Source, Supply, TrainingPicture};

use crate::cli::wave;

/// Side of the largest pictures.
const SIDE: u32 = 256;

/// Makes so many photographs in a folder, all different, of several sizes and no smaller than 160 pixels a side.
pub(crate) fn photographs(folder: &Path, count: u32) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).unwrap();
    let file = |i: u32| {
        let (path, mut picture) = (folder.join(format!("{i:02}.png")), wave(SIDE - 8 * (i % 12), 160 + 8 * (i % 7)));
        picture.pixels_mut().for_each(|p| p.0[(i % 3) as usize] = p.0[(i % 3) as usize].wrapping_add((7 * i) as u8));
        picture.save(&path).unwrap();
        path
    };
    (0..count).map(file).collect()
}

/// Those files, read while it trains with crops of 16 pixels: in 4 MiB there is room for 21 pieces of 128 pixels a side.
pub(crate) fn supplied(files: &[PathBuf], strict: bool) -> n2n_gpu::error::Result<Source> {
    supplied_by(files, strict, |_| ())
}

/// The same, where every file is announced before it is read.
pub(crate) fn supplied_by(
    files: &[PathBuf],
    strict: bool,
    announce: impl Fn(&Path) + Send + Sync + 'static,
) -> n2n_gpu::error::Result<Source> {
    let noise: Noise = "gaussian:25".parse().unwrap();
    let load = move |files: &[PathBuf]| {
        announce(&files[0]);
        TrainingPicture::load(&files[0]).map(|picture| vec![picture]).into()
    };
    let scenes = files.iter().map(|file| vec![file.clone()]).collect();
    let mut source = Source::of_files(Supply::new(scenes, Box::new(load), 1, 4, false, strict), Some(noise))?;
    source.drop_small(16, 2)?;
    Ok(source)
}
