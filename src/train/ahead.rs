//! Threads that read files ahead of a training.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::schedule::Order;
use super::supply::{Scene, Supply};
use crate::error::{Error, Result};

/// Most threads: each may hold a large photograph.
const THREADS: usize = 6;
/// Scenes that each thread is ahead at most.
const AHEAD: u64 = 2;
/// How long to wait before it is looked whether a thread is gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Scenes along the sequence of a supply, from one position on.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Time spent waiting for them.
    pub(super) waited: Duration,
}

struct Shared {
    supply: Supply,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    order: Order,
    /// Position that is read next, and the one that is taken next.
    next: u64,
    taken: u64,
    /// First position that is not to be read yet.
    end: u64,
    done: BTreeMap<u64, Result<Scene>>,
    ended: bool,
}

impl Ahead {
    /// Reads from a position on. Half of the processors are left to the training.
    pub(super) fn new(supply: &Supply, first: u64) -> Self {
        let threads = thread::available_parallelism().map_or(1, |n| n.get() / 2).clamp(1, THREADS);
        let end = first + AHEAD * threads as u64;
        let state = State { order: supply.order(), next: first, taken: first, end, done: BTreeMap::new(), ended: false };
        let shared = Arc::new(Shared { supply: supply.clone(), state: Mutex::new(state), changed: Condvar::new() });
        let spawn = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.read())
        };
        Self { threads: (0..threads).map(spawn).collect(), shared, waited: Duration::ZERO }
    }

    /// The next scene, once it is there; none if it is not there at a time that is given.
    ///
    /// # Errors
    /// Those of [`Supply::scene`].
    pub(super) fn take(&mut self, until: Option<Instant>) -> Result<Option<Scene>> {
        let start = Instant::now();
        let mut state = self.shared.state();
        let position = state.taken;
        let scene = loop {
            if let Some(scene) = state.done.remove(&position) {
                break scene;
            }
            if self.threads.iter().any(JoinHandle::is_finished) {
                return Err(Error::data("a thread that reads pictures has failed: train without the file named above"));
            }
            let patience = until.map_or(PATIENCE, |until| until.saturating_duration_since(Instant::now()).min(PATIENCE));
            if patience.is_zero() {
                self.waited += start.elapsed();
                return Ok(None);
            }
            let waited = self.shared.changed.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        state.taken += 1;
        state.end += 1;
        self.shared.changed.notify_all();
        self.waited += start.elapsed();
        scene.map(Some)
    }
}

impl Drop for Ahead {
    /// Threads end once they have read what they are at: nobody waits for that.
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does.
    fn read(&self) {
        let mut state = self.state();
        while !state.ended {
            let position = state.next;
            if position >= state.end {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.next += 1;
            let number = state.order.picture(position) as usize;
            drop(state);
            let scene = self.supply.scene(position, number);
            state = self.state();
            state.done.insert(position, scene);
            self.changed.notify_all();
        }
    }
}
