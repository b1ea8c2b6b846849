//! Several processes that train one network, here threads of one; and batches whose gradients are summed.

mod common;

#[path = "common/cli.rs"]
mod cli;
#[path = "common/runs.rs"]
mod runs;
#[path = "common/supplies.rs"]
mod supplies;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use n2n_gpu::device::Device;
use n2n_gpu::error::{Error, Result};
use n2n_gpu::nets::Norm;
use n2n_gpu::ops::{Loss, Update};
use n2n_gpu::train::{self, Augment, Options, Origin, Outcome, Start, Team, resumable};
use runs::Run;
use supplies::{photographs, supplied};

/// A thread and its channels to and from all, itself among them.
struct Thread {
    rank: usize,
    to: Vec<Sender<Vec<f32>>>,
    from: Vec<Receiver<Vec<f32>>>,
}

impl Thread {
    fn team(size: usize) -> Vec<Self> {
        let mut team: Vec<_> = (0..size).map(|rank| Self { rank, to: Vec::new(), from: Vec::new() }).collect();
        for sender in 0..size {
            for receiver in 0..size {
                let (to, from) = channel();
                team[sender].to.push(to);
                team[receiver].from.push(from);
            }
        }
        team
    }
}

impl Team for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn begin_sum(&mut self, values: Vec<f32>) -> Result<()> {
        self.to.iter().for_each(|to| drop(to.send(values.clone())));
        Ok(())
    }

    fn end_sum(&mut self) -> Result<Vec<f32>> {
        let values = self.from.iter().map(|from| from.recv().map_err(|_| Error::Gone("another process has ended".into())));
        let mut values = values.collect::<Result<Vec<_>>>()?.into_iter();
        let mut sum = values.next().unwrap();
        values.for_each(|other| sum.iter_mut().zip(other).for_each(|(sum, v)| *sum += v));
        Ok(sum)
    }
}

/// Gradient descent, as Adam makes much of what rounding leaves of a gradient of 0.
fn run(device: &Device, change: impl Fn(Options) -> Options) -> Run {
    let mut run = Run::new(device, 12, false);
    run.network.norm = Norm::Group;
    let update = Update::Sgd { momentum: 0.5 };
    run.options = change(Options { batch: 6, lr: 0.1, clip: 0.0, update, ..run.options });
    run
}

/// Trains in a team of so many; each stops once its `stops` says so. What came of each, by rank.
fn train(
    size: usize,
    run: &Run,
    device: &Device,
    (out, go_on): (&Path, bool),
    stops: impl Fn(usize, u64) -> Result<bool> + Sync,
) -> Vec<Result<Option<Outcome>>> {
    let one = |mut thread: Thread| {
        let Run { source, validation, options, network, .. } = run;
        let run = train::Run { device, network: Arc::new(*network), options, source, validation, out };
        let start = if go_on { Start::Resumed } else { Start::Fresh };
        let (rank, mut steps) = (thread.rank, 0);
        let watch = &mut |_: &train::Progress| {
            steps += 1;
            match stops(rank, steps) {
                Ok(false) => ControlFlow::Continue(()),
                Ok(true) => ControlFlow::Break(()),
                Err(_) => panic!("process {rank} dies"),
            }
        };
        run.train_in(&mut thread, start, &Origin::default(), watch)
    };
    thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = Thread::team(size).into_iter().map(|t| scope.spawn(move || one(t))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Error::data("died")))).collect()
    })
}

/// Parameters of two trainings, which differ by rounding alone: that of sums of 6 crops of 16 x 16 pixels, of the largest change.
fn assert_near(device: &Device, a: &[f32], b: &[f32], initial: &[f32]) {
    let largest = a.iter().zip(initial).map(|(a, i)| (a - i).abs()).fold(0.0, f32::max);
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let bound = (6 * 16 * 16) as f32 * f32::EPSILON / 2.0 * largest;
    assert!(largest > 1e-3 && off <= bound, "{}: {off:e} of {largest:e}, allowed {bound:e}", device.name());
}

fn initial(run: &Run, device: &Device) -> Vec<f32> {
    let one = run.run(device, &run.out("one"), false, |_| true).unwrap();
    one.model.params
}

fn devices() -> Vec<Device> {
    std::iter::once(Device::Cpu).chain(common::adapters()).collect()
}

#[test]
fn a_team_learns_what_one_process_does_with_the_whole_batch() {
    for device in devices() {
        for (loss, augment) in [(Loss::L2, Augment::All), (Loss::L1, Augment::Triple)] {
            let run = run(&device, |options| Options { loss, augment, ..options });
            let whole = run.run(&device, &run.out("whole"), false, |_| false).unwrap();
            // Threads on one adapter wait for one another.
            for size in if matches!(device, Device::Cpu) { &[1, 2, 4][..] } else { &[2] } {
                let size = *size;
                let out = run.out(&format!("team{size}"));
                let mut outcomes = train(size, &run, &device, (&out, false), |_, _| Ok(false));
                let failed: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
                assert!(failed.is_empty(), "{} processes on {}: {failed:?}", size, device.name());
                let first = outcomes.remove(0).unwrap().expect("the first process has the outcome");
                assert!(outcomes.into_iter().all(|outcome| outcome.unwrap().is_none()));
                assert_near(&device, &whole.model.params, &first.model.params, &initial(&run, &device));
                let losses = |o: &Outcome| o.records.iter().map(|r| r.loss).collect::<Vec<_>>();
                // Means over 6 crops of 16 x 16 pixels and 3 colours, in another order.
                let within = (6 * 16 * 16 * 3) as f64 * f64::from(f32::EPSILON) / 2.0;
                for (a, b) in losses(&whole).into_iter().zip(losses(&first)) {
                    assert!((a - b).abs() <= within * a, "the losses are those of parts: {a}, {b}");
                }
            }
        }
    }
}

#[test]
fn a_team_draws_from_one_ring_of_pictures() {
    let device = Device::Cpu;
    let mut run = run(&device, |options| Options { batch: 32, memory: Some(4), ..options });
    let files = photographs(&run.folder.path().join("photos"), 30);
    run.source = supplied(&files, false).unwrap();
    let whole = run.run(&device, &run.out("whole"), false, |_| false).unwrap();
    let mut outcomes = train(2, &run, &device, (&run.out("team"), false), |_, _| Ok(false));
    let team = outcomes.remove(0).unwrap().unwrap();
    assert_near(&device, &whole.model.params, &team.model.params, &initial(&run, &device));
}

#[test]
fn gradients_of_several_batches_are_those_of_a_large_one() {
    for device in devices() {
        let whole = run(&device, |options| options);
        let parts = run(&device, |options| Options { batch: 2, accumulate: 3, ..options });
        let [a, b] = [&whole, &parts].map(|run| run.run(&device, &run.out("run"), false, |_| false).unwrap());
        assert_near(&device, &a.model.params, &b.model.params, &initial(&whole, &device));
        let mut outcomes = train(2, &parts, &device, (&parts.out("team"), false), |_, _| Ok(false));
        let team = outcomes.remove(0).unwrap().unwrap();
        assert_near(&device, &a.model.params, &team.model.params, &initial(&whole, &device));
    }
}

#[test]
fn all_stop_where_one_is_told_to_and_any_number_goes_on() {
    let device = Device::Cpu;
    let run = run(&device, |options| options);
    let whole = run.run(&device, &run.out("whole"), false, |_| false).unwrap();
    let out = run.out("team");
    // The wish of a process goes to the others with the step before which it has it.
    let outcomes = train(3, &run, &device, (&out, false), |rank, step| Ok(rank == 2 && step == 4));
    let steps: Vec<_> = outcomes.into_iter().map(|o| o.unwrap().map(|o| o.steps)).collect();
    assert_eq!(steps, [Some(4), None, None]);
    assert_eq!(resumable(&out).unwrap().steps, 4);
    let mut outcomes = train(2, &run, &device, (&out, true), |_, _| Ok(false));
    let resumed = outcomes.remove(0).unwrap().unwrap();
    assert_near(&device, &whole.model.params, &resumed.model.params, &initial(&run, &device));
}

#[test]
fn where_one_dies_the_others_end_and_the_last_step_is_kept() {
    let device = Device::Cpu;
    let run = run(&device, |options| options);
    let whole = run.run(&device, &run.out("whole"), false, |_| false).unwrap();
    let out = run.out("team");
    let dies = |rank, step| if rank == 1 && step == 6 { Err(Error::data("dies")) } else { Ok(false) };
    let outcomes = train(3, &run, &device, (&out, false), dies);
    let message = outcomes[0].as_ref().unwrap_err().to_string();
    assert!(message.contains("ended; the state of step 5 is in"), "{message}");
    assert!(matches!(outcomes[2], Err(Error::Gone(_))));
    let resumed = run.run(&device, &out, true, |_| false).unwrap();
    assert_near(&device, &whole.model.params, &resumed.model.params, &initial(&run, &device));
}

#[test]
fn processes_that_train_something_else_are_refused() {
    let device = Device::Cpu;
    let runs = [run(&device, |options| options), run(&device, |options| Options { seed: 2, ..options })];
    let out = runs[0].out("team");
    let one = |mut thread: Thread| {
        let Run { source, validation, options, network, .. } = &runs[thread.rank];
        let run = train::Run { device: &device, network: Arc::new(*network), options, source, validation, out: &out };
        let watch = &mut |_: &train::Progress| ControlFlow::Continue(());
        run.train_in(&mut thread, Start::Fresh, &Origin::default(), watch).unwrap_err().to_string()
    };
    let messages: Vec<_> = thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = Thread::team(2).into_iter().map(|t| scope.spawn(move || one(t))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(messages.iter().all(|m| m.contains("process 1 has other pictures or options")), "{messages:?}");
    assert!(std::fs::read_dir(&out).unwrap().next().is_none(), "a run was begun");
}

#[test]
fn more_processes_than_crops_are_refused() {
    let device = Device::Cpu;
    let run = run(&device, |options| options);
    for outcome in train(7, &run, &device, (&run.out("team"), false), |_, _| Ok(false)) {
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains("6: fewer crops than the 7 processes"), "{message}");
    }
}

#[test]
fn a_team_of_one_equals_one_alone_to_the_last_bit() {
    for norm in [Norm::None, Norm::Batch] {
        let mut run = run(&Device::Cpu, |options| options);
        run.network.norm = norm;
        let alone = run.run(&Device::Cpu, &run.out("alone"), false, |_| false).unwrap();
        let mut outcomes = train(1, &run, &Device::Cpu, (&run.out("team"), false), |_, _| Ok(false));
        let team = outcomes.remove(0).unwrap().unwrap();
        // Running statistics among them: timing the device before the first step leaves none behind.
        assert!(alone.model.params == team.model.params, "{norm:?}");
    }
}
