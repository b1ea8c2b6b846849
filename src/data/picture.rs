//! Pictures: read from files and written to them. The samples stay as the file has them, so that a photograph takes a quarter (8
//! bit) or half (16 bit) of the memory of its values in single precision; what a denoiser has no business changing (alpha, depth,
//! colour type, metadata) is kept until the picture is saved.

use std::borrow::Cow;
use std::path::Path;

use super::decode::{Decoded, decode, not_finite_at};
use super::encode::Raw;
use super::exr::Vector;
use super::features::Features;
use super::formats::{Encoding, extension, format_of, that_hold};
use super::metadata::{Metadata, Own, in_words};
use super::output::place;
pub use super::pages::Pages;
pub use super::rgb8::{Rgb8, decode_rgb8, load_each_rgb8, load_rgb8};
pub use super::samples::Rows;
use super::samples::{Color, Depth, Samples, byte};
pub use super::save::{encode_pages, save_pages};
use super::transfer::Transfer;
use crate::error::{Error, Result};
use crate::ops::Pixels;

/// A value of linear light as [`Picture::rgb`] gives it.
pub(crate) fn on_display(linear: f32) -> f32 {
    Transfer::Linear.encode(linear)
}

/// All of a picture but its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    width: usize,
    height: usize,
    pub(super) color: Color,
    pub(super) transfer: Transfer,
    /// Pages of the file that it is one of.
    pub(super) pages: usize,
    pub(super) metadata: Metadata,
}

/// One picture as it was in its file, upright.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    header: Header,
    rows: Rows,
    features: Option<Features>,
}

impl Picture {
    /// Reads a PNG, JPEG, TIFF, WebP, BMP, PNM, PFM, OpenEXR or Radiance HDR file, whatever its name, and turns it upright. CMYK
    /// becomes RGB.
    ///
    /// # Errors
    /// When the file is missing, unreadable, not a picture, damaged, of an unsupported kind, has several pages (see [`Pages`]),
    /// or is over 268 million pixels.
    pub fn load(path: &Path) -> Result<Self> {
        Pages::open(path)?.only()
    }

    /// The same of a file in memory; `name` is for errors.
    ///
    /// # Errors
    /// When it is not a picture, damaged, of an unsupported kind, has several pages, or is over 268 million pixels.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let extension = extension(Path::new(name)).unwrap_or_default();
        decode(&extension, bytes).map(|decoded| Self::of_pages(decoded, 1)).map_err(|what| Error::file(name, what))
    }

    /// One of so many pages.
    pub(super) fn of_pages(Decoded { size: [width, height], rows, metadata }: Decoded, pages: usize) -> Self {
        Self {
            header: Header { width, height, color: rows.color, transfer: rows.transfer, pages, metadata },
            rows,
            features: None,
        }
    }

    /// A picture of all its rows.
    pub(crate) fn new(header: Header, rows: Rows) -> Self {
        assert_eq!(rows.pixels(), header.width * header.height, "picture: some rows are missing");
        Self { header, rows, features: None }
    }

    /// An opaque 8 bit colour picture from `(H, W, 3)` bytes.
    ///
    /// # Panics
    /// When `rgb` does not have `3 * width * height` bytes.
    pub fn from_rgb8(width: usize, height: usize, rgb: &[u8]) -> Self {
        assert_eq!(rgb.len(), 3 * width * height, "from_rgb8: {width}x{height}x3 does not fit {} bytes", rgb.len());
        Self::from_pixels([width, height], 3, Pixels::Bytes(rgb.to_vec()))
    }

    /// An opaque picture from `(H, W, C)` values of 1 or 3 channels, as precise as they are; floats are as on a display.
    ///
    /// # Panics
    /// When there are not so many values.
    pub fn from_pixels([width, height]: [usize; 2], channels: usize, pixels: Pixels) -> Self {
        assert_eq!(pixels.count(), channels * width * height, "from_pixels: not {channels} values a pixel of {width}x{height}");
        let (depth, samples) = match pixels {
            Pixels::Bytes(v) => (Depth::Eight, Samples::Bytes(v)),
            Pixels::Words(v) => (Depth::Sixteen, Samples::Words(v)),
            Pixels::Floats(v) => (Depth::Float, Samples::Floats(v)),
        };
        let rows = Rows { color: Color::new(channels, depth), transfer: Transfer::Display, samples };
        Self::of_pages(Decoded { size: [width, height], rows, metadata: Metadata::default() }, 1)
    }

    /// The same picture with other colours: `(H, W, 3)` values in about `[0, 1]`, rounded to the depth of this one, and clamped
    /// where that has whole numbers; in a grey picture, the mean of the three.
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

    /// The same picture with other values of its colours: of each channel, as [`Picture::rgb`] gives them.
    pub(super) fn mapped(mut self, of: impl Fn(usize, f32) -> f32) -> Self {
        for i in 0..self.rows.pixels() {
            let rgb = self.rgb(i);
            self.rows.set_rgb(i, std::array::from_fn(|c| of(c, rgb[c])));
        }
        self
    }

    /// A part of it, without features: from `left` and `top`, of a width and height.
    pub(super) fn cut(&self, [left, top]: [usize; 2], [width, height]: [usize; 2]) -> Self {
        let channels = self.header.color.channels();
        let row = |y: usize| ((y * self.header.width + left) * channels..).take(width * channels);
        let samples = self.rows.samples.gather((top..top + height).flat_map(row));
        Self::new(Header { width, height, ..self.header.clone() }, Rows { samples, ..self.rows })
    }

    /// All but the samples.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Row `y` alone.
    pub fn row(&self, y: usize) -> Rows {
        let row = self.header.width * self.header.color.channels();
        Rows { samples: self.rows.samples.slice(y * row..(y + 1) * row), ..self.rows }
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.header.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.header.height
    }

    /// Colour of pixel `i`, counted row by row, as on a display: values in `[0, 1]`, and beyond where the file has such. Linear
    /// light goes through the curve of sRGB, a logarithm above 1. The three of a grey picture are equal.
    pub fn rgb(&self, i: usize) -> [f32; 3] {
        self.rows.rgb(i)
    }

    /// Colour of pixel `i` in linear light, as a renderer or a sensor has it: what the file has if that is linear, of others by
    /// the curve of sRGB.
    pub fn linear(&self, i: usize) -> [f32; 3] {
        self.rows.linear(i)
    }

    /// The same picture as an instrument has measured it: values of floating point are those of the file, by no curve, and are
    /// written so. Shots that are trained on are read like this, and what their model denoises.
    #[must_use]
    pub fn as_measured(self) -> Self {
        if self.header.is_float() { self.with_transfer(Transfer::Measured) } else { self }
    }

    /// The same picture for a network that reads counts: in floats as files have them, or in shares of the largest of 16 bits.
    /// Whole numbers and floats that are none of the kind it reads are brought to it, and written as they were.
    #[must_use]
    pub fn as_counts(self, in_floats: bool) -> Self {
        let transfer = match self.header.color.depth {
            Depth::Sixteen if in_floats => Transfer::Counts(u16::MAX),
            Depth::One | Depth::Eight if in_floats => Transfer::Counts(u8::MAX.into()),
            // Floats from 0 to 1 are such shares already.
            depth if depth.is_float() && !in_floats && self.is_linear() => Transfer::Shares,
            _ => return self.as_measured(),
        };
        self.with_transfer(transfer)
    }

    fn with_transfer(mut self, transfer: Transfer) -> Self {
        self.header.transfer = transfer;
        self.rows.transfer = transfer;
        self
    }

    /// What is wrong where a value is infinite or no number, as the end of a sentence that names the picture.
    pub fn not_finite(&self) -> Option<String> {
        self.rows.first_not_finite().map(|i| not_finite_at(i, self.header.width))
    }

    /// Whether samples are bytes.
    pub fn is_of_bytes(&self) -> bool {
        matches!(self.rows.samples, Samples::Bytes(_))
    }

    /// Whether the file has linear light: OpenEXR, Radiance HDR and PFM do.
    pub fn is_linear(&self) -> bool {
        self.rows.is_linear()
    }

    /// With what networks read beside the colours.
    ///
    /// # Panics
    /// If it is of another size.
    #[must_use]
    pub fn with_features(self, features: Features) -> Self {
        assert_eq!(self.header.size(), features.size(), "with_features: sizes differ");
        Self { features: Some(features), ..self }
    }

    /// What networks read beside the colours.
    pub fn features(&self) -> Option<&Features> {
        self.features.as_ref()
    }

    /// Layers of three channels beside the colours.
    pub(super) fn vectors(&self) -> Vec<Vector<'_>> {
        if let Own::Exr(layers) = &self.header.metadata.own { layers.vectors() } else { Vec::new() }
    }

    /// Whether it has no colours: one channel, or three that are equal everywhere.
    pub fn is_grey(&self) -> bool {
        let equal = |i: usize| self.rgb(i).windows(2).all(|two| two[0].to_bits() == two[1].to_bits());
        self.header.is_grey() || (0..self.rows.pixels()).all(equal)
    }

    /// `(H, W, 3)` values as [`Picture::rgb`] gives them.
    pub fn to_rgb(&self) -> Vec<f32> {
        (0..self.rows.pixels()).flat_map(|i| self.rgb(i)).collect()
    }

    /// `(H, W, C)` values of 3 colours, or of 1 where these are equal, as precise as the file has them: those of floating point
    /// as [`Picture::rgb`] gives them.
    pub fn pixels(&self, channels: usize) -> Pixels {
        match &self.rows.samples {
            Samples::Bytes(v) if !self.is_linear() => Pixels::Bytes(self.colours(v, channels)),
            Samples::Words(v) if !self.is_linear() => Pixels::Words(self.colours(v, channels)),
            _ => Pixels::Floats((0..self.rows.pixels()).flat_map(|i| self.rgb(i).into_iter().take(channels)).collect()),
        }
    }

    /// So many colours of every pixel, without alpha; the one of grey pictures again and again.
    fn colours<T: Copy>(&self, samples: &[T], channels: usize) -> Vec<T> {
        let (stride, last) = (self.header.color.channels(), self.header.color.colours() - 1);
        if stride == channels {
            return samples.to_vec();
        }
        let count = samples.len() / stride * channels;
        (0..count).map(|i| samples[i / channels * stride + (i % channels).min(last)]).collect()
    }

    /// `(H, W, 3)` bytes, clamped and rounded.
    pub fn to_rgb8(&self) -> Vec<u8> {
        match &self.rows.samples {
            Samples::Bytes(v) if self.header.color.channels() == 3 => v.clone(),
            _ => (0..self.rows.pixels()).flat_map(|i| self.rgb(i).map(byte)).collect(),
        }
    }

    /// Writes the picture in the format its extension names, in the nearest thing to its own depth and colour type that this
    /// format holds (see [`Header::check`]). JPEG has quality 95, WebP is lossless.
    ///
    /// # Errors
    /// When the extension is missing or unknown, the format cannot have this size, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let header = Header { pages: 1, ..self.header.clone() };
        super::save::save(path, [Ok((header, std::iter::once(Ok(Cow::Borrowed(&self.rows)))))])
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

impl Header {
    /// Pixels per row, and rows.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// Whether it has one channel in place of three.
    pub fn is_grey(&self) -> bool {
        self.color.grey
    }

    /// Whether values are of floating point.
    pub fn is_float(&self) -> bool {
        self.color.depth.is_float()
    }

    /// How it would be written to `path`. Fails when the extension is missing or unknown.
    pub(super) fn encoding(&self, path: &Path) -> Result<Encoding> {
        Encoding::nearest(path, self.color, self.transfer)
    }

    /// What saving to `path` would drop of the pixels, e.g. `the alpha channel`. An extension that is unknown loses nothing.
    pub fn loses_of_pixels(&self, path: &Path) -> Option<String> {
        self.encoding(path).ok()?.loses_of_pixels(self.color)
    }

    /// What saving to `path` would drop: of the pixels, or of the metadata if these are kept whole.
    pub fn loses(&self, path: &Path) -> Option<String> {
        let encoding = self.encoding(path).ok()?;
        encoding.loses_of_pixels(self.color).or_else(|| encoding.loses_of_metadata(&self.metadata))
    }

    /// What of the file is not kept, whatever the picture is written to, e.g. `the layers of Photoshop`.
    pub fn dropped(&self) -> Option<String> {
        in_words(&self.metadata.dropped)
    }

    /// Whether the format that `path` names can have this picture: to know before the work is done. Colours, alpha or depth that
    /// it does not hold are an error unless `forced`.
    ///
    /// # Errors
    /// When it cannot have its size, or the number of its pages, would lose some of its pixels' values, or the extension is
    /// missing or unknown.
    pub fn check(&self, path: &Path, forced: bool) -> Result<()> {
        let encoding = self.encoding(path)?;
        let name = encoding.format.name;
        encoding.check_size(path, self.size())?;
        if self.pages > 1 && !encoding.format.has_pages() {
            return Err(Error::file(path, format!("a {name} file cannot hold {} pages: end its name in tif", self.pages)));
        }
        match encoding.loses_of_pixels(self.color) {
            Some(lost) if !forced => {
                let others = that_hold(self.color);
                Err(Error::file(path, format!("a {name} file cannot hold {lost}: end its name in {others}, or force it")))
            }
            _ => Ok(()),
        }
    }

    /// Writes a picture as [`Picture::save`] does, while its rows are being made, from the top down.
    ///
    /// # Errors
    /// Those of [`Picture::save`], and the first error among the rows. Nothing is written then.
    pub fn save(&self, path: &Path, rows: impl Iterator<Item = Result<Rows>>) -> Result<()> {
        save_pages(path, [Ok((self.clone(), rows))])
    }

    /// What an encoder gets, without rows.
    pub(super) fn raw(&self, encoding: Encoding) -> Raw<'_> {
        let side = |n: usize| u32::try_from(n).expect("no format has larger sides");
        Raw {
            color: encoding.color,
            width: side(self.width),
            height: side(self.height),
            metadata: encoding.beside(&self.metadata),
            bands: Box::new(std::iter::empty()),
        }
    }
}

#[cfg(test)]
mod tests;
