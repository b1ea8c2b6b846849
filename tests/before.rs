//! What earlier versions wrote still counts: their models load and give the same pictures, their runs can be resumed, and the
//! same training has the same losses.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::picture::{Picture, load_rgb8};
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::nets::{Down, EpflConvnet, EpflResunet, EpflUnet, Model, N2nUnet, Network, Norm, OidnUnet, OidnUnetSmall, Unet, Up};
use n2n_gpu::ops::Update;
use n2n_gpu::train::{Length, Options, Outcome, Run, Source, Validation};
use serde_json::Value;

const FOLDER: &str = "tests/golden/before";

fn networks() -> Vec<(&'static str, Arc<dyn Network>)> {
    let unet = Unet { residual: true, ..Unet::new(4, 2, Norm::None) };
    let group = Unet { norm: Norm::Group, down: Down::Maxpool, up: Up::Nearest, ..unet };
    vec![
        ("unet", Arc::new(unet)),
        ("unet-group", Arc::new(group)),
        ("unet-batch", Arc::new(Unet::new(4, 1, Norm::Batch))),
        ("epfl-unet", Arc::new(EpflUnet { width: 4, shared: true, residual: false })),
        ("epfl-resunet", Arc::new(EpflResunet { width: 12, shared: true, ..EpflResunet::default() })),
        ("n2n-unet", Arc::new(N2nUnet { channels: 3, width: 3, residual: false })),
        ("epfl-convnet", Arc::new(EpflConvnet::default())),
    ]
}

fn file(name: &str, ending: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.{ending}"))
}

/// The training that all files are of, validated with a picture.
fn train(name: &str, network: Arc<dyn Network>, held_out: &str, out: &Path, resume: bool) -> Outcome {
    let photos = |path: &str| Source::photos(load_rgb8(&[path.into()]).unwrap(), "gaussian:25".parse().unwrap());
    let (source, held_out) = (photos("assets/chelsea-192.png"), photos(held_out));
    let mut options = Options { batch: 3, crop: 32, clip: 1.0, ..Options::new(&Device::Cpu, Length::Steps(30)) };
    if name == "epfl-convnet" {
        (options.update, options.lr) = (Update::Sgd { momentum: 0.0 }, 1.0);
    }
    let validation = Validation::new(&held_out, 1).unwrap();
    let (options, source, validation) = (&options, &source, &validation);
    let run = Run { device: &Device::Cpu, network, options, source, validation, out };
    let watch = &mut |_: &_| ControlFlow::Continue(());
    if resume { run.resume(watch).unwrap() } else { run.start(watch).unwrap() }
}

/// Another processor adds in the same order, but may have no fused multiply-adds, and its logarithm may round otherwise: then a
/// value in thousands that lies between two grey levels goes the other way.
#[test]
fn models_of_before_load_and_give_the_same_pictures() {
    let input = Picture::load(&file("input", "png")).unwrap();
    for (name, network) in networks() {
        let model = Model::load(&file(name, "safetensors")).unwrap();
        assert_eq!((model.network.name(), model.network.options()), (network.name(), network.options()));
        let mut denoiser = Denoiser::new(&Device::Cpu, &model, None).unwrap();
        let rgb = denoiser.denoise(&input.to_rgb(), input.width(), input.height()).unwrap();
        let ours = input.clone().with_rgb(&rgb).to_rgb8();
        let theirs = Picture::load(&file(name, "png")).unwrap().to_rgb8();
        let differ: Vec<u8> = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).filter(|d| *d > 0).collect();
        assert!(differ.len() <= ours.len() / 1000 && differ.iter().all(|d| *d == 1), "{name}: {} values differ", differ.len());
    }
}

/// Losses of thirty steps. On one kind of processor they are the same to the last bit; another adds in another order, and may
/// have no fused multiply-adds. What lasts of a step are then five roundings of 2^-24: of a weight, its gradient, two moments and
/// their quotient. Thirty steps with all of them in one direction make 30 * 5 * 2^-24 = 9e-6.
#[test]
fn trainings_have_the_losses_of_before() {
    // Of whose models, of 2 MB and more, nothing is kept.
    let oidn: [(_, Arc<dyn Network>); 2] =
        [("oidn-unet", Arc::new(OidnUnet::default())), ("oidn-unet-small", Arc::new(OidnUnetSmall::default()))];
    for (name, network) in networks().into_iter().chain(oidn) {
        let out = tempfile::tempdir().unwrap();
        // Losses do not depend on what validates: a small picture is quick.
        let records = train(name, network, "tests/golden/before/input.png", out.path(), false).records;
        let text = fs::read_to_string(file(name, "jsonl")).unwrap();
        let before: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // A record has the mean loss since the one before it; there were more of them.
        let step = |record: &Value| record["step"].as_u64().unwrap();
        let mut first = 0;
        assert!(records.len() > 1, "{name}: {} records", records.len());
        for ours in &records {
            let within = before.iter().filter(|theirs| (first + 1..=ours.step).contains(&step(theirs)));
            let (mut sum, mut last) = (0.0, first);
            for theirs in within {
                sum += theirs["loss"].as_f64().unwrap() * (step(theirs) - last) as f64;
                last = step(theirs);
            }
            assert_eq!(last, ours.step, "{name}: no step of before");
            let loss = sum / (last - first) as f64;
            let far = (ours.loss / loss - 1.0).abs();
            assert!(far < 30.0 * 5.0 * f64::from(f32::EPSILON) / 2.0, "{name}, step {}: {} was {loss}", ours.step, ours.loss);
            first = last;
        }
    }
}

#[test]
fn a_run_of_before_is_resumed() {
    let out = tempfile::tempdir().unwrap();
    fs::copy(Path::new(FOLDER).join("run/state.safetensors"), out.path().join("state.safetensors")).unwrap();
    let (name, network) = networks().remove(0);
    let done = train(name, network, "assets/rocket-192.png", out.path(), true);
    assert_eq!(done.steps, 30);
    assert_eq!(done.model.params, Model::load(&file(name, "safetensors")).unwrap().params);
}
