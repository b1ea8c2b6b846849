//! A team of processes that `mpirun` has started, over MPI.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::mpi::Threading;
use ::mpi::collective::CommunicatorCollectives;
use ::mpi::environment::initialize_with_threading;
use ::mpi::request::{Request, Scope, scope};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::Communicator;

use super::Team;
use crate::error::{Error, Result};

/// Pause between looks at whether something has arrived: MPI would take all of a core for waiting, and training needs it.
const PAUSE: Duration = Duration::from_micros(50);
/// How long to wait for the others once this process is told to stop. `mpirun` tells all of them when one has died, and kills
/// those that are left after a second.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the thread that talks to MPI is told.
enum Job {
    Sum(Vec<f32>),
    /// Everything is done, here and in the other processes.
    Leave,
}

/// This process and the others. A thread of its own talks to MPI, so that sums go on while the device computes. A process that
/// ends without [`Team::leave`] has failed, and `mpirun` ends the others.
#[derive(Debug)]
pub struct Mpi {
    rank: usize,
    size: usize,
    jobs: Sender<Job>,
    sums: Receiver<Vec<f32>>,
    thread: JoinHandle<()>,
}

impl Mpi {
    /// Joins the other processes. Once `stop` is set, those that do not answer are not waited for any longer.
    ///
    /// # Errors
    /// If MPI cannot be had.
    pub fn join(stop: &'static AtomicBool) -> Result<Self> {
        let (to_thread, jobs) = channel();
        let (to_us, sums) = channel();
        let (tell, told) = channel();
        let talk = move || {
            if let Some((universe, _)) = initialize_with_threading(Threading::Funneled) {
                let world = universe.world();
                let _ = tell.send((world.rank() as usize, world.size() as usize));
                serve(&world, stop, &jobs, to_us);
            }
        };
        let problem = |why: &str| Error::data(format!("MPI cannot be started: {why}"));
        let thread = thread::Builder::new().name("mpi".into()).spawn(talk).map_err(|e| problem(&e.to_string()))?;
        let (rank, size) = told.recv().map_err(|_| problem("start the program with the mpirun of the MPI it was built with"))?;
        Ok(Self { rank, size, jobs: to_thread, sums, thread })
    }
}

impl Team for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn begin_sum(&mut self, values: Vec<f32>) -> Result<()> {
        self.jobs.send(Job::Sum(values)).map_err(|_| gone())
    }

    fn end_sum(&mut self) -> Result<Vec<f32>> {
        self.sums.recv().map_err(|_| gone())
    }

    fn leave(self: Box<Self>) {
        if self.jobs.send(Job::Leave).is_ok() {
            // A thread that has panicked has said so.
            let _ = self.thread.join();
        }
    }
}

fn gone() -> Error {
    Error::Gone("another process of the training has ended, or did not answer in time after Ctrl-C".into())
}

/// Sums what comes, until it is told to leave.
fn serve(world: &SimpleCommunicator, stop: &AtomicBool, jobs: &Receiver<Job>, sums: Sender<Vec<f32>>) {
    let mut sums = Some(sums);
    loop {
        match jobs.recv() {
            Ok(Job::Sum(values)) => {
                let sum = sum(world, stop, values, || drop(sums.take()));
                let _ = sums.as_ref().map(|to| to.send(sum));
            }
            Ok(Job::Leave) => return,
            // The process is about to end by an error; MPI would wait for the others before it is left.
            Err(_) => thread::park(),
        }
    }
}

/// The sum over all processes: each adds up a part, in the order of ranks, and gets the others' from them.
fn sum(world: &SimpleCommunicator, stop: &AtomicBool, mut values: Vec<f32>, mut lost: impl FnMut()) -> Vec<f32> {
    let (len, size) = (values.len(), world.size() as usize);
    let part = len.div_ceil(size);
    values.resize(part * size, 0.0);
    let mut received = vec![0.0_f32; part * size];
    scope(|scope| wait(world.immediate_all_to_all_into(scope, &values[..], &mut received[..]), stop, &mut lost));
    let mut own = received[..part].to_vec();
    for other in received.chunks(part).skip(1) {
        own.iter_mut().zip(other).for_each(|(sum, v)| *sum += v);
    }
    scope(|scope| wait(world.immediate_all_gather_into(scope, &own[..], &mut values[..]), stop, &mut lost));
    values.truncate(len);
    values
}

/// Waits for a message; says so where the others are gone, and waits on: there is no way to take memory back from MPI.
fn wait<'a, D: ?Sized, S: Scope<'a>>(mut request: Request<'a, D, S>, stop: &AtomicBool, lost: &mut impl FnMut()) {
    let mut told: Option<Instant> = None;
    while let Err(waiting) = request.test() {
        request = waiting;
        thread::sleep(PAUSE);
        if told.is_none() && stop.load(Ordering::Relaxed) {
            told = Some(Instant::now());
        }
        if told.is_some_and(|since| since.elapsed() > PATIENCE) {
            lost();
        }
    }
}
