//! Renderers' pictures from the command line: layers of OpenEXR files and files beside them, there and back, and what is refused.

use crate::cli::Shell;
use crate::tracer::{Render, Scene};
use exr::image::{AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer};
use exr::math::Vec2;
use exr::meta::header::LayerAttributes;
use exr::prelude::{ImageAttributes, IntegerBounds, WritableImage};
use n2n_gpu::data::picture::Picture;

const NET: &str = "--net oidn-unet-small --hdr --batch 1 --crop 32 --steps 3 --device cpu";

/// Renders of some frames: noisy ones in the folders a and b, with features.
fn renders(shell: &Shell) {
    for name in ["a", "b"] {
        std::fs::create_dir(shell.path(name)).unwrap();
    }
    for frame in 0..2 {
        for (name, seed) in [("a", 1), ("b", 2)] {
            Scene::new(frame).render([48, 40], 2, seed).save(&shell.path(name).join(format!("{frame}.exr")), true);
        }
    }
}

/// A model of nine inputs, trained in a blink.
fn model(shell: &Shell) -> &'static str {
    shell.run(&format!("train --pairs a b --aux albedo,normal --out model {NET}")).succeeds();
    "model/last.safetensors"
}

/// Writes channels by their names, all of the same values.
fn exr(shell: &Shell, name: &str, size: [usize; 2], channels: &[(&str, f32)]) {
    let plane = |value: f32| FlatSamples::F32(vec![value; size[0] * size[1]]);
    let list = AnyChannels::sort(channels.iter().map(|(name, value)| AnyChannel::new(*name, plane(*value))).collect());
    let size = Vec2(size[0], size[1]);
    let layer = Layer::new(size, LayerAttributes::default(), Encoding::UNCOMPRESSED, list);
    let image = Image::from_layers(ImageAttributes::new(IntegerBounds::new(Vec2(0, 0), size)), vec![layer]);
    image.write().to_file(shell.path(name)).unwrap();
}

const RGB: [(&str, f32); 3] = [("R", 3.0), ("G", 0.5), ("B", 0.0)];

fn named(layer: &str, letters: &str, value: f32) -> Vec<(String, f32)> {
    letters.chars().map(|letter| (format!("{layer}.{letter}"), value)).collect()
}

/// Colours, and layers of these names.
fn layers(shell: &Shell, name: &str, albedo: &str, normal: (&str, &str)) {
    let all: Vec<_> = [named(albedo, "RGB", 0.5), named(normal.0, normal.1, 0.1)].concat();
    let all: Vec<_> = RGB.into_iter().chain(all.iter().map(|(name, value)| (name.as_str(), *value))).collect();
    exr(shell, name, [48, 40], &all);
}

#[test]
fn renders_train_evaluate_and_come_back_as_renders() {
    let shell = Shell::new();
    renders(&shell);
    let model = model(&shell);
    let json =
        shell.run(&format!("eval --pairs a b --aux albedo,normal --device cpu --json --model {model}")).json("psnr psnr_noisy");
    assert_eq!(json["pictures"], 2);
    shell.run(&format!("train --pairs a b --aux albedo,normal --out model --resume {NET}")).succeeds();
    let done = shell.run(&format!("denoise a/0.exr -o out.exr --aux albedo,normal --device cpu --model {model}"));
    assert!(!done.succeeds().stderr.contains("not kept"), "{done}");
    let [before, after] = ["a/0.exr", "out.exr"].map(|name| Picture::load(&shell.path(name)).unwrap());
    assert!(after.is_linear() && after.header().size() == [48, 40] && after.to_rgb() != before.to_rgb());
    // The layers of features stay.
    shell.run(&format!("denoise out.exr -o again.exr --aux albedo,normal --device cpu --model {model}")).succeeds();
    // Judged by clean renders, which need no features; and by a network for what a display shows.
    std::fs::create_dir_all(shell.path("val/b")).unwrap();
    std::fs::rename(shell.path("out.exr"), shell.path("a/2.exr")).unwrap();
    Scene::new(2).render([48, 40], 2, 2).save(&shell.path("b/2.exr"), true);
    Scene::new(0).render([48, 40], 64, 3).save(&shell.path("val/b/0.exr"), false);
    std::fs::create_dir(shell.path("val/a")).unwrap();
    std::fs::copy(shell.path("a/0.exr"), shell.path("val/a/0.exr")).unwrap();
    let json = shell.run(&format!("train --pairs a b --val val --aux albedo,normal --out judged --json {NET}")).json("psnr");
    assert!(json["psnr"].is_f64() && json["psnr_estimated"].is_null(), "{json}");
    let display = NET.replace("--hdr ", "");
    shell.run(&format!("train --pairs a b --aux albedo --out display {display}")).succeeds();
    shell.run("denoise a/0.exr -o display.exr --aux albedo --device cpu --model display/last.safetensors").succeeds();
    shell.run("bench --net oidn-unet-small --inputs 9 --hdr --batch 1 --size 32 --runs 1 --device cpu").succeeds();
    shell.run(&format!("export {model} --onnx model.onnx")).succeeds();
    shell.run(&format!("export {model} --darktable model.dtmodel")).fails(&["9 channels"]);
}

/// Names that renderers give, and files beside the colours, are the same to the network.
#[test]
fn features_are_found_by_the_names_that_renderers_give_them() {
    let shell = Shell::new();
    renders(&shell);
    let model = model(&shell);
    let denoised = |input: &str, aux: &str| {
        shell.run(&format!("denoise {input} -o out.exr --force --quiet --device cpu --model {model} --aux {aux}")).succeeds();
        Picture::load(&shell.path("out.exr")).unwrap().to_rgb()
    };
    layers(&shell, "plain.exr", "albedo", ("normal", "XYZ"));
    let expected = denoised("plain.exr", "albedo,normal");
    for (albedo, normal) in [
        ("Albedo", ("N", "XYZ")),
        ("ViewLayer.Denoising Albedo", ("ViewLayer.Denoising Normal", "XYZ")),
        ("beauty.diffuse_albedo", ("Normals", "RGB")),
    ] {
        layers(&shell, "other.exr", albedo, normal);
        assert!(denoised("other.exr", "albedo,normal") == expected, "{albedo}, {normal:?}");
    }
    for folder in ["albedos", "normals"] {
        std::fs::create_dir(shell.path(folder)).unwrap();
    }
    exr(&shell, "colours.exr", [48, 40], &RGB);
    exr(&shell, "albedos/colours.exr", [48, 40], &[("R", 0.5), ("G", 0.5), ("B", 0.5)]);
    exr(&shell, "normals/colours.exr", [48, 40], &[("X", 0.1), ("Y", 0.1), ("Z", 0.1)]);
    assert!(denoised("colours.exr", "albedo=albedos,normal=normals") == expected);
    assert!(denoised("colours.exr", "normal=normals/colours.exr,albedo=albedos/colours.exr") == expected);
}

#[test]
fn what_a_network_cannot_read_is_one_sentence() {
    let shell = Shell::new();
    renders(&shell);
    let model = model(&shell);
    let denoise = |line: &str| shell.run(&format!("denoise {line} --force --device cpu --model {model}"));
    denoise("a/0.exr").is_misused(&["--aux", "give albedo,normal"]);
    denoise("a/0.exr --aux albedo").is_misused(&["--aux", "give albedo,normal"]);
    denoise("a/0.exr --aux depth").is_misused(&["albedo and normal"]);
    shell.run("denoise a/0.exr --aux albedo --device cpu").is_misused(&["colours alone"]);
    exr(&shell, "bare.exr", [48, 40], &[RGB, [("depth.R", 1.0), ("depth.G", 1.0), ("depth.B", 1.0)]].concat());
    denoise("bare.exr --aux albedo,normal").fails(&["bare.exr", "looked for", "depth", "albedo=FOLDER"]);
    exr(&shell, "small.exr", [24, 40], &RGB);
    denoise("bare.exr --aux albedo=small.exr,normal=small.exr").fails(&["bare.exr", "24x40", "48x40"]);
    denoise("bare.exr --aux albedo=gone.exr,normal=small.exr").fails(&["gone.exr", "does not exist"]);
    denoise("bare.exr --aux albedo=a,normal=a").fails(&["a: has no albedo under the name of bare.exr"]);
    denoise("a --aux albedo=small.exr,normal").is_misused(&["one file for 2 pictures"]);
    shell.picture("photo.png", 48, 40);
    denoise("bare.exr --aux albedo=photo.png,normal").fails(&["photo.png", "OpenEXR"]);
    let mut infinite = Scene::new(0).render([48, 40], 1, 1);
    infinite.colour[0] = f32::INFINITY;
    infinite.save(&shell.path("infinite.exr"), true);
    denoise("infinite.exr --aux albedo,normal").fails(&["infinite.exr", "column 0, row 0"]);
    assert!(!shell.path("bare-denoised.exr").exists());
}

#[test]
fn what_cannot_be_trained_is_one_sentence() {
    let shell = Shell::new();
    renders(&shell);
    let train = |line: &str| shell.run(&format!("train {line} --out run --batch 1 --crop 32 --steps 2 --device cpu"));
    train("--pairs a b --net unet --aux albedo").is_misused(&["unet", "colours alone"]);
    train("--pairs a b --net oidn-unet-small --hdr --inputs 9").is_misused(&["--aux", "give albedo,normal"]);
    train("--pairs a b --net oidn-unet-small --loss hdr").is_misused(&["--loss", "oidn-unet-small"]);
    shell.picture("photos/photo.png", 48, 40);
    shell.picture("more/photo.png", 48, 40);
    train("photos --noise gaussian:25 --net oidn-unet-small --inputs 9").fails_with(&["noise is added to photographs"]);
    train("photos --noise gaussian:25 --net oidn-unet-small --aux albedo").is_misused(&["--pairs"]);
    train("photos --noise gaussian:25 --net oidn-unet-small --hdr").fails_with(&["linear values"]);
    train("--pairs photos more --net oidn-unet-small --hdr").fails_with(&["photo.png", "without --hdr"]);
    let bare = Render { size: [48, 40], colour: vec![0.5; 48 * 40 * 3], albedo: Vec::new(), normal: Vec::new() };
    bare.save(&shell.path("b/1.exr"), false);
    let done = train("--pairs a b --net oidn-unet-small --hdr --aux albedo,normal");
    assert!(done.succeeds().stderr.contains("left out: b/1.exr: has no layer"), "{done}");
    assert!(!shell.path("photos").join("run").exists());
}
