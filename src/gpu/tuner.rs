//! Finds the fastest of the planner's ways by timing them all on the device. They give the same results to the last bit, so that
//! nothing but time depends on what it finds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Executor, Gpu};
use crate::error::Result;
use crate::graph::Graph;
use crate::kernel::Tuning;
use crate::plan::{self, Plan};

/// Timed runs of every way, after one that does not count.
const RUNS: usize = 4;
/// A way has to be faster than the default by this part, to be more than noise.
const GAIN: f64 = 0.02;

/// What is called with all that is known when something new was found.
type Save = Box<dyn Fn(&Tuning) + Send + Sync>;

/// What is known of a device, and whether more is to be found out.
pub struct Tuner {
    tuning: Mutex<Tuning>,
    measure: bool,
    save: Save,
}

impl fmt::Debug for Tuner {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Tuner").field("measure", &self.measure).finish_non_exhaustive()
    }
}

impl Tuner {
    /// Starts from `tuning`. With `measure`, plans with keys that are not in it are timed first, and `save` is told.
    pub fn new(tuning: Tuning, measure: bool, save: impl Fn(&Tuning) + Send + Sync + 'static) -> Self {
        Self { tuning: Mutex::new(tuning), measure, save: Box::new(save) }
    }

    fn known(&self) -> Tuning {
        self.tuning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gpu {
    /// Plans a graph for this device: by the fastest ways, as far as they are known or the [`Tuner`] is to find them.
    ///
    /// # Errors
    /// If a buffer is larger than the adapter can bind, or the device fails.
    pub fn plan(&self, graph: Graph) -> Result<Arc<Plan>> {
        let limits = Some(&self.adapter.limits);
        let Some(tuner) = &self.tuner else { return Plan::new(graph, limits) };
        let mut tuning = tuner.known();
        let plan = Plan::tuned(graph, limits, &tuning)?;
        let unknown = plan.choices.iter().filter(|c| c.ways > 1 && !tuning.knows(&c.key)).map(|c| c.ways).max();
        let Some(ways) = unknown.filter(|_| tuner.measure && self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY))
        else {
            return Ok(plan);
        };
        for (key, way) in self.fastest(&plan, ways, &tuning)? {
            tuning.set(key, way);
        }
        (tuner.save)(&tuning);
        *tuner.tuning.lock().unwrap_or_else(PoisonError::into_inner) = tuning.clone();
        Plan::tuned(plan.graph.clone(), limits, &tuning)
    }

    /// Times the plan with way 0 of everything, then with way 1, and so on: the fastest for every key that is not `known`.
    fn fastest(&self, plan: &Plan, ways: usize, known: &Tuning) -> Result<BTreeMap<String, usize>> {
        // Milliseconds of all nodes of a key together, by way.
        let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for way in 0..ways {
            let tried = Plan::tuned(plan.graph.clone(), Some(&self.adapter.limits), &Tuning::always(way))?;
            let mut executor = Executor::new(self, Arc::clone(&tried))?;
            let mut best = vec![f64::INFINITY; tried.steps.len()];
            for run in 0..=RUNS {
                let Some(steps) = plan::Executor::profile(&mut executor)? else { return Ok(BTreeMap::new()) };
                if run > 0 {
                    best.iter_mut().zip(steps).for_each(|(best, ms)| *best = best.min(ms));
                }
            }
            for choice in tried.choices.iter().filter(|c| c.ways > 1 && way < c.ways && !known.knows(&c.key)) {
                let ms: f64 = tried.steps.iter().zip(&best).filter(|(s, _)| s.node == choice.node).map(|(_, ms)| ms).sum();
                let key = plan.choices.iter().find(|c| c.key == choice.key).expect("all plans of a graph have its keys");
                let by_way = times.entry(&key.key).or_default();
                by_way.resize(key.ways.max(by_way.len()), 0.0);
                by_way[way] += ms;
            }
        }
        let default = Plan::new(plan.graph.clone(), Some(&self.adapter.limits))?;
        let best = |(key, times): (&str, Vec<f64>)| {
            let default = default.choices.iter().find(|c| c.key == key).map_or(0, |c| c.way);
            let fastest = (0..times.len()).min_by(|&a, &b| times[a].total_cmp(&times[b])).unwrap_or(default);
            let way = if times[fastest] < times[default] * (1.0 - GAIN) { fastest } else { default };
            (key.to_owned(), way)
        };
        Ok(times.into_iter().map(best).collect())
    }
}
