//! Training on more pictures than memory holds: what is drawn from is a function of seed, files and step alone.

mod common;

#[path = "common/cli.rs"]
mod cli;
#[path = "common/runs.rs"]
mod runs;
#[path = "common/supplies.rs"]
mod supplies;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::largest_error;
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::train::{LeftOut, Options};
use runs::{Run, same_bytes};
use supplies::{photographs, supplied, supplied_by};

/// A training of so many steps on thirty photographs. A piece is replaced before every second step, so that the ring turns over.
fn run(device: &Device, steps: u64) -> (Run, Vec<PathBuf>) {
    let run = Run::new(device, steps, false);
    let files = photographs(&run.folder.path().join("photos"), 30);
    let source = supplied(&files, false).unwrap();
    let options = Options { batch: 32, memory: Some(4), ..run.options.clone() };
    (Run { source, options, ..run }, files)
}

#[test]
fn a_resumed_run_has_the_pictures_that_it_would_have_had() {
    let (run, files) = run(&Device::Cpu, 60);
    let (whole, parts) = (run.out("whole"), run.out("parts"));
    run.run(&Device::Cpu, &whole, false, |_| false).unwrap();
    // While the ring is filled, and when it has turned over.
    run.run(&Device::Cpu, &parts, false, |p| p.step == 3).unwrap();
    for step in [47, 60] {
        // Another process reads the files anew.
        let source = supplied(&files, false).unwrap();
        let resumed = Run { source, folder: tempfile::tempdir().unwrap(), validation: run.validation.clone(), ..same(&run) };
        resumed.run(&Device::Cpu, &parts, true, |p| p.step == step).unwrap();
    }
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(same_bytes(&whole, &parts, name), "{name} differs");
    }
}

/// Options and network of a run, with nothing to train on.
fn same(run: &Run) -> Run {
    Run { options: run.options.clone(), network: run.network, ..Run::new(&Device::Cpu, 1, false) }
}

/// The ring alone takes 20 reads of a second.
#[test]
fn a_resumed_training_that_still_waits_for_files_stops_at_once_and_changes_nothing() {
    let (run, files) = run(&Device::Cpu, 60);
    let out = run.out("run");
    run.run(&Device::Cpu, &out, false, |p| p.step == 47).unwrap();
    let contents = || {
        let entries = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let (before, slow) = (contents(), Arc::new(AtomicBool::new(false)));
    let is_slow = Arc::clone(&slow);
    let wait = move |_: &Path| {
        if is_slow.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_secs(1));
        }
    };
    let source = supplied_by(&files, false, wait).unwrap();
    slow.store(true, Ordering::Relaxed);
    let resumed = Run { source, validation: run.validation.clone(), ..same(&run) };
    let start = Instant::now();
    let ended = resumed.run(&Device::Cpu, &out, true, |_| true);
    assert!(matches!(ended, Err(Error::Stopped)), "{:?}", ended.map(|o| o.steps));
    assert!(start.elapsed().as_secs_f64() < 5.0, "{:?}", start.elapsed());
    assert!(before == contents(), "files have changed");
}

#[test]
fn a_run_is_not_resumed_on_other_files() {
    let (run, files) = run(&Device::Cpu, 20);
    let out = run.out("run");
    run.run(&Device::Cpu, &out, false, |p| p.step == 4).unwrap();
    let source = supplied(&files[..29], false).unwrap();
    let other = Run { source, validation: run.validation.clone(), ..same(&run) };
    let error = other.run(&Device::Cpu, &out, true, |_| false).unwrap_err().to_string();
    assert!(error.contains("other pictures (30 to train on, not 29)"), "{error}");
}

/// Rounding of sixteen steps that Adam makes, whose first ones have the size of the rate whatever the gradient is.
#[test]
fn every_device_draws_from_the_same_pictures() {
    let train = |device: &Device| {
        let (mut run, _) = run(device, 16);
        run.options = Options { batch: 32, memory: Some(4), ..Options::sgd(0.05, run.options.length) };
        run.options.crop = 16;
        run.run(device, &run.out("run"), false, |_| false).unwrap()
    };
    let expected = train(&Device::Cpu);
    for device in common::adapters() {
        let found = train(&device);
        let [a, b] = [&expected, &found].map(|o| o.model.params.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        let error = largest_error(&a, &b);
        assert!(error < 1e-5, "{}: {error:e}", device.name());
    }
}

#[test]
fn files_that_are_broken_small_or_gone_are_left_out_and_named() {
    let (run, files) = run(&Device::Cpu, 80);
    fs::write(&files[3], "broken").unwrap();
    cli::wave(12, 90).save(&files[4]).unwrap();
    let run = Run { source: supplied(&files, false).unwrap(), ..run };
    let (gone, mut steps) = (&files[20..25], 0);
    let watch = |_: &n2n_gpu::train::Progress| {
        steps += 1;
        if steps == 2 {
            gone.iter().for_each(|file| fs::remove_file(file).unwrap());
        }
        false
    };
    let outcome = run.run(&Device::Cpu, &run.out("run"), false, watch).unwrap();
    assert_eq!(outcome.steps, 80);
    let left_out = run.source.left_out();
    let broken: Vec<&String> =
        left_out.iter().filter_map(|l| if let LeftOut::Broken(what) = l { Some(what) } else { None }).collect();
    assert!(left_out.iter().any(|l| matches!(l, LeftOut::Small(name) if name == "04.png")), "{left_out:?}");
    for name in ["03.png", "20.png", "24.png"] {
        assert_eq!(broken.iter().filter(|what| what.contains(name)).count(), 1, "{name}: {broken:?}");
    }
    assert_eq!(left_out.len(), 7);
    // The state is as good as ever, but the pictures are others.
    assert!(supplied(&files, true).is_err_and(|e| e.to_string().contains(".png")));
    for file in &files {
        fs::write(file, "broken").unwrap();
    }
    let error = supplied(&files, false).unwrap_err().to_string();
    assert!(error.contains("check the files"), "{error}");
}
