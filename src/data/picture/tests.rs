//! Tests of reading and writing pictures.

use image::codecs::tiff::TiffEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::*;
use crate::data::files::save_bytes;
use crate::data::formats::JPEG_MAX_EXIF;

const WIDTH: usize = 5;
const HEIGHT: usize = 3;

/// Values that 8 or 16 bit hold exactly.
fn picture(grey: bool, alpha: bool, deep: bool) -> Picture {
    let largest = if deep { 65_535.0 } else { 255.0 };
    let value = |i: usize| ((i * 7919 + 13) % (largest as usize + 1)) as f32 / largest;
    let pixels = WIDTH * HEIGHT;
    let rgb = (0..3 * pixels).map(|i| value(if grey { i / 3 } else { i })).collect();
    let alpha = alpha.then(|| (0..pixels).map(|i| value(i + 100)).collect());
    Picture { width: WIDTH, height: HEIGHT, rgb, alpha, grey, deep, icc: None, exif: None }
}

pub(in crate::data) fn folder() -> tempfile::TempDir {
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

pub(in crate::data) fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
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
        let before = picture(grey, alpha, deep);
        for name in ["a.png", "a.pam", "a.tif", "a.TIFF", "a.webp", "a.bmp", "a.pnm", "a.ppm", "a.pgm"] {
            if before.loses(Path::new(name)).is_some() {
                continue; // the next test says of which formats that may be true
            }
            let after = again(&before, name);
            assert_eq!((&after.rgb, &after.alpha, after.deep), (&before.rgb, &before.alpha, deep), "{name}");
            let holds_grey = match name {
                "a.webp" | "a.bmp" | "a.ppm" => false,
                "a.tif" | "a.TIFF" => !alpha,
                _ => true,
            };
            assert_eq!(after.grey, grey && holds_grey, "{name} grey {grey} alpha {alpha} deep {deep}");
        }
    }
}

#[test]
fn what_a_format_cannot_hold_is_said() {
    let loses = |alpha, deep, name| picture(false, alpha, deep).loses(Path::new(name));
    for name in ["a.png", "a.tif", "a.pam"] {
        assert_eq!(loses(true, true, name), None);
    }
    for name in ["a.webp", "a.bmp"] {
        assert_eq!(loses(true, true, name), Some("the 16 bit depth"));
    }
    assert_eq!(loses(true, true, "a.ppm"), Some("the alpha channel"));
    assert_eq!(loses(true, true, "a.jpg"), Some("the alpha channel and the 16 bit depth"));
    assert_eq!(loses(true, false, "a.jpg"), Some("the alpha channel"));
    assert_eq!(loses(true, true, "a.pgm"), Some("the colours and the alpha channel"));
    let with_metadata = Picture { icc: Some(profile(b"RGB ")), exif: Some(exif(1)), ..picture(false, false, false) };
    assert_eq!(with_metadata.loses(Path::new("a.png")), None);
    assert_eq!(with_metadata.loses(Path::new("a.tif")), Some("the EXIF data"));
    assert_eq!(with_metadata.loses(Path::new("a.bmp")), Some("the colour profile and the EXIF data"));
}

#[test]
fn what_is_lost_is_all_that_is_lost() {
    let deep = picture(false, true, true);
    let shallow = again(&deep, "a.webp");
    assert_eq!((shallow.to_rgb8(), shallow.deep), (deep.to_rgb8(), false));
    assert!(shallow.alpha.is_some());
    let colours = picture(false, false, false);
    let mean = |rgb: &[f32]| (rgb.iter().sum::<f32>() / 3.0 * 255.0).round() as u8;
    let means: Vec<u8> = colours.rgb.chunks_exact(3).flat_map(|rgb| [mean(rgb); 3]).collect();
    assert_eq!(again(&colours, "a.pgm").to_rgb8(), means);
}

#[test]
fn jpeg_keeps_grey_and_is_close() {
    for grey in [false, true] {
        let ramp: Vec<u8> = (0..32 * 16).flat_map(|i| [(i % 32 * 4 + i / 32 * 2) as u8; 3]).collect();
        let before = Picture { grey, ..Picture::from_rgb8(32, 16, &ramp) };
        let after = again(&before, "a.jpeg");
        assert_eq!(after.grey, grey);
        let worst = after.rgb.iter().zip(&before.rgb).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
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
    let before = Picture { icc: Some(profile(b"RGB ")), exif: Some(exif(1)), ..picture(false, false, false) };
    for (name, keeps_exif) in [("a.png", true), ("a.jpg", true), ("a.webp", true), ("a.tif", false)] {
        let after = again(&before, name);
        assert_eq!(after.icc, before.icc, "{name}");
        assert_eq!(after.exif, before.exif.clone().filter(|_| keeps_exif), "{name}");
    }
    let wrong = Picture { icc: Some(profile(b"CMYK")), ..before };
    assert_eq!(again(&wrong, "a.png").icc, None);
    assert_eq!(wrong.loses(Path::new("a.png")), Some("the colour profile"));
}

#[test]
fn exif_too_long_for_jpeg_is_dropped_and_said() {
    let long = Picture { exif: Some([exif(1), vec![0; 70_000]].concat()), ..picture(false, false, false) };
    assert_eq!(long.loses(Path::new("a.jpg")), Some("the EXIF data"));
    assert_eq!(again(&long, "a.jpg").exif, None);
    assert_eq!(again(&long, "a.png").exif, long.exif);
    let longest = Picture { exif: Some([exif(1), vec![0; JPEG_MAX_EXIF - 26]].concat()), ..long };
    assert_eq!(again(&longest, "a.jpg").exif, longest.exif);
}

#[test]
fn pictures_are_turned_upright_once() {
    let sideways = Picture { exif: Some(exif(6)), ..picture(true, true, true) }; // 6: turn right to see it upright
    let upright = again(&sideways, "a.png");
    assert_eq!((upright.width, upright.height), (HEIGHT, WIDTH));
    let corner = 3 * (HEIGHT - 1) * WIDTH; // the lower left pixel becomes the upper left one
    assert_eq!(upright.rgb[0], sideways.rgb[corner]);
    assert_eq!(upright.exif, Some(exif(1)));
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
    assert_eq!((picture.width, picture.height, picture.grey), (1, 1, false));
    // (255 - ink) (255 - black) / 255, and Pillow's own answer to within 1.
    for (value, expected) in picture.to_rgb8().into_iter().zip([176_u8, 41, 116]) {
        assert!(value.abs_diff(expected) <= 1, "{value} is not {expected}");
    }
}

#[test]
fn floating_point_tiff_is_clamped_and_saved_as_sixteen_bit() {
    let mut file = Cursor::new(Vec::new());
    let values = [0.0_f32, 0.5, 2.0, f32::NAN, -1.0, 1.0];
    let samples: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    TiffEncoder::new(&mut file).write_image(&samples, 2, 1, ExtendedColorType::Rgb32F).unwrap();
    let picture = load_bytes("a.tif", file.get_ref()).unwrap();
    assert_eq!(picture.rgb, [0.0, 0.5, 1.0, 0.0, 0.0, 1.0]);
    assert!(picture.deep);
    assert_eq!(again(&picture, "b.tif").rgb, [0.0, 32_768.0 / 65_535.0, 1.0, 0.0, 0.0, 1.0]);
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
    for name in ["a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.ppm", "a.pam"] {
        let path = folder.path().join(name);
        Picture { icc: Some(profile(b"RGB ")), exif: Some(exif(6)), ..picture(false, true, true) }.save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for _ in 0..500 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let _ = decode(&bytes); // any answer will do
        }
    }
}

#[test]
fn bytes_are_rounded_and_clamped() {
    let rgb = vec![-1.0, 0.0, 0.4 / 255.0, 0.6 / 255.0, 128.0 / 255.0, 254.4 / 255.0, 1.0, 7.0, f32::NAN];
    let picture = Picture { rgb, ..Picture::from_rgb8(3, 1, &[0; 9]) };
    assert_eq!(picture.to_rgb8(), [0, 0, 0, 1, 128, 254, 255, 255, 0]);
    assert_eq!(again(&picture, "a.png").to_rgb8(), picture.to_rgb8());
}

#[test]
fn errors_name_the_file_and_say_what_to_do() {
    let folder = folder();
    let missing = folder.path().join("missing.png");
    assert_eq!(message(Picture::load(&missing)), format!("{}: does not exist: check its name and folder", missing.display()));
    assert!(message(Picture::load(folder.path())).contains("is a folder"));
    assert!(message(load_bytes("a.png", b"hello, I am a text\n")).contains("a.png: is not a picture of a known kind"));
    assert!(message(load_bytes("a.png", b"")).contains("is empty"));
    assert!(message(load_bytes("a.png", b"GIF89a and more")).contains("is a picture of kind GIF"));
    let huge = message(load_bytes("a.ppm", b"P6\n100000 100000\n255\n"));
    assert!(huge.contains("is too large"), "{huge}");
    for name in ["a", "a.xyz"] {
        let error = picture(false, false, false).save(&folder.path().join(name)).unwrap_err();
        assert!(matches!(&error, Error::Format { problem, .. } if problem.contains("png, jpg, jpeg")), "{error}");
    }
    assert!(message(Picture::from_rgb8(65_536, 1, &[0; 3 * 65_536]).save(&folder.path().join("a.jpg"))).contains("a.jpg"));
    assert!(message(Picture::from_rgb8(16_385, 1, &[0; 3 * 16_385]).save(&folder.path().join("a.webp"))).contains("a.webp"));
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

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks_exact(2).map(|pair| 16 * pair[0] + pair[1]).collect()
}

const CMYK_JPEG: &str = "
    ffd8ffee000e41646f626500640000000000ffdb00430002010101010102010101020202020204030202020205040403
    04060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc000140800010001
    044311004d11005911004b1100ffc400160001010100000000000000000000000000090708ffc4001410010000000000
    0000000000000000000000ffda000e0443004d0059004b00003f006b06dad8df8fffd9";
