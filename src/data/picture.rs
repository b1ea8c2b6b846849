//! Picture files in and out. Everything between is `(H, W, 3)` f32; what a denoiser has no business changing (alpha, depth,
//! colour type, colour profile, EXIF data) waits in the `Picture` until it is saved again.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::codecs::{
    bmp::BmpEncoder,
    jpeg::JpegEncoder,
    png::PngEncoder,
    tiff::{TiffDecoder, TiffEncoder},
    webp::WebPEncoder,
};
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat, ImageReader, ImageResult,
    Limits,
};
use rayon::prelude::*;

use super::files::{place, save_bytes};
use crate::error::{Error, Result};

/// The largest picture read, in pixels (16384 x 16384), and what its decoder may allocate: 16 bit RGBA takes half of that.
const MAX_PIXELS: u64 = 1 << 28;
const MAX_ALLOCATION: u64 = 4 << 30;

/// The most EXIF data that fits one JPEG segment beside its length and its name.
const JPEG_MAX_EXIF: usize = 65_535 - 2 - 6;

const JPEG_QUALITY: u8 = 95;

/// What an output format can hold, by extension. Grey is for pictures without alpha unless `grey_alpha`.
struct Format {
    extensions: &'static [&'static str],
    image: ImageFormat,
    colour: bool,
    grey: bool,
    alpha: bool,
    grey_alpha: bool,
    deep: bool,
    icc: bool,
    exif: bool,
}

const NOTHING: Format = Format {
    extensions: &[],
    image: ImageFormat::Png,
    colour: true,
    grey: true,
    alpha: false,
    grey_alpha: false,
    deep: false,
    icc: false,
    exif: false,
};

/// TIFF could hold grey with alpha and EXIF data, but the `image` crate's encoder cannot write them.
#[rustfmt::skip]
const FORMATS: [Format; 9] = [
    Format { extensions: &["png"], alpha: true, grey_alpha: true, deep: true, icc: true, exif: true, ..NOTHING },
    Format { extensions: &["jpg", "jpeg"], image: ImageFormat::Jpeg, icc: true, exif: true, ..NOTHING },
    Format { extensions: &["tif", "tiff"], image: ImageFormat::Tiff, alpha: true, deep: true, icc: true, ..NOTHING },
    Format { extensions: &["webp"], image: ImageFormat::WebP, grey: false, alpha: true, icc: true, exif: true, ..NOTHING },
    Format { extensions: &["bmp"], image: ImageFormat::Bmp, alpha: true, ..NOTHING },
    Format { extensions: &["ppm"], image: ImageFormat::Pnm, grey: false, deep: true, ..NOTHING },
    Format { extensions: &["pgm"], image: ImageFormat::Pnm, colour: false, deep: true, ..NOTHING },
    Format { extensions: &["pnm"], image: ImageFormat::Pnm, deep: true, ..NOTHING },
    Format { extensions: &["pam"], image: ImageFormat::Pnm, alpha: true, grey_alpha: true, deep: true, ..NOTHING },
];

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
        let bytes = read(path)?;
        decode(&bytes).map_err(|what| Error::file(path, what))
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
        let layout = self.layout(path)?;
        let bytes = self.encode(&layout).map_err(|e| {
            let format = layout.format.extensions[0].to_uppercase();
            Error::file(path, format!("cannot be written as {format} ({e}): choose another format, such as PNG"))
        })?;
        save_bytes(path, &bytes)
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
        let kept = self.layout(path).ok()?;
        let colours = kept.grey && !self.grey;
        let alpha = self.alpha.is_some() && !kept.alpha;
        let depth = self.deep && !kept.deep;
        let icc = self.icc.is_some() && kept.icc.is_none();
        let exif = self.exif.is_some() && kept.exif.is_none();
        match (colours, alpha, depth) {
            (true, true, _) => Some("the colours and the alpha channel"),
            (true, false, _) => Some("the colours"),
            (false, true, true) => Some("the alpha channel and the 16 bit depth"),
            (false, true, false) => Some("the alpha channel"),
            (false, false, true) => Some("the 16 bit depth"),
            (false, false, false) => match (icc, exif) {
                (true, true) => Some("the colour profile and the EXIF data"),
                (true, false) => Some("the colour profile"),
                (false, true) => Some("the EXIF data"),
                (false, false) => None,
            },
        }
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

    /// How this picture is laid out in the file that `path` names.
    fn layout(&self, path: &Path) -> Result<Layout<'_>> {
        let format = format_of(path)?;
        let alpha = self.alpha.is_some() && format.alpha;
        let grey = !format.colour || (self.grey && if alpha { format.grey_alpha } else { format.grey });
        let exif_fits = |exif: &&[u8]| format.image != ImageFormat::Jpeg || exif.len() <= JPEG_MAX_EXIF;
        Ok(Layout {
            format,
            grey,
            alpha,
            deep: self.deep && format.deep,
            icc: self.icc.as_deref().filter(|icc| format.icc && profile_fits(icc, grey)),
            exif: self.exif.as_deref().filter(|_| format.exif).filter(exif_fits),
        })
    }

    /// The bytes of the file.
    fn encode(&self, layout: &Layout) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        if self.width == 0 || self.height == 0 {
            return Err("it has no pixels".into());
        }
        let (width, height) = (u32::try_from(self.width)?, u32::try_from(self.height)?);
        let samples = self.samples(layout);
        if layout.format.image == ImageFormat::Pnm {
            return Ok([pnm_header(layout, width, height).into_bytes(), samples].concat());
        }
        let color = match (layout.grey, layout.alpha, layout.deep) {
            (true, false, false) => ExtendedColorType::L8,
            (true, false, true) => ExtendedColorType::L16,
            (true, true, false) => ExtendedColorType::La8,
            (true, true, true) => ExtendedColorType::La16,
            (false, false, false) => ExtendedColorType::Rgb8,
            (false, false, true) => ExtendedColorType::Rgb16,
            (false, true, false) => ExtendedColorType::Rgba8,
            (false, true, true) => ExtendedColorType::Rgba16,
        };
        let mut file = Cursor::new(Vec::new());
        let image = (samples.as_slice(), width, height, color);
        match layout.format.image {
            ImageFormat::Jpeg => write(JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY), layout, image)?,
            ImageFormat::Tiff => write(TiffEncoder::new(&mut file), layout, image)?,
            ImageFormat::WebP => write(WebPEncoder::new_lossless(&mut file), layout, image)?,
            ImageFormat::Bmp => write(BmpEncoder::new(&mut file), layout, image)?,
            _ => write(PngEncoder::new(&mut file), layout, image)?,
        }
        Ok(file.into_inner())
    }

    /// `(H, W, C)` samples of 8 or 16 bit, in the byte order the encoder wants.
    fn samples(&self, layout: &Layout) -> Vec<u8> {
        let pixels = self.width * self.height;
        assert_eq!(self.rgb.len(), 3 * pixels, "save: rgb does not fit {}x{}x3", self.width, self.height);
        let alpha = self.alpha.as_deref().filter(|_| layout.alpha);
        assert!(alpha.is_none_or(|a| a.len() == pixels), "save: alpha does not fit {}x{}", self.width, self.height);
        let word = if layout.format.image == ImageFormat::Pnm { u16::to_be_bytes } else { u16::to_ne_bytes };
        let mut bytes = Vec::with_capacity(pixels * layout.channels() * if layout.deep { 2 } else { 1 });
        let mut push = |value: f32| {
            if layout.deep {
                bytes.extend(word((value * 65_535.0 + 0.5) as u16)); // the cast clamps
            } else {
                bytes.push(byte(value));
            }
        };
        for (i, rgb) in self.rgb.chunks_exact(3).enumerate() {
            if layout.grey {
                push(rgb.iter().sum::<f32>() / 3.0);
            } else {
                rgb.iter().for_each(|&v| push(v));
            }
            if let Some(alpha) = alpha {
                push(alpha[i]);
            }
        }
        bytes
    }
}

/// The nearest of 256 levels; the cast clamps, and makes NaN 0.
fn byte(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

/// What of a picture goes into a file.
struct Layout<'a> {
    format: &'static Format,
    grey: bool,
    alpha: bool,
    deep: bool,
    icc: Option<&'a [u8]>,
    exif: Option<&'a [u8]>,
}

impl Layout<'_> {
    fn channels(&self) -> usize {
        (if self.grey { 1 } else { 3 }) + usize::from(self.alpha)
    }
}

fn write<E: ImageEncoder>(mut encoder: E, layout: &Layout, image: (&[u8], u32, u32, ExtendedColorType)) -> ImageResult<()> {
    if let Some(icc) = layout.icc {
        encoder.set_icc_profile(icc.to_vec()).map_err(ImageError::Unsupported)?;
    }
    if let Some(exif) = layout.exif {
        encoder.set_exif_metadata(exif.to_vec()).map_err(ImageError::Unsupported)?;
    }
    let (samples, width, height, color) = image;
    encoder.write_image(samples, width, height, color)
}

/// PNM by hand: the `image` crate writes 16 bit samples only as PAM, and grey with alpha not at all.
fn pnm_header(layout: &Layout, width: u32, height: u32) -> String {
    let largest = if layout.deep { 65_535 } else { 255 };
    if layout.format.alpha {
        let kind = if layout.grey { "GRAYSCALE" } else { "RGB" };
        let alpha = if layout.alpha { "_ALPHA" } else { "" };
        let depth = layout.channels();
        format!("P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {largest}\nTUPLTYPE {kind}{alpha}\nENDHDR\n")
    } else {
        format!("{}\n{width} {height}\n{largest}\n", if layout.grey { "P5" } else { "P6" })
    }
}

fn format_of(path: &Path) -> Result<&'static Format> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let known = FORMATS.iter().flat_map(|f| f.extensions).copied().collect::<Vec<_>>().join(", ");
    let Some(extension) = extension else {
        return Err(Error::usage(format!("{}: has no extension: end its name in one of {known}", path.display())));
    };
    FORMATS.iter().find(|f| f.extensions.contains(&extension.as_str())).ok_or_else(|| {
        Error::usage(format!("{}: cannot write .{extension} files: end its name in one of {known}", path.display()))
    })
}

/// Bytes 16 to 19 of an ICC profile name the colour space it is for. One for CMYK is wrong once the pixels are RGB.
fn profile_fits(icc: &[u8], grey: bool) -> bool {
    icc.get(16..20) == Some(if grey { b"GRAY" } else { b"RGB " })
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

/// What is wrong, when something is, as the end of a sentence that the file name begins.
fn decode(bytes: &[u8]) -> Result<Picture, String> {
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
fn decode_as(format: ImageFormat, bytes: &[u8]) -> Result<Picture, Option<ImageError>> {
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
    Ok(from_image(&image, icc, exif))
}

fn from_image(image: &DynamicImage, icc: Option<Vec<u8>>, exif: Option<Vec<u8>>) -> Picture {
    let color = image.color();
    let grey = !color.has_color();
    let unit8 = |v: u8| f32::from(v) / 255.0;
    let unit16 = |v: u16| f32::from(v) / 65_535.0;
    let unit32 = |v: f32| if v > 0.0 { v.min(1.0) } else { 0.0 }; // NaN becomes 0
    let (rgb, alpha) = match image {
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
        icc: icc.filter(|icc| profile_fits(icc, grey)),
        exif: exif.filter(|exif| !exif.is_empty()),
    }
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

/// Whether a file counts as a picture of its folder: by extension, hidden ones left out.
pub(super) fn is_picture_name(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    !hidden && (extension == "pbm" || FORMATS.iter().any(|f| f.extensions.contains(&extension.as_str())))
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
    let picture = decode(bytes).map_err(|e| Error::file(name, e))?;
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
