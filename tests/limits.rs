//! Devices that offer little: everything runs on them and is right, or says in numbers why it cannot.

mod common;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use n2n_gpu::check::{self, Case};
use n2n_gpu::data::picture::Rgb8;
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::gpu::{self, Gpu};
use n2n_gpu::graph::{Element, Graph, Role};
use n2n_gpu::limits::Limits;
use n2n_gpu::nets::{Anatomy, Entry, Init, NETWORKS, Network, Norm, Ranges, Unet, initial};
use n2n_gpu::noise::Noise;
use n2n_gpu::ops::{Conv, Loss, Update};
use n2n_gpu::plan::{Plan, Tuning};
use n2n_gpu::train::{Example, Length, Options, Rule, Run, Source, Validation, record_step};
use serde_json::{Map, Value as Json};

type Lower = fn(&mut Limits);

/// Less than any real device: 128 invocations, 16 KiB, 32 MiB in a buffer.
fn least(limits: &mut Limits) {
    let bytes = 32 << 20;
    *limits = Limits { invocations: 128, binding_bytes: bytes, buffer_bytes: bytes, busy: limits.busy, ..Limits::default() };
}

/// All adapters, opened with limits that the driver then insists on.
fn gpus(lower: impl Fn(&mut Limits)) -> Vec<Gpu> {
    let count = common::gpus().len();
    (0..count).map(|i| Gpu::open_with(i, &lower).unwrap()).collect()
}

fn assert_passes(device: &Device, case: &Case) {
    let outcome = case.run(device).unwrap();
    assert!(outcome.passed(), "{} on {}: {} is off by {:e}", outcome.case, device.name(), outcome.output, outcome.error);
}

#[test]
fn every_kernel_is_right_within_the_least_limits() {
    for gpu in gpus(least).into_iter().flat_map(common::and_large) {
        let device = Device::Gpu(gpu);
        let mut seen = BTreeSet::new();
        for case in check::cases().into_iter().filter(|c| c.suits(&device)) {
            let plan = Plan::new(case.graph().clone(), device.limits()).unwrap();
            let unseen = plan.steps.iter().filter(|s| seen.insert(s.kernel)).count();
            if unseen > 0 {
                assert_passes(&device, &case);
            }
        }
        assert!(seen.len() >= 30, "only {} kernels ran", seen.len());
    }
}

#[test]
fn every_limit_alone_is_kept_to() {
    let webgpu = Limits::default();
    let lowered: [(&str, Lower); 5] = [
        ("WebGPU's own", |l| *l = Limits { busy: l.busy, ..Limits::default() }),
        ("128 invocations", |l| l.invocations = 128),
        ("16 KiB of workgroup memory", |l| l.workgroup_bytes = 16 << 10),
        ("bindings of 32 MiB", |l| l.binding_bytes = 32 << 20),
        ("64 workgroups", |l| l.workgroups = 64),
    ];
    let window = |stride| Conv { kernel: 3, stride, padding: 1 };
    let cases = [
        check::conv(window(1), false, [1, 33, 31], &[9], 10, 0.1),
        check::conv(window(2), true, [2, 8, 8], &[48], 48, 1.0),
        check::elementwise([1, 33, 32], [16, 8]),
        check::batch(100, Some("gaussian:0-50".parse().unwrap()), false, false),
    ];
    for (what, lower) in lowered {
        for gpu in gpus(lower).into_iter().flat_map(common::and_large) {
            assert!(gpu.adapter.limits.invocations >= 128 && gpu.adapter.limits.workgroup_bytes >= webgpu.workgroup_bytes);
            let device = Device::Gpu(gpu);
            for case in &cases {
                let outcome = case.run(&device).unwrap_or_else(|e| panic!("{what}: {}: {e}", case.name));
                assert!(outcome.passed(), "{what}: {}: {} is off by {:e}", outcome.case, outcome.output, outcome.error);
            }
        }
    }
}

/// All networks as published, and in every width and with every normalisation that they come with.
fn networks() -> Vec<Arc<dyn Network>> {
    let options = |entry: &Entry| {
        let widths = [1, 5, 48, 336, 960, 961, 1021, 1023, 1024].map(Json::from).to_vec();
        let norms = ["none", "group", "batch"].map(Json::from).to_vec();
        let mut all = vec![Map::new()];
        for (name, values) in [("width", widths), ("norm", norms)] {
            if entry.options.iter().any(|option| option.name == name) {
                let with = |options: &Map<String, Json>, value: &Json| {
                    options.clone().into_iter().chain([(name.to_owned(), value.clone())]).collect()
                };
                all = all.iter().flat_map(|options| values.iter().map(move |value| with(options, value))).collect();
            }
        }
        all
    };
    // Some want widths that are multiples of what they divide them by.
    NETWORKS.iter().flat_map(|entry| options(entry).into_iter().filter_map(|options| entry.build(options).ok())).collect()
}

/// Planned only: the widest have buffers that not every device binds.
#[test]
fn networks_of_every_width_keep_to_what_webgpu_grants() {
    let networks = networks();
    assert!(networks.len() > 50, "only {} networks", networks.len());
    for invocations in [256, 128] {
        let large = 1 << 40;
        let limits = Limits { invocations, binding_bytes: large, buffer_bytes: large, ..Limits::default() };
        for network in &networks {
            let mut g = Graph::new();
            let [x, t] = [("x", network.inputs()), ("t", 3)].map(|(name, c)| g.host_picture(name, [2, 32, 64], c));
            let rule = Rule { loss: Loss::L2, update: Update::ADAM, clip: 1.0, pieces: 0 };
            record_step(&mut g, network.as_ref(), Example { x, t, mask: None }, rule);
            Plan::new(g, Some(&limits)).unwrap_or_else(|e| panic!("{}: {e}", network.describe()));
        }
    }
}

#[test]
fn every_limit_of_a_kernel_that_is_not_kept_to_is_an_error_of_the_planner() {
    let plan = |case: &Case, lower: Lower| {
        let mut limits = Limits::default();
        lower(&mut limits);
        let error = Plan::new(case.graph().clone(), Some(&limits)).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Memory(_)), "{error:?}");
        error.to_string()
    };
    let norm = check::group_norm([1, 40, 41], 64, 1, 0.1);
    for (case, lower, parts) in [
        (
            &norm,
            (|l| l.workgroup_bytes = 1000) as Lower,
            ["group_norm", "1024 bytes of workgroup memory, but the device has 1000"],
        ),
        (&norm, |l| l.invocations = 32, ["group_norm", "64 invocations"]),
        (&norm, |l| l.binding_bytes = 1 << 10, ["a buffer of 1 MiB", "at most 0 MiB"]),
        (
            &check::conv(Conv::same3(2), true, [2, 8, 8], &[48], 48, 1.0),
            |l| l.workgroups = 3,
            ["conv2d", "workgroups along one dimension, but the device has 3"],
        ),
    ] {
        let message = plan(case, lower);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn all_tiles_of_a_device_with_little_fit_it() {
    for gpu in gpus(least).into_iter().map(common::large) {
        let case = check::conv(Conv::same3(1), false, [1, 20, 20], &[32], 48, 1.0);
        let limits = Some(&gpu.adapter.limits);
        let variants = Plan::new(case.graph().clone(), limits).unwrap().choices.iter().map(|c| c.variants).max().unwrap();
        for variant in 0..variants {
            let plan = Plan::tuned(case.graph().clone(), limits, &Tuning::always(variant)).unwrap();
            gpu::Executor::new(&gpu, plan).unwrap_or_else(|e| panic!("variant {variant}: {e}"));
        }
    }
}

fn photo(i: usize) -> Rgb8 {
    let (width, height) = (40 + i, 36);
    let at = |p: usize| (128.0 + 100.0 * ((p / 3) as f64 * 0.13 + (p % 3) as f64).sin()) as u8;
    Rgb8 { name: format!("{i}.png"), width, height, data: (0..width * height * 3).map(at).collect() }
}

#[test]
fn a_training_within_the_least_limits_follows_the_cpu() {
    for gpu in gpus(least) {
        let noise: Noise = "gaussian:0-50".parse().unwrap();
        let source = Source::photos((0..3).map(photo).collect(), noise);
        let validation = Validation::new(&Source::photos(vec![photo(4)], noise), 1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let psnr = |device: &Device| {
            // What the CPU trains by default: the two devices' own would differ.
            let options = Options { batch: 2, crop: 16, ..Options::new(&Device::Cpu, Length::Steps(10)) };
            let network = Arc::new(Unet::new(8, 1, Norm::None));
            let (options, source, validation) = (&options, &source, &validation);
            let run = Run { device, network, options, source, validation, out: folder.path() };
            let done = run.start(&mut |_| ControlFlow::Continue(()));
            done.unwrap().psnr.unwrap()
        };
        let (truth, result) = (psnr(&Device::Cpu), psnr(&Device::Gpu(gpu)));
        // Gradients are right to 1e-5, as `check` holds them to; ten steps of lr = 2e-3 then leave the weights right to 2e-7 of
        // what is about 0.1, and pictures to 2e-6. Of an error of a tenth that is 2e-5, or 20 log10(1 + 2e-5) = 2e-4 dB.
        assert!((truth - result).abs() <= 2e-4, "{truth} dB on the CPU, {result} dB");
    }
}

#[test]
fn a_picture_is_cut_into_tiles_that_fit_a_small_binding() {
    // Half a MiB: a tile of 128 x 128 pixels in eight channels.
    let small = |l: &mut Limits| {
        least(l);
        l.binding_bytes = 512 << 10;
    };
    let (width, height) = (150, 170);
    let picture: Vec<f32> = (0..width * height * 3).map(|i| 0.5 + 0.4 * (i as f32 * 0.37).sin()).collect();
    let network: Arc<dyn Network> = Arc::new(Unet::new(4, 1, Norm::None));
    let params = initial(&Anatomy::of(network.as_ref()).graph, Init::He, 1).unwrap();
    let net = (network, Ranges { input: [-0.5, 0.5], output: [-0.5, 0.5] });
    let denoise = |device: &Device| {
        let mut denoiser = Denoiser::with_params(device, net.clone(), params.clone(), None).unwrap();
        denoiser.denoise(&picture, width, height).unwrap()
    };
    let whole = denoise(&Device::Cpu);
    for gpu in gpus(small) {
        let tiles = denoise(&Device::Gpu(gpu));
        let worst = whole.iter().zip(&tiles).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Sums of up to 144 terms in another order, as REORDERED in tests/tiles.rs.
        assert!(worst <= 144.0 * f32::EPSILON / 2.0, "tiles differ from the CPU's picture by {worst}");
    }
}

#[test]
fn what_does_not_fit_is_said_in_numbers() {
    for gpu in gpus(least) {
        let device = Device::Gpu(gpu);
        let noise: Noise = "gaussian:25".parse().unwrap();
        let large = |i: usize| Rgb8 { name: format!("{i}"), width: 512, height: 512, data: vec![i as u8; 512 * 512 * 3] };
        let source = Source::photos((0..2).map(large).collect(), noise);
        let validation = Validation::new(&Source::photos(vec![photo(1)], noise), 1).unwrap();
        let options = Options { batch: 4, crop: 512, ..Options::new(&Device::Cpu, Length::Steps(1)) };
        let network = Arc::new(Unet::new(16, 1, Norm::None));
        let folder = tempfile::tempdir().unwrap();
        let (options, source, validation) = (&options, &source, &validation);
        let run = Run { device: &device, network, options, source, validation, out: folder.path() };
        let done = run.start(&mut |_| ControlFlow::Continue(()));
        let error = done.map(|done| done.steps).unwrap_err();
        // 4 x 512 x 512 pixels of 16 channels beside the 8 of the skip are 96 MiB.
        let message = error.to_string();
        assert!(matches!(error, Error::Memory(_)), "{error:?}");
        for part in ["96 MiB", "at most 32 MiB", "a batch of 4 crops of 512 pixels"] {
            assert!(message.contains(part), "{part:?} is missing: {message}");
        }
    }
}

#[test]
fn a_device_that_claims_more_than_it_has_refuses_in_numbers_and_still_works() {
    for mut gpu in gpus(least) {
        // The planner is told of limits that the device was not opened with.
        (gpu.adapter.limits.binding_bytes, gpu.adapter.limits.buffer_bytes) = (1 << 40, 1 << 40);
        let device = Device::Gpu(gpu);
        let mut g = Graph::new();
        g.add_storage("large", 12 << 20, Element::F32, Role::Host);
        let error = device.prepare(g).map(|_| ()).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Memory(_)), "{error:?}");
        assert!(message.contains("48 MiB") && message.contains("smaller") && message.contains(device.name()), "{message}");
        // The next, smaller one is none the worse for it.
        assert_passes(&device, &check::elementwise([2, 5, 7], [5, 3]));
    }
}

#[test]
fn limits_above_the_adapters_are_refused() {
    for i in 0..common::gpus().len() {
        let error = Gpu::open_with(i, |l| l.invocations = 1 << 20).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("cannot be opened"), "{error}");
    }
    assert!(Gpu::open(1000).map(|_| ()).unwrap_err().to_string().contains("1000"));
}
