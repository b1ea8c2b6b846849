//! Pictures read and written: what comes back of every colour type, depth and format, and what is said of what does not.

use std::fs;
use std::path::{Path, PathBuf};

use image::codecs::png::PngEncoder;
use image::{ColorType, DynamicImage, ImageEncoder};
use n2n_gpu::data::files::{picture_formats, save_bytes};
use n2n_gpu::data::picture::{Picture, load_rgb8};
use n2n_gpu::error::{Error, Result};

const WIDTH: usize = 5;
const HEIGHT: usize = 3;
/// The most EXIF data that fits one JPEG segment beside its length and its name.
const JPEG_MAX_EXIF: usize = 65_535 - 2 - 6;

fn picture(grey: bool, alpha: bool, deep: bool) -> Picture {
    with(&image(grey, alpha, deep), None, None)
}

fn image(grey: bool, alpha: bool, deep: bool) -> DynamicImage {
    let channels = if grey { 1 } else { 3 } + usize::from(alpha);
    let values: Vec<u16> = (0..WIDTH * HEIGHT * channels).map(|i| ((i * 7919 + 13) % 65_536) as u16).collect();
    of_values([WIDTH, HEIGHT], channels, deep, &values)
}

/// A picture of 16 bit values, of which one of 8 bit has the upper half.
fn of_values([width, height]: [usize; 2], channels: usize, deep: bool, values: &[u16]) -> DynamicImage {
    let kind = ["GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"][channels - 1];
    let largest = if deep { 65_535 } else { 255 };
    let header = format!("P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {largest}\nTUPLTYPE {kind}\nENDHDR\n");
    let samples = values.iter().flat_map(|v| v.to_be_bytes().into_iter().take(if deep { 2 } else { 1 }));
    let file: Vec<u8> = header.bytes().chain(samples).collect();
    image::load_from_memory(&file).unwrap()
}

/// The bytes of a PNG with a colour profile and EXIF data, by the `image` crate.
fn png(image: &DynamicImage, icc: Option<Vec<u8>>, exif: Option<Vec<u8>>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    icc.into_iter().for_each(|icc| encoder.set_icc_profile(icc).unwrap());
    exif.into_iter().for_each(|exif| encoder.set_exif_metadata(exif).unwrap());
    encoder.write_image(image.as_bytes(), image.width(), image.height(), image.color().into()).unwrap();
    file
}

fn with(image: &DynamicImage, icc: Option<Vec<u8>>, exif: Option<Vec<u8>>) -> Picture {
    Picture::decode("made.png", &png(image, icc, exif)).unwrap()
}

/// What a picture holds, as the `image` crate reads it.
fn pixels(picture: &Picture) -> DynamicImage {
    let folder = folder();
    let path = folder.path().join("seen.png");
    picture.save(&path).unwrap();
    image::open(path).unwrap()
}

fn is_grey(picture: &Picture) -> bool {
    !pixels(picture).color().has_color()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn again(picture: &Picture, name: &str) -> Picture {
    let folder = folder();
    let path = folder.path().join(name);
    picture.save(&path).unwrap();
    Picture::load(&path).unwrap()
}

fn load_bytes(name: &str, bytes: &[u8]) -> Result<Picture> {
    let folder = folder();
    let path = folder.path().join(name);
    save_bytes(&path, bytes).unwrap();
    Picture::load(&path)
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

fn profile(space: &[u8; 4]) -> Vec<u8> {
    [&[0; 16], space.as_slice(), &[0; 108]].concat()
}

/// A TIFF structure with the orientation and nothing else.
fn exif(orientation: u8) -> Vec<u8> {
    [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation], &[0; 7]].concat()
}

#[test]
fn every_colour_type_and_depth_comes_back_as_it_was() {
    for (grey, alpha, deep) in (0..8).map(|i| (i & 1 != 0, i & 2 != 0, i & 4 != 0)) {
        let (before, wanted) = (picture(grey, alpha, deep), image(grey, alpha, deep));
        for name in ["a.png", "a.pam", "a.tif", "a.TIFF", "a.webp", "a.bmp", "a.pnm", "a.ppm", "a.pgm"] {
            if before.header().loses(Path::new(name)).is_some() {
                continue; // the next test says of which formats that may be true
            }
            let after = pixels(&again(&before, name));
            let depth = |color: ColorType| color.bytes_per_pixel() / color.channel_count();
            let color = (after.color().has_alpha(), depth(after.color()));
            assert_eq!((after.to_rgba16(), color), (wanted.to_rgba16(), (alpha, 1 + u8::from(deep))), "{name}");
            let holds_grey = !["a.webp", "a.bmp", "a.ppm"].contains(&name);
            assert_eq!(!after.color().has_color(), grey && holds_grey, "{name} grey {grey} alpha {alpha} deep {deep}");
        }
    }
}

#[test]
fn what_a_format_cannot_hold_is_said() {
    let said = |picture: &Picture, name| picture.header().loses(Path::new(name));
    let loses = |alpha, deep, name| said(&picture(false, alpha, deep), name).unwrap_or_default();
    for name in ["a.png", "a.tif", "a.pam"] {
        assert_eq!(loses(true, true, name), "");
    }
    for name in ["a.webp", "a.bmp"] {
        assert_eq!(loses(true, true, name), "the 16 bit depth");
    }
    assert_eq!(loses(true, true, "a.ppm"), "the alpha channel");
    assert_eq!(loses(true, true, "a.jpg"), "the alpha channel and the 16 bit depth");
    assert_eq!(loses(true, false, "a.jpg"), "the alpha channel");
    assert_eq!(loses(true, true, "a.pgm"), "the colours and the alpha channel");
    assert_eq!(loses(true, true, "a.pbm"), "the colours, the alpha channel and the shades between black and white");
    assert_eq!(said(&picture(true, false, false), "a.pbm").unwrap(), "the shades between black and white");
    let with_metadata = with(&image(false, false, false), Some(profile(b"RGB ")), Some(exif(1)));
    assert_eq!(said(&with_metadata, "a.png"), None);
    assert_eq!(said(&with_metadata, "a.tif"), None);
    assert_eq!(said(&with_metadata, "a.bmp").unwrap(), "the colour profile and the EXIF data");
}

#[test]
fn what_is_lost_is_all_that_is_lost() {
    let deep = picture(false, true, true);
    let shallow = again(&deep, "a.webp");
    assert_eq!((shallow.to_rgb8(), pixels(&shallow).color()), (deep.to_rgb8(), ColorType::Rgba8));
    let colours = picture(false, false, false);
    let mean = |rgb: &[f32]| (rgb.iter().sum::<f32>() / 3.0 * 255.0).round() as u8;
    let means: Vec<u8> = colours.to_rgb().chunks_exact(3).flat_map(|rgb| [mean(rgb); 3]).collect();
    assert_eq!(again(&colours, "a.pgm").to_rgb8(), means);
}

#[test]
fn a_picture_of_one_bit_is_read_and_written() {
    // 9 pixels a row, so that one is in a byte of its own.
    let file = b"P4\n9 2\n\xA5\x80\x00\x00";
    let black_and_white = load_bytes("a.pbm", file).unwrap();
    assert_eq!(black_and_white.to_rgb8()[..9], [0, 0, 0, 255, 255, 255, 0, 0, 0]);
    assert_eq!(again(&black_and_white, "b.pbm"), black_and_white);
    let folder = folder();
    let path = folder.path().join("c.pbm");
    black_and_white.save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), file);
    let shades = with(&of_values([2, 1], 1, false, &[127 << 8, 128 << 8]), None, None);
    assert_eq!(again(&shades, "a.pbm").to_rgb8(), [0, 0, 0, 255, 255, 255]);
}

#[test]
fn jpeg_keeps_grey_and_is_close() {
    for channels in [1, 3] {
        let ramp: Vec<u16> = (0..32 * 16).flat_map(|i| vec![(i % 32 * 4 + i / 32 * 2) << 8; channels]).collect();
        let before = with(&of_values([32, 16], channels, false, &ramp), None, None);
        let after = again(&before, "a.jpeg");
        assert_eq!(is_grey(&after), channels == 1);
        let worst = after.to_rgb().iter().zip(before.to_rgb()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 4.0 / 255.0, "{worst}");
    }
}

#[test]
fn one_pixel_is_a_picture_and_none_is_not() {
    for name in ["a.png", "a.tif", "a.webp", "a.bmp", "a.ppm"] {
        let one = Picture::from_rgb8(1, 1, &[1, 2, 3]);
        assert_eq!(again(&one, name), one, "{name}");
        let none = Picture::from_rgb8(0, 0, &[]).save(&folder().path().join(name));
        assert!(message(none).contains("it has no pixels"), "{name}");
    }
    assert!(load_bytes("a.ppm", b"P6\n0 0\n255\n").is_err());
}

#[test]
fn colour_profile_and_exif_are_kept() {
    let plain = image(false, false, false);
    let before = with(&plain, Some(profile(b"RGB ")), Some(exif(1)));
    assert_eq!((again(&before, "a.png"), again(&before, "a.webp")), (before.clone(), before.clone()));
    // Its pixels are not the same.
    assert_eq!(again(&before, "a.jpg").header(), before.header());
    // A profile for other colours than those of the pixels is wrong there.
    assert_eq!(with(&plain, Some(profile(b"CMYK")), None), picture(false, false, false));
    let grey = with(&image(true, true, false), Some(profile(b"GRAY")), None);
    assert_eq!(grey.header().loses(Path::new("a.webp")).unwrap(), "the colour profile");
    assert_eq!(again(&grey, "a.webp").header().loses(Path::new("a.bmp")), None);
}

#[test]
fn exif_too_long_for_jpeg_is_dropped_and_said() {
    let of_length = |n: usize| with(&image(false, false, false), None, Some([exif(1), vec![0; n - 26]].concat()));
    let long = of_length(70_000);
    assert_eq!(long.header().loses(Path::new("a.jpg")).unwrap(), "the EXIF data");
    assert_eq!(again(&long, "a.jpg").header(), picture(false, false, false).header());
    assert_eq!(again(&long, "a.png"), long);
    let longest = of_length(JPEG_MAX_EXIF);
    assert_eq!(again(&longest, "a.jpg").header(), longest.header());
}

#[test]
fn a_profile_that_inflates_without_end_is_left_out() {
    // 80 MiB of zeros in less than one, and a profile of ordinary size.
    for (len, kept) in [(80 << 20, false), (1 << 20, true)] {
        let bytes = png(&image(false, false, false), Some([profile(b"RGB "), vec![0; len]].concat()), None);
        assert!(bytes.len() < 1 << 20, "{}", bytes.len());
        let read = Picture::decode("a.png", &bytes).unwrap();
        assert_eq!(read.to_rgb(), picture(false, false, false).to_rgb());
        assert_eq!(read.header().loses(Path::new("a.bmp")).is_some(), kept);
    }
}

#[test]
fn pictures_are_turned_upright_once() {
    let sideways = image(true, true, true);
    let upright = with(&sideways, None, Some(exif(6))); // 6: turn right to see it upright
    // The lower left pixel becomes the upper left one.
    assert_eq!(pixels(&upright), sideways.rotate90());
    assert_eq!(upright.header().size(), [HEIGHT, WIDTH]);
    assert_eq!(upright, with(&sideways.rotate90(), None, Some(exif(1))));
    assert_eq!(again(&upright, "b.png"), upright);
}

#[test]
fn the_content_decides_how_a_file_is_read() {
    let folder = folder();
    let (png, jpg) = (folder.path().join("a.png"), folder.path().join("a.jpg"));
    let before = picture(false, true, false);
    before.save(&png).unwrap();
    fs::rename(&png, &jpg).unwrap();
    assert_eq!(Picture::load(&jpg).unwrap(), before);
}

#[test]
fn cmyk_jpeg_becomes_rgb() {
    // Pillow: Image.new("CMYK", (1, 1), (20, 200, 100, 64)).save(.., quality=95, optimize=True)
    let picture = load_bytes("cmyk.jpg", &hex(CMYK_JPEG)).unwrap();
    assert_eq!((picture.header().size(), is_grey(&picture)), ([1, 1], false));
    // (255 - ink) (255 - black) / 255, and Pillow's own answer to within 1.
    for (value, expected) in picture.to_rgb8().into_iter().zip([176_u8, 41, 116]) {
        assert!(value.abs_diff(expected) <= 1, "{value} is not {expected}");
    }
}

#[test]
fn files_cut_short_are_refused() {
    for name in ["a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.ppm"] {
        let folder = folder();
        let path = folder.path().join(name);
        picture(false, false, false).save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in [12, whole.len() / 2, whole.len() * 4 / 5] {
            let text = message(load_bytes(name, &whole[..length]));
            assert!(text.contains("cut short"), "{length} of {}: {text}", whole.len());
            assert!(text.contains(name), "{text}");
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    let folder = folder();
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let image = image(false, true, true);
    let original = with(&image, Some(profile(b"RGB ")), Some(exif(1)));
    for name in ["turned.png", "a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.ppm", "a.pam", "a.pfm", "a.exr", "a.hdr"] {
        let path = folder.path().join(name);
        original.save(&path).unwrap();
        let turned = || png(&image, Some(profile(b"RGB ")), Some(exif(6)));
        let whole = if name == "turned.png" { turned() } else { fs::read(&path).unwrap() };
        for _ in 0..500 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let _ = Picture::decode(name, &bytes); // any answer will do
        }
    }
}

#[test]
fn bytes_are_rounded_and_clamped() {
    let rgb = [-1.0, 0.0, 0.4 / 255.0, 0.6 / 255.0, 128.0 / 255.0, 254.4 / 255.0, 1.0, 7.0, f32::NAN];
    let picture = Picture::from_rgb8(3, 1, &[9; 9]).with_rgb(&rgb);
    assert_eq!(picture.to_rgb8(), [0, 0, 0, 1, 128, 254, 255, 255, 0]);
    // Grey is the mean of the three; alpha stays.
    let grey = with(&of_values([1, 1], 2, false, &[0, 51 << 8]), None, None).with_rgb(&[0.2, 0.4, 0.9]);
    assert_eq!(pixels(&grey).as_bytes(), [128, 51]);
}

#[test]
fn errors_name_the_file_and_say_what_to_do() {
    let folder = folder();
    let missing = folder.path().join("missing.png");
    assert_eq!(message(Picture::load(&missing)), format!("{}: does not exist: check its name and folder", missing.display()));
    assert!(message(Picture::load(folder.path())).contains("is a folder"));
    assert!(message(load_bytes("a.png", b"hello, I am a text\n")).contains("a.png: is not a picture of a known kind"));
    assert!(message(load_bytes("a.png", b"")).contains("is empty"));
    assert!(message(load_bytes("a.png", b"GIF89a and more")).contains("is a GIF file"));
    let huge = message(load_bytes("a.ppm", b"P6\n100000 100000\n255\n"));
    assert!(huge.contains("is too large"), "{huge}");
    for name in ["a", "a.xyz"] {
        let error = picture(false, false, false).save(&folder.path().join(name)).unwrap_err();
        assert!(matches!(&error, Error::Format { problem, .. } if problem.contains("png, jpg, jpeg")), "{error}");
    }
}

#[test]
fn sizes_that_a_format_cannot_have_are_refused_before_the_work() {
    let folder = folder();
    for (name, most) in [("a.jpg", 65_535), ("a.webp", 16_383)] {
        let path = folder.path().join(name);
        let picture = |height: usize| Picture::from_rgb8(1, height, &vec![7; 3 * height]);
        picture(most).header().check(&path, false).unwrap();
        let long = picture(most + 1);
        for message in [long.header().check(&path, false), long.save(&path)].map(message) {
            assert!(
                message.contains(name) && message.contains(&most.to_string()) && message.contains("such as PNG"),
                "{message}"
            );
        }
        assert!(!path.exists());
    }
}

#[test]
fn pictures_load_in_order_and_the_first_error_is_told() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    for (i, name) in ["a.png", "b.png", "c.png"].iter().enumerate() {
        Picture::from_rgb8(2, 1, &[i as u8; 6]).save(&path(name)).unwrap();
    }
    let paths: Vec<PathBuf> = ["c.png", "a.png", "b.png"].iter().map(|name| path(name)).collect();
    let loaded: Vec<(String, u8)> = load_rgb8(&paths).unwrap().into_iter().map(|p| (p.name, p.data[5])).collect();
    assert_eq!(loaded, [("c.png".to_owned(), 2), ("a.png".to_owned(), 0), ("b.png".to_owned(), 1)]);
    let text = message(load_rgb8(&[path("a.png"), path("x.png"), path("y.png")]));
    assert!(text.contains("x.png"), "{text}");
}

#[test]
fn formats_are_named_once_each() {
    assert_eq!(picture_formats(), "PNG, JPEG, TIFF, WebP, BMP, PNM, OpenEXR, Radiance HDR, NumPy");
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks_exact(2).map(|pair| 16 * pair[0] + pair[1]).collect()
}

const CMYK_JPEG: &str = "
    ffd8ffee000e41646f626500640000000000ffdb00430002010101010102010101020202020204030202020205040403
    04060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc000140800010001
    044311004d11005911004b1100ffc400160001010100000000000000000000000000090708ffc4001410010000000000
    0000000000000000000000ffda000e0443004d0059004b00003f006b06dad8df8fffd9";
