//! Picture files to pixels, upright, with the metadata that is kept. Every kind is told by its content, and none takes more memory
//! than its limit.

use std::io::{self, Cursor};

use image::codecs::{png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::formats::{picture_formats, profile_fits};
use super::kinds;

/// The largest picture read, in pixels (16384 x 16384), and what its decoder may allocate: 16 bit RGBA takes half of that.
const MAX_PIXELS: u64 = 1 << 28;
const MAX_ALLOCATION: u64 = 4 << 30;

/// What metadata may take when it is inflated; also a row of pixels, for the decoder of PNG counts both.
const MAX_METADATA: u64 = 64 << 20;

/// A picture as its decoder gives it, upright, with its metadata.
pub(super) struct Decoded {
    pub image: DynamicImage,
    pub icc: Option<Vec<u8>>,
    pub exif: Option<Vec<u8>>,
}

/// What is wrong, when something is, as the end of a sentence that the file name begins.
/// `extension` is that of its name, in small letters.
pub(super) fn decode(extension: &str, bytes: &[u8]) -> Result<Decoded, String> {
    let readable = || format!("save it as one of {}", picture_formats());
    if bytes.is_empty() {
        return Err("is empty: copy or export it again".to_owned());
    }
    if let Some(what) = kinds::refused(extension, bytes) {
        return Err(what);
    }
    let Ok(format) = image::guess_format(bytes) else {
        return Err(format!("is not a picture of a known kind: {}", readable()));
    };
    let name = format.extensions_str()[0].to_uppercase();
    if !format.reading_enabled() {
        return Err(format!("is a picture of kind {name}, which cannot be read: {}", readable()));
    }
    if format == ImageFormat::Tiff && kinds::is_raw_tiff(&mut Cursor::new(bytes)) {
        return Err(kinds::raw());
    }
    if format == ImageFormat::Jpeg && !jpeg_has_an_end(bytes) {
        return Err("is cut short: copy or export it again".to_owned());
    }
    if is_animated(format, bytes) {
        return Err(kinds::animation());
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
        // With limits set, it refuses to read a colour profile that is longer than the pixels.
        ImageFormat::Tiff => Box::new(TiffDecoder::new(Cursor::new(bytes))?),
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
    let in_exif = exif.as_mut().and_then(|exif| Orientation::remove_from_exif_chunk(exif));
    let orientation = in_exif.or_else(|| decoder.orientation().ok()).unwrap_or(Orientation::NoTransforms);
    decoder.set_limits(limits)?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let grey = !image.color().has_color();
    let (icc, exif) = (icc.filter(|icc| profile_fits(icc, grey)), exif.filter(|exif| !exif.is_empty()));
    Ok(Decoded { image, icc, exif })
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
