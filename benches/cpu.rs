//! The CPU executor: convolutions with their gradients, and training steps. `cargo bench --bench cpu`.

use criterion::{Criterion, criterion_group, criterion_main};
use n2n_gpu::device::Device;
use n2n_gpu::graph::{Graph, ParamLayout, Tensor};
use n2n_gpu::nets::{EpflResunet, EpflUnet, Init, N2nUnet, Network, initial};
use n2n_gpu::ops::{Activation, Conv, Loss, Update, random_normals};
use n2n_gpu::plan::Executor;
use n2n_gpu::train::{Example, Rule, record_step};

/// Readies a graph on the CPU, with random values for its inputs.
fn prepared(g: Graph, inputs: &[Tensor]) -> Box<dyn Executor> {
    let params = initial(&g, Init::Xavier, 1).unwrap();
    let weights = g.params_storage().expect("there are parameters");
    let inputs: Vec<_> = inputs.iter().map(|&t| g.view(t).storage).collect();
    let mut executor = Device::Cpu.prepare(g).expect("the CPU takes any plan");
    for (id, stream) in inputs.into_iter().zip(0..) {
        let len = executor.plan().graph.storage(id).len;
        let values: Vec<f32> = random_normals(1, stream).take(len).map(|z| 0.2 * z as f32).collect();
        executor.write(id, &values).expect("memory is there");
    }
    executor.write(weights, &params).expect("memory is there");
    executor
}

/// 3x3 convolutions with all gradients: (N, H, W), channels in and out.
fn convolutions(c: &mut Criterion) {
    for (size, input, output) in [([30, 32, 32], 48, 48), ([30, 4, 4], 96, 96), ([4, 128, 128], 3, 48), ([4, 128, 128], 32, 3)] {
        let mut g = Graph::new();
        let x = g.host_picture("x", size, input);
        let dy = g.host_picture("dy", size, output);
        g.require_grad(x);
        let w = g.param("weight", ParamLayout::Conv { k: 3, input: vec![input], output });
        let b = g.param("bias", ParamLayout::Vector(output));
        let y = g.conv2d(x, w, Some(b), Conv::same3(1), Activation::leaky_relu(0.1));
        g.backward(&[(y, dy)]);
        let mut executor = prepared(g, &[x, dy]);
        c.bench_function(&format!("conv2d {input}->{output} {size:?} and gradients"), |b| {
            b.iter(|| executor.run());
        });
    }
}

/// Training steps: network, batch, side.
fn training_steps(c: &mut Criterion) {
    let (unet, resunet, n2n) = (EpflUnet::default(), EpflResunet::default(), N2nUnet::default());
    let cases: [(&dyn Network, usize, usize); 4] = [(&unet, 30, 32), (&resunet, 30, 32), (&n2n, 30, 32), (&unet, 4, 128)];
    for (network, batch, side) in cases {
        let mut g = Graph::new();
        let [x, t] = ["x", "t"].map(|name| g.host_picture(name, [batch, side, side], 3));
        let rule = Rule { loss: Loss::L2, update: Update::ADAM, clip: 1.0, pieces: 0 };
        let optimizer = record_step(&mut g, network, Example { x, t, mask: None }, rule).optimizer;
        let mut executor = prepared(g, &[x, t]);
        executor.write(optimizer.control, &optimizer.control(1, 1e-4, 0.999)).expect("memory is there");
        c.bench_function(&format!("step of {} batch {batch} at {side} px", network.name()), |b| {
            b.iter(|| executor.run());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = convolutions, training_steps
}
criterion_main!(benches);
