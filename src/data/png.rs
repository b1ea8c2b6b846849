//! PNG: written row by row, which the `image` crate does not do, with the chunks that it does not know.

use std::borrow::Cow;
use std::io::{Cursor, Write};

use png::text_metadata::{ITXtChunk, TEXtChunk, ZTXtChunk};
use png::{PixelDimensions, ScaledFloat, SourceChromaticities, SrgbRenderingIntent};

use super::encode::{Failure, Raw};
use super::metadata::{Density, Metadata, Own, Unit};
use super::samples::Depth;

const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// Chunks that other formats do not have: texts, and the colours that numbers stand for where no profile says so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PngChunks {
    texts: Vec<TEXtChunk>,
    compressed_texts: Vec<ZTXtChunk>,
    international_texts: Vec<ITXtChunk>,
    gamma: Option<ScaledFloat>,
    chromaticities: Option<SourceChromaticities>,
    srgb: Option<SrgbRenderingIntent>,
}

impl PngChunks {
    /// What is lost elsewhere.
    pub(super) fn name(&self) -> Option<&'static str> {
        let texts = self.texts.len() + self.compressed_texts.len() + self.international_texts.len();
        (texts > 0).then_some("the texts")
    }

    fn is_empty(&self) -> bool {
        self.name().is_none() && matches!((self.gamma, self.chromaticities, self.srgb), (None, None, None))
    }
}

/// Adds what the chunks before the pixels say to the metadata of a file. None may take more than `limit` bytes when it is
/// inflated.
pub(super) fn read_chunks(file: &[u8], limit: usize, metadata: &mut Metadata) {
    let decoder = png::Decoder::new_with_limits(Cursor::new(file), png::Limits { bytes: limit });
    let Ok(reader) = decoder.read_info() else { return };
    let info = reader.info();
    metadata.density = info.pixel_dims.map(|PixelDimensions { xppu, yppu, unit }| Density {
        x: f64::from(xppu),
        y: f64::from(yppu),
        unit: if unit == png::Unit::Meter { Unit::Metre } else { Unit::Shape },
    });
    let (xmp, international_texts): (Vec<_>, _) = info.utf8_text.iter().cloned().partition(|chunk| chunk.keyword == XMP_KEYWORD);
    metadata.xmp = xmp.into_iter().next().and_then(|mut chunk| {
        chunk.decompress_text_with_limit(limit).ok()?;
        chunk.get_text().ok().map(String::into_bytes)
    });
    let chunks = PngChunks {
        texts: info.uncompressed_latin1_text.clone(),
        compressed_texts: info.compressed_latin1_text.clone(),
        international_texts,
        gamma: info.source_gamma,
        chromaticities: info.source_chromaticities,
        srgb: info.srgb.filter(|_| info.icc_profile.is_none()),
    };
    if info.coding_independent_code_points.is_some() {
        metadata.dropped.push("the code points of its colours (cICP)");
    }
    if !chunks.is_empty() {
        metadata.own = Own::Png(Box::new(chunks));
    }
}

fn info<'s>(raw: &Raw<'s>) -> png::Info<'s> {
    let metadata = &raw.metadata;
    let mut info = png::Info::with_size(raw.width, raw.height);
    info.icc_profile = metadata.icc.map(Cow::Borrowed);
    info.exif_metadata = metadata.exif.map(Cow::Borrowed);
    info.pixel_dims = metadata.density.map(|density| {
        let Density { x, y, unit } = density.per(Unit::Metre);
        let unit = if unit == Unit::Shape { png::Unit::Unspecified } else { png::Unit::Meter };
        PixelDimensions { xppu: x.round() as u32, yppu: y.round() as u32, unit }
    });
    if let Own::Png(chunks) = metadata.own {
        info.uncompressed_latin1_text = chunks.texts.clone();
        info.compressed_latin1_text = chunks.compressed_texts.clone();
        info.utf8_text = chunks.international_texts.clone();
        info.source_gamma = chunks.gamma;
        info.source_chromaticities = chunks.chromaticities;
        info.srgb = chunks.srgb;
    }
    if let Some(xmp) = metadata.xmp {
        info.utf8_text.push(ITXtChunk::new(XMP_KEYWORD, String::from_utf8_lossy(xmp)));
    }
    info
}

/// The file of a picture.
pub(super) fn encode(raw: Raw) -> Result<Vec<u8>, Failure> {
    /// Bytes of a data chunk.
    const CHUNK: usize = 1 << 16;
    let deep = raw.color.depth == Depth::Sixteen;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::with_info(&mut file, info(&raw))?;
    encoder.set_color(match raw.color.channels() {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    });
    encoder.set_depth(if deep { png::BitDepth::Sixteen } else { png::BitDepth::Eight });
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Adaptive);
    if deep {
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
