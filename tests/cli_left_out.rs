//! Shots, scenes and pages that cannot be used are left out by name, and cost no others.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/tensor_files.rs"]
mod files;
#[path = "common/tiff.rs"]
mod tiff_files;

use std::fs;

use cli::{Done, Shell, TINY};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::ops::{Pixels, random_normals};
use tiff_files::{Page, file};

const SIDE: usize = 48;

fn shot(seed: u32, side: usize) -> Vec<u8> {
    let wave = |i: usize| 128.0 + 80.0 * ((i % side) as f64 * 0.2 + (i / side) as f64 * 0.3).sin();
    (0..side * side).zip(random_normals(seed, 0)).map(|(i, z)| (wave(i) + 12.0 * z) as u8).collect()
}

fn save(shell: &Shell, name: &str, seed: u32, side: usize) {
    let path = shell.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Picture::from_pixels([side, side], 1, Pixels::Bytes(shot(seed, side))).save(&path).unwrap();
}

fn train(shell: &Shell, line: &str) -> Done {
    shell.run(&format!("train {line} --out run --overwrite {}", TINY.replace("--noise gaussian:25 ", "")))
}

#[track_caller]
fn says(done: &Done, parts: &[&str]) {
    done.succeeds();
    parts.iter().for_each(|part| assert!(done.stderr.contains(part), "{part:?} is not said: {done}"));
}

#[test]
fn a_bad_shot_costs_neither_its_scene_nor_the_run() {
    let shell = Shell::new();
    for (scene, shots) in [(0, 4), (1, 3), (2, 3), (3, 1)] {
        (0..shots).for_each(|k| save(&shell, &format!("bursts/{scene}/{k}.png"), 10 * scene + k, SIDE));
    }
    fs::create_dir(shell.path("bursts/empty")).unwrap();
    fs::write(shell.path("bursts/0/0.png"), "broken").unwrap();
    save(&shell, "bursts/1/0.png", 77, SIDE - 8);
    let all = [
        "left out: bursts/0/0.png: ",
        "left out: bursts/1/0.png: has 40x40 pixels, but others of its scene 48x48",
        "left out: bursts/3: has one shot only",
        "left out: bursts/empty: has no pictures",
        "left out in all: 4",
    ];
    let done = train(&shell, "--burst bursts");
    says(&done, &all);
    assert!(done.stderr.contains("looked at 3 scenes of 2 to 3 shots"), "{done}");
    let json = shell.run("inspect bursts --json").succeeds().json("findings");
    let kinds: Vec<&str> = json["findings"].as_array().unwrap().iter().filter_map(|f| f["kind"].as_str()).collect();
    assert_eq!(kinds, ["few", "few", "broken", "size"]);
    assert_eq!((&json["scenes"], &json["shots"]), (&3.into(), &8.into()));
    shell.run("inspect bursts --strict").ends_with(1);
    train(&shell, "--burst bursts --strict").fails_with(&["bursts/3"]);
    // Nothing is left.
    fs::create_dir_all(shell.path("few/one")).unwrap();
    fs::copy(shell.path("bursts/2/0.png"), shell.path("few/one/0.png")).unwrap();
    train(&shell, "--burst few").fails(&["few/one", "at least two"]);
    shell.run("inspect few").fails(&["few/one", "at least two"]);
    // Two folders.
    for i in 0..3 {
        save(&shell, &format!("a/{i}.png"), 2 * i, SIDE);
        save(&shell, &format!("b/{i}.png"), 2 * i + 1, if i == 1 { SIDE - 8 } else { SIDE });
    }
    says(&train(&shell, "--pairs a b"), &["left out: 1.png: the second shot has 40x40 pixels, but the first 48x48"]);
    train(&shell, "--pairs a b --strict").fails_with(&["1.png"]);
    // Those without a partner.
    for name in ["a/3.png", "b/4.png"] {
        save(&shell, name, 9, SIDE);
    }
    save(&shell, "b/1.png", 3, SIDE);
    let all = ["left out: a/3.png: has no partner of that name in b", "left out: b/4.png: has no partner of that name in a"];
    says(&train(&shell, "--pairs a b"), &all);
    train(&shell, "--pairs a b --strict").fails_with(&["a/3.png"]);
    let json = shell.run("inspect a b --json").succeeds().json("findings pairs");
    assert_eq!((json["findings"][0]["kind"].as_str(), json["pairs"].as_array().unwrap().len()), (Some("few"), 3));
}

#[test]
fn folders_are_told_for_what_is_missing_in_them() {
    let shell = Shell::new();
    for (i, name) in ["photos/x/0.png", "photos/y/0.png", "a/0.png", "b/0.png", "val/a/0.png", "val/b/0.png", "half/a/0.png"]
        .iter()
        .enumerate()
    {
        save(&shell, name, i as u32, SIDE);
    }
    let photos = |more: &str| shell.run(&format!("train photos --out run --overwrite {TINY} {more}"));
    photos("").fails(&["photos: has no pictures", "2 subfolders (--recursive takes them)"]);
    photos("-r").succeeds();
    let done = train(&shell, "--pairs a b --val val");
    assert!(!done.succeeds().stderr.contains("skipped"), "{done}");
    train(&shell, "--pairs a b --val half").fails_with(&["half: has no folder b", "noisy ones in a"]);
    train(&shell, "a --single --val photos").fails_with(&["photos: has no folder a"]);
    // Pictures smaller than a crop.
    save(&shell, "photos/y/1.png", 5, 8);
    let done = photos("-r");
    assert!(done.succeeds().stderr.contains("left out for being smaller than a crop: 1 picture, 1.png first"), "{done}");
    photos("-r --strict").fails_with(&["smaller than a crop of 16 pixels: 1 picture, 1.png first", "--strict"]);
}

#[test]
fn a_bad_page_costs_no_other_page() {
    let shell = Shell::new();
    let words =
        |seed: u32| Page::words([SIDE as u32; 2], 1, &shot(seed, SIDE).iter().map(|v| 20 * u16::from(*v)).collect::<Vec<_>>());
    let floats =
        |seed: u32| Page::floats([SIDE as u32; 2], 1, &shot(seed, SIDE).iter().map(|v| 20.0 * f32::from(*v)).collect::<Vec<_>>());
    let small = Page::words([8, 8], 1, &[7; 64]);
    let pages = [words(0), words(1), small, words(3), floats(4), words(5), words(6)];
    fs::write(shell.path("mixed.tif"), file(&pages, &[])).unwrap();
    let all = [
        "left out: mixed.tif: page 3 of 7 has 8x8 pixels",
        "left out: mixed.tif: page 5 of 7 has values of floating point, but others of its scene whole numbers",
    ];
    let done = train(&shell, "--stack mixed.tif");
    says(&done, &all);
    assert!(done.stderr.contains("looked at 1 scene of 5 shots"), "{done}");
    // Page 4 has no neighbour that can be used.
    let done = train(&shell, "--stack mixed.tif --neighbours");
    says(&done, &all);
    assert!(done.stderr.contains("looked at 2 pairs"), "{done}");
    train(&shell, "--stack mixed.tif --strict").fails_with(&["page 3 of 7"]);
    fs::write(shell.path("one.tif"), file(&[words(0)], &[])).unwrap();
    says(&train(&shell, "--stack one.tif mixed.tif"), &["left out: one.tif: has one page only"]);
    train(&shell, "--stack missing.tif mixed.tif").fails(&["missing.tif", "does not exist"]);
}

#[test]
fn scenes_of_counts_in_two_types_are_told() {
    let shell = Shell::new();
    let size = [SIDE as u32; 2];
    for scene in 0..3 {
        fs::create_dir_all(shell.path(&format!("bursts/{scene}"))).unwrap();
        for k in 0..2 {
            let values = shot(10 * scene + k, SIDE);
            let page = match scene {
                1 => Page::floats(size, 1, &values.iter().map(|v| 20.0 * f32::from(*v)).collect::<Vec<_>>()),
                _ => Page::words(size, 1, &values.iter().map(|v| 20 * u16::from(*v)).collect::<Vec<_>>()),
            };
            fs::write(shell.path(&format!("bursts/{scene}/{k}.tif")), file(&[page], &[])).unwrap();
        }
    }
    let done = train(&shell, "--burst bursts");
    says(&done, &["left out: 1/1.tif: has values of floating point, but other scenes whole numbers", "of 65535"]);
    train(&shell, "--burst bursts --strict").fails_with(&["1/1.tif"]);
}

#[test]
fn values_that_are_no_numbers_are_found_at_once() {
    let shell = Shell::new();
    let mut values: Vec<f32> = (0..4).flat_map(|seed| shot(seed, SIDE)).map(f32::from).collect();
    values[SIDE * SIDE + 3] = f32::NAN;
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(shell.path("stack.npy"), files::npy("<f4", "(4, 48, 48)", &bytes)).unwrap();
    let problem = "infinite or not a number at column 3, row 0";
    says(&train(&shell, "--stack stack.npy"), &["left out: stack.npy: page 2 of 4 has a value", problem]);
    fs::write(shell.path("pairs.npy"), files::npy("<f4", "(2, 2, 48, 48)", &bytes)).unwrap();
    says(&train(&shell, "--dataset pairs.npy"), &["left out: pairs.npy: pair 2 has a value", problem]);
    let done = shell.run("inspect --dataset pairs.npy");
    assert!(done.succeeds().stdout.contains(problem), "{done}");
}

#[test]
fn an_array_with_four_values_at_the_end_has_alpha() {
    let shell = Shell::new();
    let bytes: Vec<u8> = (0..4).flat_map(|seed| shot(seed, SIDE)).flat_map(|v| [v, v / 2, 255 - v, 128]).collect();
    fs::write(shell.path("rgba.npy"), files::npy("|u1", "(4, 48, 48, 4)", &bytes)).unwrap();
    let json = shell.run("inspect --stack rgba.npy --json").succeeds().json("shots");
    assert_eq!((&json["shots"], &json["pairs"][0]["size"][0]), (&4.into(), &48.into()));
    train(&shell, "--stack rgba.npy").succeeds();
    let json = shell.run("denoise rgba.npy -o out.npy --model run/best.safetensors --device cpu --json").succeeds().json("files");
    assert_eq!(json["files"][0]["width"], 48);
    let out = n2n_gpu::data::npy::load_npy(&shell.path("out.npy")).unwrap();
    assert!(out.shape() == [4, 48, 48, 4] && out.data().iter().skip(3).step_by(4).all(|alpha| *alpha == 128));
}
