//! Memory over thousands of steps.

mod common;

use n2n_gpu::device::Device;
use n2n_gpu::graph::Graph;
use n2n_gpu::nets::{Init, Modules, Network, Norm, Unet, initial};
use n2n_gpu::ops::{Loss, Update};
use n2n_gpu::plan::Executor;
use n2n_gpu::train::{Example, Rule, record_step};

/// Resident memory of this process in MiB, where the system tells it.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

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
        let rule = Rule { loss: Loss::L2, update: Update::ADAM, clip: 1.0 };
        let step = record_step(&mut g, &Unet::new(4, 1, Norm::None), Example { x, t, mask: None }, rule);
        let optimizer = step.optimizer;
        let params = initial(&g, Init::Xavier, 1);
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

/// What the CPU makes of filters is made anew for new ones, and takes no more memory.
#[test]
fn memory_is_flat_over_many_sets_of_parameters() {
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, 32, 32], 3);
    let y = Unet::new(32, 2, Norm::None).record(&mut Modules::new(&mut g, false), x);
    let y = g.output("y", y);
    let (from, to) = (g.view(x).storage, g.view(y).storage);
    let id = g.params_storage().unwrap();
    let sets = [1, 2].map(|seed| initial(&g, Init::He, seed));
    let run = |executor: &mut dyn Executor, params: &[f32]| {
        executor.write(id, params).unwrap();
        executor.run().unwrap();
        executor.read(to).unwrap()
    };
    let prepare = || {
        let mut executor = Device::Cpu.prepare(g.clone()).unwrap();
        executor.write(from, &vec![0.5; 4 * 32 * 32]).unwrap();
        executor
    };
    let expected = sets.each_ref().map(|params| run(prepare().as_mut(), params));
    assert_ne!(expected[0], expected[1]);
    let mut executor = prepare();
    let mut before = None;
    for round in 0..200 {
        let found = run(executor.as_mut(), &sets[round % 2]);
        assert!(found == expected[round % 2], "parameters of another run");
        // And executors come and go.
        drop(prepare());
        if round == 20 {
            before = resident();
        }
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        // Its filters take 4 MiB, transformed.
        assert!(after - before < 16.0, "{before:.1} MiB, {after:.1} MiB after 180 sets of parameters");
    }
}
