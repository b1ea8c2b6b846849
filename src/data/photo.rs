//! Picture files as they are denoised: the samples stay as the file has them, so that a photograph takes a quarter (8 bit) or
//! half (16 bit) of the memory of a [`Picture`](super::picture::Picture).

use std::borrow::Cow;
use std::path::Path;

use image::DynamicImage;

use super::formats::{self, Content, byte, word};
use super::picture::{Decoded, load, unit32};
use crate::error::Result;

/// Samples of 8 or 16 bit.
#[derive(Clone, Debug)]
enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

/// One picture as it was in its file, upright.
#[derive(Clone, Debug)]
pub struct Photo {
    width: usize,
    height: usize,
    /// Grey or RGB, then alpha where there is one.
    channels: usize,
    /// `(H, W, C)`, sRGB values as stored, as a rule.
    samples: Samples,
    icc: Option<Vec<u8>>,
    exif: Option<Vec<u8>>,
}

impl Photo {
    /// Reads what [`Picture::load`](super::picture::Picture::load) reads; floating point values become 16 bit.
    ///
    /// # Errors
    /// Those of [`Picture::load`](super::picture::Picture::load).
    pub fn load(path: &Path) -> Result<Self> {
        let Decoded { image, icc, exif } = load(path)?;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let words = |samples: &[f32]| Samples::Words(samples.iter().map(|&v| word(unit32(v))).collect());
        let (channels, samples) = match image {
            DynamicImage::ImageLuma8(i) => (1, Samples::Bytes(i.into_raw())),
            DynamicImage::ImageLumaA8(i) => (2, Samples::Bytes(i.into_raw())),
            DynamicImage::ImageRgb8(i) => (3, Samples::Bytes(i.into_raw())),
            DynamicImage::ImageRgba8(i) => (4, Samples::Bytes(i.into_raw())),
            DynamicImage::ImageLuma16(i) => (1, Samples::Words(i.into_raw())),
            DynamicImage::ImageLumaA16(i) => (2, Samples::Words(i.into_raw())),
            DynamicImage::ImageRgb16(i) => (3, Samples::Words(i.into_raw())),
            DynamicImage::ImageRgba16(i) => (4, Samples::Words(i.into_raw())),
            DynamicImage::ImageRgb32F(i) => (3, words(i.as_raw())),
            other => (4, words(other.into_rgba32f().as_raw())),
        };
        Ok(Self { width, height, channels, samples, icc, exif })
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    fn alpha(&self) -> bool {
        self.channels.is_multiple_of(2)
    }

    /// One sample, scaled to [0, 1].
    fn unit(&self, at: usize) -> f32 {
        match &self.samples {
            Samples::Bytes(v) => f32::from(v[at]) / 255.0,
            Samples::Words(v) => f32::from(v[at]) / 65_535.0,
        }
    }

    /// Colour of pixel `i`, counted row by row, values in [0, 1]; the three of a grey picture are equal.
    pub fn rgb(&self, i: usize) -> [f32; 3] {
        let at = i * self.channels;
        if self.channels < 3 { [self.unit(at); 3] } else { [self.unit(at), self.unit(at + 1), self.unit(at + 2)] }
    }

    /// Gives pixel `i` another colour, clamped and rounded to what the samples hold, the mean of the three in a grey picture.
    /// Its alpha stays.
    pub fn set_rgb(&mut self, i: usize, rgb: [f32; 3]) {
        let grey = [rgb.iter().sum::<f32>() / 3.0];
        let values = if self.channels < 3 { &grey[..] } else { &rgb[..] };
        let at = i * self.channels..;
        match &mut self.samples {
            Samples::Bytes(v) => v[at].iter_mut().zip(values).for_each(|(to, &v)| *to = byte(v)),
            Samples::Words(v) => v[at].iter_mut().zip(values).for_each(|(to, &v)| *to = word(v)),
        }
    }

    fn content(&self) -> Content<'_> {
        let (grey, deep) = (self.channels < 3, matches!(self.samples, Samples::Words(_)));
        Content { grey, alpha: self.alpha(), deep, icc: self.icc.as_deref(), exif: self.exif.as_deref() }
    }

    /// What saving to `path` would drop, as [`Picture::loses`](super::picture::Picture::loses) says it.
    pub fn loses(&self, path: &Path) -> Option<&'static str> {
        self.content().loses(path)
    }

    /// Writes the photo as [`Picture::save`](super::picture::Picture::save) does.
    ///
    /// # Errors
    /// Those of [`Picture::save`](super::picture::Picture::save).
    pub fn save(&self, path: &Path) -> Result<()> {
        let content = self.content();
        formats::save(path, &content, [self.width, self.height], |layout| {
            if layout.is(self.channels, content.deep) {
                return Cow::Borrowed(match &self.samples {
                    Samples::Bytes(v) => v,
                    Samples::Words(v) => bytemuck::cast_slice(v),
                });
            }
            let alpha = |i: usize| self.unit((i + 1) * self.channels - 1);
            layout.samples(self.width * self.height, |i| self.rgb(i), alpha).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::picture::Picture;
    use crate::data::picture::tests::folder;

    #[test]
    fn a_photo_is_read_and_written_as_a_picture_is() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let values = |n: usize| (0..n).map(|i| ((i * 7919 + 13) % 65_536) as f32 / 65_535.0);
        for (grey, alpha, deep) in (0..8).map(|i| (i & 1 != 0, i & 2 != 0, i & 4 != 0)) {
            let rgb = if grey { values(15).flat_map(|v| [v; 3]).collect() } else { values(45).collect() };
            let alpha = alpha.then(|| values(15).collect());
            Picture { width: 5, height: 3, rgb, alpha, grey, deep, icc: None, exif: None }.save(&path("a.png")).unwrap();
            let (picture, photo) = (Picture::load(&path("a.png")).unwrap(), Photo::load(&path("a.png")).unwrap());
            assert_eq!(picture.rgb, (0..15).flat_map(|i| photo.rgb(i)).collect::<Vec<_>>());
            for name in ["b.png", "b.jpg", "b.tif", "b.webp", "b.bmp", "b.ppm", "b.pgm", "b.pam"] {
                assert_eq!(picture.loses(Path::new(name)), photo.loses(Path::new(name)), "{name}");
                let written = |saved: Result<()>| saved.map(|()| fs::read(path(name)).unwrap()).unwrap();
                let (as_picture, as_photo) = (written(picture.save(&path(name))), written(photo.save(&path(name))));
                assert_eq!(as_picture, as_photo, "{name}");
            }
        }
    }
}
