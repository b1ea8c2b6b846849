//! Bad input on the command line: one clear sentence that names the file or the flag, exit code 1, or 2 for misuse, other
//! files still done, nothing half-written.

use std::fs;

use crate::cli::{Shell, TINY, asset};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const DENOISE: &str = "--model model/last.safetensors --device cpu";

/// Command lines that make no sense, and what the message names.
const MISUSE: &[(&str, &str)] = &[
    ("frobnicate", "frobnicate"),
    ("train a.png --noise gaussian:25", "--out"),
    ("train --noise gaussian:25 --out run", "PHOTOS"),
    ("train a.png --out run", "--noise"),
    ("train a.png --noise nonsense:1 --out run", "nonsense:1"),
    ("train a.png --noise gaussian --out run", "--noise"),
    ("train a.png --noise gaussian:50-10 --out run", "gaussian:50-10"),
    ("train a.png --noise gaussian:-3 --out run", "gaussian:-3"),
    ("train a.png --noise gaussian:300 --out run", "gaussian:300"),
    ("train a.png --noise gaussian:nan --out run", "gaussian:nan"),
    ("train a.png --noise poisson:0 --out run", "poisson:0"),
    ("train a.png --noise text:0.9 --out run", "text:0.9"),
    ("train a.png --noise pixelate:1 --out run", "pixelate:1"),
    ("train a.png --noise brown:25 --out run", "brown:25"),
    ("train a.png --dataset pairs.npz --out run", "--dataset"),
    ("train --dataset pairs.npz --noise gaussian:25 --out run", "--noise"),
    ("train a.png --noise gaussian:25 --out run --net epfl-resunet --width 16 --device cpu", "width 16"),
    ("train a.png --noise gaussian:25 --out run --net epfl-convnet --residual --device cpu", "epfl-convnet"),
    ("train a.png --noise gaussian:25 --out run --augment triple --batch 4 --device cpu", "--batch 4"),
    ("train a.png --noise gaussian:25 --out run --loss l3", "--loss"),
    ("import a.pth --net epfl-convnet -o b.safetensors", "--mean"),
    ("import a.pth --net epfl-unet", "--output"),
    ("train a.png --pairs a b --noise gaussian:25 --out run", "--pairs"),
    ("train --pairs a --out run", "--pairs"),
    ("train a.png --noise gaussian:25 --out run --steps 0", "must be 1 or more"),
    ("train a.png --noise gaussian:25 --out run --memory -5", "not a whole number"),
    ("train a.png --noise gaussian:25 --out run --batch 1.5", "not a whole number"),
    ("train a.png --noise gaussian:25 --out run --steps 5 --minutes 1", "--minutes"),
    ("train a.png --noise gaussian:25 --out run --lr nan", "--lr"),
    ("train a.png --noise gaussian:25 --out run --lr 0", "--lr"),
    ("train a.png --noise gaussian:25 --out run --minutes -1", "must be above 0"),
    ("denoise a.png -o b.png --strength -1", "from 0 to 1"),
    ("train a.png --noise gaussian:25 --out run --ema 1", "--ema"),
    ("train a.png --noise gaussian:25 --out run --net transformer", "--net"),
    ("train a.png --noise gaussian:25 --out run --device cpu --levels 3 --crop 20", "--crop 20"),
    ("train a.png --noise gaussian:25 --out run --device cpu --batch 4096 --crop 4096", "--batch 4096"),
    ("bench --device cpu --levels 3 --size 20", "--size 20"),
    ("bench --device cpu --batch 4096 --size 8192", "--batch 4096 pictures of 8192 pixels"),
    ("bench --net epfl-resunet --width 10 --size 32 --device cpu", "width 10"),
    ("bench --net epfl-convnet --width 12 --device cpu", "--width"),
    ("train a.png --noise gaussian:25 --out run --device cpu --net epfl-unet --levels 3", "--levels"),
    ("train a.png --noise gaussian:25 --out run --device cpu --shared", "--shared"),
    ("train a.png --noise gaussian:25 --out run --device cpu --momentum 0.9", "--momentum"),
    ("denoise -o b.png", "INPUT"),
    ("denoise a.png -o b.png --shard 3/2", "from 1 to 2"),
    ("denoise a.png -o b.png --shard 0/2", "from 1 to 2"),
    ("denoise a.png -o b.png --shard 2", "1/3"),
    ("denoise a.png --suffix a/b", "part of a file name"),
    ("denoise a.png -o b.png --suffix -x", "write -x into b.png"),
    ("denoise a.png --format doc", "png, jpg"),
    ("denoise a.png -o b.png --format jpg", "b.png"),
    ("denoise a.png -o {nam}.png", "{nam}"),
    ("denoise a.png - ", "stdin goes with no others"),
    ("denoise - -o out/", "--format"),
    ("denoise a.png -o a.png", "a.png"),
    ("denoise a.png -o .", "a.png"),
    ("denoise a.png -o b.png --strength 2", "--strength"),
    ("denoise a.png -o b.png --strength nan", "--strength"),
    ("denoise a.png -o b.png --tile many", "--tile"),
    ("eval a.png", "--noise"),
    ("demo --minutes 0", "--minutes"),
    ("demo --levels 9", "--levels"),
];

#[test]
fn misuse_is_told_from_failure() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    for (line, name) in MISUSE {
        shell.run(line).is_misused(&[name]);
    }
    assert_eq!(shell.names("."), ["a.png"], "misuse leaves no file");
}

#[test]
fn what_cannot_be_read_is_named() {
    let shell = Shell::new();
    shell.model();
    shell.picture("whole.png", 40, 32);
    fs::create_dir(shell.path("empty")).unwrap();
    fs::create_dir(shell.path("broken")).unwrap();
    fs::write(shell.path("broken/text.png"), "not a picture\n").unwrap();
    fs::write(shell.path("nothing.png"), "").unwrap();
    let whole = fs::read(shell.path("whole.png")).unwrap();
    fs::write(shell.path("cut.png"), &whole[..whole.len() / 2]).unwrap();
    let jpeg = fs::read(asset("spices.jpg")).unwrap();
    fs::write(shell.path("cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    for input in ["missing.png", "missing", "empty", "broken/text.png", "nothing.png", "cut.png", "cut.jpg"] {
        shell.run(&format!("denoise {input} -o out/ {DENOISE}")).fails(&[input]);
        shell.run(&format!("eval {input} --noise gaussian:25 {DENOISE}")).fails(&[input]);
        shell.run(&format!("train {input} --out run {TINY}")).fails(&[input]);
        shell.run(&format!("train whole.png --val {input} --out run {TINY}")).fails(&[input]);
        assert!(!shell.path("out").exists() && !shell.path("run").exists(), "{input} leaves files");
    }
}

#[test]
fn data_sets_and_state_dicts_that_are_none_are_named_and_leave_nothing() {
    let shell = Shell::new();
    let files = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files");
    fs::write(shell.path("evil.pkl"), b"cos\nsystem\n(S'touch ran'\ntR.").unwrap();
    fs::write(shell.path("text.npz"), "not a data set\n").unwrap();
    fs::copy(files.join("state.pth"), shell.path("state.pth")).unwrap();
    let whole = fs::read(files.join("pairs.pkl")).unwrap();
    fs::write(shell.path("cut.pkl"), &whole[..whole.len() / 2]).unwrap();
    for name in ["missing.pkl", "evil.pkl", "text.npz", "cut.pkl", "state.pth"] {
        shell.run(&format!("train --dataset {name} --out run --steps 1 --device cpu")).fails(&[name]);
        shell.run(&format!("import {name} --net epfl-unet -o model.safetensors")).fails(&[name]);
    }
    shell.run("import state.pth --net epfl-unet -o model.safetensors").fails(&["state.pth", "_block1.0.weight", "missing"]);
    shell.run("import state.pth --net epfl-resunet --width 10 -o model.safetensors").fails(&["state.pth", "missing"]);
    assert_eq!(shell.names("."), ["cut.pkl", "evil.pkl", "state.pth", "text.npz"], "nothing ran, nothing was written");
}

#[test]
fn a_model_of_ours_is_not_imported_again() {
    let shell = Shell::new();
    shell.model();
    shell
        .run("import model/last.safetensors --net unet --residual=true -o again.safetensors")
        .fails(&["model/last.safetensors", "already"]);
}

#[test]
fn noisy_and_clean_pictures_of_two_sizes_are_named_before_the_training() {
    let shell = Shell::new();
    for (folder, size) in [("train/a", 40), ("train/b", 40), ("val/a", 40), ("val/b", 32)] {
        shell.picture(&format!("{folder}/0.png"), size, 32);
        shell.picture(&format!("{folder}/1.png"), size, 32);
    }
    // The two of a training pair must differ: here in one pixel.
    for name in ["0.png", "1.png"] {
        let path = shell.path("train/b").join(name);
        let mut picture = image::open(&path).unwrap().to_rgb8();
        picture.get_pixel_mut(0, 0).0[0] ^= 8;
        picture.save(&path).unwrap();
    }
    shell.run("train --dataset train --val val --out run --steps 1 --device cpu").fails(&["0.png", "40x32 and 32x32"]);
    assert!(!shell.path("run").exists());
}

#[test]
fn pictures_too_small_for_their_noise_are_named() {
    let shell = Shell::new();
    shell.picture("small.png", 20, 24);
    for noise in ["text:0.25", "pixelate:32"] {
        shell.run(&format!("eval small.png --noise {noise}")).fails(&["small.png", noise]);
        shell
            .run(&format!("train small.png --noise {noise} --out run --steps 1 --device cpu --levels 1 --crop 2"))
            .fails(&["small.png"]);
    }
    assert_eq!(shell.names("."), ["small.png"]);
}

#[test]
fn a_cmyk_jpeg_is_denoised_as_rgb() {
    // Pillow: Image.new("CMYK", (1, 1), (20, 200, 100, 64)).save(.., quality=95, optimize=True)
    const CMYK: &str = "ffd8ffee000e41646f626500640000000000ffdb0043000201010101010201010102020202020403020202020504040304060506060605\
        060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc000140800010001044311004d11005911004b1100ff\
        c400160001010100000000000000000000000000090708ffc40014100100000000000000000000000000000000ffda000e0443004d0059\
        004b00003f006b06dad8df8fffd9";
    let shell = Shell::new();
    shell.model();
    let bytes: Vec<u8> = (0..CMYK.len()).step_by(2).map(|i| u8::from_str_radix(&CMYK[i..i + 2], 16).unwrap()).collect();
    fs::write(shell.path("cmyk.jpg"), bytes).unwrap();
    shell.run(&format!("denoise cmyk.jpg -o out.jpg {DENOISE}")).succeeds();
    assert_eq!(image::open(shell.path("out.jpg")).unwrap().color(), image::ColorType::Rgb8);
}

#[test]
fn pictures_smaller_than_a_crop_are_left_out_or_named() {
    let shell = Shell::new();
    shell.picture("photos/large.png", 40, 32);
    shell.picture("photos/one.png", 1, 1);
    shell.picture("photos/other.png", 24, 24);
    let done = shell.run(&format!("train photos --val photos/large.png --out run {TINY}"));
    assert!(done.succeeds().stderr.contains("one.png"), "{done}");
    shell.run(&format!("train photos/one.png --out small {TINY}")).fails(&["one.png", "crop"]);
    assert!(!shell.path("small").exists());
}

#[test]
fn pairs_that_are_none_are_named() {
    let shell = Shell::new();
    for name in ["1.png", "2.png", "3.png"] {
        shell.picture(&format!("a/{name}"), 40, 32);
    }
    shell.picture("names/1.png", 40, 32);
    shell.picture("names/4.png", 40, 32);
    for folder in ["set/a", "set/b", "half/b"] {
        fs::create_dir_all(shell.path(folder)).unwrap();
    }
    let train = "--out run --width 4 --levels 1 --batch 2 --crop 16 --steps 5 --device cpu";
    let done = shell.run(&format!("train --pairs a names --strict {train}"));
    done.fails_with(&["a/2.png: has no partner of that name in names"]);
    let done = shell.run(&format!("train --pairs a names {train}"));
    done.fails_with(&["1.png", "are the same"]);
    assert!(done.stderr.contains("left out: names/4.png: has no partner of that name in a"), "{done}");
    shell.run(&format!("train --pairs a missing {train}")).fails(&["missing"]);
    shell.run(&format!("train --dataset set {train}")).fails(&["set/a", "no picture"]);
    shell.run(&format!("train --dataset half {train}")).fails(&["half: has no folder a"]);
    shell.run(&format!("train --pairs a set/b {train}")).fails(&["set/b", "no picture"]);
    shell.run(&format!("train --pairs a a {train}")).fails(&["1.png", "are the same"]);
    shell.run(&format!("train --pairs a a/1.png {train}")).fails(&["a/1.png", "two of a kind"]);
    for odd in 1..=3 {
        let folder = format!("sizes{odd}");
        for i in 1..=3 {
            shell.picture(&format!("{folder}/{i}.png"), if i == odd { 33 } else { 40 }, 32);
        }
        let name = format!("{odd}.png");
        shell.run(&format!("train --pairs a {folder} --strict {train}")).fails(&[&name, "40x32", "33x32"]);
        shell.run(&format!("eval --pairs a {folder} {DENOISE}")).fails(&["--pairs", &name, "40x32", "33x32"]);
    }
    assert!(!shell.path("run").exists());
}

#[test]
fn models_that_are_none_are_named() {
    let shell = Shell::new();
    let model = fs::read(shell.path(shell.model())).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(shell.path(name), bytes).unwrap();
    write("cut.safetensors", &model[..model.len() / 2]);
    write("stub.safetensors", &model[..5]);
    write("text.safetensors", b"not a model, but text of some length\n");
    write("empty.safetensors", b"");
    write("nan.safetensors", &rewrite(&model, |json| json, |_, values| values[0] = f32::NAN));
    write("levels.safetensors", &rewrite(&model, |json| json.replace("\"levels\":1", "\"levels\":2"), |_, _| ()));
    write("width.safetensors", &rewrite(&model, |json| json.replace("\"width\":4", "\"width\":8"), |_, _| ()));
    write("huge.safetensors", &rewrite(&model, |json| json.replace("\"width\":4", "\"width\":400000000000"), |_, _| ()));
    write("future.safetensors", &rewrite(&model, |json| json.replace("\"unet\"", "\"transformer\""), |_, _| ()));
    let file = SafeTensors::deserialize(&model).unwrap();
    write("foreign.safetensors", &safetensors::serialize(file.tensors(), None).unwrap());
    let kinds = "cut stub text empty nan levels width huge future foreign missing";
    for name in kinds.split(' ').map(|kind| format!("{kind}.safetensors")) {
        shell.run(&format!("denoise for-model.png -o out.png --model {name} --device cpu")).fails(&[&name]);
        shell.run(&format!("eval for-model.png --noise gaussian:25 --model {name} --device cpu")).fails(&[&name]);
    }
    shell.run("denoise for-model.png -o out.png --model . --device cpu").fails(&["."]);
    assert!(!shell.path("out.png").exists());
}

/// A model file with its description and its tensors changed.
fn rewrite(model: &[u8], description: impl Fn(String) -> String, tensor: impl Fn(&str, &mut [f32])) -> Vec<u8> {
    let (_, header) = SafeTensors::read_metadata(model).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    metadata.entry("n2n-gpu".into()).and_modify(|json| *json = description(std::mem::take(json)));
    let file = SafeTensors::deserialize(model).unwrap();
    let change = |(name, view): (String, TensorView)| {
        let mut values: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
        tensor(&name, &mut values);
        (name, view.shape().to_vec(), bytemuck::cast_slice(&values).to_vec())
    };
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file.tensors().into_iter().map(change).collect();
    let views = tensors.iter().map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
fn an_unknown_device_is_named() {
    let shell = Shell::new();
    shell.model();
    for device in ["no-such-device", "99", "-"] {
        let name = format!("--device {device}");
        shell.run(&format!("denoise for-model.png -o out.png --model model/last.safetensors {name}")).fails(&[&name, "cpu"]);
        shell.run(&format!("devices {name}")).fails(&[&name, "cpu"]);
    }
    let line = "bench";
    let mut command = shell.command(line);
    command.args(["--device", ""]);
    crate::cli::Done::of(line, command).fails(&["--device"]);
    assert!(!shell.path("out.png").exists());
}

#[test]
fn without_an_adapter_the_cpu_does_the_work() {
    let shell = Shell::new();
    shell.model();
    let line = "denoise for-model.png -o out.png --model model/last.safetensors";
    shell.run_without_adapters(&format!("{line} --device llvmpipe")).fails(&["--device llvmpipe", "no adapter"]);
    shell.run_without_adapters(&format!("{line} --device 0")).fails(&["--device 0", "no adapter"]);
    assert!(!shell.path("out.png").exists());
    let done = shell.run_without_adapters(&format!("{line} --device auto"));
    assert_eq!(done.succeeds().stderr.lines().filter(|line| line.contains("CPU")).count(), 1, "{done}");
    let found = shell.run_without_adapters("devices --json").json("devices auto");
    assert_eq!(found["auto"], "cpu");
    assert_eq!(found["devices"].as_array().unwrap().len(), 1);
}

#[test]
fn training_that_blows_up_says_so() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    for (steps, lr) in [(200, "1e30"), (20, "1e12"), (1, "1e30"), (1, "1e40"), (200, "1e300")] {
        // Twenty validations: with 200 steps the losses are looked at first, with fewer the held-out pictures.
        let tiny = TINY.replace("--steps 20", &format!("--steps {steps} --lr {lr}"));
        shell.run(&format!("train a.png --out run --quiet --overwrite {tiny}")).fails(&["unstable", "learning rate"]);
        let names = shell.names("run");
        assert!(!names.iter().any(|name| name.ends_with(".tmp") || name == "report.html"), "{names:?}");
    }
}

#[test]
fn one_broken_file_does_not_stop_the_others() {
    let shell = Shell::new();
    shell.model();
    shell.picture("in/a.png", 40, 32);
    shell.picture("in/c.png", 20, 30);
    fs::write(shell.path("in/b.png"), "not a picture\n").unwrap();
    let done = shell.run(&format!("denoise in -o out --json {DENOISE}"));
    let json = done.ends_with(1).json("device files failed");
    assert_eq!(json["files"].as_array().unwrap().len(), 2);
    assert_eq!(json["failed"][0]["input"], "in/b.png");
    let errors: Vec<_> = done.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 2 && errors[0].contains("in/b.png") && errors[1].contains("1 of 3"), "{done}");
    assert_eq!(shell.names("out"), ["a.png", "c.png"]);
}

#[test]
fn files_are_reported_in_order_whichever_fail() {
    let shell = Shell::new();
    shell.model();
    // Read, denoised and written by three threads at once: large and small ones, broken ones first, between and last.
    let broken = [0, 3, 4, 8];
    for i in 0..9 {
        let name = format!("in/{i}.png");
        shell.picture(&name, if i % 2 == 0 { 150 } else { 9 }, 120);
        if broken.contains(&i) {
            fs::write(shell.path(&name), "not a picture\n").unwrap();
        }
    }
    // What cannot be written does not stop the others either.
    fs::create_dir_all(shell.path("out/6.png")).unwrap();
    let done = shell.run(&format!("denoise in -o out --json {DENOISE}"));
    let json = done.ends_with(1).json("files failed");
    let inputs = |key: &str| json[key].as_array().unwrap().iter().map(|f| f["input"].clone()).collect::<Vec<_>>();
    assert_eq!(inputs("files"), ["in/1.png", "in/2.png", "in/5.png", "in/7.png"]);
    assert_eq!(inputs("failed"), ["in/0.png", "in/3.png", "in/4.png", "in/6.png", "in/8.png"]);
    let remarks: Vec<_> = done.stderr.lines().filter_map(|line| line.split_once(" -> ").map(|(input, _)| input)).collect();
    assert_eq!(remarks, ["in/1.png", "in/2.png", "in/5.png", "in/7.png"]);
    assert_eq!(shell.names("out"), ["1.png", "2.png", "5.png", "6.png", "7.png"]);
}

#[test]
fn a_broken_picture_is_left_out_of_training_and_of_the_means() {
    let shell = Shell::new();
    for name in ["a.png", "b.png", "c.png"] {
        shell.picture(&format!("in/{name}"), 40, 32);
        let mut other = image::open(shell.picture(&format!("other/{name}"), 40, 32)).unwrap();
        other.invert();
        other.save(shell.path("other").join(name)).unwrap();
    }
    fs::write(shell.path("in/b.png"), "not a picture\n").unwrap();
    let done = shell.run(&format!("train in --val in --out run {TINY}"));
    let lines: Vec<&str> = done.succeeds().stderr.lines().filter(|line| line.starts_with("left out: ")).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("in/b.png")), "{done}");
    let options = TINY.replace("--noise gaussian:25 ", "");
    let done = shell.run(&format!("train --pairs in other --out pairs {options}"));
    assert!(done.stderr.contains("left out: in/b.png") && !done.stdout.is_empty(), "{done}");

    let done = shell.run("eval in --noise gaussian:25 --json");
    let json = done.ends_with(1).json("psnr_noisy failed error");
    assert_eq!((&json["pictures"], &json["failed"][0]["input"]), (&2.into(), &"in/b.png".into()));
    fs::write(shell.path("in/a.png"), "").unwrap();
    fs::write(shell.path("in/c.png"), "").unwrap();
    shell.run("eval in --noise gaussian:25").fails_with(&["in/a.png", "none of 3 pictures"]);
}

#[cfg(unix)]
#[test]
fn named_pipes_are_neither_waited_for_nor_taken_for_folders() {
    let shell = Shell::new();
    shell.model();
    let pipe = shell.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    shell.run(&format!("denoise pipe -o out.png {DENOISE}")).fails(&["pipe", "not an ordinary file"]);
    let state = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import/epfl-convnet.pth");
    let import = format!("import {} --net epfl-convnet --mean 100 --std 50 -o pipe", state.display());
    shell.run(&import).fails(&["pipe", "name of a file"]);
}
