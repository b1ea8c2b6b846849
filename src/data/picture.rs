//! Pictures: read from files and written to them. The samples stay as the file has them, so that a photograph takes a quarter (8 bit)
//! or half (16 bit) of the memory of its values in single precision; what a denoiser has no business changing (alpha, depth, colour type,
//! colour profile, EXIF data) is kept until the picture is saved.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ExtendedColorType};
use rayon::prelude::*;

use super::decode::{Decoded, decode};
use super::encode::{Band, Raw};
use super::formats::{Encoding, extension, format_of, is_grey};
use super::input::read;
use super::output::{place, save_bytes};
use crate::error::{Error, Result};

/// Samples of 8 or 16 bit.
#[derive(Clone, Debug, PartialEq)]
enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

/// All of a picture but its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    width: usize,
    height: usize,
    /// Grey or RGB, then alpha where there is one.
    channels: usize,
    /// 16 bit per sample, not 8.
    deep: bool,
    /// The ICC colour profile, where it is one for grey or RGB as the picture is.
    icc: Option<Vec<u8>>,
    /// The EXIF data, a TIFF structure without a prefix, its orientation reset: the pixels are upright already.
    exif: Option<Vec<u8>>,
}

/// One picture as it was in its file, upright.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    header: Header,
    rows: Rows,
}

/// Some whole rows of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    channels: usize,
    /// `(H, W, C)`, sRGB values as stored, as a rule.
    samples: Samples,
}

impl Picture {
    /// Reads a PNG, JPEG, TIFF, WebP, BMP or PNM file, whatever its name, and turns it upright. CMYK becomes RGB; floating
    /// point values are clamped to `[0, 1]` and become 16 bit.
    ///
    /// # Errors
    /// When the file is missing, unreadable, not a picture, damaged, of an unsupported kind, or over 268 million pixels.
    pub fn load(path: &Path) -> Result<Self> {
        let extension = extension(path).unwrap_or_default();
        decode(&extension, &read(path)?).map(Self::from).map_err(|what| Error::file(path, what))
    }

    /// The same of a file in memory; `name` is for errors.
    ///
    /// # Errors
    /// When it is not a picture, damaged, of an unsupported kind, or over 268 million pixels.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let extension = extension(Path::new(name)).unwrap_or_default();
        decode(&extension, bytes).map(Self::from).map_err(|what| Error::file(name, what))
    }

    /// A picture of all its rows.
    pub(crate) fn new(header: Header, rows: Rows) -> Self {
        assert_eq!(rows.pixels(), header.width * header.height, "picture: some rows are missing");
        Self { header, rows }
    }

    /// An opaque 8 bit colour picture from `(H, W, 3)` bytes.
    ///
    /// # Panics
    /// When `rgb` does not have `3 * width * height` bytes.
    pub fn from_rgb8(width: usize, height: usize, rgb: &[u8]) -> Self {
        assert_eq!(rgb.len(), 3 * width * height, "from_rgb8: {width}x{height}x3 does not fit {} bytes", rgb.len());
        let header = Header { width, height, channels: 3, deep: false, icc: None, exif: None };
        Self { header, rows: Rows { channels: 3, samples: Samples::Bytes(rgb.to_vec()) } }
    }

    /// The same picture with other colours: `(H, W, 3)` values in `[0, 1]`, clamped and rounded to the depth of this one; in a grey
    /// picture, the mean of the three.
    ///
    /// # Panics
    /// When there are not `3 * width * height` values.
    #[must_use]
    pub fn with_rgb(mut self, rgb: &[f32]) -> Self {
        let [width, height] = self.header.size();
        assert_eq!(rgb.len(), 3 * width * height, "with_rgb: {width}x{height}x3 does not fit {} values", rgb.len());
        rgb.as_chunks().0.iter().enumerate().for_each(|(i, rgb)| self.rows.set_rgb(i, *rgb));
        self
    }

    /// All but the samples.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Row `y` alone.
    pub(crate) fn row(&self, y: usize) -> Rows {
        let (width, channels) = (self.header.width, self.rows.channels);
        let range = y * width * channels..(y + 1) * width * channels;
        let samples = match &self.rows.samples {
            Samples::Bytes(v) => Samples::Bytes(v[range].to_vec()),
            Samples::Words(v) => Samples::Words(v[range].to_vec()),
        };
        Rows { channels, samples }
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.header.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.header.height
    }

    /// Colour of pixel `i`, counted row by row, values in `[0, 1]`; the three of a grey picture are equal.
    pub fn rgb(&self, i: usize) -> [f32; 3] {
        self.rows.rgb(i)
    }

    /// `(H, W, 3)` values in `[0, 1]`.
    pub fn to_rgb(&self) -> Vec<f32> {
        (0..self.rows.pixels()).flat_map(|i| self.rgb(i)).collect()
    }

    /// `(H, W, 3)` bytes, rounded.
    pub fn to_rgb8(&self) -> Vec<u8> {
        match &self.rows.samples {
            Samples::Bytes(v) if self.rows.channels == 3 => v.clone(),
            _ => (0..self.rows.pixels()).flat_map(|i| self.rgb(i).map(byte)).collect(),
        }
    }

    /// Writes the picture in the format its extension names, in the nearest thing to its own depth and colour type that this
    /// format holds (see [`Header::loses`]). JPEG has quality 95, WebP is lossless.
    ///
    /// # Errors
    /// When the extension is missing or unknown, the format cannot have this size, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.header.write(path, |encoding| std::iter::once(Ok(self.rows.encoded_as(encoding))))
    }

    /// Whether `path` could name a picture: to know before the work is done.
    ///
    /// # Errors
    /// When the extension is missing or unknown, the folder does not exist, or `path` is a folder.
    pub fn check_output(path: &Path) -> Result<()> {
        format_of(path)?;
        place(path).map(drop)
    }
}

impl From<Decoded> for Picture {
    fn from(Decoded { image, icc, exif }: Decoded) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        // The cast from floats clamps, and makes NaN 0.
        let words = |samples: &[f32]| Samples::Words(samples.iter().map(|&v| word(v)).collect());
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
        Self { header: Header { width, height, channels, deep, icc, exif }, rows: Rows { channels, samples } }
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

    /// Adds rows below. Panics if they have another depth.
    pub(crate) fn append(&mut self, below: Self) {
        match (&mut self.samples, below.samples) {
            (Samples::Bytes(all), Samples::Bytes(more)) => all.extend(more),
            (Samples::Words(all), Samples::Words(more)) => all.extend(more),
            _ => panic!("rows of two depths"),
        }
    }

    /// One sample, scaled to `[0, 1]`.
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
        let grey = [mean(rgb)];
        let values = if self.channels < 3 { &grey[..] } else { &rgb[..] };
        let at = i * self.channels..;
        match &mut self.samples {
            Samples::Bytes(v) => v[at].iter_mut().zip(values).for_each(|(to, &v)| *to = byte(v)),
            Samples::Words(v) => v[at].iter_mut().zip(values).for_each(|(to, &v)| *to = word(v)),
        }
    }

    /// The samples as an encoder wants them.
    fn encoded_as(&self, encoding: Encoding) -> Band<'_> {
        let (channels, grey) = (usize::from(encoding.color.channel_count()), is_grey(encoding.color));
        if channels == self.channels && encoding.is_deep() == matches!(self.samples, Samples::Words(_)) {
            return Cow::Borrowed(match &self.samples {
                Samples::Bytes(v) => v,
                Samples::Words(v) => bytemuck::cast_slice(v),
            });
        }
        let pixels = (0..self.pixels()).map(|i| {
            let ([r, g, b], alpha) = (self.rgb(i), self.unit((i + 1) * self.channels - 1));
            if grey { [mean([r, g, b]), alpha, 0.0, 0.0] } else { [r, g, b, alpha] }
        });
        let values = pixels.flat_map(|values| values.into_iter().take(channels));
        if encoding.is_deep() { values.flat_map(|v| word(v).to_ne_bytes()).collect() } else { values.map(byte).collect() }
    }
}

/// The nearest of 256 levels; the cast clamps, and makes NaN 0.
fn byte(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

/// The nearest of 65,536 levels, likewise.
fn word(value: f32) -> u16 {
    (value * 65_535.0 + 0.5) as u16
}

fn mean(rgb: [f32; 3]) -> f32 {
    rgb.iter().sum::<f32>() / 3.0
}

impl Header {
    /// Pixels per row, and rows.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    fn color(&self) -> ExtendedColorType {
        use ExtendedColorType::{L8, L16, La8, La16, Rgb8, Rgb16, Rgba8, Rgba16};
        (if self.deep { [L16, La16, Rgb16, Rgba16] } else { [L8, La8, Rgb8, Rgba8] })[self.channels - 1]
    }

    /// What saving to `path` would drop, e.g. `the alpha channel`. Metadata is named only when the pixels are kept whole; an
    /// extension that is unknown loses nothing.
    pub fn loses(&self, path: &Path) -> Option<String> {
        let color = self.color();
        Encoding::nearest(path, color).ok()?.loses(color, self.icc.as_deref(), self.exif.as_deref())
    }

    /// Whether the format that `path` names can have a picture of this size: to know before the work is done.
    ///
    /// # Errors
    /// When it cannot, or the extension is missing or unknown.
    pub fn check_size(&self, path: &Path) -> Result<()> {
        Encoding::nearest(path, self.color())?.check_size(path, self.size())
    }

    /// Writes a picture as [`Picture::save`] does, while its rows are being made, from the top down.
    ///
    /// # Errors
    /// Those of [`Picture::save`], and the first error among the rows. Nothing is written then.
    pub fn save(&self, path: &Path, rows: impl Iterator<Item = Result<Rows>>) -> Result<()> {
        self.write(path, |encoding| rows.map(move |rows| Ok(rows?.encoded_as(encoding).into_owned().into())))
    }

    fn write<'s, B: Iterator<Item = Result<Band<'s>>>>(&self, path: &Path, bands: impl FnOnce(Encoding) -> B) -> Result<()> {
        let encoding = Encoding::nearest(path, self.color())?;
        encoding.check_size(path, self.size())?;
        let mut error = None;
        let bands = bands(encoding).map_while(|band| band.map_err(|e| error = Some(e)).ok());
        let side = |n: usize| u32::try_from(n).expect("no format has larger sides");
        let encoded = encoding.encode(
            path,
            Raw {
                color: encoding.color,
                width: side(self.width),
                height: side(self.height),
                icc: encoding.icc(self.icc.as_deref()),
                exif: encoding.exif(self.exif.as_deref()),
                bands: Box::new(bands),
            },
        );
        match error {
            Some(e) => Err(e),
            None => save_bytes(path, &encoded?),
        }
    }
}

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
    fn new(name: String, picture: &Picture) -> Self {
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

#[cfg(test)]
mod tests;
