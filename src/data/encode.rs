//! The bytes of picture files. Encoders get samples of 8 or 16 bit in bands of whole rows, from the top down, and those that can work
//! row by row do, so that a large picture is never there a second time.

use std::borrow::Cow;
use std::io::{Cursor, Write};

use image::codecs::{bmp::BmpEncoder, jpeg::JpegEncoder, tiff::TiffEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError, ImageResult, Luma, Rgb};

use super::formats::is_grey;
use super::streamed::Streamed;

/// Some whole rows: `(H, W, C)` samples in the byte order of the machine.
pub(super) type Band<'s> = Cow<'s, [u8]>;

/// What went wrong, for a sentence around it.
pub(super) type Failure = Box<dyn std::error::Error>;

const JPEG_QUALITY: u8 = 95;

/// What is wrong where bands end too early: a mistake of ours.
const MISSING: &str = "rows are missing";

/// A picture as an encoder gets it.
pub(super) struct Raw<'s> {
    pub(super) color: ExtendedColorType,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) icc: Option<&'s [u8]>,
    pub(super) exif: Option<&'s [u8]>,
    pub(super) bands: Box<dyn Iterator<Item = Band<'s>> + 's>,
}

impl<'s> Raw<'s> {
    fn is_deep(&self) -> bool {
        self.color.bits_per_pixel() > 8 * u16::from(self.color.channel_count())
    }

    /// Bytes of all samples.
    fn len(&self) -> usize {
        let channels = usize::from(self.color.channel_count());
        (self.width as usize * self.height as usize * channels) << usize::from(self.is_deep())
    }

    /// All samples at once.
    fn samples(&mut self) -> Result<Band<'s>, Failure> {
        let mut samples = self.bands.next().unwrap_or_default();
        self.bands.by_ref().for_each(|band| samples.to_mut().extend_from_slice(&band));
        if samples.len() == self.len() { Ok(samples) } else { Err(MISSING.into()) }
    }

    /// The same with bytes in the order of the file formats that put the high one first.
    fn into_big_endian(mut self) -> Self {
        if self.is_deep() && cfg!(target_endian = "little") {
            self.bands = Box::new(self.bands.map(|mut band| {
                band.to_mut().chunks_exact_mut(2).for_each(|word| word.swap(0, 1));
                band
            }));
        }
        self
    }

    fn metadata_to(&self, encoder: &mut impl ImageEncoder) -> ImageResult<()> {
        if let Some(icc) = self.icc {
            encoder.set_icc_profile(icc.to_vec()).map_err(ImageError::Unsupported)?;
        }
        if let Some(exif) = self.exif {
            encoder.set_exif_metadata(exif.to_vec()).map_err(ImageError::Unsupported)?;
        }
        Ok(())
    }

    fn write_to(mut self, mut encoder: impl ImageEncoder) -> Result<(), Failure> {
        self.metadata_to(&mut encoder)?;
        Ok(encoder.write_image(&self.samples()?, self.width, self.height, self.color)?)
    }
}

pub(super) fn tiff(raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = Cursor::new(Vec::new());
    raw.write_to(TiffEncoder::new(&mut file))?;
    Ok(file.into_inner())
}

pub(super) fn webp(raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    raw.write_to(WebPEncoder::new_lossless(&mut file))?;
    Ok(file)
}

pub(super) fn bmp(raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    raw.write_to(BmpEncoder::new(&mut file))?;
    Ok(file)
}

pub(super) fn jpeg(raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY);
    raw.metadata_to(&mut encoder)?;
    let (size, grey) = ([raw.width, raw.height], is_grey(raw.color));
    let missing = if grey {
        let rows = Streamed::<Luma<u8>>::new(size, raw.bands);
        encoder.encode_image(&rows)?;
        rows.ended_early()
    } else {
        let rows = Streamed::<Rgb<u8>>::new(size, raw.bands);
        encoder.encode_image(&rows)?;
        rows.ended_early()
    };
    if missing { Err(MISSING.into()) } else { Ok(file) }
}

/// PNG row by row, which the `image` crate does not do.
pub(super) fn png(raw: Raw) -> Result<Vec<u8>, Failure> {
    /// Bytes of a data chunk.
    const CHUNK: usize = 1 << 16;
    let mut info = png::Info::with_size(raw.width, raw.height);
    info.icc_profile = raw.icc.map(Cow::Borrowed);
    info.exif_metadata = raw.exif.map(Cow::Borrowed);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::with_info(&mut file, info)?;
    encoder.set_color(match raw.color.channel_count() {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    });
    encoder.set_depth(if raw.is_deep() { png::BitDepth::Sixteen } else { png::BitDepth::Eight });
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Adaptive);
    if raw.is_deep() {
        // The fast one has a fixed code, in which the noise of lower bytes takes more space than uncompressed.
        encoder.set_deflate_compression(png::DeflateCompression::Level(2));
    }
    let mut writer = encoder.write_header()?;
    let mut raw = raw.into_big_endian();
    let first = raw.bands.next().unwrap_or_default();
    if raw.len() == first.len() {
        // All at once; what does not compress is then stored uncompressed.
        writer.write_image_data(&first)?;
    } else {
        let mut stream = writer.stream_writer_with_size(CHUNK)?;
        stream.write_all(&first)?;
        raw.bands.try_for_each(|band| stream.write_all(&band))?;
        stream.finish()?;
    }
    writer.finish()?;
    Ok(file)
}

/// P5 or P6, by hand: the `image` crate writes 16 bit samples only as PAM.
pub(super) fn pnm(raw: Raw) -> Result<Vec<u8>, Failure> {
    let kind = if is_grey(raw.color) { "P5" } else { "P6" };
    let header = format!("{kind}\n{} {}\n{}\n", raw.width, raw.height, largest(&raw));
    Ok([header.as_bytes(), &raw.into_big_endian().samples()?].concat())
}

/// P7, by hand: the `image` crate does not write grey with alpha.
pub(super) fn pam(raw: Raw) -> Result<Vec<u8>, Failure> {
    let Raw { width, height, color, .. } = raw;
    let depth = color.channel_count();
    let kind = ["GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"][usize::from(depth) - 1];
    let largest = largest(&raw);
    let header = format!("P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {largest}\nTUPLTYPE {kind}\nENDHDR\n");
    Ok([header.as_bytes(), &raw.into_big_endian().samples()?].concat())
}

fn largest(raw: &Raw) -> u16 {
    if raw.is_deep() { u16::MAX } else { u8::MAX.into() }
}

/// P4: one bit per pixel, 1 where it is darker than the middle; rows begin at whole bytes.
pub(super) fn pbm(mut raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = format!("P4\n{} {}\n", raw.width, raw.height).into_bytes();
    for row in raw.samples()?.chunks(raw.width as usize) {
        let byte = |pixels: &[u8]| pixels.iter().zip(0..).fold(0, |byte, (&v, i)| byte | u8::from(v < 128) << (7 - i));
        file.extend(row.chunks(8).map(byte));
    }
    Ok(file)
}
