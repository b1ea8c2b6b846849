//! `train` and `demo` as a user runs them.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/tensor_files.rs"]
mod files;

use std::fs;

use cli::{Done, Shell, TINY, left_out, wave};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

const RUN_FILES: [&str; 7] =
    ["best.safetensors", "config.toml", "last.safetensors", "metrics.jsonl", "report.html", "samples", "state.safetensors"];

/// The lines of a run's metrics.
#[track_caller]
fn metrics(shell: &Shell, run: &str) -> Vec<Value> {
    let text = fs::read_to_string(shell.path(run).join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        for key in ["step", "seconds", "loss", "lr", "grad_norm", "psnr_estimated", "psnr", "pictures_per_second"] {
            assert!(line.get(key).is_some(), "no key {key}: {line}");
        }
    }
    lines
}

fn floats(lines: &[Value], key: &str) -> Vec<f64> {
    lines.iter().map(|line| line[key].as_f64().unwrap()).collect()
}

#[test]
fn a_run_folder_has_all_files() {
    let shell = Shell::new();
    for name in ["a.png", "b.png", "c.png"] {
        shell.picture(&format!("photos/{name}"), 40, 32);
    }
    let done = shell.run(&format!("train photos --out new/run --json --seed 7 {TINY}"));
    let json = done.succeeds().json("psnr best last");
    assert_eq!((&json["best"], &json["last"]), (&"new/run/best.safetensors".into(), &"new/run/last.safetensors".into()));
    assert_eq!(shell.names("new/run"), RUN_FILES);
    assert_eq!(shell.names("new/run/samples").len(), 1);
    let config: toml::Table = fs::read_to_string(shell.path("new/run/config.toml")).unwrap().parse().unwrap();
    assert_eq!((config["seed"].as_integer(), config["crop"].as_integer()), (Some(7), Some(16)));
    let lines = metrics(&shell, "new/run");
    assert_eq!(lines.last().unwrap()["step"], 20);
    // One validation, for more would take longer than the training.
    assert_eq!(lines.iter().filter(|line| !line["psnr_estimated"].is_null()).count(), 1);
    assert!(floats(&lines, "step").is_sorted() && floats(&lines, "loss").iter().all(|loss| loss.is_finite()));
}

#[test]
fn what_is_left_out_of_folders_and_what_is_no_improvement_is_said() {
    let shell = Shell::new();
    shell.picture("photos/a.png", 40, 32);
    shell.picture("photos/sub/b.png", 40, 32);
    fs::write(shell.path("photos/notes.txt"), "x").unwrap();
    let skipped = "skipped 1 subfolder (--recursive takes it), 1 other file (.txt)\n";
    let done = shell.run(&format!("train photos --out run {}", TINY.replace("25", "3")));
    assert!(done.succeeds().stderr.contains(skipped) && done.stdout.contains(" dB: worse than they were"), "{done}");
    let skipped = "skipped 1 subfolder, 1 other file (.txt)\n";
    let done = shell.run("eval photos --noise gaussian:3 --model run/best.safetensors --device cpu");
    assert!(done.succeeds().stderr.contains(skipped) && done.stdout.contains("makes these pictures worse"), "{done}");
}

#[test]
fn an_earlier_run_is_kept_unless_it_may_be_overwritten() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    shell.run(&format!("train photo.png --out run {TINY}")).succeeds();
    let before = fs::read(shell.path("run/best.safetensors")).unwrap();
    shell.run(&format!("train photo.png --out run --seed 9 {TINY}")).fails(&["run", "--overwrite"]);
    assert_eq!(fs::read(shell.path("run/best.safetensors")).unwrap(), before);
    shell.run(&format!("train photo.png --out run --seed 9 --overwrite {TINY}")).succeeds();
    assert_ne!(fs::read(shell.path("run/best.safetensors")).unwrap(), before);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    let model = |run: &str, seed: u32| {
        shell.run(&format!("train photo.png --out {run} --overwrite --seed {seed} {TINY}")).succeeds();
        fs::read(shell.path(run).join("last.safetensors")).unwrap()
    };
    let first = model("a", 5);
    assert!(first == model("b", 5), "one seed gives two models");
    assert!(first != model("c", 6), "two seeds give one model");
    // Over an old run: nothing of that shines through.
    assert!(first == model("c", 5), "an old run changes a new one");
}

#[test]
fn pairs_of_noisy_pictures_are_enough() {
    let shell = Shell::new();
    // A small generator with a fixed start: only that the two exposures differ counts.
    let mut state = 1_u32;
    for folder in ["a", "b"] {
        fs::create_dir(shell.path(folder)).unwrap();
        for i in 0..3 {
            let mut picture = wave(48 + i, 40);
            for value in picture.iter_mut() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *value = value.saturating_add((state >> 27) as u8);
            }
            picture.save(shell.path(folder).join(format!("{i}.png"))).unwrap();
        }
    }
    let train = TINY.replace("--noise gaussian:25 ", "");
    let json = shell.run(&format!("train --pairs a b --out run --json {train}")).json("psnr_estimated psnr_noisy");
    assert!(json["psnr_estimated"].is_f64() && json["psnr"].is_null());
    assert_eq!(shell.names("run"), RUN_FILES);
    shell.run("denoise a -o out --model run/best.safetensors --device cpu").succeeds();
}

/// Pairs of 32x32 pixels that [`pairs`] makes.
const PAIRS: usize = 12;

/// Noisy pictures (N, 3, 32, 32), and other exposures of them or the clean ones.
fn pairs(clean: bool) -> [Vec<u8>; 2] {
    let size = 32 * 32 * 3;
    let noise = |i: usize, stream: u32| n2n_gpu::ops::pcg4d([i as u32, stream, 0, 0])[0] as u8 / 4;
    let value = |i: usize| (i % size * 180 / size) as u8;
    let a = (0..PAIRS * size).map(|i| value(i) + noise(i, 1)).collect();
    [a, (0..PAIRS * size).map(|i| if clean { value(i) + 32 } else { value(i) + noise(i, 2) }).collect()]
}

fn data_set(shell: &Shell, name: &str, clean: bool) {
    let [a, b] = pairs(clean);
    let view = |data| TensorView::new(Dtype::U8, vec![PAIRS, 3, 32, 32], data).unwrap();
    fs::write(shell.path(name), safetensors::serialize([("a", view(&a)), ("b", view(&b))], None).unwrap()).unwrap();
}

/// The same pairs from every kind of file make the same model; a folder of pictures trains, and validates, too.
#[test]
fn pairs_of_every_kind_of_file_train_alike() {
    let shell = Shell::new();
    let [a, b] = pairs(false);
    data_set(&shell, "pairs.safetensors", false);
    let shape = [PAIRS as i32, 3, 32, 32];
    let tensor = |key: &str| files::tensor("Byte", key, a.len() as i32, 0, &shape);
    let pickle = files::program(&files::cat(&[&tensor("0"), &tensor("1"), b"\x86"]));
    fs::write(shell.path("train_data.pkl"), files::torch_file(&pickle, &[("0", &a), ("1", &b)], false)).unwrap();
    let arrays = [&a, &b].map(|data| files::npy("|u1", "(12, 3, 32, 32)", data));
    fs::write(shell.path("pairs.npz"), files::zip(&[("a.npy", &arrays[0]), ("b.npy", &arrays[1])], true)).unwrap();
    for (folder, data) in [("folder/a", &a), ("folder/b", &b)] {
        fs::create_dir_all(shell.path(folder)).unwrap();
        for (n, picture) in data.chunks(3 * 32 * 32).enumerate() {
            let pixel = |x, y| image::Rgb([0, 1, 2].map(|c| picture[(c * 32 + y as usize) * 32 + x as usize]));
            image::RgbImage::from_fn(32, 32, pixel).save(shell.path(folder).join(format!("{n:02}.png"))).unwrap();
        }
    }
    let tiny = TINY.replace("--noise gaussian:25 ", "");
    let model = |set: &str| {
        let line = format!("train --dataset {set} --out run --overwrite --json --quiet {tiny}");
        let done = shell.run(&line).succeeds().json("psnr_estimated");
        assert!(done["psnr_estimated"].as_f64().is_some_and(f64::is_finite), "{set}: {done}");
        fs::read(shell.path("run/last.safetensors")).unwrap()
    };
    let first = model("pairs.safetensors");
    for set in ["train_data.pkl", "pairs.npz", "folder"] {
        assert!(model(set) == first, "{set} makes another model");
    }
    let done =
        shell.run(&format!("train --dataset pairs.npz --val folder --out val --json --quiet {tiny}")).succeeds().json("psnr");
    assert!(done["psnr"].as_f64().is_some(), "{done}");
}

/// The paper's recipe is as networks and trainings of the paper are, whatever the noise; here with less of everything.
#[test]
fn the_papers_recipe_is_the_papers() {
    let shell = Shell::new();
    shell.picture("photos/a.png", 300, 280);
    shell.picture("photos/b.png", 280, 300);
    let train = "train photos --recipe n2n --device cpu --json --quiet --overwrite --out run";
    let config = |more: &str| {
        let done = shell.run(&format!("{train} --width 6 --steps 1 {more}")).succeeds().json("net");
        assert_eq!(done["net"], "n2n-unet");
        fs::read_to_string(shell.path("run/config.toml")).unwrap()
    };
    let whole = config("--noise gaussian:0-50");
    let settings = [
        "init = \"he\"",
        "batch = 4",
        "crop = 256",
        "lr = 0.0003",
        "schedule = \"ramp\"",
        "augment = \"none\"",
        "beta1 = 0.9",
        "beta2 = 0.99\n",
        "loss = \"l2\"",
        "clip = 0.0",
        "ema = 0.0",
    ];
    for setting in settings {
        assert!(whole.contains(setting), "{setting}: {whole}");
    }
    for (noise, loss) in [("poisson:30", "loss = \"l2\""), ("text:0.25", "loss = \"l1\""), ("impulse:0.7", "eps = 0.00000001")] {
        let config = config(&format!("--noise {noise} --crop 64"));
        assert!(config.contains(loss) && config.contains("crop = 64"), "{config}");
    }
}

#[test]
fn the_first_reports_recipe_trains_on_a_data_set() {
    let shell = Shell::new();
    data_set(&shell, "train.safetensors", false);
    data_set(&shell, "val.safetensors", true);
    let train = "train --dataset train.safetensors --recipe epfl --width 12 --epochs 1 --device cpu --json --quiet";
    let done = shell.run(&format!("{train} --val val.safetensors --out run")).succeeds().json("psnr");
    // Thirty of a batch are ten pictures: two steps for twelve of them.
    assert!(done["steps"] == 2 && done["net"] == "epfl-unet" && done["psnr_estimated"].is_null(), "{done}");
    assert!(done["psnr"].as_f64().unwrap() > 0.0);
    let config = fs::read_to_string(shell.path("run/config.toml")).unwrap();
    for setting in ["lr = 0.00085", "augment = \"triple\"", "schedule = \"drops\"", "beta2 = 0.999"] {
        assert!(config.contains(setting), "{setting}: {config}");
    }
    // Without clean pictures the quality is estimated from pairs that are held out.
    let done = shell.run(&format!("{train} --out estimated")).succeeds().json("psnr_estimated");
    assert!(done["psnr"].is_null() && done["psnr_estimated"].as_f64().is_some(), "{done}");
}

#[test]
fn every_noise_law_trains_with_the_loss_that_suits_it() {
    let shell = Shell::new();
    shell.picture("photos/a.png", 80, 64);
    shell.picture("photos/b.png", 64, 72);
    let tiny = "--width 4 --levels 1 --batch 2 --crop 16 --steps 3 --device cpu --json --quiet";
    for (noise, loss, estimated) in [
        ("poisson:30", "l2", true),
        ("poisson-gaussian:30,5", "l2", true),
        ("bernoulli:0.5", "l2", true),
        ("impulse:0.7", "l0", false),
        ("text:0.25", "[loss.outliers]", false),
        ("brown:25,2", "l2", true),
        ("pixelate:4", "l2", true),
    ] {
        let done = shell.run(&format!("train photos --noise {noise} --out run --overwrite {tiny}")).succeeds().json("psnr");
        assert_eq!(done["psnr_estimated"].as_f64().is_some(), estimated, "{noise}: {done}");
        assert!(done["psnr"].as_f64().is_some(), "{noise}: {done}");
        let config = fs::read_to_string(shell.path("run/config.toml")).unwrap();
        assert!(config.contains(&format!("noise = \"{noise}\"")) && config.contains(loss), "{config}");
        shell.run(&format!("eval photos --noise {noise} --model run/best.safetensors --device cpu")).succeeds();
    }
}

#[test]
fn every_network_trains_and_denoises() {
    let shell = Shell::new();
    shell.picture("photos/a.png", 80, 64);
    shell.picture("photos/b.png", 64, 72);
    let tiny = "--noise gaussian:25 --batch 2 --crop 32 --steps 2 --device cpu --json --quiet --overwrite";
    for net in [
        "epfl-unet --width 6 --shared",
        "epfl-resunet --width 12",
        "epfl-resunet --width 12 --down conv --residual",
        "epfl-convnet --optimizer sgd --lr 2",
        "n2n-unet --width 6 --optimizer adamw",
        "unet --width 4 --levels 2 --norm batch --down maxpool --up nearest --residual",
    ] {
        shell.run(&format!("train photos --net {net} --out run {tiny}")).succeeds().json("psnr_estimated");
        shell.run("denoise photos/a.png -o out.png --model run/last.safetensors --device cpu").succeeds();
        fs::remove_file(shell.path("out.png")).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_training_with_all_files_and_exit_code_130() {
    use std::time::{Duration, Instant};

    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    let long = TINY.replace("--steps 20", "--minutes 30");
    let commands = [
        (format!("train photo.png --out train {long} --json"), "train"),
        ("demo --out demo --minutes 30 --device cpu --width 4 --levels 1 --json --quiet".to_owned(), "demo"),
    ];
    for (line, out) in commands {
        let mut command = shell.command(&line);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        // The handler is in place once the folder has its first file; then a second for the first steps.
        let start = Instant::now();
        while !shell.path(out).join("config.toml").exists() && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_secs(1));
        let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let done = child.wait_with_output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(130), "{line}: {stderr}");
        let json: Value = serde_json::from_str(&stdout).unwrap();
        assert!(json["steps"].as_u64().unwrap() > 0);
        assert!(out != "train" || json["interrupted"] == true, "{json}");
        assert_eq!(stderr.is_empty(), line.contains("--quiet"), "{stderr}");
        assert_eq!(shell.names(out), RUN_FILES);
        assert_eq!(metrics(&shell, out).last().unwrap()["step"], json["steps"]);
    }
}

/// The first adapter's index, or nothing where `N2N_NO_ADAPTER` says that there is none.
fn adapter(shell: &Shell) -> Option<usize> {
    let devices = shell.run("devices --json").json("devices");
    let found = devices["devices"].as_array().unwrap().len() > 1;
    let none = std::env::var_os("N2N_NO_ADAPTER").is_some();
    assert!(found || none, "no adapter: install a Vulkan driver (Debian: mesa-vulkan-drivers), or set N2N_NO_ADAPTER=1");
    if !found {
        left_out("training on an adapter: there is none, as N2N_NO_ADAPTER says");
    }
    found.then_some(0)
}

#[test]
fn training_on_an_adapter_follows_the_cpu() {
    let shell = Shell::new();
    let Some(adapter) = adapter(&shell) else { return };
    shell.picture("photos/a.png", 61, 40);
    shell.picture("photos/b.png", 48, 64);
    shell.picture("val.png", 24, 20);
    let train = "train photos --val val.png --noise gaussian:25 --width 8 --levels 2 --batch 2 --crop 32 --steps 50";
    shell.run(&format!("{train} --out cpu --device cpu")).succeeds();
    shell.run(&format!("{train} --out gpu --device {adapter}")).succeeds();
    // Rounding in another order, 1e-7 a sum, grown over 50 steps.
    for (key, most) in [("loss", 1e-4), ("psnr", 1e-4)] {
        let scored = |run| metrics(&shell, run).into_iter().filter(|line| !line["psnr"].is_null()).collect::<Vec<_>>();
        let [cpu, gpu] = ["cpu", "gpu"].map(|run| floats(&scored(run), key));
        assert_eq!(cpu.len(), gpu.len());
        let worst = cpu.iter().zip(&gpu).map(|(a, b)| (a - b).abs() / a.abs()).fold(0.0, f64::max);
        assert!(worst <= most, "{key} differs by {worst:e}: {cpu:?} {gpu:?}");
    }
    for (out, device) in [("a.png", "cpu".to_owned()), ("b.png", adapter.to_string())] {
        shell.run(&format!("denoise photos/a.png -o {out} --model gpu/last.safetensors --device {device}")).succeeds();
    }
    let [a, b] = ["a.png", "b.png"].map(|name| image::open(shell.path(name)).unwrap().to_rgb8());
    let worst = a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(worst <= 1, "the devices differ by {worst} grey levels");
}

#[test]
fn half_precision_falls_back_with_one_line_where_the_adapter_has_none() {
    let shell = Shell::new();
    let Some(adapter) = adapter(&shell) else { return };
    shell.picture("photo.png", 61, 40);
    let devices = shell.run("devices --json").json("devices");
    let has = |feature: &str| {
        let features = devices["devices"][adapter]["features"].as_array().expect("an adapter has features");
        features.iter().any(|f| f == feature)
    };
    let train =
        format!("train photo.png --noise gaussian:25 --width 4 --levels 1 --batch 2 --crop 16 --steps 3 --device {adapter}");
    let [single, half] = ["f32", "f16"].map(|precision| shell.run(&format!("{train} --precision {precision} --out {precision}")));
    let lines = |done: &Done| done.succeeds().stderr.lines().filter(|l| l.contains("f16")).map(str::to_owned).collect::<Vec<_>>();
    assert!(lines(&single).iter().all(|l| !l.contains("--precision")), "{:?}", lines(&single));
    let said: Vec<_> = lines(&half).into_iter().filter(|l| l.contains("f32 is used")).collect();
    let model = |run: &str| fs::read(shell.path(run).join("last.safetensors")).unwrap();
    if has("f16") {
        assert!(said.is_empty(), "{said:?}");
        assert_ne!(model("f32"), model("f16"));
    } else {
        let [line] = &said[..] else { panic!("one line: {said:?}") };
        assert!(line.contains("16-bit"), "{line}");
        assert_eq!(model("f32"), model("f16"));
    }
}

#[test]
fn the_estimated_psnr_is_near_the_true_one() {
    let Some(data) = std::env::var_os("N2N_TEST_DATA") else {
        return left_out("a longer training: N2N_TEST_DATA is not set");
    };
    let shell = Shell::new();
    let data = std::path::Path::new(&data);
    let (photos, val) = (data.join("assets"), data.join("kodak24"));
    let train = "--noise gaussian:25 --width 8 --levels 2 --batch 16 --crop 64 --steps 300 --device cpu";
    let line = format!("train {} --val {} --out run {train}", photos.display(), val.display());
    shell.run(&line).succeeds();
    let lines = metrics(&shell, "run");
    let scored: Vec<Value> = lines.iter().filter(|line| !line["psnr"].is_null()).cloned().collect();
    assert!(scored.len() >= 3, "{} validations", scored.len());
    for (estimated, truth) in floats(&scored, "psnr_estimated").into_iter().zip(floats(&scored, "psnr")) {
        // 24 pictures of 65,536 pixels each: the estimate's own deviation is some hundredths of a dB.
        assert!((estimated - truth).abs() < 0.2, "estimated {estimated:.2} dB, true {truth:.2} dB");
    }
    assert!(lines.last().unwrap()["psnr"].as_f64() > Some(22.0), "300 steps learn nothing: {lines:?}");
}
