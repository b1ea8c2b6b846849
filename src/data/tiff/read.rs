//! Pages of TIFF files, read one by one.

use std::io::{self, Cursor, Read, Seek};

use image::metadata::Orientation;
use tiff::decoder::{BufferLayoutPreference, Decoder, DecodingResult, Limits};
use tiff::encoder::TiffEncoder;
use tiff::{ColorType, TiffError};

use super::palette::{Shown, colours};
use super::write::put;
use super::{Compression, DESCRIPTIVE, STRUCTURE, TiffTags, tag};
use crate::data::decode::{Decoded, INKS, MAX_ALLOCATION, MAX_METADATA, check_pixels};
use crate::data::formats::profile_fits;
use crate::data::ifd::{Entry, TiffLayout};
use crate::data::kinds;
use crate::data::metadata::{Density, Metadata, Own, Unit};
use crate::data::orient::turn;
use crate::data::samples::{Color, Depth, Rows, Samples, byte, word};
use crate::data::transfer::Transfer;

/// Where a page is.
struct Place {
    /// Number and place of its directory.
    number: usize,
    directory: u64,
    palette: bool,
}

/// A file of pages.
pub(in crate::data) struct Reader<R: Read + Seek> {
    decoder: Decoder<Shown<R>>,
    layout: TiffLayout,
    pages: Vec<Place>,
    /// What floating point values of this file are, once a page has said so.
    transfer: Option<Transfer>,
    /// Whether there are smaller copies of pages, which are left out.
    copies: bool,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a file. What is wrong, when something is, is the end of a sentence that the file name begins.
    pub(in crate::data) fn open(mut file: R) -> Result<Self, String> {
        if kinds::is_raw_tiff(&mut file) {
            return Err(kinds::raw());
        }
        let layout = TiffLayout::read(&mut file).map_err(|e| sentence(&e.into()))?;
        let all: Vec<(usize, u64)> = layout.chain(&mut file).into_iter().enumerate().collect();
        // Copies that are reduced (bit 0), and masks (bit 2).
        let in_full = |at: u64, file: &mut R| {
            let (entries, _) = layout.directory(file, at, |tag| tag == tag::SUBFILE).unwrap_or_default();
            find(&entries, tag::SUBFILE).is_none_or(|kind| kind & 0b101 == 0)
        };
        let pages: Vec<_> = all.iter().copied().filter(|(_, at)| in_full(*at, &mut file)).collect();
        let first = pages.first().ok_or("holds nothing but a thumbnail: export it again")?;
        check_stack(layout, &mut file, first.1, pages.len())?;
        let mut file = Shown::new(file);
        let place = |(number, directory)| Place { number, directory, palette: file.make_grey(layout, directory) };
        let pages: Vec<_> = pages.into_iter().map(place).collect();
        file.rewind().map_err(|e| sentence(&e.into()))?;
        let mut limits = Limits::default();
        limits.decoding_buffer_size = MAX_ALLOCATION as usize;
        limits.intermediate_buffer_size = MAX_ALLOCATION as usize;
        limits.ifd_value_size = MAX_METADATA as usize;
        let number = |what: String| if pages.len() > 1 { format!("page 1 of {} {what}", pages.len()) } else { what };
        let decoder = Decoder::new(file).map_err(|e| number(sentence(&e)))?.with_limits(limits);
        let copies = pages.len() < all.len();
        Ok(Self { decoder, layout, pages, transfer: None, copies })
    }

    /// How many pages there are.
    pub(in crate::data) fn count(&self) -> usize {
        self.pages.len()
    }

    /// Page `n`, from 0.
    pub(in crate::data) fn page(&mut self, n: usize) -> Result<Decoded, String> {
        let Place { number, directory, palette } = self.pages[n];
        let (entries, _) = self
            .layout
            .directory(self.decoder.inner(), directory, |tag| ![tag::STRIP_OFFSETS, tag::STRIP_BYTES, 324, 325].contains(&tag))
            .map_err(|e| sentence(&e.into()))?;
        if let Some(what) = unread(&entries) {
            return Err(what.to_owned());
        }
        self.decoder.seek_to_image(number).map_err(|e| sentence(&e))?;
        let (width, height) = self.decoder.dimensions().map_err(|e| sentence(&e))?;
        let mut size = [width as usize, height as usize];
        check_pixels(size, 1)?;
        let (mut rows, dropped) = self.rows(size, &entries)?;
        if palette {
            let (samples, depth) = colours(&rows.samples, &entries)?;
            rows = Rows { color: Color::new(3, depth), samples, ..rows };
        }
        let mut rows = self.with_transfer(rows);
        let mut metadata = self.metadata(entries.clone(), rows.color.grey);
        metadata.dropped.extend(dropped);
        let orientation = find(&entries, tag::ORIENTATION).and_then(|v| Orientation::from_exif(v.min(255) as u8));
        if let Some(orientation) = orientation {
            (rows.samples, size) = turn(rows.samples, size, rows.color.channels(), orientation);
        }
        Ok(Decoded { size, rows, metadata })
    }

    /// The pixels, and what of them is not kept.
    fn rows(&mut self, size: [usize; 2], entries: &[Entry]) -> Result<(Rows, Option<&'static str>), String> {
        let color = self.decoder.colortype().map_err(|e| sentence(&e))?;
        let in_file = find(entries, tag::SAMPLES).unwrap_or(1) as usize;
        let (kept, bits) = match color {
            ColorType::Gray(bits) => (1, bits),
            ColorType::Multiband { bit_depth, num_samples }
                if num_samples == 2 && find(entries, tag::EXTRA_SAMPLES).is_some() =>
            {
                (2, bit_depth)
            }
            ColorType::RGB(bits) => (3, bits),
            ColorType::RGBA(bits) => (4, bits),
            ColorType::CMYK(bits) => (4, bits),
            ColorType::Multiband { num_samples, .. } => {
                return Err(format!("has {num_samples} channels that are no colours: save them as pages or files of their own"));
            }
            _ => return Err("has colours that are not read: save it as grey or RGB".to_owned()),
        };
        if bits == 1 && in_file > 1 {
            return Err("has colours of one bit, which are not read: save it as 8 bit".to_owned());
        }
        let mut buffer = DecodingResult::U8(Vec::new());
        let layout = self.decoder.read_image_to_buffer(&mut buffer).map_err(|e| sentence(&e))?;
        let (samples, depth) = typed(buffer, bits, size)?;
        let samples = interleaved(samples, &layout, size, kept)?;
        let more = (in_file > kept).then_some("the channels beyond colour and alpha");
        let cmyk = matches!(color, ColorType::CMYK(_));
        let (samples, channels) = if cmyk { (rgb_of_inks(&samples)?, 3) } else { (samples, kept) };
        let dropped = if cmyk { Some(INKS) } else { more };
        let rows = Rows { color: Color::new(channels, depth), transfer: Transfer::Display, samples };
        Ok((rows, dropped))
    }

    /// The first page decides for all what values of floating point are.
    fn with_transfer(&mut self, rows: Rows) -> Rows {
        if !rows.color.depth.is_float() {
            return rows;
        }
        let transfer = *self.transfer.get_or_insert_with(|| rows.likely_transfer());
        Rows { transfer, ..rows }
    }

    fn metadata(&mut self, entries: Vec<Entry>, grey: bool) -> Metadata {
        let number = |tag| find(&entries, tag);
        let mut tags = TiffTags {
            entries: Vec::new(),
            compression: Compression::of(number(tag::COMPRESSION).unwrap_or(1)),
            predictor: number(tag::PREDICTOR).is_some_and(|v| v > 1),
            associated: number(tag::EXTRA_SAMPLES) == Some(1),
            big: self.layout.big,
        };
        let mut metadata = Metadata { density: density(&entries), ..Metadata::default() };
        let behind = [tag::SUB_DIRECTORIES, tag::PHOTOSHOP_LAYERS].map(|tag| entries.iter().any(|entry| entry.tag == tag));
        if self.copies || behind[0] {
            metadata.dropped.push("the smaller copies in it");
        }
        if behind[1] {
            metadata.dropped.push("the layers of Photoshop");
        }
        let (entries, inner) = self.layout.with_inner(self.decoder.inner(), entries);
        metadata.exif = exif(&entries, &inner);
        for entry in entries {
            match entry.tag {
                tag::ICC => metadata.icc = Some(entry.bytes).filter(|icc| profile_fits(icc, grey)),
                tag::XMP => metadata.xmp = Some(entry.bytes),
                tag::IPTC => metadata.iptc = Some(entry.bytes),
                tag if STRUCTURE.contains(&tag) => {}
                _ => tags.entries.push(entry),
            }
        }
        if tags != TiffTags::default() {
            metadata.own = Own::Tiff(Box::new(tags));
        }
        metadata
    }
}

/// EXIF data for other formats, of what describes the picture.
fn exif(entries: &[Entry], inner: &[(u16, Vec<Entry>)]) -> Option<Vec<u8>> {
    let described = entries.iter().filter(|entry| DESCRIPTIVE.contains(&entry.tag));
    if inner.is_empty() && described.clone().count() == 0 {
        return None;
    }
    let mut data = Cursor::new(Vec::new());
    let inner = inner.iter().map(|(tag, entries)| (*tag, entries.as_slice()));
    put(&mut TiffEncoder::new(&mut data).ok()?, described, inner).ok()?;
    Some(data.into_inner())
}

/// The first number of a tag.
fn find(entries: &[Entry], tag: u16) -> Option<u64> {
    entries.iter().find(|entry| entry.tag == tag).and_then(Entry::first)
}

fn density(entries: &[Entry]) -> Option<Density> {
    let value = |tag| entries.iter().find(|entry| entry.tag == tag).and_then(Entry::fraction);
    let [x, y] = [value(tag::X_RESOLUTION)?, value(tag::Y_RESOLUTION)?].map(|[a, b]| f64::from(a) / f64::from(b));
    let unit = match find(entries, tag::RESOLUTION_UNIT) {
        Some(1) => Unit::Shape,
        Some(3) => Unit::Centimetre,
        _ => Unit::Inch,
    };
    (x.is_normal() && y.is_normal()).then_some(Density { x, y, unit })
}

/// What pages hold that is not read.
fn unread(entries: &[Entry]) -> Option<&'static str> {
    match find(entries, tag::PHOTOMETRIC) {
        Some(3) => return Some("has a palette of other than 8 bit, which is not read: save it as RGB"),
        Some(6) => return Some("has colours as YCbCr, which are not read in TIFF files: save it as RGB"),
        Some(8..=10) => return Some("has colours as Lab, which are not read: convert it to RGB"),
        _ => {}
    }
    let bits = find(entries, tag::BITS).unwrap_or(1);
    match (find(entries, tag::SAMPLE_FORMAT).unwrap_or(1), bits) {
        (1 | 4, 1 | 8 | 16) | (3, 16 | 32) => None,
        (1 | 4, 32 | 64) | (2, _) => {
            Some("has samples of 32 bit or signed whole numbers: save it as 16 bit or as 32 bit floating point")
        }
        (3, _) => Some("has floating point samples that are neither half nor single precision: save it as 32 bit floating point"),
        _ => Some("has samples that are not of 1, 8 or 16 bit: save it as 8 or 16 bit"),
    }
}

/// `ImageJ` writes stacks that are too large for TIFF with one directory alone, whose text says how many pages follow.
fn check_stack(layout: TiffLayout, file: &mut (impl Read + Seek), first: u64, pages: usize) -> Result<(), String> {
    let (entries, _) = layout.directory(file, first, |tag| tag == tag::DESCRIPTION).unwrap_or_default();
    let text = entries.first().map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned()).unwrap_or_default();
    let images = text.lines().find_map(|line| line.strip_prefix("images=")?.trim().parse::<usize>().ok());
    match images {
        Some(images) if text.starts_with("ImageJ=") && pages == 1 && images > 1 => {
            Err(format!("is a stack of {images} pages of which only ImageJ finds all: save it as OME-TIFF or BigTIFF"))
        }
        _ => Ok(()),
    }
}

/// Samples in their type; of one bit, unpacked.
fn typed(buffer: DecodingResult, bits: u8, [width, _]: [usize; 2]) -> Result<(Samples, Depth), String> {
    Ok(match buffer {
        DecodingResult::U8(packed) if bits == 1 => {
            let row = |row: &[u8]| -> Vec<u8> { (0..width).map(|x| 255 * (row[x / 8] >> (7 - x % 8) & 1)).collect() };
            (Samples::Bytes(packed.chunks_exact(width.div_ceil(8)).flat_map(row).collect()), Depth::One)
        }
        DecodingResult::U8(v) => (Samples::Bytes(v), Depth::Eight),
        DecodingResult::U16(v) => (Samples::Words(v), Depth::Sixteen),
        DecodingResult::F16(v) => (Samples::Halves(v), Depth::Half),
        DecodingResult::F32(v) => (Samples::Floats(v), Depth::Float),
        _ => return Err("has samples of a type that is not read: save it as 8 or 16 bit".to_owned()),
    })
}

/// Samples pixel by pixel, `kept` of each, where planes follow each other or pixels have more.
fn interleaved(samples: Samples, layout: &BufferLayoutPreference, size: [usize; 2], kept: usize) -> Result<Samples, String> {
    let pixels = size[0] * size[1];
    if layout.planes > 1 {
        if samples.len() < pixels * kept {
            return Err("is damaged: planes are missing".to_owned());
        }
        return Ok(samples.gather((0..pixels).flat_map(|i| (0..kept).map(move |c| c * pixels + i))));
    }
    let there = samples.len() / pixels;
    if there < kept || there * pixels != samples.len() {
        return Err("is damaged: samples are missing".to_owned());
    }
    if there == kept {
        return Ok(samples);
    }
    Ok(samples.gather((0..pixels).flat_map(|i| (0..kept).map(move |c| i * there + c))))
}

/// Red, green and blue of what cyan, magenta, yellow and black leave of white.
fn rgb_of_inks(samples: &Samples) -> Result<Samples, String> {
    let light = |ink: f32, black: f32| (1.0 - ink) * (1.0 - black);
    let rgb = |at: usize, c: usize| light(samples.value(at + c), samples.value(at + 3));
    let values = (0..samples.len()).step_by(4).flat_map(|at| (0..3).map(move |c| (at, c)));
    match samples {
        Samples::Bytes(_) => Ok(Samples::Bytes(values.map(|(at, c)| byte(rgb(at, c))).collect())),
        Samples::Words(_) => Ok(Samples::Words(values.map(|(at, c)| word(rgb(at, c))).collect())),
        _ => Err("has inks (CMYK) of floating point, which are not read: save it as RGB".to_owned()),
    }
}

/// An error of the crate as the end of a sentence.
fn sentence(error: &TiffError) -> String {
    match error {
        TiffError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => "is cut short: copy or export it again".to_owned(),
        TiffError::IoError(e) if e.raw_os_error().is_some() => format!("cannot be read: {e}"),
        TiffError::UnsupportedError(e) => {
            format!("is a TIFF file of a kind that cannot be read ({e}): save it uncompressed, as RGB")
        }
        TiffError::LimitsExceeded => "is too large: cut it into several files".to_owned(),
        e => format!("is damaged or cut short ({e}): copy or export it again"),
    }
}
