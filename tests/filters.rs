//! Filters that the CPU keeps as its inner loops want them. In a process of its own, whose memory is measured.

mod common;

use common::resident;
use n2n_gpu::device::Device;
use n2n_gpu::graph::Graph;
use n2n_gpu::nets::{Init, Modules, Network, Norm, Unet, initial};
use n2n_gpu::plan::Executor;

/// What the CPU makes of filters is made anew for new ones, and takes no more memory.
#[test]
fn memory_is_flat_over_many_sets_of_parameters() {
    let mut g = Graph::new();
    let x = g.host_picture("x", [1, 32, 32], 3);
    let y = Unet::new(32, 2, Norm::None).record(&mut Modules::new(&mut g, false), x);
    let y = g.output("y", y);
    let (from, to) = (g.view(x).storage, g.view(y).storage);
    let id = g.params_storage().unwrap();
    let sets = [1, 2].map(|seed| initial(&g, Init::He, seed).unwrap());
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
