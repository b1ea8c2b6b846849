//! `denoise` and `eval` as a user runs them: what goes in comes out with its name, size, depth, colour type and alpha.

use crate::cli::{Shell, TINY, wave};
use image::{ColorType, DynamicImage, GrayImage, ImageBuffer, Luma, Rgba};

const MODEL: &str = "--model model/last.safetensors --device cpu";

/// Largest difference between two pictures of one kind, in grey levels.
#[track_caller]
fn difference(shell: &Shell, a: &str, b: &str) -> u8 {
    let [a, b] = [a, b].map(|name| image::open(shell.path(name)).unwrap().to_rgb8());
    assert_eq!(a.dimensions(), b.dimensions());
    a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Pictures of five kinds in the folder `in`: 8 and 16 bit, grey and colour, with and without alpha.
fn kinds(shell: &Shell) -> [(&'static str, ColorType); 5] {
    std::fs::create_dir(shell.path("in")).unwrap();
    let (w, h) = (37, 23);
    let deep = |x: u32, y: u32| (x * 1700 + y * 57) as u16;
    let rgba = ImageBuffer::from_fn(w, h, |x, y| Rgba([deep(x, y), deep(y, x), 40_000, (x * y * 71) as u16]));
    let grey = GrayImage::from_fn(w, h, |x, y| Luma([(x * 5 + y * 2) as u8]));
    let grey_deep = ImageBuffer::from_fn(w, h, |x, y| Luma([deep(x, y)]));
    let pictures = [
        ("colour.png", DynamicImage::from(wave(w, h))),
        ("colour.jpg", DynamicImage::from(wave(w, h))),
        ("deep-alpha.png", DynamicImage::from(rgba)),
        ("grey.png", DynamicImage::from(grey)),
        ("grey-deep.png", DynamicImage::from(grey_deep)),
    ];
    pictures.map(|(name, picture)| {
        picture.save(shell.path("in").join(name)).unwrap();
        (name, picture.color())
    })
}

#[test]
fn names_sizes_depths_and_alpha_are_kept() {
    let shell = Shell::new();
    shell.model();
    let kinds = kinds(&shell);
    let json = shell.run(&format!("denoise in -o out --strength 1 --json --quiet {MODEL}")).json("device files");
    assert_eq!(json["files"].as_array().unwrap().len(), kinds.len());
    for key in ["input", "output", "width", "height", "seconds"] {
        assert!(json["files"][0].get(key).is_some(), "no key {key}");
    }
    assert_eq!(shell.names("out"), shell.names("in"));
    for (name, color) in kinds {
        let [before, after] = ["in", "out"].map(|folder| image::open(shell.path(folder).join(name)).unwrap());
        assert_eq!((after.color(), after.width(), after.height()), (color, before.width(), before.height()), "{name}");
        assert_ne!(before, after, "{name} is not denoised");
        let alpha = |picture: &DynamicImage| picture.to_rgba16().pixels().map(|p| p[3]).collect::<Vec<_>>();
        assert_eq!(alpha(&before), alpha(&after), "{name}");
    }
}

#[test]
fn strength_0_gives_the_picture_back() {
    let shell = Shell::new();
    shell.model();
    let kinds = kinds(&shell);
    shell.run(&format!("denoise in -o out --strength 0 {MODEL}")).succeeds();
    for (name, _) in kinds.into_iter().filter(|(name, _)| name.ends_with(".png")) {
        let [before, after] = ["in", "out"].map(|folder| image::open(shell.path(folder).join(name)).unwrap());
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn any_size_is_denoised() {
    let shell = Shell::new();
    shell.model();
    shell.picture("photo.png", 40, 32);
    shell.run(&format!("train photo.png --out deep {}", TINY.replace("--levels 1", "--levels 4"))).succeeds();
    for (w, h) in [(1, 1), (1, 7), (5, 3), (63, 65)] {
        shell.picture(&format!("in/{w}x{h}.png"), w, h);
    }
    for model in ["model", "deep"] {
        let model = format!("--model {model}/last.safetensors --device cpu");
        let json = shell.run(&format!("denoise in -o out --force --json {model}")).json("files");
        for file in json["files"].as_array().unwrap() {
            let output = image::open(shell.path(file["output"].as_str().unwrap())).unwrap();
            assert_eq!(format!("out/{}x{}.png", output.width(), output.height()), file["output"]);
        }
        assert_eq!(json["files"].as_array().unwrap().len(), 4);
        let json = shell.run(&format!("eval in --noise gaussian:25 --json {model}")).json("psnr ssim");
        assert!(json["psnr"].is_f64() && json["ssim"].is_f64());
    }
}

#[test]
fn the_smallest_tiles_give_the_same_picture_as_one_pass() {
    let shell = Shell::new();
    shell.picture("photo.png", 101, 150);
    for levels in [1, 2] {
        let train = TINY.replace("--levels 1", &format!("--levels {levels}"));
        shell.run(&format!("train photo.png --out model --overwrite {train}")).succeeds();
        let misused = shell.run(&format!("denoise photo.png -o a.png --tile 1 {MODEL}"));
        let words: Vec<_> = misused.stderr.split_whitespace().collect();
        let least = words[words.iter().position(|w| *w == "least").unwrap() + 1];
        shell.run(&format!("denoise photo.png -o whole.png --force {MODEL}")).succeeds();
        shell.run(&format!("denoise photo.png -o tiles.png --force --tile {least} {MODEL}")).succeeds();
        assert_eq!(difference(&shell, "whole.png", "tiles.png"), 0, "tiles of {least} pixels");
        shell.run(&format!("denoise photo.png -o huge.png --force --tile 18446744073709551615 {MODEL}")).succeeds();
        assert_eq!(difference(&shell, "whole.png", "huge.png"), 0);
    }
}

#[test]
fn one_picture_goes_to_a_file_or_into_a_folder() {
    let shell = Shell::new();
    shell.model();
    shell.picture("a.png", 20, 10);
    std::fs::create_dir(shell.path("there")).unwrap();
    for (out, written) in [("b.png", "b.png"), ("b.tif", "b.tif"), ("there", "there/a.png"), ("new/", "new/a.png")] {
        shell.run(&format!("denoise a.png -o {out} {MODEL}")).succeeds();
        assert!(shell.path(written).is_file(), "-o {out}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_bar_shows_progress_on_a_terminal_unless_quiet() {
    let shell = Shell::new();
    shell.model();
    shell.picture("photo.png", 600, 400);
    // `script` of util-linux gives the program a terminal.
    let on_a_terminal = |flag: &str| {
        let line = format!("{} denoise photo.png -o out.png --force {flag} {MODEL}", env!("CARGO_BIN_EXE_n2n-gpu"));
        let mut command = std::process::Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(shell.path("")).stdin(std::process::Stdio::null());
        let output = command.env("TERM", "xterm").output().ok()?;
        assert!(output.status.success());
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Some(shown) = on_a_terminal("") else { return crate::cli::left_out("progress on a terminal: there is no `script`") };
    assert!(shown.contains("photo.png: ") && shown.contains('█') && shown.contains("photo.png -> out.png"), "{shown}");
    let quiet = on_a_terminal("--quiet").unwrap();
    assert!(!quiet.contains("photo.png") && quiet.contains("1 picture denoised"), "{quiet}");
}

#[test]
fn values_far_from_what_a_model_knows_are_told() {
    let shell = Shell::new();
    let counts = |name: &str, from: u16| {
        let at = |x: u32, y: u32| Luma([from + (x * 7 + y * 13) as u16 % 300]);
        ImageBuffer::from_fn(64, 48, at).save(shell.path(name)).unwrap();
    };
    ["a/1.png", "b/1.png"].iter().for_each(|name| drop(shell.picture(name, 8, 8)));
    counts("counts.png", 100);
    counts("bright.png", 40_000);
    let told = |name: &str, model: &str| {
        let done = shell.run(&format!("denoise {name} -o out.png --force --device cpu --model {model}"));
        done.succeeds().stderr.clone()
    };
    let of_photos = shell.model();
    assert!(told("counts.png", of_photos).contains("counts.png: its values fill 0.46 % of their range"));
    assert!(!told("bright.png", of_photos).contains("its values"));
    // Two shots of counts make a model of their range.
    counts("a/1.png", 100);
    counts("b/1.png", 103);
    let line = "train --pairs a b --out own --width 4 --levels 1 --batch 2 --crop 16 --steps 5 --device cpu";
    shell.run(line).succeeds();
    assert!(!told("counts.png", "own/last.safetensors").contains("its values"));
    assert!(told("bright.png", "own/last.safetensors").contains("but the model was trained on"));
}
