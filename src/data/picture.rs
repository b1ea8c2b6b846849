//! Picture files in and out. Everything between is `(H, W, 3)` f32; what a denoiser has no business changing (alpha, depth,
//! colour type, colour profile, EXIF data) waits in the `Picture` until it is saved again.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::codecs::tiff::TiffDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;

use super::formats::{self, Content, byte, format_of, profile_fits};
use super::output::place;
use crate::error::{Error, Result};

/// The largest picture read, in pixels (16384 x 16384), and what its decoder may allocate: 16 bit RGBA takes half of that.
const MAX_PIXELS: u64 = 1 << 28;
const MAX_ALLOCATION: u64 = 4 << 30;

/// One picture as it was in its file, with the sample values as stored (sRGB, as a rule) scaled to `[0, 1]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `(H, W, 3)`; the three channels of a grey picture are equal.
    pub rgb: Vec<f32>,
    /// `(H, W)`, 1 where opaque.
    pub alpha: Option<Vec<f32>>,
    /// The file had one colour channel. Saving averages the three.
    pub grey: bool,
    /// The file had more than 8 bit per sample. Saving writes 16.
    pub deep: bool,
    /// The ICC colour profile, where it is one for grey or RGB as the picture is.
    pub icc: Option<Vec<u8>>,
    /// The EXIF data, a TIFF structure without a prefix, its orientation reset: the pixels are upright already.
    pub exif: Option<Vec<u8>>,
}

impl Picture {
    /// Reads a PNG, JPEG, TIFF, WebP, BMP or PNM file, whatever its name, and turns it upright. CMYK becomes RGB; floating
    /// point values outside `[0, 1]` are clamped.
    ///
    /// # Errors
    /// When the file is missing, unreadable, not a picture, damaged, of an unsupported kind, or over 268 million pixels.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(from_image(load(path)?))
    }

    /// Writes the picture in the format its extension names, in the nearest thing to its own depth and colour type that this
    /// format holds (see [`Picture::loses`]). JPEG has quality 95, WebP is lossless.
    ///
    /// # Errors
    /// When the extension is missing or unknown, the format cannot have this size, or the file cannot be written.
    ///
    /// # Panics
    /// When `rgb` or `alpha` do not have the length that `width` and `height` ask for.
    pub fn save(&self, path: &Path) -> Result<()> {
        let pixels = self.width * self.height;
        assert_eq!(self.rgb.len(), 3 * pixels, "save: rgb does not fit {}x{}x3", self.width, self.height);
        let alpha = self.alpha.as_deref().unwrap_or_default();
        assert!(self.alpha.is_none() || alpha.len() == pixels, "save: alpha does not fit {}x{}", self.width, self.height);
        let mut whole = Some(());
        formats::save(path, &self.content(), [self.width, self.height], |layout| {
            let rgb = |i: usize| [self.rgb[3 * i], self.rgb[3 * i + 1], self.rgb[3 * i + 2]];
            whole.take().map(|()| Ok(layout.samples(pixels, rgb, |i| alpha[i]).into()))
        })
    }

    /// Whether `path` could name a picture: to know before the work is done.
    ///
    /// # Errors
    /// When the extension is missing or unknown, the folder does not exist, or `path` is a folder.
    pub fn check_output(path: &Path) -> Result<()> {
        format_of(path)?;
        place(path).map(drop)
    }

    /// What saving to `path` would drop, e.g. `the alpha channel`. Metadata is named only when the pixels are kept whole; an
    /// extension that `save` refuses loses nothing.
    pub fn loses(&self, path: &Path) -> Option<&'static str> {
        self.content().loses(path)
    }

    /// An opaque 8 bit colour picture from `(H, W, 3)` bytes.
    ///
    /// # Panics
    /// When `rgb` does not have `3 * width * height` bytes.
    pub fn from_rgb8(width: usize, height: usize, rgb: &[u8]) -> Self {
        assert_eq!(rgb.len(), 3 * width * height, "from_rgb8: {width}x{height}x3 does not fit {} bytes", rgb.len());
        let rgb = rgb.iter().map(|&v| f32::from(v) / 255.0).collect();
        Self { width, height, rgb, alpha: None, grey: false, deep: false, icc: None, exif: None }
    }

    /// `(H, W, 3)` bytes, clamped and rounded.
    pub fn to_rgb8(&self) -> Vec<u8> {
        self.rgb.iter().map(|&v| byte(v)).collect()
    }

    fn content(&self) -> Content<'_> {
        let Self { grey, deep, .. } = *self;
        Content { grey, alpha: self.alpha.is_some(), deep, icc: self.icc.as_deref(), exif: self.exif.as_deref() }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |e: io::Error| {
        Error::file(
            path,
            match e.kind() {
                io::ErrorKind::NotFound => "does not exist: check its name and folder".to_owned(),
                io::ErrorKind::PermissionDenied => "may not be read by this user: change its permissions".to_owned(),
                _ => format!("cannot be read: {e}"),
            },
        )
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::file(path, "is a folder: give the name of a picture file"));
    }
    if !metadata.is_file() {
        return Err(Error::file(path, "is not an ordinary file: give the name of a picture file"));
    }
    if metadata.len() > MAX_ALLOCATION {
        return Err(Error::file(path, "is larger than 4 GiB: cut it into smaller pictures"));
    }
    fs::read(path).map_err(failed)
}

/// A picture as its decoder gives it, upright, with its metadata.
pub(super) struct Decoded {
    pub image: DynamicImage,
    pub icc: Option<Vec<u8>>,
    pub exif: Option<Vec<u8>>,
}

/// Reads a picture file.
///
/// # Errors
/// Those of [`Picture::load`].
pub(super) fn load(path: &Path) -> Result<Decoded> {
    decode(&read(path)?).map_err(|what| Error::file(path, what))
}

/// What is wrong, when something is, as the end of a sentence that the file name begins.
fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    const READABLE: &str = "save it as PNG, JPEG, TIFF, WebP, BMP or PNM";
    if bytes.is_empty() {
        return Err("is empty: copy or export it again".to_owned());
    }
    let Ok(format) = image::guess_format(bytes) else {
        return Err(format!("is not a picture of a known kind: {READABLE}"));
    };
    let name = format.extensions_str()[0].to_uppercase();
    if !format.reading_enabled() {
        return Err(format!("is a picture of kind {name}, which cannot be read: {READABLE}"));
    }
    if format == ImageFormat::Jpeg && !jpeg_has_an_end(bytes) {
        return Err("is cut short: copy or export it again".to_owned());
    }
    decode_as(format, bytes).map_err(|e| match e {
        Some(ImageError::IoError(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
            "is cut short: copy or export it again".to_owned()
        }
        Some(ImageError::Unsupported(e)) => {
            format!("is a {name} file of a kind that cannot be read ({e}): save it as PNG")
        }
        Some(ImageError::Limits(_)) => format!("is too large: cut it into pictures of at most {MAX_PIXELS} pixels"),
        Some(e) => format!("is damaged or cut short ({e}): copy or export it again"),
        None => "is damaged: copy or export it again".to_owned(),
    })
}

/// An error of `None` is one that the decoder has no words for.
fn decode_as(format: ImageFormat, bytes: &[u8]) -> Result<Decoded, Option<ImageError>> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    let mut decoder: Box<dyn ImageDecoder + '_> = if format == ImageFormat::Tiff {
        // With limits set, it refuses to read a colour profile that is longer than the pixels.
        Box::new(TiffDecoder::new(Cursor::new(bytes))?)
    } else {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits.clone());
        Box::new(reader.into_decoder()?)
    };
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let kind = image::error::LimitErrorKind::DimensionError;
        return Err(Some(ImageError::Limits(image::error::LimitError::from_kind(kind))));
    }
    if width == 0 || height == 0 {
        return Err(None);
    }
    // Broken metadata is no reason to refuse good pixels.
    let icc = decoder.icc_profile().unwrap_or_default();
    let mut exif = decoder.exif_metadata().unwrap_or_default();
    if let Some(exif) = &mut exif
        && exif.starts_with(b"Exif\0\0")
    {
        exif.drain(..6); // some WebP files carry the prefix that belongs to JPEG
    }
    let in_exif = exif.as_mut().and_then(|exif| Orientation::remove_from_exif_chunk(exif));
    let orientation = in_exif.or_else(|| decoder.orientation().ok()).unwrap_or(Orientation::NoTransforms);
    decoder.set_limits(limits)?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let grey = !image.color().has_color();
    let (icc, exif) = (icc.filter(|icc| profile_fits(icc, grey)), exif.filter(|exif| !exif.is_empty()));
    Ok(Decoded { image, icc, exif })
}

fn from_image(Decoded { image, icc, exif }: Decoded) -> Picture {
    let color = image.color();
    let grey = !color.has_color();
    let unit8 = |v: u8| f32::from(v) / 255.0;
    let unit16 = |v: u16| f32::from(v) / 65_535.0;
    let (rgb, alpha) = match &image {
        DynamicImage::ImageLuma8(i) => planes(i.as_raw(), color, unit8),
        DynamicImage::ImageLumaA8(i) => planes(i.as_raw(), color, unit8),
        DynamicImage::ImageRgb8(i) => planes(i.as_raw(), color, unit8),
        DynamicImage::ImageRgba8(i) => planes(i.as_raw(), color, unit8),
        DynamicImage::ImageLuma16(i) => planes(i.as_raw(), color, unit16),
        DynamicImage::ImageLumaA16(i) => planes(i.as_raw(), color, unit16),
        DynamicImage::ImageRgb16(i) => planes(i.as_raw(), color, unit16),
        DynamicImage::ImageRgba16(i) => planes(i.as_raw(), color, unit16),
        DynamicImage::ImageRgb32F(i) => planes(i.as_raw(), color, unit32),
        other => planes(other.to_rgba32f().as_raw(), ColorType::Rgba32F, unit32),
    };
    Picture {
        width: image.width() as usize,
        height: image.height() as usize,
        rgb,
        alpha,
        grey,
        deep: color.bytes_per_pixel() > color.channel_count(),
        icc,
        exif,
    }
}

/// Floating point samples are clamped to [0, 1]; NaN becomes 0.
pub(super) fn unit32(v: f32) -> f32 {
    if v > 0.0 { v.min(1.0) } else { 0.0 }
}

/// Splits `(H, W, C)` samples into `(H, W, 3)` and `(H, W)` values.
fn planes<T: Copy>(samples: &[T], color: ColorType, unit: impl Fn(T) -> f32) -> (Vec<f32>, Option<Vec<f32>>) {
    let channels = usize::from(color.channel_count());
    let pixels = samples.chunks_exact(channels);
    let mut rgb = Vec::with_capacity(3 * pixels.len());
    for pixel in pixels.clone() {
        let [r, g, b] = if color.has_color() { [pixel[0], pixel[1], pixel[2]] } else { [pixel[0]; 3] };
        rgb.extend([unit(r), unit(g), unit(b)]);
    }
    let alpha = color.has_alpha().then(|| pixels.map(|pixel| unit(pixel[channels - 1])).collect());
    (rgb, alpha)
}

/// Whether an end marker follows the first scan. The decoder fills what is missing of a JPEG with grey and reports success;
/// the segments before the scan are stepped over because a thumbnail in one has an end marker of its own.
fn jpeg_has_an_end(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        match rest {
            [0xFF, 0xDA, scan @ ..] => return scan.windows(2).any(|pair| pair == [0xFF, 0xD9]),
            [0xFF, 0xFF, ..] => rest = &rest[1..],
            [0xFF, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = rest.get(2 + length..).unwrap_or_default();
            }
            // Cut before the scan, or not a JPEG that this walk understands: the decoder has words for both.
            _ => return true,
        }
    }
}

/// A picture to train or measure on, four times smaller than a [`Picture`].
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

/// A picture in memory, as 8 bit colour; `name` is for errors.
///
/// # Errors
/// Those of [`Picture::load`].
pub fn decode_rgb8(name: &str, bytes: &[u8]) -> Result<Rgb8> {
    let picture = from_image(decode(bytes).map_err(|e| Error::file(name, e))?);
    Ok(Rgb8 { name: name.to_owned(), width: picture.width, height: picture.height, data: picture.to_rgb8() })
}

/// Reads pictures in parallel, as 8 bit colour, in the order given.
///
/// # Errors
/// Those of [`Picture::load`], for the first file in order that has one.
pub fn load_rgb8(paths: &[PathBuf]) -> Result<Vec<Rgb8>> {
    let load = |path: &PathBuf| {
        let picture = Picture::load(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Rgb8 { name, width: picture.width, height: picture.height, data: picture.to_rgb8() })
    };
    // Collected before the errors are looked at: which one rayon would find first is chance.
    let loaded: Vec<Result<Rgb8>> = paths.par_iter().map(load).collect();
    loaded.into_iter().collect()
}

#[cfg(test)]
pub(super) mod tests;
