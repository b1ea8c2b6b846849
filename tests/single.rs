//! Learning from single noisy pictures, and the two halves of a picture that it learns from.

#[path = "common/cli.rs"]
mod cli;
mod common;

use std::fs;

use cli::{Shell, TINY};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::graph::{Element, Graph};
use n2n_gpu::ops::{Pixels, random_normals};

const PICTURES: usize = 2;
const SIDE: usize = 80;

/// The two halves of pictures whose pixels are their own numbers, as those numbers.
fn halves(place: &common::Place, draw: [u32; 4]) -> [Vec<usize>; 2] {
    let mut g = Graph::new();
    let x = g.host_picture("x", [PICTURES, SIDE, SIDE], 1);
    let drawn = g.host_vector("draw", 4, Element::U32);
    let outputs = g.neighbours(x, drawn);
    let outputs = [("first", outputs[0]), ("second", outputs[1])].map(|(name, t)| g.output(name, t));
    let [x, drawn] = [x, drawn].map(|t| g.view(t).storage);
    let outputs = outputs.map(|t| g.view(t).storage);
    let mut run = place.start(&g);
    let numbers: Vec<f64> = (0..PICTURES * SIDE * SIDE).flat_map(|i| [i as f64, 0.0, 0.0, 0.0]).collect();
    run.write(x, &numbers);
    run.executor().write_ints(drawn, &draw).unwrap();
    run.run();
    outputs.map(|id| run.read(id).chunks(4).map(|pixel| pixel[0] as usize).collect())
}

#[test]
fn halves_are_neighbouring_pixels_of_every_square() {
    for place in common::places() {
        let [first, second] = halves(&place, [7, 1, 0, 0]);
        let (row, column) = (|i: usize| i / SIDE, |i: usize| i % SIDE);
        let mut kinds = [0.0; 8];
        for (p, (&a, &b)) in first.iter().zip(&second).enumerate() {
            let (square, half) = ((row(a) / 2, column(a) / 2), SIDE / 2);
            assert_eq!(square, (p / half, p % half), "{p} on {}", place.name());
            assert_eq!(square, (row(b) / 2, column(b) / 2));
            assert_eq!(row(a).abs_diff(row(b)) + column(a).abs_diff(column(b)), 1, "{a} and {b} are neighbours");
            kinds[4 * usize::from(row(a) == row(b)) + 2 * (row(a) % 2) + column(a) % 2] += 1.0;
        }
        // Eight ordered pairs, all as likely: four standard deviations of their counts.
        let n = first.len() as f64;
        assert!(kinds.iter().all(|&k| (k - n / 8.0).abs() < 4.0 * (n * 7.0 / 64.0_f64).sqrt()), "{kinds:?}");
        // Other pictures of the same step, and other steps, have others.
        assert_ne!(halves(&place, [8, 1, 0, 0])[0], first);
        let later = halves(&place, [7, 1, 1, 0]);
        let pixels = first.len() / PICTURES;
        let within: Vec<usize> = later[0][..pixels].iter().map(|i| i + SIDE * SIDE).collect();
        assert_eq!(within, first[pixels..], "picture 1 of a batch is that, wherever the batch begins");
    }
}

/// A grey picture of 16 bit with noise, and the same without.
fn grey(number: usize, side: usize) -> [Picture; 2] {
    let clean = |i: usize| 20_000.0 + 9_000.0 * ((i / side) as f32 / 21.0 + (i % side * (1 + number)) as f32 / 40.0).sin();
    [4000.0, 0.0].map(|deviation| {
        let noise = random_normals(1, number as u32);
        let words = (0..side * side).zip(noise).map(|(i, z)| (clean(i) + deviation * z as f32) as u16);
        Picture::from_pixels([side, side], 1, Pixels::Words(words.collect()))
    })
}

#[test]
fn single_noisy_pictures_train_and_resume() {
    let shell = Shell::new();
    ["noisy", "val/a", "val/b"].iter().for_each(|folder| fs::create_dir_all(shell.path(folder)).unwrap());
    for number in 0..3 {
        let [noisy, clean] = grey(number, 64);
        for (folder, picture) in [("noisy", &noisy), ("val/a", &noisy), ("val/b", &clean)] {
            picture.save(&shell.path(&format!("{folder}/{number}.png"))).unwrap();
        }
    }
    let tiny = TINY.replace("--noise gaussian:25 ", "");
    let done = shell.run(&format!("train noisy --single --schedule constant --out run {tiny}"));
    assert!(done.succeeds().stderr.contains("on 3 pictures, none held out") && !done.stdout.contains("NaN"), "{done}");
    assert!(done.stdout.contains("neither a second shot nor a clean picture"), "{done}");
    let report = fs::read_to_string(shell.path("run/report.html")).unwrap();
    assert!(!report.contains("NaN") && report.contains("<h2>Picture before and after</h2>") && !report.contains("Held-out"));
    assert!(report.contains("that of the pictures, of which there is one each"), "the noise has no words");
    let config = fs::read_to_string(shell.path("run/config.toml")).unwrap();
    assert!(config.contains("single = true") && config.contains("noise = \"single\"") && config.contains("channels = 1"));

    // Interrupted, it comes to the same bits.
    shell.run("train --config run/config.toml --out whole --steps 40 --device cpu").succeeds();
    shell.run("train --resume --out run --steps 40 --device cpu").succeeds();
    let [a, b] = ["run", "whole"].map(|run| fs::read(shell.path(&format!("{run}/last.safetensors"))).unwrap());
    assert!(a == b, "a resumed training is another");

    // Against clean pictures it is seen to learn.
    let steps = "--crop 32 --width 8 --levels 2 --batch 4 --steps 150 --device cpu --json";
    let json = shell.run(&format!("train noisy --single --val val --out judged {steps}")).succeeds().json("psnr psnr_noisy");
    let [after, before] = ["psnr", "psnr_noisy"].map(|key| json[key].as_f64().unwrap());
    assert!(after > before + 6.0, "{before} dB before, {after} dB after");
    let report = fs::read_to_string(shell.path("judged/report.html")).unwrap();
    assert!(report.contains("<h2>Held-out pictures</h2>"));

    shell.run(&format!("train noisy --single --noise gaussian:25 --out other {tiny}")).is_misused(&["--single", "--noise"]);
    shell.run(&format!("train --single --out other {tiny}")).is_misused(&["PHOTOS"]);
    shell.run(&format!("train noisy --single --memory 1 --out other {tiny}")).is_misused(&["--memory", "read whole"]);
    shell.run(&format!("train --pairs val/a val/b -r --out other {tiny}")).is_misused(&["--recursive", "PHOTOS"]);
    shell
        .run("train noisy --single --out other --crop 64 --steps 3 --device cpu")
        .fails_with(&["128 pixels a side", "smaller crop"]);
    shell.run(&format!("train noisy --out other {tiny}")).is_misused(&["--noise is missing", "--single"]);
}

#[test]
fn a_picture_on_another_scale_does_not_cost_the_others_their_range() {
    let shell = Shell::new();
    let words = |number: u32| {
        let noise = random_normals(number, 0).take(48 * 48);
        noise.enumerate().map(|(i, z)| (250.0 + 100.0 * (i as f64 / 300.0).sin() + 20.0 * z) as u16).collect::<Vec<_>>()
    };
    let save = |name: &str, pixels: Pixels| {
        fs::create_dir_all(shell.path(name).parent().unwrap()).unwrap();
        Picture::from_pixels([48, 48], 1, pixels).save(&shell.path(name)).unwrap();
    };
    let of = |folder: &str, of: fn(u16) -> f32| {
        let floats = |number| Pixels::Floats(words(number).into_iter().map(of).collect());
        (0..3).for_each(|number| save(&format!("{folder}/{number}.tif"), floats(number)));
    };
    (0..3).for_each(|number| save(&format!("words/{number}.tif"), Pixels::Words(words(number))));
    of("floats", f32::from);
    for folder in ["words", "floats"] {
        save(&format!("{folder}/other.png"), Pixels::Bytes(words(7).into_iter().map(|v| (v / 2) as u8).collect()));
        let line = format!("train {folder} --single --out run-{folder} {}", TINY.replace("--noise gaussian:25 ", ""));
        let done = shell.run(&line);
        assert!(done.succeeds().stderr.contains("left out: other.png: has ") && done.stderr.contains("on 3 pictures"), "{done}");
        assert!(done.stderr.contains("values lie between"), "{done}");
        shell.run(&format!("{line} --overwrite --strict")).fails_with(&["other.png"]);
    }
    // Where they fill it, 16 bits are on the scale of 8.
    (0..2).for_each(|number| save(&format!("full/{number}.tif"), Pixels::Words(words(number).iter().map(|v| 150 * v).collect())));
    save("full/other.png", Pixels::Bytes(words(7).into_iter().map(|v| (v / 2) as u8).collect()));
    let done = shell.run(&format!("train full --single --out full-run {}", TINY.replace("--noise gaussian:25 ", "")));
    assert!(done.succeeds().stderr.contains("on 3 pictures") && !done.stderr.contains("left out"), "{done}");
}
