//! `denoise` replaces no file that it was not told to replace, and no input by the result of another.

use std::fs;

use crate::cli::Shell;

const MODEL: &str = "--model model/last.safetensors --device cpu";

fn shell() -> Shell {
    let shell = Shell::new();
    shell.model();
    shell.picture("in/a.png", 12, 9);
    shell.picture("in/b.png", 9, 12);
    shell
}

#[test]
fn files_that_exist_are_replaced_only_when_told_to() {
    let shell = shell();
    fs::create_dir(shell.path("out")).unwrap();
    for name in ["out/b.png", "in/a-denoised.png", "one.png"] {
        fs::write(shell.path(name), "mine").unwrap();
    }
    shell.run(&format!("denoise in -o out {MODEL}")).is_misused(&["out/b.png exists already", "--force"]);
    shell.run(&format!("denoise in/a.png {MODEL}")).is_misused(&["in/a-denoised.png exists already", "--force"]);
    shell.run(&format!("denoise in/a.png -o one.png {MODEL}")).is_misused(&["one.png exists already", "--force"]);
    shell.run(&format!("denoise in/a.png -o x.png --compare one.png {MODEL}")).is_misused(&["one.png exists already"]);
    fs::write(shell.path("out/a.png"), "mine").unwrap();
    shell.run(&format!("denoise in -o out {MODEL}")).is_misused(&["out/a.png and 1 other file exist already", "--force"]);
    for name in ["out/a.png", "out/b.png", "in/a-denoised.png", "one.png"] {
        assert_eq!(fs::read(shell.path(name)).unwrap(), b"mine", "{name}");
    }
    shell.run(&format!("denoise in -o out --force {MODEL}")).succeeds();
    shell.run(&format!("denoise in/a.png -f {MODEL}")).succeeds();
    for name in ["out/a.png", "out/b.png", "in/a-denoised.png"] {
        image::open(shell.path(name)).unwrap();
    }
    // Only the part that is done here matters.
    fs::remove_file(shell.path("out/a.png")).unwrap();
    shell.run(&format!("denoise in -o out --shard 1/2 {MODEL}")).succeeds();
    shell.run(&format!("denoise in -o out --shard 2/2 {MODEL}")).is_misused(&["out/b.png exists already"]);
}

#[test]
fn a_picture_is_denoised_in_place_only_when_told_to() {
    let shell = shell();
    let before = fs::read(shell.path("in/a.png")).unwrap();
    for line in ["in/a.png -o in/a.png", "in -o in", "in/a.png -o in"] {
        shell.run(&format!("denoise {line} {MODEL}")).is_misused(&["in/a.png would be replaced", "--force"]);
    }
    shell.run_with(&format!("denoise in/a.png {MODEL}"), ["--suffix", ""]).is_misused(&["in/a.png would be replaced"]);
    assert!(fs::read(shell.path("in/a.png")).unwrap() == before);
    shell.run(&format!("denoise in/a.png -o in/a.png --force {MODEL}")).succeeds();
    assert!(fs::read(shell.path("in/a.png")).unwrap() != before);
    shell.run(&format!("denoise in -o in --force {MODEL}")).succeeds();
    assert_eq!(shell.names("in"), ["a.png", "b.png"]);
}

#[test]
fn no_input_is_replaced_by_another_result_whatever_is_told() {
    let shell = shell();
    let files = ["in/a.png", "in/b.png", "model/last.safetensors"];
    let contents = || files.map(|name| fs::read(shell.path(name)).unwrap());
    let before = contents();
    for (target, link, line) in [
        // Each would be the other's result.
        ("in/b.png", "out/a.png", "-o out"),
        ("model/last.safetensors", "out/a.png", "-o out"),
        ("in/a.png", "out/a.png", "-o new --compare out"),
        ("in/b.png", "out/a.png", "-o new --compare out"),
        ("model/last.safetensors", "out/b.png", "-o new --compare out"),
    ] {
        fs::create_dir(shell.path("out")).unwrap();
        fs::hard_link(shell.path(target), shell.path(link)).unwrap();
        shell.run(&format!("denoise in {line} --force {MODEL}")).is_misused(&[&format!("{target} would be replaced"), link]);
        fs::remove_dir_all(shell.path("out")).unwrap();
    }
    shell.run(&format!("denoise in/a.png -o x.png --compare x.png --force {MODEL}")).is_misused(&["x.png would be replaced"]);
    assert!(contents() == before && !shell.path("new").exists() && !shell.path("x.png").exists());
}
