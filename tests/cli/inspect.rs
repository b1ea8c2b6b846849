//! `inspect`, and the look that `train` takes at pairs, as a user runs them.

use std::fs;
use std::path::Path;

use crate::cli::{Shell, TINY, asset};
use image::{DynamicImage, GenericImageView, RgbImage};
use n2n_gpu::noise::{Clean, Noise};

/// Pairs of shots of photographs, 256x192: the second ones `shift` pixels to the right, and `gain` times as bright.
fn shots(shell: &Shell, shift: u32, gain: f32) {
    for (i, photo) in ["coffee.jpg", "otters.jpg", "seeding.jpg"].into_iter().enumerate() {
        let photo = image::open(asset(photo)).unwrap();
        for (folder, left, gain) in [("a", 40, 1.0), ("b", 40 - shift, gain)] {
            save(&shell.path(&format!("{folder}/{i}.png")), &photo, left, gain, 2 * i as u32 + u32::from(folder == "b"));
        }
    }
}

fn save(path: &Path, photo: &DynamicImage, left: u32, gain: f32, shot: u32) {
    let part = photo.view(left, 20, 256, 192).to_image();
    let values: Vec<f32> = part.pixels().flat_map(|p| [0, 1, 2].map(|c| gain * f32::from(p.0[c]) / 255.0)).collect();
    let noise: Noise = "gaussian:15".parse().unwrap();
    let noisy = noise.expose(Clean { rgb: &values, width: 256, height: 192 }, 5, shot, 0).values;
    let bytes = noisy.iter().map(|v| (v * 255.0).round() as u8).collect();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_raw(256, 192, bytes).unwrap().save(path).unwrap();
}

#[test]
fn good_pairs_have_no_faults() {
    let shell = Shell::new();
    shots(&shell, 0, 1.0);
    for line in ["inspect a b", "inspect --pairs a b", "inspect a/0.png b/0.png"] {
        let done = shell.run(&format!("{line} --strict"));
        assert!(done.succeeds().stdout.contains("no faults"), "{done}");
    }
    let json = shell.run("inspect a b --json").succeeds().json("scenes shots findings pairs noise");
    assert_eq!((&json["scenes"], &json["shots"], &json["faults"]), (&3.into(), &6.into(), &0.into()));
    for noise in json["noise"].as_array().unwrap() {
        assert!((noise.as_f64().unwrap() - 15.0).abs() < 1.0, "{noise}");
    }
    // The same shots as bursts: a folder for every scene.
    for i in 0..3 {
        fs::create_dir_all(shell.path(&format!("bursts/{i}"))).unwrap();
        for of in ["a", "b"] {
            fs::copy(shell.path(&format!("{of}/{i}.png")), shell.path(&format!("bursts/{i}/{of}.png"))).unwrap();
        }
    }
    let json = shell.run("inspect bursts --json").succeeds().json("scenes shots findings");
    assert_eq!((&json["scenes"], &json["shots"], &json["faults"]), (&3.into(), &6.into(), &0.into()));
    let train = TINY.replace("--noise gaussian:25 ", "");
    let done = shell.run(&format!("train --pairs a b --out run --strict {train}"));
    assert_eq!(done.succeeds().stderr.matches("looked at 3 pairs: noise 1").count(), 1, "{done}");
    assert!(!done.stderr.contains("note") && !done.stderr.contains("warning"), "{done}");
}

#[test]
fn faults_are_told_and_mended_and_stop_a_strict_training() {
    let shell = Shell::new();
    shots(&shell, 2, 0.9);
    let done = shell.run("inspect a b --json");
    let json = done.succeeds().json("findings");
    let findings = json["findings"].as_array().unwrap();
    for (kind, value) in [("shift", 2.0), ("brightness", -0.1)] {
        let found: Vec<_> = findings.iter().filter(|f| f["kind"] == kind).collect();
        assert!(found.len() == 3 && found.iter().all(|f| (f["value"].as_f64().unwrap() - value).abs() < 0.2), "{done}");
        assert!(found.iter().all(|f| f["where"].is_string() && f["advice"].is_string()), "{done}");
    }
    let done = shell.run("inspect a b --strict");
    assert!(done.ends_with(1).stdout.contains("(train --align") && done.stdout.contains("(train --match)"), "{done}");
    assert!(done.stderr.contains("--strict"), "{done}");
    let train = TINY.replace("--noise gaussian:25 ", "");
    shell.run(&format!("train --pairs a b --out run --strict {train}")).fails_with(&["--strict", "shifted", "darker"]);
    assert!(!shell.path("run").exists());
    let done = shell.run(&format!("train --pairs a b --out run {train}"));
    assert_eq!(done.succeeds().stderr.matches("warning: ").count(), 2, "{done}");
    let done = shell.run(&format!("train --pairs a b --out mended --align --match --strict {train}"));
    assert_eq!(done.succeeds().stderr.matches("warning: ").count(), 0, "{done}");
}

#[test]
fn what_cannot_be_read_is_named_and_left_out() {
    let shell = Shell::new();
    shots(&shell, 0, 1.0);
    fs::write(shell.path("b/1.png"), "broken").unwrap();
    let done = shell.run("inspect a b");
    assert!(done.succeeds().stdout.contains("b/1.png") && done.stdout.contains("2 pairs"), "{done}");
    shell.run("inspect a b --strict").ends_with(1);
    let train = TINY.replace("--noise gaussian:25 ", "");
    let done = shell.run(&format!("train --pairs a b --out run {train}"));
    assert!(done.succeeds().stderr.contains("left out: b/1.png"), "{done}");
    shell.run(&format!("train --pairs a b --out strict --strict {train}")).fails_with(&["b/1.png"]);
    shell.run(&format!("train a b --out strict --strict {TINY}")).fails_with(&["b/1.png"]);
    // Nothing to look at.
    shell.run("inspect a missing").fails(&["missing"]);
    shell.run("inspect missing").fails(&["missing"]);
    shell.run("inspect a").fails(&["a", "folder"]);
    shell.run("inspect").is_misused(&["DATA"]);
    fs::create_dir_all(shell.path("bursts/one")).unwrap();
    fs::copy(shell.path("a/0.png"), shell.path("bursts/one/0.png")).unwrap();
    shell.run("inspect --burst bursts").fails(&["one", "at least two"]);
    shell.run(&format!("train a --align --out run {TINY}")).is_misused(&["--align"]);
}

#[test]
fn single_pictures_are_looked_at() {
    let shell = Shell::new();
    shots(&shell, 0, 1.0);
    let json = shell.run("inspect --single a --strict --json").succeeds().json("scenes shots noise findings pictures");
    assert_eq!((&json["scenes"], &json["faults"]), (&3.into(), &0.into()));
    // JPEG spreads noise over its blocks.
    fs::create_dir_all(shell.path("jpegs")).unwrap();
    for i in 0..3 {
        image::open(shell.path(&format!("a/{i}.png"))).unwrap().save(shell.path(&format!("jpegs/{i}.jpg"))).unwrap();
    }
    let done = shell.run("inspect --single jpegs --strict");
    assert!(done.ends_with(1).stdout.contains("neighbouring pixels is correlated") && done.stdout.contains("3 faults"), "{done}");
    let train = TINY.replace("--noise gaussian:25 ", "");
    let done = shell.run(&format!("train a --single --out run --strict {train}"));
    assert!(done.succeeds().stderr.contains("looked at 3 pictures: noise 1"), "{done}");
    shell.run(&format!("train jpegs --single --out other --strict {train}")).fails_with(&["--strict", "neighbouring"]);
    assert!(shell.run(&format!("train jpegs --single --out other {train}")).succeeds().stderr.contains("warning: 0.jpg (and 2"));
    // What cannot be read is named.
    fs::write(shell.path("a/1.png"), "broken").unwrap();
    let done = shell.run("inspect --single a");
    assert!(done.succeeds().stdout.contains("1.png") && done.stdout.contains("2 pictures"), "{done}");
    shell.run("inspect --single missing").fails(&["missing"]);
    shell.run("inspect --single a --pairs a b").is_misused(&["--single"]);
}
