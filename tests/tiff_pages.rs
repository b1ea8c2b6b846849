//! TIFF files of all kinds: pages, planes, tiles, byte orders, compressions, BigTIFF; and what of them is refused.

#[path = "common/tiff.rs"]
mod tiff_files;

use std::fs;
use std::io::Cursor;
use std::path::Path;

use n2n_gpu::data::picture::{Header, Pages, Picture, Rows, save_pages};
use n2n_gpu::error::Result;
use tiff::decoder::ifd::Value;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::encoder::{Compression, DeflateLevel, Predictor, TiffEncoder, colortype};
use tiff::tags::Tag;
use tiff_files::{Page, file, long, short, text};

fn grey(number: u8) -> Page {
    Page::bytes([3, 2], 1, &[number, 10, 20, 30, 40, 50])
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

fn refused(bytes: &[u8]) -> String {
    message(Picture::decode("a.tif", bytes))
}

fn pages(bytes: &[u8]) -> Vec<Result<Picture>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    fs::write(&path, bytes).unwrap();
    Pages::open(&path).map_or_else(|e| vec![Err(e)], Iterator::collect)
}

/// The bytes of a file of these pictures, as it is written while their rows are made: here, all at once.
fn written(pictures: &[Picture]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let rows = |picture: &Picture| -> Result<(Header, std::vec::IntoIter<Result<Rows>>)> {
        let all: Vec<Result<Rows>> = (0..picture.height()).map(|y| Ok(picture.row(y))).collect();
        Ok((picture.header().clone(), all.into_iter()))
    };
    save_pages(&path, pictures.iter().map(rows)).unwrap();
    fs::read(&path).unwrap()
}

fn tag(decoder: &mut Decoder<Cursor<&[u8]>>, number: u16) -> Option<Value> {
    decoder.find_tag(Tag::from_u16_exhaustive(number)).unwrap()
}

#[test]
fn pages_keep_their_order_and_their_tags() {
    let stack = "ImageJ=1.54f\nimages=3\nslices=3\nspacing=0.5\nunit=micron\n";
    let made: Vec<Page> = [5, 6, 7].iter().map(|n| grey(*n).with(text(270, stack)).with((65_000, 3, vec![*n, 0]))).collect();
    let pictures: Vec<Picture> = pages(&file(&made, &[])).into_iter().map(Result::unwrap).collect();
    assert_eq!(pictures.iter().map(|p| p.to_rgb8()[0]).collect::<Vec<_>>(), [5, 6, 7]);
    let bytes = written(&pictures);
    let mut decoder = Decoder::new(Cursor::new(&bytes[..])).unwrap();
    for n in 5..=7 {
        let DecodingResult::U8(samples) = decoder.read_image().unwrap() else { panic!("other samples") };
        assert_eq!(samples, [n, 10, 20, 30, 40, 50]);
        assert_eq!(tag(&mut decoder, 270), Some(Value::Ascii(stack.to_owned())));
        assert_eq!(tag(&mut decoder, 65_000), Some(Value::Short(n.into())));
        assert_eq!(decoder.more_images(), n < 7);
        if n < 7 {
            decoder.next_image().unwrap();
        }
    }
    // As a single picture it is none, and no other format takes it.
    assert!(refused(&file(&made, &[])).contains("has 3 pages"));
    assert!(message(pictures[0].header().check(Path::new("a.png"), true)).contains("cannot hold 3 pages: end its name in tif"));
    pictures[0].header().check(Path::new("a.tiff"), false).unwrap();
}

#[test]
fn smaller_copies_are_no_pages_and_are_said_to_be_left_out() {
    let thumbnail = Page::bytes([1, 1], 1, &[99]).with(long(254, 1));
    let picture = &pages(&file(&[grey(5), thumbnail], &[]))[..];
    let [Ok(picture)] = picture else { panic!("{picture:?}") };
    assert_eq!(picture.header().dropped().unwrap(), "the smaller copies in it");
}

#[test]
fn a_broken_page_is_named_by_its_number() {
    let mut made = vec![grey(1); 12];
    made[8] = grey(1).with(long(273, 1 << 30));
    let read = pages(&file(&made, &[]));
    let failed: Vec<usize> = (0..12).filter(|n| read[*n].is_err()).collect();
    assert_eq!(failed, [8]);
    let message = read[8].as_ref().unwrap_err().to_string();
    assert!(message.contains("a.tif: page 9 of 12 is cut short"), "{message}");
    // A chain of directories that leads nowhere, and one that goes in a circle.
    let mut bytes = file(&[grey(1), grey(2)], &[]);
    let link = bytes.len() - 4;
    for target in [1_u32 << 30, 14] {
        bytes[link..].copy_from_slice(&target.to_le_bytes());
        let read = pages(&bytes);
        assert_eq!((read.len(), read[0].is_ok(), read[2].is_err()), (3, true, true), "{target}");
    }
}

#[test]
fn planes_tiles_and_byte_orders_are_read() {
    let rgb: Vec<u8> = (0..18).collect();
    let picture = Picture::decode("a.tif", &file(&[Page::bytes([3, 2], 3, &rgb)], &[])).unwrap();
    // Three strips, one for each plane.
    let plane = |c: usize| rgb.iter().copied().skip(c).step_by(3).collect::<Vec<u8>>();
    let offsets = [8_u32, 14, 20].map(u32::to_le_bytes).concat();
    let planar = Page::bytes([3, 2], 3, &[plane(0), plane(1), plane(2)].concat());
    let planar = planar.with(short(284, 2)).with((273, 4, offsets)).with((279, 4, [6_u32; 3].map(u32::to_le_bytes).concat()));
    assert_eq!(Picture::decode("a.tif", &file(&[planar], &[])).unwrap(), picture);
    // A tile of 16x16 in which the picture has the upper left corner.
    let mut tile = vec![0; 16 * 16 * 3];
    (0..2).for_each(|y| tile[y * 48..y * 48 + 9].copy_from_slice(&rgb[y * 9..y * 9 + 9]));
    let mut tiled = Page::bytes([3, 2], 3, &tile);
    tiled = tiled.with(short(322, 16)).with(short(323, 16)).with(long(324, 8)).with(long(325, 768));
    let bytes = file(&[tiled], &[]);
    // Strips of the helper's, which a tiled file does not have: their numbers become those of private tags, the last of all.
    let bytes = without_strips(bytes);
    assert_eq!(Picture::decode("a.tif", &bytes).unwrap().to_rgb8(), rgb);
    // Big-endian words.
    let big = b"MM\0*\0\0\0\x0c\x01\x02\xff\xfe\0\x08\x01\0\0\x04\0\0\0\x01\0\0\0\x02\x01\x01\0\x04\0\0\0\x01\0\0\0\x01\
        \x01\x02\0\x03\0\0\0\x01\0\x10\0\0\x01\x06\0\x03\0\0\0\x01\0\x01\0\0\x01\x11\0\x04\0\0\0\x01\0\0\0\x08\
        \x01\x15\0\x03\0\0\0\x01\0\x01\0\0\x01\x16\0\x04\0\0\0\x01\0\0\0\x01\x01\x17\0\x04\0\0\0\x01\0\0\0\x04\0\0\0\0";
    let values = Picture::decode("a.tif", big).unwrap().to_rgb();
    assert_eq!([values[0], values[3]], [258.0 / 65_535.0, 65_534.0 / 65_535.0]);
}

/// Renumbers the entries of strips to tags that nobody has, in a file of one page.
fn without_strips(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    let count = usize::from(bytes[at]);
    let mut rows: Vec<[u8; 12]> = bytes[at + 2..at + 2 + 12 * count].as_chunks().0.to_vec();
    for row in &mut rows {
        let tag = u16::from_le_bytes([row[0], row[1]]);
        if [273, 278, 279].contains(&tag) {
            row[..2].copy_from_slice(&(tag + 65_000).to_le_bytes());
        }
    }
    rows.sort_by_key(|row| u16::from_le_bytes([row[0], row[1]]));
    bytes[at + 2..at + 2 + 12 * count].copy_from_slice(rows.as_flattened());
    bytes
}

#[test]
fn compression_and_bigtiff_are_kept() {
    let words: Vec<u16> = (0..40 * 30 * 3).map(|i| (i * i % 65_536) as u16).collect();
    let deflate = Compression::Deflate(DeflateLevel::Balanced);
    for (compression, number) in
        [(Compression::Lzw, 5), (deflate, 8), (Compression::Packbits, 32_773), (Compression::Uncompressed, 1)]
    {
        for predictor in [Predictor::None, Predictor::Horizontal] {
            let mut bytes = Cursor::new(Vec::new());
            let encoder = TiffEncoder::new_big(&mut bytes).unwrap();
            let mut encoder = encoder.with_compression(compression).with_predictor(predictor);
            encoder.write_image::<colortype::RGB16>(40, 30, &words).unwrap();
            let picture = Picture::decode("a.tif", bytes.get_ref()).unwrap();
            let back = written(std::slice::from_ref(&picture));
            assert_eq!(Picture::decode("b.tif", &back).unwrap(), picture, "{number} {predictor:?}");
            assert_eq!(back[2], 43);
            let mut decoder = Decoder::new(Cursor::new(&back[..])).unwrap();
            assert_eq!(tag(&mut decoder, 259), Some(Value::Short(number)));
            let DecodingResult::U16(seen) = decoder.read_image().unwrap() else { panic!("other samples") };
            assert_eq!(seen, words);
        }
    }
}

/// The predictor of floating point, which this program's reader does not write and the `tiff` crate only reads.
#[test]
fn differences_of_floats_are_read_by_others() {
    let values: Vec<f32> = (0..7 * 5 * 3).map(|i| 0.5 + 0.4 * (i as f32 * 0.37).sin()).collect();
    for float in [Page::floats([7, 5], 3, &values), Page::halves([7, 5], 3, &values)] {
        let plain = Picture::decode("a.tif", &file(std::slice::from_ref(&float), &[])).unwrap();
        // Says that it is compressed with differences, of which a strip of zeros is an example.
        let zeros = Page { data: vec![0; float.data.len()], ..float };
        let compressed = Picture::decode("a.tif", &file(&[zeros.with(short(317, 3))], &[])).unwrap();
        let back = written(&[compressed.with_rgb(&plain.to_rgb())]);
        assert_eq!(tag(&mut Decoder::new(Cursor::new(&back[..])).unwrap(), 317), Some(Value::Short(3)));
        let seen = Picture::decode("b.tif", &back).unwrap();
        assert_eq!(seen.to_rgb(), plain.to_rgb());
    }
}

#[test]
fn palettes_are_expanded() {
    let colours = |number: usize| [number * 2 % 256, 255 - number, number / 2];
    let palette = |word: fn(usize) -> usize| -> Vec<u8> {
        (0..3).flat_map(|c| (0..256).flat_map(move |n| (word(colours(n)[c]) as u16).to_le_bytes())).collect()
    };
    let page = |word| grey(200).with(short(262, 3)).with((320, 3, palette(word)));
    for word in [|v| v * 257, |v| v << 8] {
        let read: Vec<Picture> = pages(&file(&[grey(1), page(word)], &[])).into_iter().map(Result::unwrap).collect();
        assert_eq!(read[0].to_rgb8()[..3], [1; 3]);
        let wanted: Vec<u8> = [200, 10, 20, 30, 40, 50].into_iter().flat_map(colours).map(|v| v as u8).collect();
        assert_eq!(read[1].to_rgb8(), wanted);
        assert_eq!(read[1].header().loses(Path::new("a.ppm")), None);
    }
    let deep = Picture::decode("a.tif", &file(&[page(|v| v * 200)], &[])).unwrap();
    assert_eq!(deep.header().loses_of_pixels(Path::new("a.webp")).unwrap(), "the 16 bit depth");
}

#[test]
fn inks_become_rgb_and_it_is_said() {
    let page = Page::bytes([1, 1], 4, &[20, 200, 100, 64]).with(short(262, 5)).with((338, 3, Vec::new()));
    let picture = Picture::decode("a.tif", &file(&[page], &[])).unwrap();
    assert_eq!(picture.to_rgb8(), [176, 41, 116]);
    assert!(picture.header().dropped().unwrap().contains("CMYK became RGB"));
}

#[test]
fn kinds_that_are_not_read_are_refused_with_what_to_do() {
    let rgb = |tag| Page::bytes([1, 1], 3, &[1, 2, 3]).with(tag);
    let cases = [
        (rgb(short(262, 8)), "Lab", "RGB"),
        (rgb(short(262, 9)), "Lab", "RGB"),
        (rgb(short(262, 6)), "YCbCr", "RGB"),
        (Page { bits: 4, ..grey(1) }.with(short(262, 3)), "palette", "RGB"),
        (grey(1).with(short(262, 3)), "palette is no whole one", "damaged"),
        (Page { bits: 32, ..grey(1) }, "32 bit or signed", "16 bit"),
        (Page { bits: 12, ..grey(1) }, "not of 1, 8 or 16 bit", "16 bit"),
        (Page { bits: 64, float: true, ..grey(1) }, "neither half nor single", "32 bit floating point"),
        (Page::bytes([1, 1], 5, &[1, 2, 3, 4, 5]).with(short(262, 1)), "5 channels", "pages"),
        (grey(1).with(text(270, "ImageJ=1.54f\nimages=40\n")), "40 pages", "OME-TIFF"),
    ];
    for (page, what, how) in cases {
        let message = refused(&file(&[page], &[]));
        assert!(message.starts_with("a.tif: ") && message.contains(what) && message.contains(how), "{message}");
    }
}

#[test]
fn values_that_are_not_finite_are_refused_with_their_place() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = [0.5; 3 * 2 * 3];
        values[(3 + 2) * 3 + 1] = value;
        for page in [Page::floats([3, 2], 3, &values), Page::halves([3, 2], 3, &values)] {
            let message = refused(&file(&[page], &[]));
            assert!(message.contains("infinite or not a number at column 2, row 1"), "{message}");
        }
    }
    // Alpha is none of a network's business.
    let page = Page::floats([1, 1], 4, &[0.1, 0.2, 0.3, f32::NAN]);
    Picture::decode("a.tif", &file(&[page], &[])).unwrap();
}

#[test]
fn floats_within_a_displays_range_are_taken_as_they_are_and_others_as_linear_light() {
    let read = |values: &[f32]| Picture::decode("a.tif", &file(&[Page::floats([1, 1], 3, values)], &[])).unwrap();
    assert_eq!(read(&[0.5, -0.25, 1.25]).to_rgb(), [0.5, -0.25, 1.25]);
    let seen = read(&[0.5, -0.25, 1.26]).to_rgb();
    assert!((seen[0] - 0.7354).abs() < 1e-3 && (seen[1] + 0.5371).abs() < 1e-3 && seen[2] > 1.0, "{seen:?}");
    // The first page decides, so that a stack is treated alike.
    let stack = file(&[Page::floats([1, 1], 1, &[0.5]), Page::floats([1, 1], 1, &[2.0])], &[]);
    assert_eq!(pages(&stack)[1].as_ref().unwrap().to_rgb(), [2.0; 3]);
}

#[test]
fn damaged_pages_never_panic() {
    let rgb = Page::words([3, 2], 3, &[7000; 18]).with(short(274, 6)).with((34_675, 7, vec![1; 40]));
    let palette = grey(200).with(short(262, 3)).with((320, 3, vec![5; 1536]));
    let one = Page { bits: 1, size: [12, 2], data: vec![0xA5; 4], ..grey(0) };
    let whole = file(&[rgb, palette, one, Page::floats([3, 2], 4, &[0.5; 24])], &[(34_665, vec![text(36_867, "2026")])]);
    assert!(pages(&whole).iter().all(Result::is_ok));
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random(3) {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        for picture in pages(&bytes).into_iter().flatten() {
            // What was read can be written.
            assert_eq!(picture.to_rgb().len(), 3 * picture.width() * picture.height());
        }
    }
}
