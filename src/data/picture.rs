//! Picture files in and out. Everything between is `(H, W, 3)` f32; what a denoiser has no business changing (alpha, depth,
//! colour type, colour profile, EXIF data) waits in the `Picture` until it is saved again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Cursor, Write};
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

/// Writes a file whole or not at all: under a temporary name in the same folder, then renamed. A symbolic link stays one,
/// and what is not an ordinary file (`/dev/stdout`) is written to directly.
///
/// # Errors
/// When the folder is missing or read-only, the disk is full, or `path` is a folder.
pub fn save_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if target.is_dir() {
        return Err(Error::file(path, "is a folder: give the name of a file in it"));
    }
    if !folder.exists() {
        return Err(Error::file(path, format!("its folder {} does not exist: create it first", folder.display())));
    }
    let written =
        if target.exists() && !target.is_file() { fs::write(&target, bytes) } else { write_and_rename(&target, folder, bytes) };
    written.map_err(|e| {
        Error::file(
            path,
            match e.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    format!("cannot be written ({e}): choose a folder that this user may write to")
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    format!("cannot be written ({e}): free some space or choose another disk")
                }
                _ => format!("cannot be written: {e}"),
            },
        )
    })
}

fn write_and_rename(target: &Path, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".n2n-").suffix(".tmp");
    #[cfg(unix)]
    {
        // What the umask leaves of this, as for any file; a temporary file is by default its owner's alone.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(target).map_err(|e| e.error)?;
    Ok(())
}

/// The picture files that `inputs` name: files as given, a folder's own pictures (by extension, hidden ones left out) in
/// order of name.
///
/// # Errors
/// When a path does not exist or a folder has no pictures.
pub fn list(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        if input.is_dir() {
            files.extend(list_folder(input)?);
        } else if input.exists() {
            files.push(input.clone());
        } else {
            return Err(Error::file(input, "does not exist: check its name and folder"));
        }
    }
    Ok(files)
}

fn list_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|e| Error::file(folder, format!("cannot be listed: {e}")))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).filter(|p| is_picture_name(p) && p.is_file()).collect();
    files.sort();
    if files.is_empty() {
        return Err(Error::file(folder, "has no pictures (PNG, JPEG, TIFF, WebP, BMP, PNM) in it: name another folder"));
    }
    Ok(files)
}

fn is_picture_name(path: &Path) -> bool {
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

/// Two files, or the pictures of two folders matched by name without extension, in order of name.
///
/// # Errors
/// When one is a file and the other a folder, a name is in one folder only, or twice in one.
pub fn pair(a: &Path, b: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let (in_a, in_b) = (list(&[a.to_owned()])?, list(&[b.to_owned()])?);
    match (a.is_dir(), b.is_dir()) {
        (false, false) => return Ok(vec![(a.to_owned(), b.to_owned())]),
        (true, true) => {}
        (true, false) => {
            return Err(Error::file(a, format!("is a folder but {} a file: give two of a kind", b.display())));
        }
        (false, true) => {
            return Err(Error::file(a, format!("is a file but {} a folder: give two of a kind", b.display())));
        }
    }
    let (in_a, mut in_b) = (by_stem(in_a)?, by_stem(in_b)?);
    let mut pairs = Vec::new();
    let mut alone = Vec::new();
    for (stem, file) in in_a {
        match in_b.remove(&stem) {
            Some(partner) => pairs.push((file, partner)),
            None => alone.push(file),
        }
    }
    alone.extend(in_b.into_values());
    if alone.is_empty() {
        return Ok(pairs);
    }
    let mut names: Vec<String> = alone.iter().take(3).map(|file| file.display().to_string()).collect();
    if alone.len() > 3 {
        names.push(format!("{} more", alone.len() - 3));
    }
    let (names, a, b) = (names.join(", "), a.display(), b.display());
    Err(Error::failed(format!("{a} and {b}: only one of them has {names}: give both pictures of a pair the same name")))
}

fn by_stem(files: Vec<PathBuf>) -> Result<BTreeMap<OsString, PathBuf>> {
    let mut stems = BTreeMap::new();
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_owned();
        if let Some(other) = stems.insert(stem, file.clone()) {
            let other = other.display();
            return Err(Error::file(&file, format!("has the same name as {other}, so its partner is not clear: rename one")));
        }
    }
    Ok(stems)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 5;
    const HEIGHT: usize = 3;

    /// Values that 8 or 16 bit hold exactly.
    fn picture(grey: bool, alpha: bool, deep: bool) -> Picture {
        let largest = if deep { 65_535.0 } else { 255.0 };
        let value = |i: usize| ((i * 7919 + 13) % (largest as usize + 1)) as f32 / largest;
        let pixels = WIDTH * HEIGHT;
        let rgb = (0..3 * pixels).map(|i| value(if grey { i / 3 } else { i })).collect();
        let alpha = alpha.then(|| (0..pixels).map(|i| value(i + 100)).collect());
        Picture { width: WIDTH, height: HEIGHT, rgb, alpha, grey, deep, icc: None, exif: None }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn again(picture: &Picture, name: &str) -> Picture {
        let folder = folder();
        let path = folder.path().join(name);
        picture.save(&path).unwrap();
        Picture::load(&path).unwrap()
    }

    fn load_bytes(name: &str, bytes: &[u8]) -> Result<Picture> {
        let folder = folder();
        let path = folder.path().join(name);
        save_bytes(&path, bytes).unwrap();
        Picture::load(&path)
    }

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    fn profile(space: &[u8; 4]) -> Vec<u8> {
        [&[0; 16], space.as_slice(), &[0; 108]].concat()
    }

    /// A TIFF structure with the orientation and nothing else.
    fn exif(orientation: u8) -> Vec<u8> {
        [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation], &[0; 7]].concat()
    }

    #[test]
    fn every_colour_type_and_depth_comes_back_as_it_was() {
        for (grey, alpha, deep) in (0..8).map(|i| (i & 1 != 0, i & 2 != 0, i & 4 != 0)) {
            let before = picture(grey, alpha, deep);
            for name in ["a.png", "a.pam", "a.tif", "a.TIFF", "a.webp", "a.bmp", "a.pnm", "a.ppm", "a.pgm"] {
                if before.loses(Path::new(name)).is_some() {
                    continue; // the next test says of which formats that may be true
                }
                let after = again(&before, name);
                assert_eq!((&after.rgb, &after.alpha, after.deep), (&before.rgb, &before.alpha, deep), "{name}");
                let holds_grey = match name {
                    "a.webp" | "a.bmp" | "a.ppm" => false,
                    "a.tif" | "a.TIFF" => !alpha,
                    _ => true,
                };
                assert_eq!(after.grey, grey && holds_grey, "{name} grey {grey} alpha {alpha} deep {deep}");
            }
        }
    }

    #[test]
    fn what_a_format_cannot_hold_is_said() {
        let loses = |alpha, deep, name| picture(false, alpha, deep).loses(Path::new(name));
        for name in ["a.png", "a.tif", "a.pam"] {
            assert_eq!(loses(true, true, name), None);
        }
        for name in ["a.webp", "a.bmp"] {
            assert_eq!(loses(true, true, name), Some("the 16 bit depth"));
        }
        assert_eq!(loses(true, true, "a.ppm"), Some("the alpha channel"));
        assert_eq!(loses(true, true, "a.jpg"), Some("the alpha channel and the 16 bit depth"));
        assert_eq!(loses(true, false, "a.jpg"), Some("the alpha channel"));
        assert_eq!(loses(true, true, "a.pgm"), Some("the colours and the alpha channel"));
        let with_metadata = Picture { icc: Some(profile(b"RGB ")), exif: Some(exif(1)), ..picture(false, false, false) };
        assert_eq!(with_metadata.loses(Path::new("a.png")), None);
        assert_eq!(with_metadata.loses(Path::new("a.tif")), Some("the EXIF data"));
        assert_eq!(with_metadata.loses(Path::new("a.bmp")), Some("the colour profile and the EXIF data"));
    }

    #[test]
    fn what_is_lost_is_all_that_is_lost() {
        let deep = picture(false, true, true);
        let shallow = again(&deep, "a.webp");
        assert_eq!((shallow.to_rgb8(), shallow.deep), (deep.to_rgb8(), false));
        assert!(shallow.alpha.is_some());
        let colours = picture(false, false, false);
        let mean = |rgb: &[f32]| (rgb.iter().sum::<f32>() / 3.0 * 255.0).round() as u8;
        let means: Vec<u8> = colours.rgb.chunks_exact(3).flat_map(|rgb| [mean(rgb); 3]).collect();
        assert_eq!(again(&colours, "a.pgm").to_rgb8(), means);
    }

    #[test]
    fn jpeg_keeps_grey_and_is_close() {
        for grey in [false, true] {
            let ramp: Vec<u8> = (0..32 * 16).flat_map(|i| [(i % 32 * 4 + i / 32 * 2) as u8; 3]).collect();
            let before = Picture { grey, ..Picture::from_rgb8(32, 16, &ramp) };
            let after = again(&before, "a.jpeg");
            assert_eq!(after.grey, grey);
            let worst = after.rgb.iter().zip(&before.rgb).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 4.0 / 255.0, "{worst}");
        }
    }

    #[test]
    fn one_pixel_is_a_picture_and_none_is_not() {
        for name in ["a.png", "a.tif", "a.webp", "a.bmp", "a.ppm"] {
            let one = Picture::from_rgb8(1, 1, &[1, 2, 3]);
            assert_eq!(again(&one, name), one, "{name}");
            let none = Picture::from_rgb8(0, 0, &[]).save(&folder().path().join(name));
            assert!(message(none).contains("it has no pixels"), "{name}");
        }
        assert!(load_bytes("a.ppm", b"P6\n0 0\n255\n").is_err());
    }

    #[test]
    fn colour_profile_and_exif_are_kept() {
        let before = Picture { icc: Some(profile(b"RGB ")), exif: Some(exif(1)), ..picture(false, false, false) };
        for (name, keeps_exif) in [("a.png", true), ("a.jpg", true), ("a.webp", true), ("a.tif", false)] {
            let after = again(&before, name);
            assert_eq!(after.icc, before.icc, "{name}");
            assert_eq!(after.exif, before.exif.clone().filter(|_| keeps_exif), "{name}");
        }
        let wrong = Picture { icc: Some(profile(b"CMYK")), ..before };
        assert_eq!(again(&wrong, "a.png").icc, None);
        assert_eq!(wrong.loses(Path::new("a.png")), Some("the colour profile"));
    }

    #[test]
    fn exif_too_long_for_jpeg_is_dropped_and_said() {
        let long = Picture { exif: Some([exif(1), vec![0; 70_000]].concat()), ..picture(false, false, false) };
        assert_eq!(long.loses(Path::new("a.jpg")), Some("the EXIF data"));
        assert_eq!(again(&long, "a.jpg").exif, None);
        assert_eq!(again(&long, "a.png").exif, long.exif);
        let longest = Picture { exif: Some([exif(1), vec![0; JPEG_MAX_EXIF - 26]].concat()), ..long };
        assert_eq!(again(&longest, "a.jpg").exif, longest.exif);
    }

    #[test]
    fn pictures_are_turned_upright_once() {
        let sideways = Picture { exif: Some(exif(6)), ..picture(true, true, true) }; // 6: turn right to see it upright
        let upright = again(&sideways, "a.png");
        assert_eq!((upright.width, upright.height), (HEIGHT, WIDTH));
        let corner = 3 * (HEIGHT - 1) * WIDTH; // the lower left pixel becomes the upper left one
        assert_eq!(upright.rgb[0], sideways.rgb[corner]);
        assert_eq!(upright.exif, Some(exif(1)));
        assert_eq!(again(&upright, "b.png"), upright);
    }

    #[test]
    fn the_content_decides_how_a_file_is_read() {
        let folder = folder();
        let (png, jpg) = (folder.path().join("a.png"), folder.path().join("a.jpg"));
        let before = picture(false, true, false);
        before.save(&png).unwrap();
        fs::rename(&png, &jpg).unwrap();
        assert_eq!(Picture::load(&jpg).unwrap(), before);
    }

    #[test]
    fn cmyk_jpeg_becomes_rgb() {
        // Pillow: Image.new("CMYK", (1, 1), (20, 200, 100, 64)).save(.., quality=95, optimize=True)
        let picture = load_bytes("cmyk.jpg", &hex(CMYK_JPEG)).unwrap();
        assert_eq!((picture.width, picture.height, picture.grey), (1, 1, false));
        // (255 - ink) (255 - black) / 255, and Pillow's own answer to within 1.
        for (value, expected) in picture.to_rgb8().into_iter().zip([176_u8, 41, 116]) {
            assert!(value.abs_diff(expected) <= 1, "{value} is not {expected}");
        }
    }

    #[test]
    fn floating_point_tiff_is_clamped_and_saved_as_sixteen_bit() {
        let mut file = Cursor::new(Vec::new());
        let values = [0.0_f32, 0.5, 2.0, f32::NAN, -1.0, 1.0];
        let samples: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        TiffEncoder::new(&mut file).write_image(&samples, 2, 1, ExtendedColorType::Rgb32F).unwrap();
        let picture = load_bytes("a.tif", file.get_ref()).unwrap();
        assert_eq!(picture.rgb, [0.0, 0.5, 1.0, 0.0, 0.0, 1.0]);
        assert!(picture.deep);
        assert_eq!(again(&picture, "b.tif").rgb, [0.0, 32_768.0 / 65_535.0, 1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn files_cut_short_are_refused() {
        for name in ["a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.ppm"] {
            let folder = folder();
            let path = folder.path().join(name);
            picture(false, false, false).save(&path).unwrap();
            let whole = fs::read(&path).unwrap();
            for length in [12, whole.len() / 2, whole.len() * 4 / 5] {
                let text = message(load_bytes(name, &whole[..length]));
                assert!(text.contains("cut short"), "{length} of {}: {text}", whole.len());
                assert!(text.contains(name), "{text}");
            }
        }
    }

    #[test]
    fn damaged_files_never_panic() {
        let folder = folder();
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for name in ["a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.ppm", "a.pam"] {
            let path = folder.path().join(name);
            Picture { icc: Some(profile(b"RGB ")), exif: Some(exif(6)), ..picture(false, true, true) }.save(&path).unwrap();
            let whole = fs::read(&path).unwrap();
            for _ in 0..500 {
                let mut bytes = whole.clone();
                for _ in 0..1 + random(4) {
                    let at = random(bytes.len());
                    bytes[at] = random(256) as u8;
                }
                let _ = decode(&bytes); // any answer will do
            }
        }
    }

    #[test]
    fn bytes_are_rounded_and_clamped() {
        let rgb = vec![-1.0, 0.0, 0.4 / 255.0, 0.6 / 255.0, 128.0 / 255.0, 254.4 / 255.0, 1.0, 7.0, f32::NAN];
        let picture = Picture { rgb, ..Picture::from_rgb8(3, 1, &[0; 9]) };
        assert_eq!(picture.to_rgb8(), [0, 0, 0, 1, 128, 254, 255, 255, 0]);
        assert_eq!(again(&picture, "a.png").to_rgb8(), picture.to_rgb8());
    }

    #[test]
    fn errors_name_the_file_and_say_what_to_do() {
        let folder = folder();
        let missing = folder.path().join("missing.png");
        assert_eq!(message(Picture::load(&missing)), format!("{}: does not exist: check its name and folder", missing.display()));
        assert!(message(Picture::load(folder.path())).contains("is a folder"));
        assert!(message(load_bytes("a.png", b"hello, I am a text\n")).contains("a.png: is not a picture of a known kind"));
        assert!(message(load_bytes("a.png", b"")).contains("is empty"));
        assert!(message(load_bytes("a.png", b"GIF89a and more")).contains("is a picture of kind GIF"));
        let huge = message(load_bytes("a.ppm", b"P6\n100000 100000\n255\n"));
        assert!(huge.contains("is too large"), "{huge}");
        for name in ["a", "a.xyz"] {
            let error = picture(false, false, false).save(&folder.path().join(name)).unwrap_err();
            assert!(matches!(&error, Error::Usage(text) if text.contains("png, jpg, jpeg")), "{error}");
        }
        assert!(message(Picture::from_rgb8(65_536, 1, &[0; 3 * 65_536]).save(&folder.path().join("a.jpg"))).contains("a.jpg"));
        assert!(message(Picture::from_rgb8(16_385, 1, &[0; 3 * 16_385]).save(&folder.path().join("a.webp"))).contains("a.webp"));
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = folder();
        let path = folder.path().join("a.bin");
        save_bytes(&path, b"one").unwrap();
        save_bytes(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(message(save_bytes(&folder.path().join("no/a.bin"), b"")).contains("create it first"));
        fs::create_dir(folder.path().join("sub")).unwrap();
        assert!(message(save_bytes(&folder.path().join("sub"), b"")).contains("is a folder"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file was left behind");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_takes_no_files_is_named() {
        // Nobody may create files in /proc, not even root, whom a folder's permissions would not stop.
        let text = message(save_bytes(Path::new("/proc/a.png"), b"x"));
        assert!(text.starts_with("/proc/a.png: cannot be written"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn files_have_ordinary_permissions_and_links_stay_links() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let (plain, ours, link) = (folder.path().join("plain"), folder.path().join("ours"), folder.path().join("link"));
        fs::write(&plain, b"x").unwrap();
        save_bytes(&ours, b"x").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
        std::os::unix::fs::symlink(&ours, &link).unwrap();
        save_bytes(&link, b"y").unwrap();
        assert_eq!(fs::read(&ours).unwrap(), b"y");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        save_bytes(Path::new("/dev/null"), b"x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    fn touch(folder: &Path, names: &[&str]) {
        fs::create_dir_all(folder).unwrap();
        for name in names {
            fs::write(folder.join(name), b"").unwrap();
        }
    }

    #[test]
    fn folders_are_expanded_in_order_of_name() {
        let folder = folder();
        let root = folder.path();
        touch(root, &["b.PNG", "a.jpg", "notes.txt", ".hidden.png"]);
        touch(&root.join("inner.png"), &["c.png"]);
        let notes = root.join("notes.txt");
        let files = list(&[notes.clone(), root.to_owned()]).unwrap();
        assert_eq!(files, [notes, root.join("a.jpg"), root.join("b.PNG")]);
        touch(&root.join("empty"), &[]);
        assert!(message(list(&[root.join("empty")])).contains("has no pictures"));
        assert!(message(list(&[root.join("missing")])).contains("missing: does not exist"));
    }

    #[test]
    fn pairs_have_the_same_stem() {
        let folder = folder();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        touch(&a, &["2.png", "1.png"]);
        touch(&b, &["1.jpg", "2.tif"]);
        let expected = [(a.join("1.png"), b.join("1.jpg")), (a.join("2.png"), b.join("2.tif"))];
        assert_eq!(pair(&a, &b).unwrap(), expected);
        assert_eq!(pair(&a.join("1.png"), &b.join("2.tif")).unwrap(), [(a.join("1.png"), b.join("2.tif"))]);
        assert!(message(pair(&a, &b.join("1.jpg"))).contains("two of a kind"));
        touch(&b, &["3.png", "4.png", "5.png"]);
        touch(&a, &["6.png"]);
        let text = message(pair(&a, &b));
        assert!(text.contains("6.png") && text.contains("4.png, 1 more") && !text.contains("5.png"), "{text}");
        touch(&a, &["1.webp"]);
        assert!(message(pair(&a, &b)).contains("same name"));
    }

    #[test]
    fn pictures_load_in_order_and_the_first_error_is_told() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        for (i, name) in ["a.png", "b.png", "c.png"].iter().enumerate() {
            Picture::from_rgb8(2, 1, &[i as u8; 6]).save(&path(name)).unwrap();
        }
        let paths: Vec<PathBuf> = ["c.png", "a.png", "b.png"].iter().map(|name| path(name)).collect();
        let loaded: Vec<(String, u8)> = load_rgb8(&paths).unwrap().into_iter().map(|p| (p.name, p.data[5])).collect();
        assert_eq!(loaded, [("c.png".to_owned(), 2), ("a.png".to_owned(), 0), ("b.png".to_owned(), 1)]);
        let text = message(load_rgb8(&[path("a.png"), path("x.png"), path("y.png")]));
        assert!(text.contains("x.png"), "{text}");
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16)).map(|d| d as u8).collect();
        digits.chunks_exact(2).map(|pair| 16 * pair[0] + pair[1]).collect()
    }

    const CMYK_JPEG: &str = "
        ffd8ffee000e41646f626500640000000000ffdb00430002010101010102010101020202020204030202020205040403
        04060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc000140800010001
        044311004d11005911004b1100ffc400160001010100000000000000000000000000090708ffc4001410010000000000
        0000000000000000000000ffda000e0443004d0059004b00003f006b06dad8df8fffd9";
}
