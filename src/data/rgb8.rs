//! Pictures to train on, in 8 bit.

use std::path::PathBuf;

use rayon::prelude::*;

use super::picture::Picture;
use crate::error::Result;

/// A picture to train on: opaque 8 bit colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb8 {
    /// The file name without its folder.
    pub name: String,
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `(H, W, 3)`, sRGB values as stored.
    pub data: Vec<u8>,
}

impl Rgb8 {
    /// The same picture in 8 bits.
    pub fn new(name: String, picture: &Picture) -> Self {
        Self { name, width: picture.width(), height: picture.height(), data: picture.to_rgb8() }
    }
}

/// A picture file in memory, as 8 bit colour; `name` is for errors.
///
/// # Errors
/// Those of [`Picture::decode`].
pub fn decode_rgb8(name: &str, bytes: &[u8]) -> Result<Rgb8> {
    Ok(Rgb8::new(name.to_owned(), &Picture::decode(name, bytes)?))
}

/// Reads pictures in parallel, as 8 bit colour, in the order given.
///
/// # Errors
/// Those of [`Picture::load`], for the first file in order that has one.
pub fn load_rgb8(paths: &[PathBuf]) -> Result<Vec<Rgb8>> {
    load_each_rgb8(paths).into_iter().collect()
}

/// Reads pictures as [`load_rgb8`] does, each with an outcome of its own.
pub fn load_each_rgb8(paths: &[PathBuf]) -> Vec<Result<Rgb8>> {
    let load = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Rgb8::new(name, &Picture::load(path)?))
    };
    paths.par_iter().map(load).collect()
}
