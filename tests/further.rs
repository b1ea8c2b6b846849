//! A training that has ended goes further, or ends early, and begins with what another one has learnt.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/runs.rs"]
mod runs;

use std::ops::ControlFlow;
use std::sync::Arc;

use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::nets::{Norm, Unet};
use n2n_gpu::train::{self, Length, Options, Origin, Start, resumable};
use runs::{Run, metrics, rewrite, same_bytes};
use serde_json::json;

#[test]
fn a_run_that_goes_further_can_be_stopped_as_well() {
    for ordered in [false, true] {
        let short = Run::new(&Device::Cpu, 20, ordered);
        let further = Run {
            options: Options { length: Length::Steps(40), ..short.options.clone() },
            ..Run::new(&Device::Cpu, 40, ordered)
        };
        let (whole, parts) = (short.out("whole"), short.out("parts"));
        for out in [&whole, &parts] {
            short.run(&Device::Cpu, out, false, |_| false).unwrap();
            assert!(resumable(out).unwrap().finished);
        }
        further.run(&Device::Cpu, &whole, true, |_| false).unwrap();
        assert_eq!(further.run(&Device::Cpu, &parts, true, |p| p.step == 31).unwrap().steps, 31);
        assert!(!resumable(&parts).unwrap().finished);
        // To the end that was planned last, and to no other that lies behind.
        let error = short.run(&Device::Cpu, &parts, true, |_| false).unwrap_err();
        assert!(
            matches!(&error, Error::Option { option: "steps", problem } if problem.contains("trained for 31 steps")),
            "{error}"
        );
        assert_eq!(further.run(&Device::Cpu, &parts, true, |_| false).unwrap().steps, 40);
        assert!(same_bytes(&whole, &parts, "last.safetensors"));
        assert!(metrics(&parts).iter().map(|m| m["step"].as_u64().unwrap()).is_sorted());
        // In another unit: all that was done counts.
        let epochs = Run {
            options: Options { length: Length::Epochs(0.5), ..short.options.clone() },
            ..Run::new(&Device::Cpu, 1, ordered)
        };
        let error = epochs.run(&Device::Cpu, &parts, true, |_| false).unwrap_err();
        assert!(matches!(&error, Error::Option { option: "epochs", .. }), "{error}");
    }
}

#[test]
fn patience_ends_a_training_at_the_same_step_with_a_stop_in_between_or_not() {
    let base = Run::new(&Device::Cpu, 100, false);
    // A rate at which nothing becomes better for long.
    let with = |patience| {
        let options = Options { patience, lr: 1e-12, ema: 0.0, ..base.options.clone() };
        Run { options, folder: tempfile::tempdir().unwrap(), ..Run::new(&Device::Cpu, 100, false) }
    };
    let run = with(3);
    let (whole, parts) = (run.out("whole"), run.out("parts"));
    let outcome = run.run(&Device::Cpu, &whole, false, |_| false).unwrap();
    // The first of twenty validations is the best, and three more are no better.
    assert_eq!((outcome.steps, outcome.early), (20, true));
    // The validations at these stops are none of the twenty but one.
    for stop in [10, 12, 13, 14] {
        run.run(&Device::Cpu, &parts, stop > 10, |p| p.step == stop).unwrap();
    }
    assert_eq!(run.run(&Device::Cpu, &parts, true, |_| false).unwrap().steps, 20);
    assert!(resumable(&parts).unwrap().finished);
    // With more of it, further.
    let more = with(6);
    assert_eq!(more.run(&Device::Cpu, &parts, true, |_| false).unwrap().steps, 35);
    assert!(!with(0).run(&Device::Cpu, &parts, true, |_| false).unwrap().early);
}

#[test]
fn a_state_of_a_later_version_is_refused_and_one_without_a_format_is_not() {
    let run = Run::new(&Device::Cpu, 40, false);
    let out = run.out("out");
    run.run(&Device::Cpu, &out, false, |p| p.step == 20).unwrap();
    let state = out.join("state.safetensors");
    rewrite(&state, |snapshot| {
        snapshot["format"] = json!(9);
        snapshot["identity"] = json!({"version": "9.1.0", "by": "means that nobody knows yet"});
    });
    let message = resumable(&out).map(|r| r.steps).unwrap_err().to_string();
    for part in ["state.safetensors", "format 9", "9.1.0", env!("CARGO_PKG_VERSION"), "update"] {
        assert!(message.contains(part), "no {part}: {message}");
    }
    let before = run.out("before");
    run.run(&Device::Cpu, &before, false, |p| p.step == 20).unwrap();
    rewrite(&before.join("state.safetensors"), |snapshot| {
        for key in ["format", "share", "ranges"] {
            snapshot.as_object_mut().unwrap().remove(key).unwrap();
        }
    });
    assert_eq!(run.run(&Device::Cpu, &before, true, |_| false).unwrap().steps, 40);
}

#[test]
fn a_training_begins_with_the_parameters_of_a_model_of_its_network() {
    let run = Run::new(&Device::Cpu, 6, false);
    let model = run.run(&Device::Cpu, &run.out("first"), false, |_| false).unwrap().model;
    let Run { source, validation, network, .. } = &run;
    let options = &Options { lr: 1e-12, ema: 0.0, length: Length::Steps(1), ..run.options.clone() };
    let tuned = |network: Unet, name: &str| {
        let out = &run.out(name);
        let run = train::Run { device: &Device::Cpu, network: Arc::new(network), options, source, validation, out };
        run.train(Start::From(&model), &Origin::default(), &mut |_| ControlFlow::Continue(()))
    };
    assert!(tuned(*network, "second").unwrap().model.params == model.params, "a step of no length changes parameters");
    let error = tuned(Unet::new(8, 1, Norm::None), "third").unwrap_err().to_string();
    assert!(error.contains("the model is of the network unet, width 4") && error.contains("width 8"), "{error}");
}
