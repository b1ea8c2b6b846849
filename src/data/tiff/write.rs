//! TIFF files page by page, strip by strip, with the tags of the pages that they were made of.

use std::io::{self, Seek, Write};

use tiff::encoder::compression::{CompressionAlgorithm, Deflate, DeflateLevel, Lzw, Packbits};
use tiff::encoder::{DirectoryEncoder, Rational, TiffEncoder, TiffKind, TiffKindBig};
use tiff::tags::{Tag, Type};
use tiff::{Directory, TiffError, TiffResult};

use super::{Compression, STRUCTURE, TiffTags, tag};
use crate::data::encode::{Failure, MISSING, Raw};
use crate::data::ifd::{self, Entry};
use crate::data::metadata::{Own, Unit};
use crate::data::samples::{Color, Depth};

/// Bytes of a strip before it is compressed, if a row does not take more.
const STRIP: usize = 1 << 18;

/// Bytes of all samples from which on a file is BigTIFF: offsets of others end at 4 GiB.
const BIG: u64 = 0xF000_0000;

/// A file to which pages are written one after the other.
pub(in crate::data) enum Writer<W: Write + Seek> {
    Small(TiffEncoder<W>),
    Big(TiffEncoder<W, TiffKindBig>),
}

impl<W: Write + Seek> Writer<W> {
    /// Begins a file of so many pages like the first. It is BigTIFF if that came from one, or if they are too large.
    pub(in crate::data) fn new(file: W, pages: usize, first: &Raw) -> io::Result<Self> {
        let large = (first.len() as u64).saturating_mul(pages as u64) > BIG;
        let big = large || matches!(first.metadata.own, Own::Tiff(tags) if tags.big);
        let failed = |e| if let TiffError::IoError(e) = e { e } else { io::Error::other(e) };
        if big {
            TiffEncoder::new_generic(file).map(Self::Big).map_err(failed)
        } else {
            TiffEncoder::new(file).map(Self::Small).map_err(failed)
        }
    }

    /// Writes a page.
    pub(in crate::data) fn page(&mut self, raw: Raw) -> Result<(), Failure> {
        match self {
            Self::Small(encoder) => write_page(encoder, raw),
            Self::Big(encoder) => write_page(encoder, raw),
        }
    }
}

fn write_page<W: Write + Seek, K: TiffKind>(encoder: &mut TiffEncoder<W, K>, raw: Raw) -> Result<(), Failure> {
    let new = TiffTags::default();
    let own = match raw.metadata.own {
        Own::Tiff(tags) => tags,
        _ => &new,
    };
    let exif = raw.metadata.exif.and_then(ifd::exif);
    let (described, inner) = exif.unwrap_or_default();
    let inner = inner.iter().map(|(tag, entries)| inner_directory(encoder, entries).map(|at| (*tag, at)));
    let inner = inner.collect::<TiffResult<Vec<_>>>()?;
    let mut directory = encoder.image_directory()?;
    let from_tiff = matches!(raw.metadata.own, Own::Tiff(_));
    let entries = if from_tiff { &own.entries } else { &described };
    entries.iter().filter(|entry| !STRUCTURE.contains(&entry.tag)).try_for_each(|entry| put_entry(&mut directory, entry))?;
    for (tag, offset) in inner {
        directory.write_tag(number(tag), offset)?;
    }
    put_metadata(&mut directory, &raw, entries)?;
    put_structure(&mut directory, &raw, own)?;
    put_strips(&mut directory, raw, own)?;
    Ok(directory.finish()?)
}

fn number(tag: u16) -> Tag {
    Tag::from_u16_exhaustive(tag)
}

fn put_entry<W: Write + Seek, K: TiffKind>(directory: &mut DirectoryEncoder<W, K>, entry: &Entry) -> TiffResult<()> {
    let written = directory.write_entry_bytes(entry.kind, &entry.bytes)?;
    directory.extend_from(&Directory::from_iter([(number(entry.tag), written)]));
    Ok(())
}

fn inner_directory<W: Write + Seek, K: TiffKind>(
    encoder: &mut TiffEncoder<W, K>,
    entries: &[Entry],
) -> TiffResult<K::OffsetType> {
    let mut directory = encoder.extra_directory()?;
    entries.iter().try_for_each(|entry| put_entry(&mut directory, entry))?;
    Ok(directory.finish_with_offsets()?.offset)
}

/// Writes entries, and directories that they point to, as a structure without pixels.
pub(super) fn put<'e, W: Write + Seek>(
    encoder: &mut TiffEncoder<W>,
    entries: impl Iterator<Item = &'e Entry>,
    inner: impl Iterator<Item = (u16, &'e [Entry])>,
) -> TiffResult<()> {
    let inner = inner.map(|(tag, entries)| Ok((tag, inner_directory(encoder, entries)?))).collect::<TiffResult<Vec<_>>>()?;
    let mut directory = encoder.image_directory()?;
    entries.into_iter().try_for_each(|entry| put_entry(&mut directory, entry))?;
    inner.into_iter().try_for_each(|(tag, offset)| directory.write_tag(number(tag), offset))?;
    directory.finish()
}

/// What other formats have as well; the resolution where the `entries` that are written do not say it.
fn put_metadata<W: Write + Seek, K: TiffKind>(
    directory: &mut DirectoryEncoder<W, K>,
    raw: &Raw,
    entries: &[Entry],
) -> TiffResult<()> {
    let metadata = &raw.metadata;
    for (tag, kind, data) in [
        (tag::ICC, Type::UNDEFINED, metadata.icc),
        (tag::XMP, Type::BYTE, metadata.xmp),
        (tag::IPTC, Type::UNDEFINED, metadata.iptc),
    ] {
        if let Some(data) = data {
            put_entry(directory, &Entry { tag, kind, bytes: data.to_vec() })?;
        }
    }
    let said = entries.iter().any(|entry| entry.tag == tag::X_RESOLUTION);
    if let Some(density) = metadata.density.filter(|_| !said) {
        let density = if density.unit == Unit::Metre { density.per(Unit::Inch) } else { density };
        let fraction = |v: f64| Rational { n: (v * 1000.0).round() as u32, d: 1000 };
        directory.write_tag(Tag::XResolution, fraction(density.x))?;
        directory.write_tag(Tag::YResolution, fraction(density.y))?;
        let unit: u16 = match density.unit {
            Unit::Shape => 1,
            Unit::Inch | Unit::Metre => 2,
            Unit::Centimetre => 3,
        };
        directory.write_tag(Tag::ResolutionUnit, unit)?;
    }
    Ok(())
}

/// What the pixels are.
fn put_structure<W: Write + Seek, K: TiffKind>(
    directory: &mut DirectoryEncoder<W, K>,
    raw: &Raw,
    own: &TiffTags,
) -> TiffResult<()> {
    let Color { grey, alpha, depth } = raw.color;
    let channels = raw.color.channels();
    directory.write_tag(number(tag::WIDTH), raw.width)?;
    directory.write_tag(number(tag::HEIGHT), raw.height)?;
    directory.write_tag(number(tag::BITS), &vec![8 * depth.bytes() as u16; channels][..])?;
    directory.write_tag(number(tag::COMPRESSION), own.compression.number())?;
    directory.write_tag(number(tag::PHOTOMETRIC), if grey { 1_u16 } else { 2 })?;
    directory.write_tag(number(tag::SAMPLES), channels as u16)?;
    directory.write_tag(number(tag::PLANAR), 1_u16)?;
    directory.write_tag(number(tag::SAMPLE_FORMAT), &vec![if depth.is_float() { 3_u16 } else { 1 }; channels][..])?;
    if alpha {
        directory.write_tag(number(tag::EXTRA_SAMPLES), if own.associated { 1_u16 } else { 2 })?;
    }
    if own.predictor {
        directory.write_tag(number(tag::PREDICTOR), if depth.is_float() { 3_u16 } else { 2 })?;
    }
    Ok(())
}

/// The pixels.
fn put_strips<W: Write + Seek, K: TiffKind>(
    directory: &mut DirectoryEncoder<W, K>,
    raw: Raw,
    own: &TiffTags,
) -> Result<(), Failure> {
    let row = raw.width as usize * raw.color.bytes();
    let rows = (STRIP / row).clamp(1, raw.height as usize);
    let (color, mut left) = (raw.color, raw.len());
    let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
    let mut waiting: Vec<u8> = Vec::new();
    for band in raw.bands {
        left = left.checked_sub(band.len()).ok_or(MISSING)?;
        waiting.extend_from_slice(&band);
        let whole = if left == 0 { waiting.len() } else { waiting.len() / (rows * row) * rows * row };
        for strip in waiting[..whole].chunks(rows * row) {
            let strip = compressed(strip, row, color, own)?;
            lengths.push(strip.len() as u64);
            offsets.push(directory.write_data(&strip[..])?);
        }
        waiting.drain(..whole);
    }
    if left > 0 {
        return Err(MISSING.into());
    }
    directory.write_tag(number(tag::STRIP_ROWS), rows as u32)?;
    put_offsets(directory, tag::STRIP_OFFSETS, &offsets)?;
    put_offsets(directory, tag::STRIP_BYTES, &lengths)?;
    Ok(())
}

fn put_offsets<W: Write + Seek, K: TiffKind>(directory: &mut DirectoryEncoder<W, K>, tag: u16, values: &[u64]) -> TiffResult<()> {
    let values = values.iter().map(|v| K::convert_offset(*v)).collect::<TiffResult<Vec<_>>>()?;
    directory.write_tag(number(tag), K::convert_slice(&values))
}

fn compressed(strip: &[u8], row: usize, color: Color, own: &TiffTags) -> Result<Vec<u8>, Failure> {
    let mut strip = strip.to_vec();
    if own.predictor {
        strip.chunks_exact_mut(row).for_each(|row| differences(row, color));
    }
    let mut out = Vec::new();
    match own.compression {
        Compression::None => return Ok(strip),
        Compression::Lzw => Lzw.write_to(&mut out, &strip)?,
        Compression::Deflate => Deflate::with_level(DeflateLevel::Balanced).write_to(&mut out, &strip)?,
        Compression::PackBits => Packbits.write_to(&mut out, &strip)?,
    };
    Ok(out)
}

/// Puts differences between neighbouring pixels in place of a row's samples: of whole numbers, or of the bytes of floating point
/// numbers, the high ones of all first (TIFF Technical Note 3).
fn differences(row: &mut [u8], color: Color) {
    let channels = color.channels();
    match color.depth {
        Depth::One | Depth::Eight => subtract(row, channels),
        Depth::Sixteen => {
            let mut words: Vec<u16> = row.as_chunks().0.iter().map(|v| u16::from_ne_bytes(*v)).collect();
            (channels..words.len()).rev().for_each(|i| words[i] = words[i].wrapping_sub(words[i - channels]));
            row.copy_from_slice(bytemuck::cast_slice(&words));
        }
        Depth::Half | Depth::SharedExponent | Depth::Float => {
            let bytes = color.depth.bytes();
            let significance = |byte: usize| if cfg!(target_endian = "little") { bytes - 1 - byte } else { byte };
            let planes: Vec<u8> =
                (0..bytes).flat_map(|byte| row.iter().copied().skip(significance(byte)).step_by(bytes)).collect();
            row.copy_from_slice(&planes);
            subtract(row, channels);
        }
    }
}

fn subtract(row: &mut [u8], channels: usize) {
    (channels..row.len()).rev().for_each(|i| row[i] = row[i].wrapping_sub(row[i - channels]));
}
