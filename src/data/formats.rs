//! Picture formats: what each can hold, what of a picture goes into a file of one, and the bytes of that file.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{Cursor, Write};
use std::marker::PhantomData;
use std::path::Path;

use image::codecs::{bmp::BmpEncoder, jpeg::JpegEncoder, tiff::TiffEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError, ImageFormat, ImageResult, Luma, Rgb};

use super::coming::{Coming, Held};
use super::files::save_bytes;
use crate::error::{Error, Result};

/// The most EXIF data that fits one JPEG segment beside its length and its name.
pub(super) const JPEG_MAX_EXIF: usize = 65_535 - 2 - 6;

const JPEG_QUALITY: u8 = 95;

/// What is wrong where bands end too early: a mistake of ours.
const MISSING: &str = "rows are missing";

/// What an output format can hold, by extension. Grey is for pictures without alpha unless `grey_alpha`.
pub(super) struct Format {
    extensions: &'static [&'static str],
    image: ImageFormat,
    colour: bool,
    grey: bool,
    alpha: bool,
    grey_alpha: bool,
    deep: bool,
    icc: bool,
    exif: bool,
    /// Most pixels a side.
    side: usize,
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
    side: u32::MAX as usize,
};

/// TIFF could hold grey with alpha and EXIF data, but the `image` crate's encoder cannot write them.
#[rustfmt::skip]
const FORMATS: [Format; 9] = [
    Format { extensions: &["png"], alpha: true, grey_alpha: true, deep: true, icc: true, exif: true, ..NOTHING },
    Format { extensions: &["jpg", "jpeg"], image: ImageFormat::Jpeg, icc: true, exif: true, side: 65_535, ..NOTHING },
    Format { extensions: &["tif", "tiff"], image: ImageFormat::Tiff, alpha: true, deep: true, icc: true, ..NOTHING },
    Format { extensions: &["webp"], image: ImageFormat::WebP, grey: false, alpha: true, icc: true, exif: true, side: 16_383, ..NOTHING },
    Format { extensions: &["bmp"], image: ImageFormat::Bmp, alpha: true, ..NOTHING },
    Format { extensions: &["ppm"], image: ImageFormat::Pnm, grey: false, deep: true, ..NOTHING },
    Format { extensions: &["pgm"], image: ImageFormat::Pnm, colour: false, deep: true, ..NOTHING },
    Format { extensions: &["pnm"], image: ImageFormat::Pnm, deep: true, ..NOTHING },
    Format { extensions: &["pam"], image: ImageFormat::Pnm, alpha: true, grey_alpha: true, deep: true, ..NOTHING },
];

/// What a picture has that not every format holds.
pub(super) struct Content<'a> {
    pub grey: bool,
    pub alpha: bool,
    pub deep: bool,
    pub icc: Option<&'a [u8]>,
    pub exif: Option<&'a [u8]>,
}

impl<'a> Content<'a> {
    /// What saving to `path` would drop, e.g. `the alpha channel`. Metadata is named only when the pixels are kept whole; an
    /// extension that `save` refuses loses nothing.
    pub(super) fn loses(&self, path: &Path) -> Option<&'static str> {
        let kept = self.layout(path).ok()?;
        let colours = kept.grey && !self.grey;
        let alpha = self.alpha && !kept.alpha;
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

    /// How this picture is laid out in the file that `path` names.
    pub(super) fn layout(&self, path: &Path) -> Result<Layout<'a>> {
        let format = format_of(path)?;
        let alpha = self.alpha && format.alpha;
        let grey = !format.colour || (self.grey && if alpha { format.grey_alpha } else { format.grey });
        let exif_fits = |exif: &&[u8]| format.image != ImageFormat::Jpeg || exif.len() <= JPEG_MAX_EXIF;
        Ok(Layout {
            format,
            grey,
            alpha,
            deep: self.deep && format.deep,
            icc: self.icc.filter(|icc| format.icc && profile_fits(icc, grey)),
            exif: self.exif.filter(|_| format.exif).filter(exif_fits),
        })
    }
}

/// The nearest of 256 levels; the cast clamps, and makes NaN 0.
pub(super) fn byte(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

/// The nearest of 65,536 levels, likewise.
pub(super) fn word(value: f32) -> u16 {
    (value * 65_535.0 + 0.5) as u16
}

/// What of a picture goes into a file.
pub(super) struct Layout<'a> {
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

    /// Bytes of all samples.
    fn bytes(&self, width: u32, height: u32) -> usize {
        width as usize * height as usize * self.channels() * if self.deep { 2 } else { 1 }
    }

    /// Whether the encoder wants samples of so many channels and this depth as they are in memory.
    pub(super) fn is(&self, channels: usize, deep: bool) -> bool {
        let big_endian = self.deep && self.format.image == ImageFormat::Pnm;
        self.channels() == channels && self.deep == deep && !big_endian
    }

    /// `(H, W, C)` samples of 8 or 16 bit, in the byte order the encoder wants, from the values of every pixel.
    pub(super) fn samples(&self, pixels: usize, rgb: impl Fn(usize) -> [f32; 3], alpha: impl Fn(usize) -> f32) -> Vec<u8> {
        let order = if self.format.image == ImageFormat::Pnm { u16::to_be_bytes } else { u16::to_ne_bytes };
        let mut bytes = Vec::with_capacity(pixels * self.channels() * if self.deep { 2 } else { 1 });
        let mut push = |value: f32| {
            if self.deep {
                bytes.extend(order(word(value)));
            } else {
                bytes.push(byte(value));
            }
        };
        for i in 0..pixels {
            let rgb = rgb(i);
            if self.grey {
                push(rgb.iter().sum::<f32>() / 3.0);
            } else {
                rgb.iter().for_each(|&v| push(v));
            }
            if self.alpha {
                push(alpha(i));
            }
        }
        bytes
    }
}

/// Whether the format that `path` names can have pictures of this size (width, height): to know before the work is done.
///
/// # Errors
/// When it cannot, or the extension is missing or unknown.
pub(super) fn check_size(path: &Path, size: [usize; 2]) -> Result<()> {
    let format = format_of(path)?;
    if size.iter().all(|&side| side <= format.side) {
        return Ok(());
    }
    let (name, most) = (format.extensions[0].to_uppercase(), format.side);
    Err(Error::file(path, format!("a {name} file holds at most {most} pixels a side: choose another format, such as PNG")))
}

/// Writes a picture of `size` (width, height). `next` makes its samples for the layout of the file, band by band of whole rows: the
/// file is encoded while they come.
///
/// # Errors
/// When the extension is missing or unknown, the format cannot have this size, or the file cannot be written; the first error among
/// the bands. Nothing is written then.
pub(super) fn save<'s>(
    path: &Path,
    content: &Content,
    size: [usize; 2],
    mut next: impl FnMut(&Layout) -> Option<Result<Cow<'s, [u8]>>>,
) -> Result<()> {
    let layout = content.layout(path)?;
    check_size(path, size)?;
    let mut error = None;
    let mut bands = std::iter::from_fn(|| next(&layout)?.map_err(|e| error = Some(e)).ok());
    let encoded = encode(&layout, size, &mut bands);
    if let Some(e) = error {
        return Err(e);
    }
    let bytes = encoded.map_err(|e| {
        let format = layout.format.extensions[0].to_uppercase();
        Error::file(path, format!("cannot be written as {format} ({e}): choose another format, such as PNG"))
    })?;
    save_bytes(path, &bytes)
}

/// The bytes of the file.
fn encode<'s>(
    layout: &Layout,
    [width, height]: [usize; 2],
    bands: &mut impl Iterator<Item = Cow<'s, [u8]>>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    if width == 0 || height == 0 {
        return Err("it has no pixels".into());
    }
    let (width, height) = (u32::try_from(width)?, u32::try_from(height)?);
    match layout.format.image {
        ImageFormat::Png => return encode_png(layout, width, height, bands),
        ImageFormat::Jpeg => {
            let mut file = Vec::new();
            let mut encoder = JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY);
            add_metadata(&mut encoder, layout)?;
            let held = RefCell::new(Held { first: 0, samples: Cow::Borrowed(&[]), bands, missing: false });
            if layout.grey {
                encoder.encode_image(&Coming::<Luma<u8>, _> { width, height, held: &held, pixel: PhantomData })?;
            } else {
                encoder.encode_image(&Coming::<Rgb<u8>, _> { width, height, held: &held, pixel: PhantomData })?;
            }
            return if held.into_inner().missing { Err(MISSING.into()) } else { Ok(file) };
        }
        _ => {}
    }
    let mut samples = bands.next().unwrap_or_default();
    bands.for_each(|band| samples.to_mut().extend_from_slice(&band));
    if samples.len() != layout.bytes(width, height) {
        return Err(MISSING.into());
    }
    if layout.format.image == ImageFormat::Pnm {
        return Ok([pnm_header(layout, width, height).as_bytes(), &samples].concat());
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
    let image = (&*samples, width, height, color);
    match layout.format.image {
        ImageFormat::Tiff => write(TiffEncoder::new(&mut file), layout, image)?,
        ImageFormat::WebP => write(WebPEncoder::new_lossless(&mut file), layout, image)?,
        _ => write(BmpEncoder::new(&mut file), layout, image)?,
    }
    Ok(file.into_inner())
}

fn write<E: ImageEncoder>(mut encoder: E, layout: &Layout, image: (&[u8], u32, u32, ExtendedColorType)) -> ImageResult<()> {
    add_metadata(&mut encoder, layout)?;
    let (samples, width, height, color) = image;
    encoder.write_image(samples, width, height, color)
}

fn add_metadata(encoder: &mut impl ImageEncoder, layout: &Layout) -> ImageResult<()> {
    if let Some(icc) = layout.icc {
        encoder.set_icc_profile(icc.to_vec()).map_err(ImageError::Unsupported)?;
    }
    if let Some(exif) = layout.exif {
        encoder.set_exif_metadata(exif.to_vec()).map_err(ImageError::Unsupported)?;
    }
    Ok(())
}

/// PNG row by row, which the `image` crate does not do.
fn encode_png<'s>(
    layout: &Layout,
    width: u32,
    height: u32,
    bands: impl Iterator<Item = Cow<'s, [u8]>>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    /// Bytes of a data chunk.
    const CHUNK: usize = 1 << 16;
    let mut info = png::Info::with_size(width, height);
    info.icc_profile = layout.icc.map(Cow::Borrowed);
    info.exif_metadata = layout.exif.map(Cow::Borrowed);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::with_info(&mut file, info)?;
    encoder.set_color(match (layout.grey, layout.alpha) {
        (true, false) => png::ColorType::Grayscale,
        (true, true) => png::ColorType::GrayscaleAlpha,
        (false, false) => png::ColorType::Rgb,
        (false, true) => png::ColorType::Rgba,
    });
    encoder.set_depth(if layout.deep { png::BitDepth::Sixteen } else { png::BitDepth::Eight });
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Adaptive);
    if layout.deep {
        // The fast one has a fixed code, in which the noise of lower bytes takes more room than as it is.
        encoder.set_deflate_compression(png::DeflateCompression::Level(2));
    }
    let mut writer = encoder.write_header()?;
    let mut bands = bands.map(|mut band| {
        if layout.deep && cfg!(target_endian = "little") {
            band.to_mut().chunks_exact_mut(2).for_each(|word| word.swap(0, 1));
        }
        band
    });
    let first = bands.next().unwrap_or_default();
    if layout.bytes(width, height) == first.len() {
        // All at once; what does not compress is then kept as it is.
        writer.write_image_data(&first)?;
    } else {
        let mut stream = writer.stream_writer_with_size(CHUNK)?;
        stream.write_all(&first)?;
        bands.try_for_each(|band| stream.write_all(&band))?;
        stream.finish()?;
    }
    writer.finish()?;
    Ok(file)
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

pub(super) fn format_of(path: &Path) -> Result<&'static Format> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let known = FORMATS.iter().flat_map(|f| f.extensions).copied().collect::<Vec<_>>().join(", ");
    let Some(extension) = extension else {
        return Err(Error::format(path, format!("has no extension: end its name in one of {known}")));
    };
    FORMATS
        .iter()
        .find(|f| f.extensions.contains(&extension.as_str()))
        .ok_or_else(|| Error::format(path, format!("cannot write .{extension} files: end its name in one of {known}")))
}

/// Bytes 16 to 19 of an ICC profile name the colour space it is for. One for CMYK is wrong once the pixels are RGB.
pub(super) fn profile_fits(icc: &[u8], grey: bool) -> bool {
    icc.get(16..20) == Some(if grey { b"GRAY" } else { b"RGB " })
}

/// Whether a file counts as a picture of its folder: by extension, hidden ones left out.
pub fn is_picture_name(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    !hidden && (extension == "pbm" || FORMATS.iter().any(|f| f.extensions.contains(&extension.as_str())))
}
