//! Bursts and stacks of noisy shots, as a user trains on them.

use std::f32::consts::TAU;
use std::fs;

use crate::cli::{Shell, TINY};
use n2n_gpu::data::picture::{Picture, save_pages};
use n2n_gpu::ops::{Pixels, random_normals};

const SIDE: usize = 48;

/// A grey shot of 16 bit, of a scene whose counts go from 100 to 400.
fn shot(scene: usize, number: u32, side: usize) -> Picture {
    let noise = random_normals(number, scene as u32);
    let wave = |i: usize| 0.5 + 0.5 * (TAU * ((i / side) as f32 / 17.0 + (i % side) as f32 / (9.0 + scene as f32))).sin();
    let words = (0..side * side).zip(noise).map(|(i, z)| (100.0 + 300.0 * wave(i) + 12.0 * z as f32) as u16);
    Picture::from_pixels([side, side], 1, Pixels::Words(words.collect()))
}

fn save_stack(shell: &Shell, name: &str, pages: &[Picture]) {
    let page = |p: &Picture| Ok((p.header().clone(), (0..p.height()).map(|y| Ok(p.row(y))).collect::<Vec<_>>().into_iter()));
    save_pages(&shell.path(name), pages.iter().map(page)).unwrap();
}

fn save_burst(shell: &Shell, scene: usize, shots: u32) {
    fs::create_dir_all(shell.path(&format!("bursts/{scene}"))).unwrap();
    (0..shots).for_each(|k| shot(scene, k, SIDE).save(&shell.path(&format!("bursts/{scene}/{k}.png"))).unwrap());
}

fn tiny() -> String {
    TINY.replace("--noise gaussian:25 ", "")
}

#[test]
fn bursts_train_from_any_two_shots_and_resume() {
    let shell = Shell::new();
    [3, 2, 4].into_iter().enumerate().for_each(|(scene, shots)| save_burst(&shell, scene, shots));
    let json = shell.run("inspect --burst bursts --json").succeeds().json("scenes shots findings");
    assert_eq!((&json["scenes"], &json["shots"]), (&3.into(), &9.into()));
    let done = shell.run(&format!("train --burst bursts --out run {}", tiny()));
    assert!(
        done.succeeds().stderr.contains("on 2 scenes of 3 to 4 shots, 1 held out") && done.stderr.contains("values lie between"),
        "{done}"
    );
    let config = fs::read_to_string(shell.path("run/config.toml")).unwrap();
    assert!(config.contains("burst = \"/"), "{config}");
    let json = shell.run("train --resume --out run --steps 30 --device cpu --json").succeeds().json("steps psnr_estimated");
    assert!(json["steps"] == 30 && json["psnr_estimated"].is_f64(), "{json}");
    let info = shell.run("info run/best.safetensors").succeeds().stdout.clone();
    assert!(info.contains("pictures fill values from") && info.contains(" of 65535") && info.contains("channels 1"), "{info}");
    // Pictures on the scale of the shots are denoised as they are, and stay such.
    let done = shell.run("denoise bursts/0/0.png -o clean.tif --model run/best.safetensors --strength 1 --device cpu");
    done.succeeds();
    let means = ["bursts/0/0.png", "clean.tif"].map(|name| {
        let values = Picture::load(&shell.path(name)).unwrap().pixels(1).values();
        65_535.0 * values.iter().sum::<f32>() / values.len() as f32
    });
    assert!((means[0] - means[1]).abs() < 30.0, "{means:?}");
    assert!(Picture::load(&shell.path("clean.tif")).unwrap().header().is_grey());
    shell.picture("colour.png", 48, 48);
    shell.run("denoise colour.png --model run/best.safetensors --device cpu").fails(&["colour.png", "has colours", "grey"]);
    // A colour type alone makes no colours.
    let grey = shot(0, 0, SIDE);
    Picture::from_pixels([SIDE, SIDE], 3, grey.pixels(3)).save(&shell.path("three.png")).unwrap();
    shell.run("denoise three.png -o done.png --model run/best.safetensors --device cpu").succeeds();
    shell.run("eval --pairs bursts/0 bursts/0 --model run/best.safetensors --device cpu --json").succeeds().json("psnr");
    shell.run("export run/best.safetensors --onnx m.onnx").succeeds();
    shell.run("export run/best.safetensors --darktable m.dtmodel").fails(&["photographs"]);
    shell.run("export run/best.safetensors --web page").fails(&["photographs"]);
}

#[test]
fn stacks_train_from_pages_of_one_scene_or_from_neighbours() {
    let shell = Shell::new();
    let pages: Vec<Picture> = (0..9).map(|k| shot(0, k, SIDE)).collect();
    save_stack(&shell, "stack.tif", &pages);
    let values: Vec<f32> = pages.iter().flat_map(|p| p.pixels(1).values()).map(|v| 65_535.0 * v).collect();
    fs::write(shell.path("stack.npy"), n2n_gpu::data::npy::file(&[3, 3, SIDE, SIDE, 1], &values)).unwrap();
    for (line, says) in [
        ("--stack stack.tif", "on 1 scene of 7 shots, 1 held out"),
        ("--stack stack.npy", "on 1 scene of 7 shots, 1 held out"),
        ("--stack stack.tif --neighbours", "on 5 pairs, 1 held out"),
    ] {
        let done = shell.run(&format!("train {line} --out run --overwrite {}", tiny()));
        assert!(done.succeeds().stderr.contains(says), "{done}");
        let look = shell.run(&format!("inspect {line} --json")).succeeds().json("shots");
        assert_eq!(look["shots"], 9, "{line}");
    }
    shell.run("train --resume --out run --steps 25 --device cpu").succeeds();
}

#[test]
fn what_is_no_burst_and_no_stack_is_refused_by_name() {
    let shell = Shell::new();
    save_burst(&shell, 0, 2);
    let train = |line: &str| shell.run(&format!("train {line} --out run {}", tiny()));
    save_burst(&shell, 1, 1);
    // Shots of other depths are one set.
    let bytes = shot(1, 0, SIDE).pixels(1).values().into_iter().map(|v| (v * 65_535.0 / 2.0) as u8).collect();
    Picture::from_pixels([SIDE, SIDE], 1, Pixels::Bytes(bytes)).save(&shell.path("bursts/1/1.png")).unwrap();
    shell.run(&format!("train --burst bursts --out mixed {}", tiny())).succeeds();
    save_stack(&shell, "sizes.tif", &[shot(0, 0, SIDE), shot(0, 1, SIDE), shot(0, 2, SIDE - 8)]);
    train("--stack sizes.tif --strict").fails(&["sizes.tif", "page 3 of 3 has 40x40", "48x48"]);
    save_stack(&shell, "one.tif", &[shot(0, 0, SIDE)]);
    train("--stack one.tif").fails(&["one.tif", "one page only"]);
    fs::write(shell.path("flat.npy"), n2n_gpu::data::npy::file(&[4, 4], &[0.0; 16])).unwrap();
    train("--stack flat.npy").fails(&["flat.npy", "one page only"]);
    train("--stack missing.tif").fails(&["missing.tif"]);
    train("--burst bursts --neighbours").is_misused(&["--neighbours", "--burst"]);
    save_burst(&shell, 0, 3);
    train("--burst bursts --align").is_misused(&["--align"]);
    train("--burst bursts --noise gaussian:25").is_misused(&["--burst"]);
}
