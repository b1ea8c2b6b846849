//! What is said to who gives a file or a folder where another is wanted, and how ranges and pictures of counts are shown.

use std::fs;

use crate::cli::{Shell, TINY};
use crate::tiff_files::{Page, file};
use n2n_gpu::ops::random_normals;

const SIDE: usize = 48;

/// Counts of 16 bit from 100 to 400.
fn counts(seed: u32) -> Vec<u16> {
    let wave = |i: usize| 250.0 + 140.0 * ((i % SIDE) as f64 * 0.2 + (i / SIDE) as f64 * 0.3).sin();
    (0..SIDE * SIDE).zip(random_normals(seed, 0)).map(|(i, z)| (wave(i) + 10.0 * z) as u16).collect()
}

fn save_stack(shell: &Shell, name: &str, pages: u32) {
    let pages: Vec<Page> = (0..pages).map(|seed| Page::words([SIDE as u32; 2], 1, &counts(seed))).collect();
    fs::write(shell.path(name), file(&pages, &[])).unwrap();
}

#[test]
fn a_stack_that_is_given_as_pairs_is_pointed_to_its_flag() {
    let shell = Shell::new();
    save_stack(&shell, "stack.tif", 4);
    save_stack(&shell, "one.tif", 1);
    let bytes: Vec<u8> = (0..4).flat_map(counts).flat_map(u16::to_le_bytes).collect();
    fs::write(shell.path("stack.npy"), crate::files::npy("<u2", "(4, 48, 48)", &bytes)).unwrap();
    fs::write(shell.path("two.npy"), crate::files::npy("<u2", "(2, 48, 48)", &bytes[..bytes.len() / 2])).unwrap();
    let train = format!("train --out run {} --dataset", TINY.replace("--noise gaussian:25 ", ""));
    for command in ["inspect", &train] {
        shell.run(&format!("{command} stack.tif")).fails(&["stack.tif: has 4 pages", "--stack", "--neighbours"]);
        shell.run(&format!("{command} one.tif")).fails(&["one.tif: is one picture", "two"]);
        for name in ["stack.npy", "two.npy"] {
            shell.run(&format!("{command} {name}")).fails(&[name, " pages: ", "--stack"]);
        }
    }
    assert!(shell.run("inspect --stack stack.tif").succeeds().stdout.contains("1 scene of 4 shots: noise"));
    assert!(shell.run("inspect --stack stack.tif --neighbours").succeeds().stdout.contains("3 pairs: noise"));
}

#[test]
fn counts_are_told_and_shown_in_their_range_and_a_run_is_a_model() {
    let shell = Shell::new();
    save_stack(&shell, "stack.tif", 5);
    save_stack(&shell, "one.tif", 1);
    let train = format!("train --stack stack.tif --out run {}", TINY.replace("--noise gaussian:25 ", ""));
    let done = shell.run(&train);
    let told = done.succeeds().stderr.lines().find(|line| line.starts_with("values lie between ")).unwrap();
    assert!(told.contains(" of 65535: ") && !told.contains('.'), "{told}");
    // The folder of a run is its best model.
    let [folder, best] =
        ["run", "run/best.safetensors"].map(|model| shell.run(&format!("info {model}")).succeeds().stdout.clone());
    assert!(folder == best && folder.contains(" of 65535"), "{folder}");
    shell.run("denoise one.tif --model run --compare both.png --device cpu").succeeds();
    let shown = image::open(shell.path("both.png")).unwrap().into_luma8();
    let [black, white] = [shown.pixels().map(|p| p.0[0]).min(), shown.pixels().map(|p| p.0[0]).max()];
    assert!(black < Some(60) && white > Some(200), "{black:?} to {white:?}");
    let done = shell.run("export run --onnx m.onnx --json");
    done.succeeds();
    // A result may not replace it.
    shell.run("denoise one.tif --model run -o run/best.safetensors --device cpu -f").is_misused(&["best.safetensors"]);
    fs::create_dir(shell.path("empty")).unwrap();
    shell.run("denoise one.tif -o b.tif --model empty --device cpu").fails(&["empty", "no best.safetensors"]);
    shell.run("info empty").fails(&["empty", "no best.safetensors"]);
}

#[test]
fn a_port_after_a_space_is_explained() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    shell.run(&format!("train --live 8000 a.png --out run {TINY}")).is_misused(&["--live=8000"]);
    shell.run("train --pairs a b --live 8000 --out run").is_misused(&["--live=8000"]);
    let json = shell.run("train --pairs a b --live 8000 --out run --json");
    assert!(json.ends_with(2).stdout.contains("--live=8000"), "{json}");
}
