//! Formats x depths x metadata: what comes back of each, and that what does not is said before. The table of docs/formats.md is
//! made of it.

#[path = "common/tiff.rs"]
mod tiff_files;

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::tiff::TiffDecoder;
use image::{ImageDecoder, ImageReader};
use n2n_gpu::data::files::picture_extensions;
use n2n_gpu::data::picture::Picture;
use tiff::decoder::{Decoder, DecodingResult};
use tiff_files::{Page, Tag, file, fraction, short, text};

const SIZE: [u32; 2] = [7, 5];

fn noise(count: u32) -> impl Iterator<Item = u16> {
    (0..count).map(|i| (i * 7919 + 13) as u16)
}

/// A picture of so many channels, as a TIFF file.
fn page(depth: &str, channels: u16) -> Page {
    let count = SIZE[0] * SIZE[1] * u32::from(channels);
    // Linear light of wide range, some of it negative.
    let values: Vec<f32> = noise(count).map(|v| (f32::from(v) - 3000.0) / 20.0).collect();
    match depth {
        "8 bit" => Page::bytes(SIZE, channels, &noise(count).map(|v| (v >> 8) as u8).collect::<Vec<_>>()),
        "16 bit" => Page::words(SIZE, channels, &noise(count).collect::<Vec<_>>()),
        "half" => Page::halves(SIZE, channels, &values),
        _ => Page::floats(SIZE, channels, &values),
    }
}

fn read(name: &str, bytes: &[u8]) -> Picture {
    Picture::decode(name, bytes).unwrap()
}

/// What saving to a file of that extension leaves, with the bytes of the file.
fn again(picture: &Picture, extension: &str) -> (Picture, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a").with_extension(extension);
    picture.save(&path).unwrap();
    (Picture::load(&path).unwrap(), fs::read(&path).unwrap())
}

/// The samples, as the `tiff` crate sees them in a file of this program's.
fn samples(picture: &Picture) -> (tiff::ColorType, DecodingResult) {
    let (_, file) = again(picture, "tif");
    let mut decoder = Decoder::new(Cursor::new(file)).unwrap();
    (decoder.colortype().unwrap(), decoder.read_image().unwrap())
}

/// Whether values come back to half a level of their depth.
fn is_close(depth: &str, a: &Picture, b: &Picture) -> bool {
    let close = |a: f32, b: f32| match depth {
        "8 bit" => (a - b).abs() < 0.5 / 255.0,
        "16 bit" => (a - b).abs() < 0.5 / 65_535.0,
        _ => (a - b).abs() <= 1e-6 * a.abs().max(1.0),
    };
    a.header().size() == b.header().size() && a.to_rgb().into_iter().zip(b.to_rgb()).all(|(a, b)| close(a, b))
}

/// The last sample of every pixel, scaled to 1.
fn alpha(picture: &Picture) -> Vec<f32> {
    match samples(picture).1 {
        DecodingResult::U8(v) => v.chunks(4).map(|v| f32::from(v[3]) / 255.0).collect(),
        DecodingResult::U16(v) => v.chunks(4).map(|v| f32::from(v[3]) / 65_535.0).collect(),
        DecodingResult::F16(v) => v.chunks(4).map(|v| v[3].to_f32()).collect(),
        DecodingResult::F32(v) => v.chunks(4).map(|v| v[3]).collect(),
        _ => panic!("samples of another kind"),
    }
}

fn profile(space: &[u8; 4]) -> Vec<u8> {
    [&[0; 16], space.as_slice(), &[0; 108]].concat()
}

const XMP: &str = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>stars <a tiff:Orientation=\"1\"/></x:xmpmeta>";
const IPTC: &[u8] = b"\x1c\x02\x78\0\x05hello";

/// A page with all the metadata that several formats hold.
fn with_metadata() -> Vec<u8> {
    let tags: [Tag; 8] = [
        (34_675, 7, profile(b"RGB ")),
        // It is upright as the file is read.
        (700, 1, XMP.replace("=\"1\"", "=\"6\"").into_bytes()),
        (33_723, 7, IPTC.to_vec()),
        fraction(282, 300, 1),
        fraction(283, 150, 1),
        short(296, 2),
        text(271, "Maker"),
        text(65_000, "of a program"),
    ];
    let page = tags.into_iter().fold(page("8 bit", 3), Page::with);
    file(&[page], &[(34_665, vec![text(36_867, "2026:01:02 03:04:05")])])
}

/// Whether each kind of metadata is in a file, told without this program's own readers where there are others.
fn metadata(extension: &str, bytes: &[u8]) -> [bool; 5] {
    let contains = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let (mut icc, mut xmp) = (false, false);
    if ["png", "jpg", "tif", "webp"].contains(&extension) {
        // The limits of the other decoder leave out a profile that is longer than the pixels.
        let mut decoder: Box<dyn ImageDecoder> = match extension {
            "tif" => Box::new(TiffDecoder::new(Cursor::new(bytes)).unwrap()),
            _ => Box::new(ImageReader::new(Cursor::new(bytes)).with_guessed_format().unwrap().into_decoder().unwrap()),
        };
        icc = decoder.icc_profile().unwrap() == Some(profile(b"RGB "));
        xmp = decoder.xmp_metadata().unwrap().as_deref() == Some(XMP.as_bytes());
        let exif = decoder.exif_metadata().unwrap();
        assert!(extension == "tif" || exif.is_some_and(|exif| exif.windows(5).any(|window| window == b"Maker")));
    }
    // 300 and 150 per inch: per metre, as whole numbers with their unit, as fractions.
    let density = match extension {
        "png" => contains(b"pHYs\0\0\x2e\x23\0\0\x17\x12\x01"),
        "bmp" => bytes[38..46] == [11_811_u32, 5906].map(u32::to_le_bytes).concat(),
        "jpg" => contains(b"JFIF\0\x01\x02\x01\x01\x2c\0\x96"),
        "tif" => contains(&[300_u32, 1, 150, 1].map(u32::to_le_bytes).concat()),
        _ => false,
    };
    [icc, contains(b"2026:01:02 03:04:05"), xmp, contains(IPTC), density]
}

fn yes(kept: bool) -> &'static str {
    if kept { "yes" } else { "-" }
}

/// A row of the table, checked against what is said before.
fn row(extension: &str) -> String {
    let name = format!("a.{extension}");
    let path = Path::new(&name);
    let kept = |picture: &Picture, kept: bool| {
        assert_eq!(picture.header().check(path, false).is_ok(), kept, "{extension}: {:?}", picture.header().loses(path));
        assert_eq!(picture.header().loses_of_pixels(path).is_none(), kept, "{extension}");
        picture.header().check(path, true).unwrap();
        yes(kept)
    };
    let mut cells = vec![format!(".{extension}")];
    for depth in ["8 bit", "16 bit", "half", "float"] {
        let channels = if ["pbm", "pgm"].contains(&extension) { 1 } else { 3 };
        let picture = read("a.tif", &file(&[page(depth, channels)], &[]));
        let close = is_close(depth, &picture, &again(&picture, extension).0);
        // Which is not lossless, but nothing that one could choose.
        cells.push(kept(&picture, close || (extension, depth) == ("jpg", "8 bit")).to_owned());
    }
    let grey = read("a.tif", &file(&[page("8 bit", 1)], &[]));
    let stays = matches!(samples(&again(&grey, extension).0).0, tiff::ColorType::Gray(_));
    cells.push(yes(stays).to_owned());
    // Of a depth that the format holds.
    let depth = if ["pfm", "exr", "hdr"].contains(&extension) { "float" } else { "8 bit" };
    let coloured = read("a.tif", &file(&[page(depth, 4)], &[]));
    let (back, _) = again(&coloured, extension);
    let stays = matches!(samples(&back).0, tiff::ColorType::RGBA(_)) && alpha(&back) == alpha(&coloured);
    cells.push(kept(&coloured, stays).to_owned());
    let rich = read("a.tif", &with_metadata());
    let there = metadata(extension, &again(&rich, extension).1);
    let lost = rich.header().loses(path).unwrap_or_default();
    for (name, there) in
        ["the colour profile", "the EXIF data", "the XMP data", "the IPTC data", "the resolution"].into_iter().zip(there)
    {
        // EXIF data holds it as well; losses of pixels come first.
        let elsewhere = name == "the resolution" && extension == "webp" && !there;
        assert!(
            rich.header().loses_of_pixels(path).is_some() || lost.contains(name) != there || elsewhere,
            "{extension}: {name} {lost}"
        );
        cells.push(yes(there).to_owned());
    }
    format!("| {} |", cells.join(" | "))
}

#[test]
fn what_every_format_keeps_is_what_the_documentation_says() {
    let head = "| | 8 bit | 16 bit | half | float | grey | alpha | ICC | EXIF | XMP | IPTC | resolution |\n|---|---|---|---|---|---|---|---|---|---|---|---|";
    let extensions = picture_extensions();
    // Of a format with two, the first.
    let formats = extensions.split(", ").filter(|extension| !["jpeg", "tiff"].contains(extension));
    let rows: Vec<String> = formats.map(row).collect();
    let table = format!("{head}\n{}\n", rows.join("\n"));
    let docs = fs::read_to_string("docs/formats.md").unwrap();
    assert!(docs.contains(&table), "docs/formats.md should have this table:\n{table}");
}

/// Every depth, colour and alpha in the formats that hold all, to the last bit; and in both byte orders of memory and file.
#[test]
fn samples_come_back_to_the_last_bit() {
    for depth in ["8 bit", "16 bit", "half", "float"] {
        for channels in 1..=4 {
            let before = read("a.tif", &file(&[page(depth, channels)], &[]));
            let after = again(&before, "tif").0;
            assert_eq!(format!("{:?}", samples(&after)), format!("{:?}", samples(&before)), "{depth}, {channels} channels");
            if ["half", "float"].contains(&depth) {
                let after = again(&before, "exr").0;
                assert_eq!(format!("{:?}", samples(&after)), format!("{:?}", samples(&before)), "{depth}, {channels} channels");
                // And what a network gives back when it changes nothing.
                let same = before.clone().with_rgb(&before.to_rgb());
                assert!(is_close(depth, &before, &same) && (depth == "float" || same == before), "{depth}");
            }
        }
    }
}

#[test]
fn a_radiance_picture_comes_back_to_the_last_bit_with_its_header() {
    let values: Vec<f32> = noise(SIZE[0] * SIZE[1] * 3).map(|v| f32::from(v) / 1000.0).collect();
    let picture = read("a.tif", &file(&[Page::floats(SIZE, 3, &values)], &[]));
    let (once, bytes) = again(&picture, "hdr");
    let header = b"#?RADIANCE\nEXPOSURE=2.5\nVIEW= -vtv\n";
    let bytes = [header, &bytes[b"#?RADIANCE\n".len()..]].concat();
    let with_header = read("a.hdr", &bytes);
    assert_eq!(with_header.to_rgb(), once.to_rgb());
    assert_eq!(again(&with_header, "hdr"), (with_header, bytes));
}

#[test]
fn metadata_goes_from_format_to_format_and_back() {
    let first = read("a.tif", &with_metadata());
    for extension in ["png", "jpg", "tif", "bmp"] {
        let there = again(&first, extension).0;
        let (back, file) = again(&there, "tif");
        let kept = metadata("tif", &file);
        assert_eq!(kept[..3], [extension != "bmp"; 3], "{extension}");
        assert_eq!(kept[3], ["jpg", "tif"].contains(&extension), "{extension}");
        let mut decoder = Decoder::new(Cursor::new(file)).unwrap();
        let resolution = [282, 283].map(|tag| match decoder.get_tag(tiff::tags::Tag::from_u16_exhaustive(tag)).unwrap() {
            tiff::decoder::ifd::Value::Rational(n, d) => f64::from(n) / f64::from(d),
            other => panic!("{other:?}"),
        });
        assert!((resolution[0] - 300.0).abs() < 0.1 && (resolution[1] - 150.0).abs() < 0.1, "{extension}: {resolution:?}");
        assert_eq!(back.header().size(), first.header().size());
    }
    assert_eq!(again(&first, "tif").0, first);
}
