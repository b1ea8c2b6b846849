//! Picture files to pixels, upright, with the metadata that is kept. Every kind is told by its content, and none takes more
//! memory than its limit.

use std::io::{self, Cursor};

use image::codecs::hdr::HdrDecoder;
use image::codecs::{png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::encode::BMP_DENSITY;
use super::formats::{picture_formats, profile_fits};
use super::metadata::{Density, Metadata, Own, Unit};
use super::npy::MAGIC;
use super::samples::{Color, Depth, Rows, Samples};
use super::transfer::Transfer;
use super::{exr, frames, jpeg, kinds, pfm, png, tiff};

/// The largest picture read, in pixels (16384 x 16384), and what its decoder may allocate: 16 bit RGBA takes half of that.
const MAX_PIXELS: u64 = 1 << 28;
pub(super) const MAX_ALLOCATION: u64 = 4 << 30;

/// What metadata may take when it is inflated; also a row of pixels, for the decoder of PNG counts both.
pub(super) const MAX_METADATA: u64 = 64 << 20;

const CUT_SHORT: &str = "is cut short: copy or export it again";

/// A picture upright, with its metadata.
pub(super) struct Decoded {
    /// Width, height.
    pub(super) size: [usize; 2],
    pub(super) rows: Rows,
    pub(super) metadata: Metadata,
}

/// What is wrong, when something is, as the end of a sentence that the file name begins.
/// `extension` is that of its name, in small letters. Of a TIFF file, the only page.
pub(super) fn decode(extension: &str, bytes: &[u8]) -> Result<Decoded, String> {
    decode_any(extension, bytes).and_then(finished)
}

/// The same with values that are no numbers, or infinite.
pub(super) fn decode_any(extension: &str, bytes: &[u8]) -> Result<Decoded, String> {
    if bytes.is_empty() {
        return Err("is empty: copy or export it again".to_owned());
    }
    if let Some(what) = kinds::refused(extension, bytes) {
        return Err(what);
    }
    Ok(match bytes {
        [b'P', b'F' | b'f', b'\n' | b'\r' | b' ', ..] => pfm::decode(bytes)?,
        _ if bytes.starts_with(MAGIC) => only_of_array(bytes)?,
        _ => match image::guess_format(bytes).ok() {
            Some(ImageFormat::Tiff) => only_page(bytes)?,
            Some(ImageFormat::OpenExr) => exr::decode(bytes)?,
            Some(format) if format.reading_enabled() => decode_by_image(format, bytes)?,
            Some(format) => {
                let name = format.extensions_str()[0].to_uppercase();
                return Err(format!("is a picture of kind {name}, which cannot be read: {}", readable()));
            }
            None if super::ifd::is_tiff(bytes) => only_page(bytes)?,
            None => return Err(format!("is not a picture of a known kind: {}", readable())),
        },
    })
}

fn readable() -> String {
    format!("save it as one of {}", picture_formats())
}

fn only_page(bytes: &[u8]) -> Result<Decoded, String> {
    let mut reader = tiff::Reader::open(Cursor::new(bytes))?;
    match reader.count() {
        1 => reader.page(0),
        pages => Err(several(pages)),
    }
}

fn only_of_array(bytes: &[u8]) -> Result<Decoded, String> {
    let mut reader = frames::Reader::open(bytes, bytes.len() as u64)?;
    if reader.count() > 1 { Err(several(reader.count())) } else { Ok(reader.page(0)) }
}

/// What is wrong where a single picture is wanted.
pub(super) fn several(pages: usize) -> String {
    format!("has {pages} pages where a single picture is wanted: split it into files of one page")
}

/// Resets the orientation of XMP data, since pixels are upright. Refuses values that are no numbers, or infinite: a network would
/// spread them.
pub(super) fn finished(mut decoded: Decoded) -> Result<Decoded, String> {
    decoded.metadata.reset_orientation();
    match decoded.rows.first_not_finite() {
        None => Ok(decoded),
        Some(i) => Err(not_finite_at(i, decoded.size[0])),
    }
}

/// What is wrong with pixel `i` of rows of so many, where a value is infinite or no number.
pub(super) fn not_finite_at(i: usize, width: usize) -> String {
    format!("has a value that is infinite or not a number at column {}, row {}: replace such values first", i % width, i / width)
}

/// Refuses pictures that are too large, in pixels of `weight` times those of a usual one.
pub(super) fn check_pixels([width, height]: [usize; 2], weight: usize) -> Result<(), String> {
    let pixels = (width as u64).saturating_mul(height as u64).saturating_mul(weight.max(1) as u64);
    if pixels > MAX_PIXELS {
        return Err(too_large());
    }
    if pixels == 0 { Err("has no pixels: copy or export it again".to_owned()) } else { Ok(()) }
}

fn too_large() -> String {
    format!("is too large: cut it into pictures of at most {MAX_PIXELS} pixels")
}

fn decode_by_image(format: ImageFormat, bytes: &[u8]) -> Result<Decoded, String> {
    if format == ImageFormat::Jpeg && !jpeg_has_an_end(bytes) {
        return Err(CUT_SHORT.to_owned());
    }
    if is_animated(format, bytes) {
        return Err(kinds::animation());
    }
    let name = format.extensions_str()[0].to_uppercase();
    let mut decoded = decode_as(format, bytes).map_err(|e| match e {
        Some(ImageError::IoError(e)) if e.kind() == io::ErrorKind::UnexpectedEof => CUT_SHORT.to_owned(),
        Some(ImageError::Unsupported(e)) => {
            format!("is a {name} file of a kind that cannot be read ({e}): save it as PNG")
        }
        Some(ImageError::Limits(_)) => too_large(),
        // The decoder of JPEG ends some of its messages with a line break.
        Some(e) => format!("is damaged or cut short ({}): copy or export it again", e.to_string().trim_end()),
        None => "is damaged: copy or export it again".to_owned(),
    })?;
    let metadata = &mut decoded.metadata;
    match format {
        ImageFormat::Jpeg => jpeg::read_segments(bytes, metadata),
        ImageFormat::Png => png::read_chunks(bytes, MAX_METADATA as usize, metadata),
        ImageFormat::Bmp => metadata.density = bmp_density(bytes),
        ImageFormat::Hdr => metadata.own = hdr_header(bytes)?,
        _ => {}
    }
    Ok(decoded)
}

fn bmp_density(bytes: &[u8]) -> Option<Density> {
    // The header of OS/2 has none.
    if bytes.get(14) == Some(&12) {
        return None;
    }
    let [x, y] = *bytes.get(BMP_DENSITY)?.as_chunks::<4>().0 else { return None };
    let [x, y] = [x, y].map(|v| f64::from(i32::from_le_bytes(v)));
    (x > 0.0 && y > 0.0).then_some(Density { x, y, unit: Unit::Metre })
}

/// Lines of a Radiance header but its format and remarks.
fn hdr_header(bytes: &[u8]) -> Result<Own, String> {
    let Ok(decoder) = HdrDecoder::new(bytes) else { return Ok(Own::None) };
    let header = decoder.metadata();
    if header.orientation != ((1, 0), (0, 1)) {
        return Err("is turned or mirrored, which is not read in Radiance HDR files: save it upright".to_owned());
    }
    let lines = header.custom_attributes.into_iter().filter(|(name, _)| name != "FORMAT");
    let lines: Vec<_> = lines.map(|(name, value)| if name.is_empty() { value } else { format!("{name}={value}") }).collect();
    Ok(if lines.is_empty() { Own::None } else { Own::Hdr(lines) })
}

fn is_animated(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Png => PngDecoder::new(Cursor::new(bytes)).and_then(|decoder| decoder.is_apng()).unwrap_or(false),
        ImageFormat::WebP => WebPDecoder::new(Cursor::new(bytes)).is_ok_and(|decoder| decoder.has_animation()),
        _ => false,
    }
}

/// An error of `None` is one that the decoder has no words for.
fn decode_as(format: ImageFormat, bytes: &[u8]) -> Result<Decoded, Option<ImageError>> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    let mut decoder: Box<dyn ImageDecoder + '_> = match format {
        // Its profile and texts are compressed: a few bytes can claim to be gigabytes. A profile that does is left out.
        ImageFormat::Png => {
            let mut limits = Limits::default();
            limits.max_alloc = Some(MAX_METADATA);
            Box::new(PngDecoder::with_limits(Cursor::new(bytes), limits)?)
        }
        _ => {
            let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
            reader.limits(limits.clone());
            Box::new(reader.into_decoder()?)
        }
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
    let xmp = if format == ImageFormat::WebP { decoder.xmp_metadata().unwrap_or_default() } else { None };
    let in_exif = exif.as_mut().and_then(|exif| Orientation::remove_from_exif_chunk(exif));
    let orientation = in_exif.or_else(|| decoder.orientation().ok()).unwrap_or(Orientation::NoTransforms);
    let original = decoder.original_color_type();
    decoder.set_limits(limits)?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let size = [image.width() as usize, image.height() as usize];
    let rows = rows(image, original, format);
    let mut metadata = Metadata { xmp, exif: exif.filter(|exif| !exif.is_empty()), ..Metadata::default() };
    metadata.icc = icc.filter(|icc| profile_fits(icc, rows.color.grey));
    if matches!(original, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16) {
        metadata.dropped.push(INKS);
    }
    Ok(Decoded { size, rows, metadata })
}

/// What is not kept of pictures for printers.
pub(super) const INKS: &str = "the inks (CMYK became RGB) and their colour profile";

fn rows(image: DynamicImage, original: ExtendedColorType, format: ImageFormat) -> Rows {
    let (channels, samples) = match image {
        DynamicImage::ImageLuma8(i) => (1, Samples::Bytes(i.into_raw())),
        DynamicImage::ImageLumaA8(i) => (2, Samples::Bytes(i.into_raw())),
        DynamicImage::ImageRgb8(i) => (3, Samples::Bytes(i.into_raw())),
        DynamicImage::ImageRgba8(i) => (4, Samples::Bytes(i.into_raw())),
        DynamicImage::ImageLuma16(i) => (1, Samples::Words(i.into_raw())),
        DynamicImage::ImageLumaA16(i) => (2, Samples::Words(i.into_raw())),
        DynamicImage::ImageRgb16(i) => (3, Samples::Words(i.into_raw())),
        DynamicImage::ImageRgba16(i) => (4, Samples::Words(i.into_raw())),
        DynamicImage::ImageRgb32F(i) => (3, Samples::Floats(i.into_raw())),
        other => (4, Samples::Floats(other.into_rgba32f().into_raw())),
    };
    let depth = match samples {
        Samples::Bytes(_) if original == ExtendedColorType::L1 => Depth::One,
        Samples::Bytes(_) => Depth::Eight,
        Samples::Words(_) => Depth::Sixteen,
        Samples::Floats(_) if format == ImageFormat::Hdr => Depth::SharedExponent,
        Samples::Halves(_) | Samples::Floats(_) => Depth::Float,
    };
    let transfer = if format == ImageFormat::Hdr { Transfer::Linear } else { Transfer::Display };
    Rows { color: Color::new(channels, depth), transfer, samples }
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
