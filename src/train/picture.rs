//! Pictures to train on.

use crate::data::picture::Rgb8;
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
    /// `(H, W, 3)`.
    pub pixels: Pixels,
}

impl TrainingPicture {
    /// A picture `(H, W, 3)` of floats, black being 0 and white 1; values beyond are kept.
    ///
    /// # Panics
    /// If `rgb` has another length.
    pub fn from_f32(name: impl Into<String>, width: usize, height: usize, rgb: Vec<f32>) -> Self {
        let (name, count) = (name.into(), rgb.len());
        assert_eq!(count, width * height * 3, "{name}: {count} values in a picture of {width}x{height}");
        Self { name, width, height, pixels: Pixels::Floats(rgb) }
    }

    /// Whether it is that wide and high at least.
    pub(super) fn has_side(&self, side: usize) -> bool {
        self.width.min(self.height) >= side
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The centre, values in [0, 1], with width and height.
    pub(super) fn centre(&self, side: usize) -> (Vec<f32>, usize, usize) {
        let (w, h) = (self.width.min(side), self.height.min(side));
        let (left, top) = ((self.width - w) / 2, (self.height - h) / 2);
        let rows = (top..top + h).map(|row| (row * self.width + left) * 3..(row * self.width + left + w) * 3);
        let values = match &self.pixels {
            Pixels::Bytes(v) => rows.flat_map(|row| &v[row]).map(|&b| f32::from(b) / 255.0).collect(),
            Pixels::Floats(v) => rows.flat_map(|row| &v[row]).copied().collect(),
        };
        (values, w, h)
    }
}

impl From<Rgb8> for TrainingPicture {
    fn from(picture: Rgb8) -> Self {
        let Rgb8 { name, width, height, data } = picture;
        Self { name, width, height, pixels: Pixels::Bytes(data) }
    }
}
