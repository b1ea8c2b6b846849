//! Segments of JPEG files: metadata that the decoder leaves to us and the encoder does not write.

use image::codecs::jpeg::{JpegEncoder, PixelDensity, PixelDensityUnit};
use image::{ImageEncoder, Luma, Rgb};

use super::encode::{Failure, MISSING, Raw};
use super::metadata::{Density, Metadata, Unit};
use super::streamed::Streamed;

const QUALITY: u8 = 95;

/// The most that a segment holds beside its length.
pub(super) const MAX_SEGMENT: usize = 65_535 - 2;

const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP13: u8 = 0xED;

pub(super) const XMP_NAME: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const XMP_EXTENSION: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";
/// A resource of Photoshop: mark, number of IPTC records, empty name padded to an even length.
const IPTC_RESOURCE: &[u8] = b"8BIM\x04\x04\0\0";
/// What is around IPTC records in a segment: the names and a length.
pub(super) const IPTC_AROUND: usize = PHOTOSHOP.len() + IPTC_RESOURCE.len() + 4;

/// The segments before the first scan: marker and content. Ends early where the file is damaged.
fn segments(file: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = file.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        while let [0xFF, 0xFF, ..] = rest {
            rest = &rest[1..];
        }
        let [0xFF, marker, high, low, ..] = *rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let content = rest.get(4..2 + length)?;
        rest = &rest[2 + length..];
        (marker != 0xDA).then_some((marker, content))
    })
}

/// Adds what segments say to the metadata of a file.
pub(super) fn read_segments(file: &[u8], metadata: &mut Metadata) {
    for (marker, content) in segments(file) {
        match marker {
            APP0 => metadata.density = content.strip_prefix(b"JFIF\0").and_then(density).or(metadata.density),
            APP1 if content.starts_with(XMP_NAME) => metadata.xmp = Some(content[XMP_NAME.len()..].to_vec()),
            APP1 if content.starts_with(XMP_EXTENSION) => add(&mut metadata.dropped, "the extended XMP data"),
            APP2 if content.starts_with(b"MPF\0") => add(&mut metadata.dropped, "the pictures behind the first (as a gain map)"),
            APP13 => metadata.iptc = content.strip_prefix(PHOTOSHOP).and_then(iptc).or(metadata.iptc.take()),
            _ => {}
        }
    }
}

fn add(list: &mut Vec<&'static str>, what: &'static str) {
    if !list.contains(&what) {
        list.push(what);
    }
}

/// Of a JFIF segment, behind its name: version, unit, density. Pixels without unit that are square say nothing.
fn density(content: &[u8]) -> Option<Density> {
    let [_, _, unit, a, b, c, d, ..] = *content else { return None };
    let [x, y] = [[a, b], [c, d]].map(|bytes| f64::from(u16::from_be_bytes(bytes)));
    let unit = [Unit::Shape, Unit::Inch, Unit::Centimetre].into_iter().nth(unit.into())?;
    (x > 0.0 && y > 0.0 && (unit != Unit::Shape || x != y)).then_some(Density { x, y, unit })
}

/// The IPTC records among resources of Photoshop: mark, number, name, length, content; the last three padded to even lengths.
fn iptc(mut resources: &[u8]) -> Option<Vec<u8>> {
    loop {
        let [b'8', b'B', b'I', b'M', high, low, name, ..] = *resources else { return None };
        let behind_name = resources.get(6 + (usize::from(name) + 2) / 2 * 2..)?;
        let length = u32::from_be_bytes(*behind_name.first_chunk()?) as usize;
        let content = behind_name.get(4..4 + length)?;
        if [high, low] == [4, 4] {
            return Some(content.to_vec());
        }
        resources = behind_name.get(4 + length.next_multiple_of(2)..)?;
    }
}

/// The file of a picture, made row by row.
pub(super) fn encode(raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, QUALITY);
    let Raw { metadata, .. } = raw;
    if let Some(icc) = metadata.icc {
        encoder.set_icc_profile(icc.to_vec())?;
    }
    if let Some(exif) = metadata.exif {
        encoder.set_exif_metadata(exif.to_vec())?;
    }
    if let Some(density) = metadata.density.and_then(pixel_density) {
        encoder.set_pixel_density(density);
    }
    let size = [raw.width, raw.height];
    let missing = if raw.color.grey {
        let rows = Streamed::<Luma<u8>>::new(size, raw.bands);
        encoder.encode_image(&rows)?;
        rows.ended_early()
    } else {
        let rows = Streamed::<Rgb<u8>>::new(size, raw.bands);
        encoder.encode_image(&rows)?;
        rows.ended_early()
    };
    if missing {
        return Err(MISSING.into());
    }
    // Behind the JFIF segment, which has to be the first.
    let mut more = Vec::new();
    if let Some(xmp) = metadata.xmp {
        more.extend(segment(APP1, &[XMP_NAME, xmp]));
    }
    if let Some(iptc) = metadata.iptc {
        let padding: &[u8] = if iptc.len().is_multiple_of(2) { &[] } else { &[0] };
        let length = (iptc.len() as u32).to_be_bytes();
        more.extend(segment(APP13, &[PHOTOSHOP, IPTC_RESOURCE, &length, iptc, padding]));
    }
    let behind = 4 + usize::from(u16::from_be_bytes([file[4], file[5]]));
    file.splice(behind..behind, more);
    Ok(file)
}

fn segment(marker: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len() + 2).expect("longer ones are left out before");
    [&[0xFF, marker], length.to_be_bytes().as_slice(), &content].concat()
}

/// Whole numbers, of inches where the unit is metres. Those that are out of range are none.
fn pixel_density(density: Density) -> Option<PixelDensity> {
    let density = if density.unit == Unit::Metre { density.per(Unit::Inch) } else { density };
    let unit = match density.unit {
        Unit::Shape => PixelDensityUnit::PixelAspectRatio,
        Unit::Centimetre => PixelDensityUnit::Centimeters,
        Unit::Inch | Unit::Metre => PixelDensityUnit::Inches,
    };
    let [x, y] = [density.x, density.y].map(|v| v.round() as u16);
    (x > 0 && y > 0).then_some(PixelDensity { density: (x, y), unit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iptc_is_found_behind_other_resources() {
        // One with a name of three letters and three bytes, then the records.
        let resources = b"8BIM\x03\xed\x03abc\0\0\0\x03xyz\x008BIM\x04\x04\0\0\0\0\0\x05hello\0";
        assert_eq!(iptc(resources).unwrap(), b"hello");
        (0..resources.len()).for_each(|length| assert!(iptc(&resources[..length]).is_none_or(|v| v == b"hello")));
    }

    #[test]
    fn what_is_not_kept_is_noted_once() {
        let extended = segment(APP1, &[XMP_EXTENSION, &[0; 50]]);
        let file = [&[0xFF, 0xD8], &extended[..], &extended, &segment(APP2, &[b"MPF\0", &[0; 9]])].concat();
        let mut metadata = Metadata::default();
        read_segments(&file, &mut metadata);
        assert_eq!(metadata.dropped, ["the extended XMP data", "the pictures behind the first (as a gain map)"]);
    }
}
