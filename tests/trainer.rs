//! A user's own network, trained by the library on every device, saved on one and loaded on another.

mod common;

use std::sync::Arc;

use common::{HALF_ULP, adapters, largest_error};
use n2n_gpu::device::Device;
use n2n_gpu::nets::{Layer, Sequential};
use n2n_gpu::ops::Conv;
use n2n_gpu::train::{Length, Options, Trainer};

const SHAPE: [usize; 4] = [4, 12, 8, 3];

/// Of a small network, halved and doubled again.
fn small(device: &Device) -> Trainer {
    let [half, one] = [2, 1].map(|kernel| Conv { kernel, stride: kernel, padding: 0 });
    let layers = [Layer::Conv2d(6, half), Layer::ReLU, Layer::Upsample(2), Layer::Conv2d(3, one), Layer::Sigmoid];
    let options = Options::sgd(1.0, Length::Epochs(4.0));
    Trainer::on_arrays(device, Arc::new(Sequential::new(layers)), &options, SHAPE).unwrap()
}

/// As many pictures of noise about a mean.
fn pictures(stream: u32, count: usize, mean: f64) -> Vec<f32> {
    let size: usize = SHAPE[1..].iter().product();
    common::normals(stream, count * size).into_iter().map(|v| (mean + 0.2 * v) as f32).collect()
}

/// Four epochs of plain gradient descent: losses, and what becomes of a batch.
fn fit(trainer: &mut Trainer) -> Vec<f64> {
    let (x, t) = (pictures(1, 16, 0.0), pictures(2, 16, 0.4));
    let mut found: Vec<f64> = (0..4).map(|_| trainer.epoch(&x, &t).unwrap().into()).collect();
    found.extend(trainer.predict(&pictures(3, SHAPE[0], 0.0)).unwrap().into_iter().map(f64::from));
    found
}

/// Sums of some hundred terms in another order, over sixteen steps.
#[test]
fn a_sequential_network_learns_the_same_on_every_device_and_moves_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let mut on_cpu = small(&Device::Cpu);
    let truth = fit(&mut on_cpu);
    assert!(truth[3] < 0.9 * truth[0], "four epochs learn nothing: {:?}", &truth[..4]);
    for device in adapters() {
        let mut trainer = small(&device);
        let error = largest_error(&truth, &fit(&mut trainer));
        assert!(error < 1e-5, "{}: {error:e}", device.name());
        trainer.save(&path).unwrap();
        let mut loaded = small(&Device::Cpu);
        loaded.load(&path).unwrap();
        let x = pictures(3, SHAPE[0], 0.0);
        let [a, b] = [&mut trainer, &mut loaded].map(|t| t.predict(&x).unwrap().into_iter().map(f64::from).collect::<Vec<_>>());
        // Two sums, of 13 and of 7 terms, in another order: half a unit in the last place for each.
        assert!(largest_error(&a, &b) < 20.0 * HALF_ULP, "what {} saved differs on the CPU", device.name());
    }
}
