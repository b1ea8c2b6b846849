//! Renderers' pictures: two noisy renders of every frame train a network that reads linear colours, albedo and normals.

#[path = "../examples/tracer/mod.rs"]
mod tracer;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use n2n_gpu::data::features::Features;
use n2n_gpu::data::metrics::psnr;
use n2n_gpu::data::picture::Picture;
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::device::Device;
use n2n_gpu::graph::{Graph, Tensor};
use n2n_gpu::nets::{Anatomy, Init, Modules, Network, OidnUnetSmall, Ranges, Transfer, initial};
use n2n_gpu::ops::{Activation, Conv, Loss};
use n2n_gpu::train::{Length, Options, Run, Source, TrainingPicture, Validation, split};
use tracer::{Render, Scene};

const SIZE: [usize; 2] = [64, 64];
const SAMPLES: u32 = 4;

/// A picture of a render with its features; `folder` is for its file.
fn picture(folder: &Path, render: &Render) -> Picture {
    let path = folder.join("render.exr");
    render.save(&path, true);
    let picture = Picture::load(&path).unwrap();
    let sources = ["albedo", "normal"].map(|name| name.parse().unwrap());
    let features = Features::read(&path, &picture, &sources).unwrap();
    picture.with_features(features)
}

/// Trains on two renders of every frame but the first two; the network's results for these, in linear light.
fn trained(loss: Loss) -> Vec<Vec<f32>> {
    let folder = tempfile::tempdir().unwrap();
    let of = |frame: u32, seed: u32| picture(folder.path(), &Scene::new(frame).render(SIZE, SAMPLES, seed));
    let pair = |frame: u32| [1, 2].map(|seed| TrainingPicture::of_render(format!("{frame}"), &of(frame, seed), true));
    let pairs: Vec<(TrainingPicture, TrainingPicture)> = (2..26).map(|frame| pair(frame).into()).collect();
    let (source, held_out) = split(Source::pairs(pairs).unwrap());
    let network: Arc<dyn Network> = Arc::new(OidnUnetSmall { inputs: 9, hdr: true });
    let base = Options::new(&Device::Cpu, Length::Steps(250)).for_network(network.as_ref());
    let options = Options { crop: 48, ema: 0.98, loss, ..base };
    let (device, validation, out) = (&Device::Cpu, &Validation::new(&held_out, 1).unwrap(), &folder.path().join("run"));
    let run = Run { device, network, options: &options, source: &source, validation, out };
    let outcome = run.start(&mut |_| ControlFlow::Continue(())).unwrap();
    assert!(outcome.psnr_estimated.unwrap() > outcome.psnr_noisy + 3.0, "{:?}", outcome.psnr_estimated);
    let mut denoiser = Denoiser::new(device, &outcome.model, None).unwrap();
    let denoised = |frame| denoiser.denoise_picture(&of(frame, 1), 1.0, |_| ()).unwrap();
    [0, 1].map(denoised).into_iter().map(|p| (0..SIZE[0] * SIZE[1]).flat_map(|i| p.linear(i)).collect()).collect()
}

/// PSNR of linear values as a display shows them.
fn shown(values: &[f32], clean: &[f32]) -> f64 {
    let curve = |values: &[f32]| values.iter().map(|v| v.clamp(0.0, 1.0).powf(1.0 / 2.2)).collect::<Vec<f32>>();
    psnr(&curve(values), &curve(clean))
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

/// With the mean of the light in place: what targets on the curve teach is too dark.
#[test]
fn two_noisy_renders_teach_to_denoise_and_to_keep_the_brightness() {
    let clean = [0, 1].map(|frame| Scene::new(frame).render(SIZE, 1024, 9).colour);
    let noisy = [0, 1].map(|frame| Scene::new(frame).render(SIZE, SAMPLES, 1).colour);
    let score = |found: &[Vec<f32>]| (shown(&found[0], &clean[0]) + shown(&found[1], &clean[1])) / 2.0;
    let [hdr, on_curve] = [Loss::HDR, Loss::L2].map(trained);
    let [before, after, dark] = [score(&noisy), score(&hdr), score(&on_curve)];
    let [brightness, darkness] = [hdr, on_curve].map(|found| mean(&found.concat()) / mean(&clean.concat()));
    println!("{before:.2} dB noisy, {after:.2} dB by hdr, {dark:.2} dB by l2; {brightness:.3}, {darkness:.3} of the brightness");
    assert!(after > before + 4.0, "{before} -> {after} dB");
    assert!(after > dark + 1.0, "{dark} dB by squares on the curve, {after} dB");
    assert!((0.8..1.2).contains(&brightness) && darkness < 0.9, "{brightness} and {darkness} of the clean brightness");
}

/// It is the mean of the light, not of what is on the curve.
#[test]
fn the_loss_for_linear_values_is_least_at_their_mean() {
    let targets = [0.02, 0.05, 3.0, 0.0];
    let slope = |loss: Loss, y: f32| {
        let mut g = Graph::new();
        let x = g.host_picture("x", [1, 1, 4], 1);
        g.require_grad(x);
        let t = g.host_picture("t", [1, 1, 4], 1);
        let loss = g.loss(loss, x, t, None, None);
        let one = g.one();
        let dx = g.backward(&[(loss, one)])[&x];
        let dx = g.output("dx", dx);
        let [x, t, dx] = [x, t, dx].map(|tensor| g.view(tensor).storage);
        let mut executor = Device::Cpu.prepare(g).unwrap();
        let four = |v: [f32; 4]| v.into_iter().flat_map(|v| [v, 0.0, 0.0, 0.0]).collect::<Vec<f32>>();
        executor.write(x, &four([Transfer::Pu.forward(y); 4])).unwrap();
        executor.write(t, &four(targets)).unwrap();
        executor.run().unwrap();
        executor.read(dx).unwrap().iter().sum::<f32>()
    };
    let middle = mean(&targets);
    assert!(slope(Loss::HDR, 0.98 * middle) < 0.0 && slope(Loss::HDR, 1.02 * middle) > 0.0);
}

/// A network of one level that reads nine channels.
struct Nine;

impl Network for Nine {
    fn name(&self) -> &'static str {
        "nine"
    }

    fn inputs(&self) -> usize {
        9
    }

    fn transfer(&self) -> Transfer {
        Transfer::Pu
    }

    fn record(&self, net: &mut Modules, x: Tensor) -> Tensor {
        let y = net.conv2d("conv1", x, 8, Conv::same3(1), Activation::RELU);
        let small = net.graph.max_pool2d(y, 2);
        let small = net.conv2d("conv2", small, 8, Conv::same3(1), Activation::RELU);
        let large = net.graph.upsample_nearest(small, 2);
        let y = net.graph.concat(&[large, x]);
        net.conv2d("conv3", y, 3, Conv::same3(1), Activation::NONE)
    }
}

#[test]
fn tiles_and_flips_have_all_nine_channels() {
    let (width, height) = (61, 85);
    let params = initial(&Anatomy::of(&Nine).graph, Init::He, 1).unwrap();
    let values: Vec<f32> = (0..width * height * 9).map(|i| 0.5 + 0.4 * (i as f32 * 0.37).sin()).collect();
    let denoiser = |tile| {
        let ranges = Ranges { input: [-0.5, 0.5], output: [-0.5, 0.5] };
        Denoiser::with_params(&Device::Cpu, (Arc::new(Nine), ranges), params.clone(), tile).unwrap()
    };
    let [whole, tiles] = [None, Some(24)].map(|tile| denoiser(tile).denoise(&values, width, height).unwrap());
    // Sums of up to 180 terms, nine pixels of 20 channels, by Winograd's convolution in other places: as RETILED in
    // tests/tiles.rs, of the largest value, as these parameters make values of any size.
    let largest = whole.iter().map(|v| v.abs()).fold(0.0, f32::max);
    let worst = whole.iter().zip(&tiles).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
    assert!(worst <= 4.0 * 180.0 * f32::EPSILON / 2.0, "tiles are off by {worst} of {largest}");
    // Every feature is read.
    for channel in 3..9 {
        let mut other = values.clone();
        other.iter_mut().skip(channel).step_by(9).for_each(|v| *v = 0.0);
        assert_ne!(denoiser(None).denoise(&other, width, height).unwrap(), whole, "channel {channel} is not read");
    }
    assert_eq!(denoiser(Some(24)).with_flips(true).denoise(&values, width, height).unwrap().len(), width * height * 3);
}

#[test]
fn features_are_prepared_as_open_image_denoise_prepares_them() {
    let albedo = [-0.5, 0.25, f32::NAN, 2.0, f32::INFINITY, 1.0];
    let normal = [-1.0, 0.0, 1.0, f32::NAN, -3.0, 0.5];
    let features = Features::new([2, 1], &albedo, Some(&normal));
    assert_eq!(features.of_pixel(0), [0.0, 0.25, 0.0, 0.0, 0.5, 1.0]);
    assert_eq!(features.of_pixel(1), [1.0, 1.0, 1.0, 0.5, 0.0, 0.75]);
    assert_eq!(Features::new([2, 1], &albedo, None).channels(), 3);
}
