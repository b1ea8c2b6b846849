//! A training that stops goes on as if it had not: asked to, killed, or when its device is lost.

mod common;

#[path = "common/cli.rs"]
mod cli;
#[path = "common/runs.rs"]
mod runs;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::{Shell, TINY};
use n2n_gpu::data::picture::Rgb8;
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::nets::{Norm, Unet};
use n2n_gpu::train::{self, Options, Progress, Schedule, Source, resumable};
use runs::{Run, metrics, photo, rewrite, same_bytes};
use serde_json::{Value, json};

fn devices() -> Vec<Device> {
    std::iter::once(Device::Cpu).chain(common::adapters()).collect()
}

#[test]
fn a_resumed_run_equals_the_uninterrupted_one() {
    for device in devices() {
        for ordered in [false, true] {
            let run = Run::new(&device, 40, ordered);
            let (whole, parts) = (run.out("whole"), run.out("parts"));
            run.run(&device, &whole, false, |_| false).unwrap();
            // At a validation, whose state it is in any case, and between two.
            let first = run.run(&device, &parts, false, |p| p.step == 16).unwrap();
            assert_eq!((first.steps, resumable(&parts).unwrap().steps), (16, 16));
            run.run(&device, &parts, true, |p| p.step == 29).unwrap();
            let last = run.run(&device, &parts, true, |_| false).unwrap();
            assert_eq!(last.steps, 40);
            assert!(last.seconds > first.seconds, "the seconds begin anew");
            for name in ["last.safetensors", "best.safetensors"] {
                assert!(same_bytes(&whole, &parts, name), "{}: {name} differs", device.name());
            }
            // But for one more validation at step 29, and the mean losses around it.
            let scored =
                |out: &Path| metrics(out).into_iter().filter(|m| !m["psnr"].is_null() && m["step"] != 29).collect::<Vec<_>>();
            let [a, b] = [&whole, &parts].map(|out| scored(out).iter().map(|m| m["psnr"].clone()).collect::<Vec<_>>());
            assert_eq!(a, b);
            assert!(metrics(&parts).iter().map(|m| m["step"].as_u64().unwrap()).is_sorted());
        }
    }
}

#[test]
fn a_run_that_goes_on_at_a_validation_has_the_same_curves() {
    let run = Run::new(&Device::Cpu, 100, false);
    let (whole, parts) = (run.out("whole"), run.out("parts"));
    run.run(&Device::Cpu, &whole, false, |_| false).unwrap();
    run.run(&Device::Cpu, &parts, false, |p| p.step == 60).unwrap();
    run.run(&Device::Cpu, &parts, true, |_| false).unwrap();
    assert_eq!(metrics(&whole), metrics(&parts));
    // There is nothing left to do but the last files.
    run.run(&Device::Cpu, &parts, true, |_| panic!("a step after the last")).unwrap();
    assert_eq!(metrics(&whole), metrics(&parts));
    assert!(same_bytes(&whole, &parts, "last.safetensors"));
}

#[test]
fn a_rate_that_falls_on_plateaus_is_the_same_after_a_stop() {
    // At a rate that changes nothing, every validation but the first is one without a better picture.
    let base = Run::new(&Device::Cpu, 100, false);
    let options = Options { schedule: Schedule::Plateau, lr: 1e-12, ema: 0.0, ..base.options.clone() };
    let run = Run { options, ..base };
    let (whole, parts) = (run.out("whole"), run.out("parts"));
    run.run(&Device::Cpu, &whole, false, |_| false).unwrap();
    let rates = |out: &Path| {
        let of_planned = metrics(out).into_iter().filter(|m| m["step"].as_u64().is_some_and(|step| step.is_multiple_of(5)));
        of_planned.map(|m| m["lr"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let expected: Vec<f64> = (0..20).map(|i| 1e-12 * 0.5f64.powi((i.max(1) - 1) / 3)).collect();
    assert_eq!(rates(&whole), expected);
    // The validations at these stops are none of the twenty.
    for stop in [23, 24, 41, 57] {
        run.run(&Device::Cpu, &parts, stop > 23, |p| p.step == stop).unwrap();
    }
    run.run(&Device::Cpu, &parts, true, |_| false).unwrap();
    assert_eq!(rates(&parts), expected);
    assert!(same_bytes(&whole, &parts, "last.safetensors"));
}

#[test]
fn a_lost_device_costs_no_more_than_the_steps_since_the_last_state() {
    for gpu in common::gpus() {
        let device = Device::Gpu(gpu.clone());
        let run = Run::new(&device, 40, false);
        let (whole, lost, early) = (run.out("whole"), run.out("lost"), run.out("early"));
        run.run(&device, &whole, false, |_| false).unwrap();
        let lose = |at: u64| {
            move |p: &Progress| {
                if p.step == at {
                    gpu.destroy();
                }
                false
            }
        };
        let error = run.run(&device, &lost, false, lose(23)).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Lost(_)), "{error:?}");
        assert!(message.contains("lost") && message.contains("step 22") && message.contains("state.safetensors"), "{message}");
        // What is lost stays lost.
        let message = run.run(&device, &early, false, |_| false).unwrap_err().to_string();
        assert!(message.contains("lost"), "{message}");

        let index = n2n_gpu::gpu::adapters().iter().position(|a| a.name == device.name()).unwrap();
        let again = Device::select(&index.to_string()).unwrap();
        run.run(&again, &lost, true, |_| false).unwrap();
        assert!(same_bytes(&whole, &lost, "last.safetensors"), "{}", device.name());
    }
}

#[test]
fn a_state_is_kept_every_few_seconds_without_a_validation() {
    let device = common::adapters().pop().unwrap_or(Device::Cpu);
    // Far more steps than are run: the first validation never comes.
    let run = Run::new(&device, 1 << 40, false);
    let (whole, part) = (run.out("whole"), run.out("part"));
    let mut end = None;
    let outcome = run.run(&device, &whole, false, |p| {
        if end.is_none() && whole.join("state.safetensors").exists() {
            fs::copy(whole.join("state.safetensors"), part.join("state.safetensors")).unwrap();
            end = Some(p.step + 20);
        }
        assert!(p.seconds < 60.0, "no state is kept");
        end == Some(p.step)
    });
    let end = end.unwrap();
    assert_eq!(outcome.unwrap().steps, end);
    assert!(resumable(&part).unwrap().steps < end);
    run.run(&device, &part, true, |p| p.step == end).unwrap();
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(same_bytes(&whole, &part, name), "{name} differs");
    }
    assert_eq!(metrics(&whole), metrics(&part));
}

#[test]
fn a_state_of_another_training_is_refused() {
    let run = Run::new(&Device::Cpu, 40, false);
    let out = run.out("out");
    run.run(&Device::Cpu, &out, false, |p| p.step == 20).unwrap();
    let Run { source, validation, options, network, .. } = &run;
    let refused_network = |network: Unet, options: &Options, source: &Source, name: &str| {
        let run = train::Run { device: &Device::Cpu, network: Arc::new(network), options, source, validation, out: &out };
        let message = run.resume(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("state.safetensors"), "{name:?} is not named: {message}");
    };
    let refused = |options: &Options, source: &Source, name: &str| refused_network(*network, options, source, name);
    refused(&Options { lr: 1e-3, ..options.clone() }, source, "lr 0.002, not 0.001");
    refused_network(Unet::new(8, 1, Norm::None), options, source, "width 4, not 8");
    let mut photos: Vec<Rgb8> = (0..5).map(photo).collect();
    refused(options, &Source::photos(photos.clone(), "gaussian:25".parse().unwrap()), "noise gaussian:0-50");
    let noise = source.added_noise().unwrap();
    refused(options, &Source::photos(photos[1..].to_vec(), noise), "other pictures");
    photos[2].data[100] ^= 1;
    refused(options, &Source::photos(photos, noise), "other pictures");
}

#[test]
fn a_state_that_no_training_can_have_is_refused() {
    let run = Run::new(&Device::Cpu, 40, false);
    let out = run.out("out");
    run.run(&Device::Cpu, &out, false, |p| p.step == 20).unwrap();
    assert_eq!(resumable(&out).map(|r| r.steps).unwrap(), 20);
    let state = out.join("state.safetensors");
    let whole = fs::read(&state).unwrap();
    for (place, value) in [
        ("/identity/options/batch", json!(0)),
        ("/identity/options/batch", json!(1_u64 << 62)),
        ("/identity/options/crop", json!(0)),
        ("/identity/options/targets", json!(0)),
        ("/identity/options/targets", json!(100)),
        ("/number", json!(1_u64 << 63)),
        ("/number", json!(1 << 30)),
        ("/log/seen", json!(21)),
        ("/seconds", json!(-1.0)),
    ] {
        fs::write(&state, &whole).unwrap();
        rewrite(&state, |snapshot| *snapshot.pointer_mut(place).unwrap() = value.clone());
        let message = resumable(&out).map(|r| r.steps).unwrap_err().to_string();
        assert!(message.starts_with(&state.display().to_string()) && message.contains("describes no training"), "{message}");
    }
}

#[test]
fn a_run_that_is_interrupted_is_resumed_by_the_same_command() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    // Long enough to be interrupted in the middle, short enough to be run twice.
    let train = format!("train photo.png --quiet --json {}", TINY.replace("--steps 20", "--steps 3000"));
    let whole = shell.run(&format!("{train} --out whole")).succeeds().json("steps");
    assert_eq!(whole["steps"], 3000);
    let mut command = shell.command(&format!("{train} --out parts"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !shell.path("parts/state.safetensors").exists() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", String::from_utf8_lossy(&done.stderr));
    let stopped: Value = serde_json::from_slice(&done.stdout).unwrap();
    let steps = stopped["steps"].as_u64().unwrap();
    assert!(0 < steps && steps < 3000, "stopped after {steps} steps");
    // An earlier run is neither replaced nor resumed unasked.
    shell.run(&format!("{} --out parts", train.replace(" --json", ""))).fails(&["parts", "--resume", "--overwrite"]);
    // What the run is known to have need not be said again.
    let done = shell.run("train photo.png --noise gaussian:25 --resume --out parts --device cpu --json");
    assert_eq!(done.succeeds().json("steps")["steps"], 3000);
    assert!(done.stderr.contains(&format!("resuming after step {steps}")), "{done}");
    assert!(same_bytes(&shell.path("whole"), &shell.path("parts"), "last.safetensors"));
}

#[test]
fn what_cannot_be_resumed_is_named() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    shell.picture("other.png", 33, 40);
    let train = format!("train photo.png --out run {TINY}");
    shell.run(&format!("{train} --resume")).fails(&["run/state.safetensors", "does not exist", "nothing to resume"]);
    assert!(!shell.path("run").exists());
    shell.run(&train).succeeds();
    let state = fs::read(shell.path("run/state.safetensors")).unwrap();
    let last = fs::read(shell.path("run/last.safetensors")).unwrap();
    shell.run(&format!("{train} --resume --overwrite")).is_misused(&["--resume", "--overwrite"]);
    shell.run(&format!("{train} --resume --lr 0.1")).fails_with(&["run/state.safetensors", "lr 0.002, not 0.1"]);
    shell.run(&format!("{} --resume", train.replace("photo", "other"))).fails_with(&["other pictures"]);
    shell
        .run(&format!("{} --resume", train.replace("gaussian:25", "gaussian:26")))
        .fails_with(&["noise gaussian:25, not gaussian:26"]);
    shell.run(&format!("{} --resume", train.replace("--width 4", "--width 8"))).fails_with(&["width 4, not 8"]);
    shell.run(&format!("{train} --resume --recipe n2n --levels 1")).is_misused(&["--levels"]);
    shell.run(&format!("{train} --resume --seed 2")).fails_with(&["seed 1, not 2"]);
    let text = String::from_utf8_lossy(&state).into_owned();
    let version = format!("\\\"version\\\":\\\"{}\\\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version));
    let older = replaced(&state, version.as_bytes(), version.replace(env!("CARGO_PKG_VERSION"), "0.0.9").as_bytes());
    for (bytes, why) in [
        (state[..state.len() / 2].to_vec(), "no whole safetensors file"),
        (b"text".to_vec(), "no whole safetensors file"),
        (Vec::new(), "is empty"),
        (last, "not the state of a training"),
        (older, "version 0.0.9"),
        (replaced(&state, b"\"moments\"", b"\"momenta\""), "moments"),
    ] {
        fs::write(shell.path("run/state.safetensors"), bytes).unwrap();
        shell.run(&format!("{train} --resume --quiet")).fails(&["run/state.safetensors", why]);
    }
    shell.run(&format!("{train} --overwrite")).succeeds();
    // A state that has just been written can be gone on with, though there is nothing left to do.
    shell.run(&format!("{train} --resume")).succeeds();
}

/// `bytes` with one part in place of another of the same length.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|w| w == old).expect("it is there");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[test]
fn a_folder_belongs_to_one_training_at_a_time() {
    let run = Run::new(&Device::Cpu, 4, false);
    let out = run.out("out");
    let mut refused = None;
    run.run(&Device::Cpu, &out, false, |_| {
        refused.get_or_insert_with(|| run.run(&Device::Cpu, &out, false, |_| false).unwrap_err().to_string());
        false
    })
    .unwrap();
    assert!(refused.unwrap().contains("another training writes to this folder"));
    // What a training that has ended held is free, and what a killed one has left.
    fs::write(out.join(".lock"), "").unwrap();
    run.run(&Device::Cpu, &out, false, |_| false).unwrap();
}

#[test]
fn a_training_that_is_refused_or_fails_leaves_the_earlier_run_as_it_was() {
    let run = Run::new(&Device::Cpu, 4, false);
    let out = run.out("out");
    run.run(&Device::Cpu, &out, false, |_| false).unwrap();
    let files = ["config.toml", "best.safetensors", "last.safetensors", "state.safetensors", "metrics.jsonl", "report.html"];
    let contents = || files.map(|name| fs::read(out.join(name)).unwrap());
    let before = contents();
    let with = |options: Options| Run { folder: tempfile::tempdir().unwrap(), options, ..Run::new(&Device::Cpu, 4, false) };
    for options in [
        Options { crop: 15, ..run.options.clone() },
        Options { crop: 64, ..run.options.clone() },
        // Its loss is infinite after the first step.
        Options { lr: 1e30, clip: 0.0, schedule: train::Schedule::Constant, ..run.options.clone() },
    ] {
        assert!(with(options).run(&Device::Cpu, &out, false, |_| false).is_err());
        assert!(contents() == before);
    }
    // Photographs that lie where samples would go are not of a run.
    let other = run.out("other");
    fs::create_dir(other.join("samples")).unwrap();
    fs::write(other.join("samples/0.png"), "mine").unwrap();
    let message = run.run(&Device::Cpu, &other, false, |_| false).unwrap_err().to_string();
    assert!(message.contains("samples") && message.contains("another folder"), "{message}");
    assert_eq!(fs::read(other.join("samples/0.png")).unwrap(), b"mine");
}
