//! A training step on the CPU allocates no memory of its own, once a few have run.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use n2n_gpu::device::Device;
use n2n_gpu::graph::Graph;
use n2n_gpu::nets::{EpflUnet, Init, N2nUnet, Network, Norm, Unet, initial};
use n2n_gpu::ops::{Loss, Update};
use n2n_gpu::train::{Example, Rule, record_step};

/// The system's allocator, and how many bytes it was asked for.
struct Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a step of the thread pool's queue may take: crossbeam's come in blocks of 63 jobs, 1.5 KiB each, and a step of a hundred
/// ops queues some hundred jobs. Packed filters alone would be a hundred times that.
const QUEUE_BYTES: usize = 32 << 10;

#[test]
fn a_training_step_allocates_nothing() {
    let [plain, group, batch] = [Norm::None, Norm::Group, Norm::Batch].map(|norm| Unet::new(16, 2, norm));
    let (epfl, pooled) = (EpflUnet::default(), N2nUnet { channels: 3, width: 12, residual: false });
    let networks: [&dyn Network; 5] = [&plain, &group, &batch, &epfl, &pooled];
    for network in networks {
        let mut g = Graph::new();
        let [x, t] = ["x", "t"].map(|name| g.host_picture(name, [4, 32, 32], 3));
        let rule = Rule { loss: Loss::L2, update: Update::ADAM, clip: 1.0, pieces: 0 };
        let step = record_step(&mut g, network, Example { x, t, mask: None }, rule);
        let params = initial(&g, Init::Xavier, 1).unwrap();
        let mut executor = Device::Cpu.prepare(g).unwrap();
        executor.write(step.params, &params).unwrap();
        // Each thread has to have met the largest ops once: who runs them is chance.
        for _ in 0..40 {
            executor.run().unwrap();
        }
        let mut least = usize::MAX;
        for _ in 0..10 {
            let before = ASKED.load(Ordering::Relaxed);
            executor.run().unwrap();
            least = least.min(ASKED.load(Ordering::Relaxed) - before);
        }
        assert!(least < QUEUE_BYTES, "{} {:?}: {least} bytes in a step", network.name(), network.options());
    }
}
