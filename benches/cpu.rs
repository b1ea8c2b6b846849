//! The CPU executor: convolutions with their gradients, and training steps. `cargo bench --bench cpu`.

use criterion::{Criterion, criterion_group, criterion_main};
use n2n_gpu::device::Device;
use n2n_gpu::graph::{Graph, Layout};
use n2n_gpu::nets::{Init, Net, NetOptions, initial};
use n2n_gpu::ops::{Activation, Conv, Update, random_normals};
use n2n_gpu::plan::Executor;

/// Readies a graph on the CPU, with random values for the host storages `inputs`.
fn prepared(g: Graph, inputs: &[&str]) -> Box<dyn Executor> {
    let params = initial(&g, Init::Xavier, 1);
    let mut executor = Device::Cpu.prepare(g).expect("the CPU takes any plan");
    for (name, stream) in inputs.iter().zip(0..) {
        let id = executor.plan().host(name);
        let len = executor.plan().graph.storage(id).len;
        let values: Vec<f32> = random_normals(1, stream).take(len).map(|z| 0.2 * z as f32).collect();
        executor.write(id, &values).expect("memory is there");
    }
    let id = executor.plan().host("params");
    executor.write(id, &params).expect("memory is there");
    executor
}

/// 3x3 convolutions with all gradients: (N, H, W), channels in and out.
fn convolutions(c: &mut Criterion) {
    for (size, input, output) in [([30, 32, 32], 48, 48), ([30, 4, 4], 96, 96), ([4, 128, 128], 3, 48), ([4, 128, 128], 32, 3)] {
        let mut g = Graph::new();
        let x = g.host_picture("x", size, input);
        let dy = g.host_picture("dy", size, output);
        g.require_grad(x);
        let w = g.param("weight", Layout::Conv { k: 3, input: vec![input], output });
        let b = g.param("bias", Layout::Vector(output));
        let y = g.conv2d(x, w, Some(b), Conv::same3(1), Activation::leaky_relu(0.1));
        g.backward(&[(y, dy)]);
        let mut executor = prepared(g, &["x", "dy"]);
        c.bench_function(&format!("conv2d {input}->{output} {size:?} and gradients"), |b| {
            b.iter(|| executor.run());
        });
    }
}

/// Training steps: network, batch, side.
fn training_steps(c: &mut Criterion) {
    for (net, batch, side) in
        [(Net::EpflUnet, 30, 32), (Net::EpflResunet, 30, 32), (Net::N2nUnet, 30, 32), (Net::EpflUnet, 4, 128)]
    {
        let mut g = Graph::new();
        let [x, t] = ["x", "t"].map(|name| g.host_picture(name, [batch, side, side], 3));
        let y = NetOptions::new(net).record_training(&mut g, x);
        let loss = g.mse(y, t);
        let one = g.one();
        g.backward(&[(loss, one)]);
        let optimizer = g.optimize(loss, Update::ADAM, 1.0);
        let mut executor = prepared(g, &["x", "t"]);
        executor.write(optimizer.control, &optimizer.control(1, 1e-4, 0.999)).expect("memory is there");
        c.bench_function(&format!("step of {} batch {batch} at {side} px", NetOptions::new(net).name()), |b| {
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
