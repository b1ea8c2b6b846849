//! Pictures to train on.

use crate::data::features::Features;
use crate::data::picture::{Picture, Rgb8};
use crate::ops::Pixels;

/// A picture in memory: in 8 bit, as most files are, or in floats.
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
    /// `(H, W, 3)`.
    pub rgb: Vec<f32>,
    /// `(H, W, C - 3)`.
    pub features: Vec<f32>,
    pub width: usize,
    pub height: usize,
}

impl TrainingPicture {
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

    /// The centre, of that side at most.
    pub(super) fn centre(&self, side: usize) -> Centre {
        let (width, height, channels) = (self.width.min(side), self.height.min(side), self.channels);
        let (left, top) = ((self.width - width) / 2, (self.height - height) / 2);
        let first = |row: usize| (row * self.width + left) * channels;
        let rows = (top..top + height).map(|row| first(row)..first(row) + width * channels);
        let values: Vec<f32> = match &self.pixels {
            Pixels::Bytes(v) => rows.flat_map(|row| &v[row]).map(|&b| f32::from(b) / 255.0).collect(),
            Pixels::Floats(v) => rows.flat_map(|row| &v[row]).copied().collect(),
        };
        let (mut rgb, mut features) = (Vec::new(), Vec::new());
        for pixel in values.chunks_exact(channels) {
            rgb.extend_from_slice(&pixel[..3]);
            features.extend_from_slice(&pixel[3..]);
        }
        Centre { rgb, features, width, height }
    }
}

impl From<Rgb8> for TrainingPicture {
    fn from(picture: Rgb8) -> Self {
        let Rgb8 { name, width, height, data } = picture;
        Self { name, width, height, pixels: Pixels::Bytes(data), channels: 3, linear: false }
    }
}
