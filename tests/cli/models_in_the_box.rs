//! Models in the box: what they are, and what `denoise` makes of pictures without a word about a model.

use crate::cli::Shell;
use n2n_gpu::data::metrics::psnr;
use n2n_gpu::data::picture::Picture;
use n2n_gpu::nets::{BUILT_IN, Builtin};
use n2n_gpu::noise::{Clean, Noise};

/// A photograph, and the same with noise as a file of 8 bits holds it.
fn noisy(shell: &Shell, name: &str, noise: &str) -> (Vec<f32>, Vec<f32>) {
    let photo = Picture::load("assets/coffee.jpg".as_ref()).unwrap();
    let [width, height] = photo.header().size();
    let rgb = photo.to_rgb();
    let noise: Noise = noise.parse().unwrap();
    let exposed = noise.expose(Clean { rgb: &rgb, width, height }, 3, 0, 0).values;
    let bytes: Vec<u8> = exposed.iter().map(|v| (255.0 * v + 0.5) as u8).collect();
    let picture = Picture::from_rgb8(width, height, &bytes);
    picture.save(&shell.path(name)).unwrap();
    (rgb, picture.to_rgb())
}

fn load(shell: &Shell, name: &str) -> Vec<f32> {
    Picture::load(&shell.path(name)).unwrap().to_rgb()
}

#[test]
fn models_in_the_box_are_small_and_say_what_they_are() {
    assert!(BUILT_IN.iter().map(Builtin::size).sum::<usize>() <= 4 << 20);
    let shell = Shell::new();
    for model in BUILT_IN {
        let done = shell.run(&format!("info {} --json", model.name));
        let json = done.succeeds().json("net parameters noise range steps");
        assert!(json["steps"].as_u64().unwrap() > 1000 && json["net"] == "unet" && json["bytes"] == model.size(), "{json}");
        assert!(model.load().unwrap().params.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn a_noisy_photo_is_denoised_without_a_word_about_a_model() {
    let shell = Shell::new();
    let (clean, before) = noisy(&shell, "photo.png", "camera:4,2,92");
    let done = shell.run("denoise photo.png --device cpu");
    assert!(done.succeeds().stderr.contains("noise ") && done.stderr.contains(" of 255"), "{done}");
    let (from, to) = (psnr(&before, &clean), psnr(&load(&shell, "photo-denoised.png"), &clean));
    assert!(to > from + 2.5, "from {from} to {to} dB");
}

#[test]
fn the_quick_model_denoises_photographs_too() {
    let shell = Shell::new();
    let (clean, before) = noisy(&shell, "photo.png", "camera:4,2,92");
    shell.run("denoise photo.png --model quick --device cpu").succeeds();
    let (from, to) = (psnr(&before, &clean), psnr(&load(&shell, "photo-denoised.png"), &clean));
    assert!(to > from + 1.5, "from {from} to {to} dB");
}

#[test]
fn the_gaussian_model_is_found_by_its_name() {
    let shell = Shell::new();
    let (clean, before) = noisy(&shell, "photo.png", "gaussian:25");
    let json = shell.run("denoise photo.png --model gaussian --device cpu --json").succeeds().json("device files");
    let (noise, strength) = (json["files"][0]["noise"].as_f64().unwrap(), json["files"][0]["strength"].as_f64().unwrap());
    assert!((noise - 25.0).abs() < 3.0 && strength == 1.0, "{json}");
    let (from, to) = (psnr(&before, &clean), psnr(&load(&shell, "photo-denoised.png"), &clean));
    assert!(to > from + 8.5, "from {from} to {to} dB");
}

#[test]
fn a_clean_photo_comes_back_nearly_as_it_was() {
    let shell = Shell::new();
    std::fs::copy("assets/coffee.jpg", shell.path("photo.jpg")).unwrap();
    let clean = load(&shell, "photo.jpg");
    let apart = |options: &str| {
        shell.run(&format!("denoise photo.jpg -o out.png --force --device cpu {options}")).succeeds();
        psnr(&load(&shell, "out.png"), &clean)
    };
    let (whole, judged) = (apart("--strength 1"), apart(""));
    assert!(whole > 36.0 && judged > 42.0 && judged > whole, "{whole} and {judged} dB");
}

#[test]
fn a_second_pass_leaves_a_denoised_photo_nearly_as_it_is() {
    let shell = Shell::new();
    noisy(&shell, "photo.png", "camera:4,2,92");
    let mut apart = Vec::new();
    for (from, to) in [("photo.png", "once.png"), ("once.png", "twice.png")] {
        shell.run(&format!("denoise {from} -o {to} --device cpu")).succeeds();
        apart.push(psnr(&load(&shell, to), &load(&shell, from)));
    }
    assert!(apart[1] > 42.0 && apart[1] > apart[0] + 10.0, "{apart:?} dB");
}

#[test]
fn exports_and_measures_take_models_in_the_box() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    shell.run("export photo --onnx photo.onnx --half small.safetensors").succeeds();
    assert!(shell.path("photo.onnx").exists());
    let size = std::fs::metadata(shell.path("small.safetensors")).unwrap().len();
    assert!(size < 2 * BUILT_IN[0].size() as u64);
    let eval = "eval photo.png --noise gaussian:25 --model gaussian --device cpu";
    let psnr = |line: &str| shell.run(&format!("{line} --json")).succeeds().json("psnr")["psnr"].as_f64().unwrap();
    assert!(psnr(&format!("{eval} --tta")) > psnr(eval));
    shell.run("eval photo.png --noise gaussian:25 --tta").is_misused(&["--model"]);
    shell.run("denoise photo.png -o again.png --model small.safetensors --device cpu").succeeds();
    shell.run("export photo --onnx second.onnx --half nowhere/small.safetensors").fails(&["nowhere", "create it first"]);
    assert!(!shell.path("second.onnx").exists());
    shell.run("export photo --half photo.bin").is_misused(&["--half", ".safetensors"]);
}
