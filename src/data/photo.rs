//! Picture files as they are denoised: the samples stay as the file has them, so that a photograph takes a quarter (8 bit) or
//! half (16 bit) of the memory of a [`Picture`](super::picture::Picture).

use std::borrow::Cow;
use std::path::Path;

use image::DynamicImage;

use super::formats::{self, Content, Layout, byte, word};
use super::picture::{Decoded, load, unit32};
use crate::error::Result;

/// Samples of 8 or 16 bit.
#[derive(Clone, Debug)]
enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

/// What a photo is but for its samples.
#[derive(Clone, Debug)]
pub struct Frame {
    width: usize,
    height: usize,
    /// Grey or RGB, then alpha where there is one.
    channels: usize,
    deep: bool,
    icc: Option<Vec<u8>>,
    exif: Option<Vec<u8>>,
}

/// One picture as it was in its file, upright.
#[derive(Clone, Debug)]
pub struct Photo {
    frame: Frame,
    rows: Rows,
}

/// Some whole rows of a photo.
#[derive(Clone, Debug)]
pub struct Rows {
    channels: usize,
    /// `(H, W, C)`, sRGB values as stored, as a rule.
    samples: Samples,
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
        let deep = matches!(samples, Samples::Words(_));
        Ok(Self { frame: Frame { width, height, channels, deep, icc, exif }, rows: Rows { channels, samples } })
    }

    /// A photo of all rows of that frame.
    pub(crate) fn new(frame: Frame, rows: Rows) -> Self {
        assert_eq!(rows.pixels(), frame.width * frame.height, "rows that are not all of a photo");
        Self { frame, rows }
    }

    /// All but the samples.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Row `y` alone.
    pub(crate) fn row(&self, y: usize) -> Rows {
        let (width, channels) = (self.frame.width, self.rows.channels);
        let range = y * width * channels..(y + 1) * width * channels;
        let samples = match &self.rows.samples {
            Samples::Bytes(v) => Samples::Bytes(v[range].to_vec()),
            Samples::Words(v) => Samples::Words(v[range].to_vec()),
        };
        Rows { channels, samples }
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.frame.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.frame.height
    }

    /// Colour of pixel `i`, counted row by row, values in [0, 1]; the three of a grey picture are equal.
    pub fn rgb(&self, i: usize) -> [f32; 3] {
        self.rows.rgb(i)
    }

    /// Writes the photo as [`Picture::save`](super::picture::Picture::save) does.
    ///
    /// # Errors
    /// Those of [`Picture::save`](super::picture::Picture::save).
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut whole = Some(&self.rows);
        formats::save(path, &self.frame.content(), self.frame.size(), |layout| whole.take().map(|rows| Ok(rows.laid(layout))))
    }
}

impl Rows {
    /// Pixels of all of them.
    pub(crate) fn pixels(&self) -> usize {
        let samples = match &self.samples {
            Samples::Bytes(v) => v.len(),
            Samples::Words(v) => v.len(),
        };
        samples / self.channels
    }

    /// Adds rows below.
    ///
    /// # Panics
    /// If they have another depth.
    pub(crate) fn append(&mut self, below: Self) {
        match (&mut self.samples, below.samples) {
            (Samples::Bytes(all), Samples::Bytes(more)) => all.extend(more),
            (Samples::Words(all), Samples::Words(more)) => all.extend(more),
            _ => panic!("rows of two depths"),
        }
    }

    /// One sample, scaled to [0, 1].
    fn unit(&self, at: usize) -> f32 {
        match &self.samples {
            Samples::Bytes(v) => f32::from(v[at]) / 255.0,
            Samples::Words(v) => f32::from(v[at]) / 65_535.0,
        }
    }

    fn rgb(&self, i: usize) -> [f32; 3] {
        let at = i * self.channels;
        if self.channels < 3 { [self.unit(at); 3] } else { [self.unit(at), self.unit(at + 1), self.unit(at + 2)] }
    }

    /// Gives pixel `i` another colour, clamped and rounded to what the samples hold, the mean of the three in a grey picture.
    /// Its alpha stays.
    pub(crate) fn set_rgb(&mut self, i: usize, rgb: [f32; 3]) {
        let grey = [rgb.iter().sum::<f32>() / 3.0];
        let values = if self.channels < 3 { &grey[..] } else { &rgb[..] };
        let at = i * self.channels..;
        match &mut self.samples {
            Samples::Bytes(v) => v[at].iter_mut().zip(values).for_each(|(to, &v)| *to = byte(v)),
            Samples::Words(v) => v[at].iter_mut().zip(values).for_each(|(to, &v)| *to = word(v)),
        }
    }

    /// The samples as the file wants them.
    fn laid(&self, layout: &Layout) -> Cow<'_, [u8]> {
        if layout.is(self.channels, matches!(self.samples, Samples::Words(_))) {
            return Cow::Borrowed(match &self.samples {
                Samples::Bytes(v) => v,
                Samples::Words(v) => bytemuck::cast_slice(v),
            });
        }
        let alpha = |i: usize| self.unit((i + 1) * self.channels - 1);
        layout.samples(self.pixels(), |i| self.rgb(i), alpha).into()
    }
}

impl Frame {
    /// Pixels per row, and rows.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    fn content(&self) -> Content<'_> {
        let (grey, alpha) = (self.channels < 3, self.channels.is_multiple_of(2));
        Content { grey, alpha, deep: self.deep, icc: self.icc.as_deref(), exif: self.exif.as_deref() }
    }

    /// What saving to `path` would drop, as [`Picture::loses`](super::picture::Picture::loses) says it.
    pub fn loses(&self, path: &Path) -> Option<&'static str> {
        self.content().loses(path)
    }

    /// Whether the format that `path` names can have a photo of this size: to know before the work is done.
    ///
    /// # Errors
    /// When it cannot, or the extension is missing or unknown.
    pub fn check_size(&self, path: &Path) -> Result<()> {
        formats::check_size(path, self.size())
    }

    /// Writes a photo as [`Picture::save`](super::picture::Picture::save) does, while its rows come, from the top down.
    ///
    /// # Errors
    /// Those of [`Picture::save`](super::picture::Picture::save), and the first error among the rows. Nothing is written then.
    pub fn save(&self, path: &Path, mut rows: impl Iterator<Item = Result<Rows>>) -> Result<()> {
        formats::save(path, &self.content(), self.size(), |layout| {
            rows.next().map(|rows| rows.map(|rows| rows.laid(layout).into_owned().into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::picture::Picture;
    use crate::data::picture::tests::folder;
    use crate::error::Error;

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
                assert_eq!(picture.loses(Path::new(name)), photo.frame().loses(Path::new(name)), "{name}");
                let written = |saved: Result<()>| saved.map(|()| fs::read(path(name)).unwrap()).unwrap();
                let (as_picture, as_photo) = (written(picture.save(&path(name))), written(photo.save(&path(name))));
                assert_eq!(as_picture, as_photo, "{name}");
                let as_rows = written(photo.frame().save(&path(name), (0..3).map(|y| Ok(photo.row(y)))));
                // Of PNG, the pixels and all else: it is compressed in another way.
                if name == "b.png" {
                    let again = Picture::load(&path(name)).unwrap();
                    assert_eq!(again, picture, "row by row");
                } else {
                    assert_eq!(as_photo, as_rows, "{name}, row by row");
                }
                // A photo that breaks off leaves the file as it was.
                let broken = (0..2).map(|y| if y == 0 { Ok(photo.row(y)) } else { Err(Error::data("lost")) });
                assert_eq!(photo.frame().save(&path(name), broken).unwrap_err().to_string(), "lost");
                let short = photo.frame().save(&path(name), (0..2).map(|y| Ok(photo.row(y)))).unwrap_err().to_string();
                assert!(short.contains("cannot be written"), "{name}: {short}");
                assert_eq!(fs::read(path(name)).unwrap(), as_rows, "{name}");
            }
        }
    }

    /// A photo of so many pixels and channels, of noise.
    fn noise(width: usize, height: usize, channels: usize, deep: bool) -> Photo {
        let numbers = crate::ops::random_normals(3, 0).take(width * height * channels).map(|z| 0.5 + 0.2 * z as f32);
        let samples =
            if deep { Samples::Words(numbers.map(word).collect()) } else { Samples::Bytes(numbers.map(byte).collect()) };
        Photo { frame: Frame { width, height, channels, deep, icc: None, exif: None }, rows: Rows { channels, samples } }
    }

    #[test]
    fn noise_takes_hardly_more_room_in_a_png_than_as_it_is() {
        let path = folder().path().join("a.png");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (channels, deep) in (1..=4).flat_map(|c| [(c, false), (c, true)]) {
            let photo = noise(300, 200, channels, deep);
            photo.save(&path).unwrap();
            let (raw, whole) = ((300 * 200 * channels) << usize::from(deep), fs::metadata(&path).unwrap().len() as usize);
            photo.frame().save(&path, (0..200).map(|y| Ok(photo.row(y)))).unwrap();
            let rows = fs::metadata(&path).unwrap().len() as usize;
            assert!(whole < raw + raw / 100, "{channels} channels, deep {deep}: {whole} bytes of {raw}");
            // Of 8 bit, bytes as even as these take more in the fast code, which is not known before the last row.
            assert!(rows < raw + raw / if deep { 100 } else { 3 }, "{channels} channels, deep {deep}: {rows} bytes of {raw}");
        }
    }

    #[test]
    fn a_jpeg_of_many_rows_is_the_same_whole_and_row_by_row() {
        let folder = folder();
        for channels in [1, 3] {
            let photo = noise(37, 1000, channels, false);
            let [whole, rows] = ["whole.jpg", "rows.jpg"].map(|name| folder.path().join(name));
            photo.save(&whole).unwrap();
            photo.frame().save(&rows, (0..1000).map(|y| Ok(photo.row(y)))).unwrap();
            assert_eq!(fs::read(whole).unwrap(), fs::read(rows).unwrap());
        }
    }

    #[test]
    fn sizes_that_a_format_cannot_have_are_refused_before_the_work() {
        let folder = folder();
        for (name, most) in [("a.jpg", 65_535), ("a.webp", 16_383)] {
            let path = folder.path().join(name);
            noise(1, most, 3, false).frame().check_size(&path).unwrap();
            let long = noise(most + 1, 1, 3, false);
            for message in [long.frame().check_size(&path), long.save(&path)].map(|r| r.unwrap_err().to_string()) {
                assert!(message.contains(&most.to_string()) && message.contains("such as PNG"), "{message}");
            }
            assert!(!path.exists());
        }
    }
}
