//! Floats of instruments are trained on as they were measured, and denoised so: from TIFF, OpenEXR and `.npy` files, which come
//! back as they were.

use std::fs;

use crate::cli::{Shell, TINY};
use crate::tiff_files::{Page, file};
use n2n_gpu::data::npy::load_npy;
use n2n_gpu::data::picture::Picture;
use n2n_gpu::ops::random_normals;

const SIDE: usize = 48;

/// Counts of a wave from 500 to 4,500, with noise by the seed.
fn counts(seed: u32) -> Vec<f32> {
    let noise = random_normals(seed, 0).map(|z| z as f32);
    let wave = |i: usize| 2500.0 + 2000.0 * ((i % SIDE) as f32 * 0.2 + (i / SIDE) as f32 * 0.3).sin();
    (0..SIDE * SIDE).zip(noise).map(|(i, z)| wave(i) + 300.0 * z).collect()
}

fn save_tiff(shell: &Shell, name: &str, values: &[f32]) {
    let path = shell.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file(&[Page::floats([SIDE as u32; 2], 1, values)], &[])).unwrap();
}

fn tiny() -> String {
    TINY.replace("--noise gaussian:25", "--burst bursts")
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The values of a file, as they are there.
fn values(shell: &Shell, name: &str) -> Vec<f32> {
    Picture::load(&shell.path(name)).unwrap().as_measured().pixels(1).values()
}

/// A model of four shots of counts in float TIFF files, and the range that it reads.
fn model(shell: &Shell) -> [f64; 2] {
    (0..4).for_each(|shot| save_tiff(shell, &format!("bursts/0/{shot}.tif"), &counts(shot)));
    shell.run(&format!("train --out run {}", tiny())).succeeds();
    let signal = &shell.run("info run/best.safetensors --json").succeeds().json("signal")["signal"];
    [0, 1].map(|i| signal[i].as_f64().unwrap())
}

/// The counts as 16-bit numbers, and as floats.
fn whole(seed: u32) -> (Page, Page) {
    let words: Vec<u16> = counts(seed).iter().map(|v| v.round() as u16).collect();
    let floats: Vec<f32> = words.iter().map(|v| f32::from(*v)).collect();
    (Page::words([SIDE as u32; 2], 1, &words), Page::floats([SIDE as u32; 2], 1, &floats))
}

/// The model takes the same counts in both types, and makes the same of them.
fn denoise_alike(shell: &Shell) {
    let (words, floats) = whole(9);
    for (name, page) in [("words", words), ("floats", floats)] {
        fs::write(shell.path(&format!("{name}.tif")), file(&[page], &[])).unwrap();
        let done = shell.run(&format!("denoise {name}.tif --model run --device cpu"));
        assert!(!done.succeeds().stderr.contains("its values lie"), "{done}");
    }
    let [words, floats] = ["words", "floats"].map(|name| values(shell, &format!("{name}-denoised.tif")));
    // Whole numbers have none below 0.
    let alike = |(a, b): (&f32, &f32)| (65_535.0 * a - b.max(0.0)).abs() < 1.0;
    assert!(words.iter().zip(&floats).all(alike));
}

#[test]
fn floats_are_read_as_they_are_from_whatever_file() {
    let shell = Shell::new();
    let [black, white] = model(&shell);
    assert!((-500.0..700.0).contains(&black) && (4300.0..5700.0).contains(&white), "{black} {white}");
    save_tiff(&shell, "noisy.tif", &counts(9));
    fs::write(shell.path("noisy.npy"), crate::files::npy("<f4", "(48, 48)", &bytes_of(&counts(9)))).unwrap();
    Picture::load(&shell.path("noisy.tif")).unwrap().as_measured().save(&shell.path("noisy.exr")).unwrap();
    for name in ["noisy.tif", "noisy.npy", "noisy.exr"] {
        shell.run(&format!("denoise {name} --model run/best.safetensors --device cpu")).succeeds();
    }
    let denoised = values(&shell, "noisy-denoised.tif");
    assert_ne!(denoised, counts(9));
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    assert!((mean(&denoised) - mean(&counts(9))).abs() < 250.0, "{} {}", mean(&denoised), mean(&counts(9)));
    assert_eq!(values(&shell, "noisy-denoised.npy"), denoised);
    let exr = values(&shell, "noisy-denoised.exr");
    assert!(exr.iter().zip(&denoised).all(|(a, b)| (a - b).abs() < 1e-3 * b.abs()), "means {} {}", mean(&exr), mean(&denoised));
    // Whole numbers that count alike.
    denoise_alike(&shell);
    // Measured on the same scale, by the range of the model.
    save_tiff(&shell, "clean/noisy.tif", &counts(9));
    fs::create_dir(shell.path("n")).unwrap();
    fs::copy(shell.path("noisy.npy"), shell.path("n/noisy.npy")).unwrap();
    let line = "eval --pairs n clean --model run/best.safetensors --device cpu --json";
    assert_eq!(shell.run(line).succeeds().json("psnr_noisy")["psnr_noisy"], serde_json::Value::Null);
}

#[test]
fn floats_from_zero_to_one_are_no_less_measured() {
    let shell = Shell::new();
    let unit = |seed: u32| counts(seed).iter().map(|v| v / 5000.0).collect::<Vec<_>>();
    (0..4).for_each(|shot| save_tiff(&shell, &format!("bursts/0/{shot}.tif"), &unit(shot)));
    shell.run(&format!("train --out run {}", tiny())).succeeds();
    // One value beyond what a display has makes no linear light of the others.
    let mut hot = unit(9);
    hot[0] = 3.0;
    for (name, values) in [("plain.tif", unit(9)), ("hot.tif", hot)] {
        save_tiff(&shell, name, &values);
        shell.run(&format!("denoise {name} --model run/best.safetensors --device cpu")).succeeds();
    }
    let [plain, hot] = ["plain", "hot"].map(|name| values(&shell, &format!("{name}-denoised.tif")));
    let last = SIDE * SIDE - 1;
    assert!((plain[last] - hot[last]).abs() < 1e-5, "{} {}", plain[last], hot[last]);
}

#[test]
fn floats_that_count_are_read_by_a_model_of_whole_numbers() {
    let shell = Shell::new();
    fs::create_dir_all(shell.path("bursts/0")).unwrap();
    (0..4).for_each(|shot| fs::write(shell.path(&format!("bursts/0/{shot}.tif")), file(&[whole(shot).0], &[])).unwrap());
    shell.run(&format!("train --out run {}", tiny())).succeeds();
    denoise_alike(&shell);
}

#[test]
fn arrays_come_back_in_their_shape_and_type() {
    let shell = Shell::new();
    model(&shell);
    let all: Vec<f32> = (0..3).flat_map(counts).collect();
    let one = SIDE * SIDE;
    let of = |kind: &str, values: &[f32]| -> Vec<u8> {
        let each = |of: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|v| of(*v)).collect();
        match kind {
            "<f4" => bytes_of(values),
            "<f8" => each(&|v| f64::from(v).to_le_bytes().to_vec()),
            "<f2" => each(&|v| half::f16::from_f32(v).to_le_bytes().to_vec()),
            "<i4" => each(&|v| (v as i32).to_le_bytes().to_vec()),
            "<i2" => each(&|v| (v as i16).to_le_bytes().to_vec()),
            _ => each(&|v| (v as u16).to_le_bytes().to_vec()),
        }
    };
    let grey: Vec<f32> = all.iter().flat_map(|v| [*v; 3]).collect();
    let planes = [&all[..one]; 3].concat();
    for (kind, shape, values) in [
        ("<f4", "(48, 48)", &all[..one]),
        ("<f8", "(3, 48, 48)", &all),
        ("<f2", "(1, 48, 48)", &all[..one]),
        ("<i4", "(3, 48, 48, 1)", &all),
        ("<i2", "(48, 48, 3)", &grey[..3 * one]),
        ("<f4", "(3, 48, 48, 3)", &grey),
        ("<f4", "(1, 3, 48, 48)", &planes),
        ("<u2", "(3, 1, 48, 48)", &all),
    ] {
        fs::write(shell.path("a.npy"), crate::files::npy(kind, shape, &of(kind, values))).unwrap();
        shell.run("denoise a.npy -o b.npy -f --model run/best.safetensors --device cpu").succeeds();
        let [a, b] = ["a.npy", "b.npy"].map(|name| load_npy(&shell.path(name)).unwrap());
        assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
        if kind != "<u2" {
            let mean = |v: Vec<f32>| v.iter().sum::<f32>() / v.len() as f32;
            let [before, after] = [&a, &b].map(|array| mean(array.to_f32()));
            assert!(a != b && (before - after).abs() < 250.0, "{kind} {shape}: {before} {after}");
        }
    }
    fs::write(shell.path("a.npy"), crate::files::npy("<f4", "(2304,)", &of("<f4", &all[..one]))).unwrap();
    shell.run("denoise a.npy -o b.npy -f --model run/best.safetensors --device cpu").fails(&["a.npy", "[2304]", "(H, W)"]);
    let mut nan = all.clone();
    nan[one + 50] = f32::NAN;
    fs::write(shell.path("a.npy"), crate::files::npy("<f4", "(3, 48, 48)", &of("<f4", &nan))).unwrap();
    shell.run("denoise a.npy -o c.npy --model run/best.safetensors --device cpu").fails(&["page 2 of 3", "column 2, row 1"]);
    assert!(!shell.path("c.npy").exists());
}

/// A model of pictures from 0 to 1 makes nothing of counts: it is said, also where noise is to be added to them.
#[test]
fn counts_are_no_photographs() {
    let shell = Shell::new();
    let unit: Vec<f32> = counts(1).iter().map(|v| v / 5000.0).collect();
    // A highlight makes no counts of a picture.
    let bright: Vec<f32> = unit.iter().enumerate().map(|(i, v)| if i < 2 { 40.0 } else { 1.5 * v }).collect();
    for (name, values) in [("counts", &counts(1)), ("unit", &unit), ("bright", &bright)] {
        save_tiff(&shell, &format!("{name}/{name}.tif"), values);
        let done = shell.run(&format!("denoise {name}/{name}.tif -o {name}.tif --model gaussian --device cpu"));
        let said = done.succeeds().stderr.matches("bring them to 0 to 1").count();
        assert_eq!(said, usize::from(name == "counts"), "{done}");
        let done = shell.run(&format!("train {name} --out run-{name} {TINY}"));
        let said = done.succeeds().stderr.matches("half lies beyond white").count();
        assert_eq!(said, usize::from(name == "counts"), "{done}");
    }
}
