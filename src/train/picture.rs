//! Pictures to train on.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::data::dataset::Shot;
use crate::data::features::Features;
use crate::data::picture::{Picture, Rgb8};
use crate::error::{Error, Result};
use crate::ops::Pixels;

/// A picture in memory, as precise as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPicture {
    /// Its name, for messages and reports.
    pub name: String,
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `(H, W, C)`: colours, and features behind them.
    pub pixels: Pixels,
    /// Values of a pixel: 3 of its colour, and those of features.
    pub channels: usize,
    /// Whether colours are linear light from 0 without an upper end, and not as on a display.
    pub linear: bool,
}

/// The centre of a picture.
pub(super) struct Centre {
    /// `(H, W, 3)`, or `(H, W, 1)` of a grey one.
    pub rgb: Vec<f32>,
    /// `(H, W, C - 3)`.
    pub features: Vec<f32>,
    pub width: usize,
    pub height: usize,
}

impl TrainingPicture {
    /// A picture as its file has it: in colour, or in grey if it has one channel.
    pub fn new(name: impl Into<String>, picture: &Picture) -> Self {
        let channels = if picture.header().is_grey() { 1 } else { 3 };
        let [width, height] = picture.header().size();
        Self { name: name.into(), width, height, pixels: picture.pixels(channels), channels, linear: false }
    }

    /// The same in three channels, if it is grey.
    #[must_use]
    pub fn in_colour(self) -> Self {
        if self.channels > 1 {
            return self;
        }
        let pixels = self.pixels.gathered(|i| i / 3, 3 * self.pixels.count());
        Self { pixels, channels: 3, ..self }
    }

    /// The same as a network of so many colours reads it.
    ///
    /// # Errors
    /// If that is one for grey pictures, and it has colours.
    pub fn in_channels(self, colours: usize) -> Result<Self> {
        if colours == 1 { self.in_grey() } else { Ok(self.in_colour()) }
    }

    /// The same in one channel.
    ///
    /// # Errors
    /// If it has colours, or features.
    pub fn in_grey(self) -> Result<Self> {
        let (count, channels) = (self.width * self.height, self.channels);
        let value = |i: usize, c: usize| self.pixels.value(i * channels + c);
        if (0..count).any(|i| (1..channels).any(|c| value(i, c) != value(i, 0))) {
            let name = &self.name;
            return Err(Error::data(format!("{name}: has colours, but the network reads grey pictures: take one of 3 channels")));
        }
        let pixels = self.pixels.gathered(|i| i * channels, count);
        Ok(Self { pixels, channels: 1, ..self })
    }

    /// Reads a file in colour. It has its name, without the folder.
    ///
    /// # Errors
    /// Those of [`Picture::load`].
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self::new(name, &Picture::load(path)?).in_colour())
    }

    /// Reads files in parallel and in colour, each with an outcome of its own, in the order given.
    pub fn load_each(paths: &[PathBuf]) -> Vec<Result<Self>> {
        paths.par_iter().map(|path| Self::load(path)).collect()
    }

    /// A picture `(H, W, 3)` of floats, black being 0 and white 1; values beyond are kept.
    ///
    /// # Panics
    /// If `rgb` has another length.
    pub fn from_f32(name: impl Into<String>, width: usize, height: usize, rgb: Vec<f32>) -> Self {
        let (name, count) = (name.into(), rgb.len());
        assert_eq!(count, width * height * 3, "{name}: {count} values in a picture of {width}x{height}");
        Self { name, width, height, pixels: Pixels::Floats(rgb), channels: 3, linear: false }
    }

    /// A picture as a renderer makes it, in floats, with its features: in linear light if `linear`, else as on a display.
    pub fn of_render(name: impl Into<String>, picture: &Picture, linear: bool) -> Self {
        let [width, height] = picture.header().size();
        let channels = 3 + picture.features().map_or(0, Features::channels);
        let mut values = Vec::with_capacity(width * height * channels);
        for i in 0..width * height {
            values.extend(if linear { picture.linear(i) } else { picture.rgb(i) });
            values.extend(picture.features().into_iter().flat_map(|features| features.of_pixel(i)));
        }
        Self { name: name.into(), width, height, pixels: Pixels::Floats(values), channels, linear }
    }

    /// Whether it is that wide and high at least.
    pub(super) fn has_side(&self, side: usize) -> bool {
        self.width.min(self.height) >= side
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// A part, from `[left, top]`, of a width and height.
    pub(super) fn cut(&self, [left, top]: [usize; 2], [width, height]: [usize; 2]) -> Self {
        let row = |y: usize| ((top + y) * self.width + left) * self.channels;
        let pixels = self.pixels.rows((0..height).map(|y| row(y)..row(y) + width * self.channels));
        Self { name: self.name.clone(), width, height, pixels, channels: self.channels, linear: self.linear }
    }

    /// The centre, of that side at most.
    pub(super) fn centre(&self, side: usize) -> Centre {
        let (width, height, channels) = (self.width.min(side), self.height.min(side), self.channels);
        let (left, top) = ((self.width - width) / 2, (self.height - height) / 2);
        let first = |row: usize| (row * self.width + left) * channels;
        let rows = (top..top + height).map(|row| first(row)..first(row) + width * channels);
        let values: Vec<f32> = rows.flatten().map(|i| self.pixels.value(i)).collect();
        let (mut rgb, mut features) = (Vec::new(), Vec::new());
        for pixel in values.chunks_exact(channels) {
            let (colour, behind) = pixel.split_at(channels.min(3));
            rgb.extend_from_slice(colour);
            features.extend_from_slice(behind);
        }
        Centre { rgb, features, width, height }
    }
}

/// Refuses shots that differ in size, and a single one.
pub(super) fn of_one_size(shots: &[TrainingPicture]) -> Result<()> {
    let Some((first, others)) = shots.split_first().filter(|(_, others)| !others.is_empty()) else {
        let name = shots.first().map_or("a scene", |shot| &shot.name);
        return Err(Error::data(format!("{name}: is the only shot of its scene: give two and more of each")));
    };
    let Some(other) = others.iter().find(|other| other.size() != first.size()) else { return Ok(()) };
    let sizes = format!("{}x{} and {}x{}", first.width, first.height, other.width, other.height);
    let (name, of) = if other.name == first.name {
        (first.name.clone(), "the two pictures of a pair")
    } else {
        (format!("{} and {}", first.name, other.name), "shots of one scene")
    };
    Err(Error::data(format!("{name}: {of} differ in size, {sizes}: give all in one size")))
}

impl From<Shot> for TrainingPicture {
    fn from((name, picture): Shot) -> Self {
        Self::new(name, &picture)
    }
}

impl From<Rgb8> for TrainingPicture {
    fn from(picture: Rgb8) -> Self {
        let Rgb8 { name, width, height, data } = picture;
        Self { name, width, height, pixels: Pixels::Bytes(data), channels: 3, linear: false }
    }
}
