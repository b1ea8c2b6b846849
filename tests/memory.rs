//! Memory over thousands of steps.

mod common;

use common::resident;
use n2n_gpu::device::Device;
use n2n_gpu::graph::Graph;
use n2n_gpu::nets::{Init, Norm, Unet, initial};
use n2n_gpu::ops::{Loss, Update};
use n2n_gpu::plan::Executor;
use n2n_gpu::train::{Example, Rule, record_step};

/// What buffers take on a device, in MiB, where its backend tells it.
fn on_device(device: &Device) -> Option<f64> {
    match device {
        Device::Cpu => None,
        Device::Gpu(gpu) => gpu.allocated_bytes().map(|bytes| bytes as f64 / f64::from(1 << 20)),
    }
}

/// Runs `steps` training steps of a small network as training does: controls written, the log read without waiting.
fn train(executor: &mut dyn Executor, steps: u64, optimizer: &n2n_gpu::ops::Optimizer) {
    for step in 0..steps {
        executor.write(optimizer.control, &optimizer.control(step + 1, 1e-4, 0.9)).unwrap();
        executor.run().unwrap();
        if step % 16 == 0 {
            executor.read_later(optimizer.log).unwrap();
        }
        executor.finished_reads().unwrap();
    }
}

#[test]
fn memory_is_flat_over_thousands_of_steps() {
    // A minute on a software adapter; N2N_TEST_STEPS=2000 is enough to see a leak of every step.
    let steps = std::env::var("N2N_TEST_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut devices = common::adapters();
    devices.push(Device::Cpu);
    for device in devices {
        let mut g = Graph::new();
        let [x, t] = ["x", "t"].map(|n| g.host_picture(n, [1, 8, 8], 3));
        let rule = Rule { loss: Loss::L2, update: Update::ADAM, clip: 1.0, pieces: 0 };
        let step = record_step(&mut g, &Unet::new(4, 1, Norm::None), Example { x, t, mask: None }, rule);
        let optimizer = step.optimizer;
        let params = initial(&g, Init::Xavier, 1).unwrap();
        let mut executor = device.prepare(g).unwrap();
        executor.write(step.params, &params).unwrap();
        train(executor.as_mut(), 200, &optimizer);
        let (before, device_before) = (resident(), on_device(&device));
        let start = std::time::Instant::now();
        train(executor.as_mut(), steps, &optimizer);
        let seconds = start.elapsed().as_secs_f64();
        if let (Some(before), Some(after)) = (device_before, on_device(&device)) {
            let grown = format!("{}: {before:.3} MiB on the device, {after:.3} MiB after {steps} steps", device.name());
            eprintln!("{grown}");
            assert!(after - before < 1.0, "{grown}");
        }
        let (Some(before), Some(after)) = (before, resident()) else {
            eprintln!("memory is not measured: this system does not tell it in /proc");
            return;
        };
        // One leaked command buffer or staging buffer a step would be some KiB each: 4 MiB are 2 KiB a step.
        let grown = format!("{}: {before:.1} MiB, {after:.1} MiB after {steps} steps", device.name());
        eprintln!("{grown}, {seconds:.1} s");
        assert!(after - before < 4.0, "{grown}");
    }
}
