//! The camera against what it is made from: counts, demosaicking, curve, and JPEG files of another program.

use image::codecs::jpeg::JpegEncoder;

use super::*;
use crate::noise::jpeg;

const CAMERA: Camera = Camera { gain: [2.0; 2], read: 3.0, quality: 0.0 };

fn stream(exposure: u32) -> Stream {
    Stream { step: 3, seed: 11, exposure }
}

/// Settings that leave colours alone, so that a sensor counts `white` times the light.
fn plain(white: f64) -> Settings<f64> {
    Settings { white, balance: [1.0; 3], saturation: 0.0, mosaic: None, ..CAMERA.settings(stream(0), 0) }
}

fn moments(values: impl Iterator<Item = f64> + Clone, n: f64) -> [f64; 3] {
    let mean = values.clone().sum::<f64>() / n;
    let about = |power| values.clone().map(|v| (v - mean).powi(power)).sum::<f64>() / n;
    [mean, about(2), about(3)]
}

/// Mean m, variance m + read^2, third moment m; their errors as those of a normal number, of 16 times that variance for the
/// third.
#[test]
fn a_sensor_counts_as_poisson_does_with_read_noise() {
    for light in [0.0, 0.3, 4.0, 15.9, 16.1, 60.0, 900.0] {
        let settings = plain(1000.0);
        let v = encode(light / 1000.0);
        let n = 60_000_u32;
        let drawn = |exposure, scale: f64| move |p: u32| settings.sense(stream(exposure), p, [v; 3]).map(|v| v * scale);
        for (exposure, factor) in [(0, 1.0), (1, f64::from(LIGHT))] {
            let drawn = drawn(exposure, 1000.0 * factor);
            let [mean, variance, third] = moments((0..n).flat_map(drawn), 3.0 * f64::from(n));
            let (m, n) = (light * factor, 3.0 * f64::from(n));
            let s2 = m + 9.0;
            assert!((mean - m).abs() < 4.5 * (s2 / n).sqrt(), "mean {mean} of {m}");
            assert!((variance - s2).abs() < 4.5 * s2 * (2.5 / n).sqrt(), "variance {variance} of {s2}");
            assert!((third - m).abs() < 4.5 * s2.powf(1.5) * (16.0 / n).sqrt(), "third moment {third} of {m}");
        }
    }
}

#[test]
fn exposures_and_colours_are_independent() {
    let settings = plain(500.0);
    let n = 20_000_u32;
    let noise = |exposure, c: usize| (0..n).map(move |p| settings.sense(stream(exposure), p, [0.5; 3])[c] - decode(0.5));
    let correlation = |a: (u32, usize), b: (u32, usize)| {
        let dot = |x: (u32, usize), y: (u32, usize)| noise(x.0, x.1).zip(noise(y.0, y.1)).map(|(x, y)| x * y).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    for (a, b) in [((0, 0), (1, 0)), ((0, 1), (0, 2)), ((1, 0), (1, 1)), ((1, 2), (2, 2))] {
        assert!(correlation(a, b).abs() < 4.5 / f64::from(n).sqrt(), "{a:?} {b:?}: {}", correlation(a, b));
    }
}

/// A quarter of the pictures have no mosaic; a sixth of them are not rounded, a sixth of 8 bits; gains are spread over all
/// doublings alike.
#[test]
fn settings_are_spread_as_told() {
    let camera = Camera { gain: [0.5, 8.0], quality: DRAWN, ..CAMERA };
    let all: Vec<Settings<f64>> = (0..6000).map(|n| camera.settings(stream(0), n)).collect();
    let share = |of: fn(&Settings<f64>) -> bool| all.iter().filter(|s| of(s)).count() as f64 / 6000.0;
    for (found, wanted) in [
        (share(|s| s.mosaic.is_none()), 0.25),
        (share(|s| s.quality == 0), 1.0 / 6.0),
        (share(|s| s.quality == 100), 1.0 / 6.0),
        (share(|s| s.white > 1000.0), 0.25),
        (share(|s| s.white < 250.0), 0.25),
        (share(|s| s.halved), 0.75),
        (share(|s| s.phase == [1, 0]), 0.25),
    ] {
        assert!((found - wanted).abs() < 4.5 * (0.25 / 6000.0_f64).sqrt(), "{found} of {wanted}");
    }
    let between = |low: f64, high: f64, v: f64| (low..=high).contains(&v);
    assert!(
        all.iter().all(|s| between(125.0, 2000.0, s.white) && between(1.2, 2.4, s.balance[0]) && between(1.2, 2.2, s.balance[2]))
    );
    assert!(all.iter().all(|s| s.quality <= 98 || s.quality == 100));
}

/// All exposures of a picture and all their pixels see the same camera.
#[test]
fn exposures_share_their_settings() {
    let of = |exposure| format!("{:?}", CAMERA.settings::<f64>(stream(exposure), 4));
    assert_eq!(of(0), of(3));
}

/// Colours that change evenly come through any mosaic unchanged, away from the borders, with and without the correction.
#[test]
fn demosaicking_keeps_even_gradients() {
    let size = [12, 14];
    for phase in [[0, 0], [0, 1], [1, 0], [1, 1]] {
        for correction in [0.0, 0.4, 1.0] {
            let settings = Settings { phase, mosaic: Some(correction), ..plain(100.0) };
            let colour = |row: usize, column: usize| [0.1, 0.2, 0.3].map(|v| v + 0.01 * row as f64 + 0.02 * column as f64);
            for (row, column) in (2..10).flat_map(|row| (2..12).map(move |column| (row, column))) {
                let seen = settings.develop(colour, size, [row, column], 0);
                let wanted = colour(row, column).map(encode);
                assert!(
                    seen.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12),
                    "{phase:?} {row} {column}: {seen:?}, not {wanted:?}"
                );
            }
        }
    }
}

/// The filters of Malvar, He and Cutler 2004, figure 2, at a site of each kind, written out.
#[test]
fn the_correction_is_that_of_malvar_he_and_cutler() {
    let settings = Settings { phase: [0, 0], ..plain(100.0) };
    let weight = |from: [i32; 2], at: [usize; 2], colour: usize| {
        let raw = |down: i32, right: i32| f64::from(u8::from([down, right] == from)) * 8.0;
        settings.demosaic(raw, at, 1.0)[colour]
    };
    // Green at red, red at green in a red row, red at green in a blue row, red at blue.
    for (at, colour, own, cross, far, diagonal) in [
        ([4, 4], 1, 4.0, [2.0, 2.0], [-1.0, -1.0], 0.0),
        ([4, 5], 0, 5.0, [4.0, 0.0], [-1.0, 0.5], -1.0),
        ([5, 4], 0, 5.0, [0.0, 4.0], [0.5, -1.0], -1.0),
        ([5, 5], 0, 6.0, [0.0, 0.0], [-1.5, -1.5], 2.0),
    ] {
        let found = [[0, 0], [0, 1], [1, 0], [0, 2], [2, 0], [1, -1]].map(|from| weight(from, at, colour));
        assert_eq!(found, [own, cross[0], cross[1], far[0], far[1], diagonal], "{at:?}");
    }
}

/// The curve bends, so that noise moves the mean by f''(v) var / 2: a target's by an eighth of what it would be with the input's
/// noise.
#[test]
fn the_curve_moves_the_mean_as_its_second_derivative_tells() {
    let settings = plain(250.0);
    for v in [0.2, 0.4, 0.7] {
        let light: f64 = decode(v);
        let second = 1.055 * (1.0 / 2.4) * (1.0 / 2.4 - 1.0) * light.powf(1.0 / 2.4 - 2.0);
        let n = 200_000_u32;
        let pixel = |p| settings.develop(|_, _| settings.sense(stream(1), p, [v; 3]), [1, 1], [0, 0], 1);
        let [mean, variance, _] = moments((0..n).flat_map(pixel), 3.0 * f64::from(n));
        let white = 250.0 * f64::from(LIGHT);
        let predicted = second / 2.0 * (light / white + 9.0 / (white * white));
        let error = (variance / (3.0 * f64::from(n))).sqrt();
        assert!((mean - v - predicted).abs() < 4.5 * error + 0.1 * predicted.abs(), "{v}: {} of {predicted}", mean - v);
        // At ISO 400, less than half a grey level.
        assert!(predicted.abs() < 0.5 / 255.0, "{predicted}");
    }
}

/// A picture (H, W, 3), written and read.
fn through_file(settings: &Settings<f64>, at: impl Fn(usize, usize) -> [f64; 3], [h, w]: [usize; 2]) -> Vec<[f64; 3]> {
    let mut file = vec![[0.0; 3]; w * h];
    for band in 0..h.div_ceil(jpeg::SIDE) {
        settings.compress_band(&at, [h, w], band, |row, column, put| file[(band * jpeg::SIDE + row) * w + column] = put);
    }
    let put = |row: usize, column: usize| file[row * w + column];
    (0..w * h).map(|p| settings.decompress(put, [h, w], [p / w, p % w])).collect()
}

/// The same as a file of that quality, written and read by others, but for their arithmetic in integers.
#[test]
fn what_jpeg_rounds_is_what_files_hold() {
    let (w, h) = (37, 21);
    // Colours change slowly, as the other program halves them.
    let texture = |pixel: usize| (pcg4d([pixel as u32, 0, 0, 0])[0] % 60) as f64;
    let value = |i: usize| 90.0 + texture(i / 3) + (30 * (i % 3)) as f64 * (i / 3 % w) as f64 / w as f64;
    let rgb: Vec<u8> = (0..w * h * 3).map(|i| value(i) as u8).collect();
    for quality in [30, 75, 92] {
        let mut file = Vec::new();
        JpegEncoder::new_with_quality(&mut file, quality as u8)
            .encode(&rgb, w as u32, h as u32, image::ExtendedColorType::Rgb8)
            .unwrap();
        let read = image::load_from_memory(&file).unwrap().into_rgb8().into_raw();
        let settings = Settings { quality, halved: false, ..plain(100.0) };
        let at = |row: usize, column: usize| [0, 1, 2].map(|c| f64::from(rgb[(row * w + column) * 3 + c]) / 255.0);
        let ours = through_file(&settings, at, [h, w]).into_flattened();
        // Most values differ by no more than rounding; those of blocks with a coefficient on the edge between two levels by more.
        let apart = |to: &[u8]| {
            let mut each: Vec<f64> = ours.iter().zip(to).map(|(a, &b)| (255.0 * a - f64::from(b)).abs()).collect();
            each.sort_by(f64::total_cmp);
            each[each.len() / 2]
        };
        let (from_file, from_original) = (apart(&read), apart(&rgb));
        assert!(
            from_file < 1.5 && from_original >= 2.0 * from_file,
            "quality {quality}: {from_file}, {from_original} of the original"
        );
    }
}

/// A colour that is halved is the mean of four, and what is read is interpolated between them, three quarters of the nearer.
#[test]
fn halved_colours_are_averaged_and_interpolated() {
    let settings = Settings { quality: 98, halved: true, ..plain(100.0) };
    let chequered = |row: usize, column: usize| if (row + column).is_multiple_of(2) { [0.9, 0.3, 0.3] } else { [0.1, 0.5, 0.5] };
    for [r, g, b] in through_file(&settings, chequered, [16, 16]) {
        assert!(((r - g) - 0.1).abs() < 0.03 && (g - b).abs() < 0.03, "{r} {g} {b}");
    }
    // From grey to red between columns 15 and 16, which lie in two blocks.
    let red =
        |_: usize, column: usize| if column < 16 { [0.5; 3] } else { [0.5 + 0.701 * 0.2, 0.5 - 0.299 * 0.2, 0.5 - 0.299 * 0.2] };
    let read = through_file(&settings, red, [6, 32]);
    for (column, wanted) in [(13, 0.0), (14, 0.0), (15, 0.05), (16, 0.15), (17, 0.2), (18, 0.2)] {
        let [r, g, _] = read[3 * 32 + column];
        assert!((r - g - wanted).abs() < 0.015, "{column}: {}, not {wanted}", r - g);
    }
}
