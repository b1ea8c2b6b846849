//! Tiles are chosen by timing, remembered, and change no bit; what is wrong with the memory costs a line.

mod common;

#[path = "common/cli.rs"]
mod cli;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cli::{Done, Shell, left_out};
use common::bits;
use n2n_gpu::check;
use n2n_gpu::device::Device;
use n2n_gpu::gpu::DeviceKind;
use n2n_gpu::ops::Conv;
use n2n_gpu::plan::{Plan, Tuning};
use serde_json::Value;

/// The tiles of large GPUs; also where shaders check bounds: no variant reads a stray value into a result.
#[test]
fn every_variant_of_a_convolution_gives_the_same_bits() {
    for (mut gpu, checked) in common::gpus().into_iter().map(common::large).flat_map(|gpu| [(gpu.clone(), false), (gpu, true)]) {
        (gpu.checked, gpu.adapter.limits.shared) = (checked, false);
        let limits = Some(&gpu.adapter.limits);
        let mut tried = 0;
        // Software adapters compile slowly: every sixth case shows it there, others with checks than without.
        let every = if gpu.adapter.kind == DeviceKind::Software { 6 } else { 1 };
        let cases = check::cases().into_iter().filter(|c| c.suits(&Device::Gpu(gpu.clone())));
        for case in cases.skip(usize::from(checked && every > 1)).step_by(every) {
            let plan = |tuning: &Tuning| Plan::tuned(case.graph().clone(), limits, tuning).unwrap();
            let default = plan(&Tuning::default());
            let variants = default.choices.iter().map(|c| c.variants).max().unwrap_or(1);
            // Whole networks repeat what the convolutions alone show.
            if variants == 1 || !case.name.starts_with("conv") {
                continue;
            }
            let outcome = case.run(&Device::Gpu(gpu.clone())).unwrap();
            assert!(outcome.passed(), "{}: {} is off by {:e}", outcome.case, outcome.output, outcome.error);
            let expected = bits(&gpu, &case, Arc::clone(&default));
            let mut seen = vec![default.to_json()];
            for variant in 0..variants {
                let other = plan(&Tuning::always(variant));
                if !seen.contains(&other.to_json()) {
                    seen.push(other.to_json());
                    tried += 1;
                    let result = bits(&gpu, &case, other);
                    assert!(
                        result == expected,
                        "{} on {}, checked {checked}: variant {variant} gives other bits",
                        case.name,
                        gpu.adapter.name
                    );
                }
            }
        }
        assert!(tried > 20, "only {tried} variants were tried on {}", gpu.adapter.name);
    }
}

#[test]
fn a_choice_that_is_known_is_taken_and_one_that_is_none_is_not() {
    let limits = n2n_gpu::limits::Limits::default();
    let case = check::conv(Conv::same3(1), false, [2, 16, 16], &[48], 48, 0.1);
    let plan = |tuning: &Tuning| Plan::tuned(case.graph().clone(), Some(&limits), tuning).unwrap();
    let default = plan(&Tuning::default());
    let choice = default.choices.iter().find(|c| c.variants > 1).expect("there is a choice");
    let with = |variant: usize| {
        let mut tuning = Tuning::default();
        tuning.set(choice.key.clone(), variant);
        let plan = plan(&tuning);
        plan.choices.iter().find(|c| c.key == choice.key).map(|c| c.variant)
    };
    assert!((0..choice.variants).all(|variant| with(variant) == Some(variant)));
    assert_eq!(with(1000), Some(choice.variant));
}

const BENCH: &str = "bench --json --width 4 --levels 1 --batch 1 --size 16 --runs 1";

/// `bench` on the first adapter, as if it were a large GPU, with a folder to remember in.
fn bench(shell: &Shell, cache: &str, more: &str) -> Done {
    let line = format!("{BENCH} --device 0 {more}");
    let mut command = shell.command(&line);
    // Software adapters have nothing to choose from.
    command.env("N2N_CACHE", cache).env("N2N_BUSY", "176");
    Done::of(&line, command)
}

/// The command's remarks; it succeeded with its one JSON object.
fn remarks(done: &Done) -> Vec<String> {
    done.succeeds().json("device");
    done.stderr.lines().map(str::to_owned).collect()
}

/// What `--tune` has remembered: the file, and what is in it.
struct Remembered {
    shell: Shell,
    name: String,
    path: PathBuf,
    whole: String,
    json: Value,
}

/// Tunes for the first time; nothing where there is no adapter.
fn tuned() -> Option<Remembered> {
    if common::gpus().is_empty() {
        left_out("the tuner: there is no adapter, as N2N_NO_ADAPTER says");
        return None;
    }
    let shell = Shell::new();
    // Nothing is made unasked.
    assert!(remarks(&bench(&shell, "cache", "")).is_empty());
    assert!(!shell.path("cache").exists());
    let first = remarks(&bench(&shell, "cache", "--tune"));
    let [name] = &shell.names("cache")[..] else { panic!("one file: {:?}", shell.names("cache")) };
    assert!(!first.is_empty() && first.iter().all(|l| l.contains("tiles chosen") && l.contains(name.as_str())), "{first:?}");
    let (name, path) = (name.clone(), shell.path("cache").join(name));
    let whole = fs::read_to_string(&path).unwrap();
    let json = serde_json::from_str(&whole).unwrap();
    Some(Remembered { shell, name, path, whole, json })
}

impl Remembered {
    /// The file with the same variant of everything.
    fn with(&self, variant: usize) -> String {
        let mut changed = self.json.clone();
        changed["choices"].as_array_mut().unwrap().iter_mut().for_each(|c| c["variant"] = variant.into());
        changed.to_string()
    }

    fn edited(&self, key: &str, value: &str) -> String {
        let mut changed = self.json.clone();
        changed[key] = value.into();
        changed.to_string()
    }
}

#[test]
fn what_tune_finds_is_remembered() {
    let Some(remembered) = tuned() else { return };
    let Remembered { shell, path, whole, json, .. } = &remembered;
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(!json["choices"].as_array().unwrap().is_empty());
    // Known: nothing is measured, with or without --tune.
    for more in ["--tune", ""] {
        assert!(remarks(&bench(shell, "cache", more)).is_empty());
        assert_eq!(&fs::read_to_string(path).unwrap(), whole);
    }
    // And taken: the plan follows the file.
    let plan = |variant: usize| {
        fs::write(path, remembered.with(variant)).unwrap();
        let done = bench(shell, "cache", "--plan --quiet");
        done.succeeds().json("dispatches pipelines")
    };
    assert_ne!(plan(0), plan(1));
}

#[test]
fn a_file_that_cannot_be_used_costs_one_line() {
    let Some(remembered) = tuned() else { return };
    let Remembered { shell, name, path, whole, json } = &remembered;
    let negative = whole.replacen("\"variant\": ", "\"variant\": -", 1).replacen("-0", "-1", 1);
    // As it was before keys were typed.
    let mut old = json.clone();
    old.as_object_mut().unwrap().retain(|key, _| key != "format" && key != "choices");
    old["ways"] = serde_json::json!({"conv2d [1, 16, 16] 4->4 Conv { kernel: 3, stride: 1, padding: 1 }": 1});
    for (text, why) in [
        (whole[..whole.len() / 2].to_owned(), "damaged"),
        (String::new(), "damaged"),
        ("{}".into(), "damaged"),
        (negative, "damaged"),
        (old.to_string(), "format 0"),
        (remembered.edited("driver", "another 1.0"), "another 1.0"),
        (remembered.edited("version", "0.0.1"), "version 0.0.1"),
        (remembered.edited("adapter", "Another GPU"), "Another GPU"),
    ] {
        fs::write(path, &text).unwrap();
        let lines = remarks(&bench(shell, "cache", ""));
        let [line] = &lines[..] else { panic!("{why}: {lines:?}") };
        assert!(line.contains(name.as_str()) && line.contains(why) && line.contains("ignored"), "{line}");
        assert!(remarks(&bench(shell, "cache", "--quiet")).is_empty());
        assert_eq!(fs::read_to_string(path).unwrap(), text, "the file is not touched unasked");
    }
    // Bytes that are no text, a folder in the file's place, and a variant that there is not.
    fs::write(path, [0xff, 0xfe, 0]).unwrap();
    assert_eq!(remarks(&bench(shell, "cache", "")).len(), 1);
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    assert_eq!(remarks(&bench(shell, "cache", "")).len(), 1);
    fs::remove_dir(path).unwrap();
    fs::write(path, remembered.with(1000)).unwrap();
    assert!(remarks(&bench(shell, "cache", "")).is_empty());

    // What is damaged is replaced when asked for.
    fs::write(path, "{").unwrap();
    let lines = remarks(&bench(shell, "cache", "--tune"));
    assert!(lines[0].contains("damaged") && lines[1..].iter().all(|l| l.contains("tiles chosen")), "{lines:?}");
    assert!(remarks(&bench(shell, "cache", "")).is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_costs_one_line() {
    if common::gpus().is_empty() {
        return left_out("the tuner: there is no adapter, as N2N_NO_ADAPTER says");
    }
    let shell = Shell::new();
    fs::write(shell.path("file"), "mine").unwrap();
    let mut cannot = vec!["file"];
    if cfg!(target_os = "linux") {
        // Nobody may create files in /proc, not even root.
        cannot.push("/proc/n2n");
    }
    for cache in cannot {
        assert!(remarks(&bench(&shell, cache, "")).is_empty(), "{cache}: there is nothing to ignore");
        let lines = remarks(&bench(&shell, cache, "--tune"));
        let [line] = &lines[..] else { panic!("{cache}: {lines:?}") };
        assert!(line.contains("this run alone") && line.contains(cache), "{line}");
    }
    assert_eq!(fs::read(shell.path("file")).unwrap(), b"mine");
}
