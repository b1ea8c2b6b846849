//! Finds the fastest of the planner's variants by timing them all on the device. They give the same results to the last bit, so
//! that nothing but time depends on what it finds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Executor, Gpu};
use crate::error::Result;
use crate::graph::Graph;
use crate::plan::{self, Plan, Tuning, TuningKey};

/// Timed runs of every variant, after one that does not count.
const RUNS: usize = 4;
/// A variant has to be faster than the default by this part, to be more than noise.
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
    /// Plans a graph for this device: by the fastest variants, as far as they are known or the [`Tuner`] is to find them.
    ///
    /// # Errors
    /// If it does not keep to the adapter's limits, or the device fails.
    pub fn plan(&self, graph: Graph) -> Result<Arc<Plan>> {
        let limits = Some(&self.adapter.limits);
        let Some(tuner) = &self.tuner else { return Plan::new(graph, limits) };
        let mut tuning = tuner.known();
        let plan = Plan::tuned(graph, limits, &tuning)?;
        let unknown = plan.choices.iter().filter(|c| c.variants > 1 && !tuning.knows(&c.key)).map(|c| c.variants).max();
        let Some(variants) = unknown.filter(|_| tuner.measure && self.has_timestamps()) else {
            return Ok(plan);
        };
        for (key, variant) in self.fastest(&plan, variants, &tuning)? {
            tuning.set(key, variant);
        }
        (tuner.save)(&tuning);
        *tuner.tuning.lock().unwrap_or_else(PoisonError::into_inner) = tuning.clone();
        Plan::tuned(plan.graph.clone(), limits, &tuning)
    }

    /// Times the plan with variant 0 of everything, then with variant 1, and so on: the fastest for every key that is not
    /// `known`.
    fn fastest(&self, plan: &Plan, variants: usize, known: &Tuning) -> Result<BTreeMap<TuningKey, usize>> {
        // Milliseconds of all nodes of a key together, by variant.
        let mut times: BTreeMap<&TuningKey, Vec<f64>> = BTreeMap::new();
        for variant in 0..variants {
            let tried = Plan::tuned(plan.graph.clone(), Some(&self.adapter.limits), &Tuning::always(variant))?;
            let mut executor = Executor::new(self, Arc::clone(&tried))?;
            let mut best = vec![f64::INFINITY; tried.steps.len()];
            for run in 0..=RUNS {
                let Some(steps) = plan::Executor::profile(&mut executor)? else { return Ok(BTreeMap::new()) };
                if run > 0 {
                    best.iter_mut().zip(steps).for_each(|(best, ms)| *best = best.min(ms));
                }
            }
            // All plans of a graph have the same keys.
            for choice in plan.choices.iter().filter(|c| variant < c.variants && c.variants > 1 && !known.knows(&c.key)) {
                let ms: f64 = tried.steps.iter().zip(&best).filter(|(s, _)| s.node == choice.node).map(|(_, ms)| ms).sum();
                times.entry(&choice.key).or_insert_with(|| vec![0.0; choice.variants])[variant] += ms;
            }
        }
        let default = Plan::new(plan.graph.clone(), Some(&self.adapter.limits))?;
        let best = |(key, times): (&TuningKey, Vec<f64>)| {
            let default = default.choices.iter().find(|c| c.key == *key).map_or(0, |c| c.variant);
            let fastest = (0..times.len()).min_by(|&a, &b| times[a].total_cmp(&times[b])).unwrap_or(default);
            let variant = if times[fastest] < times[default] * (1.0 - GAIN) { fastest } else { default };
            (key.clone(), variant)
        };
        Ok(times.into_iter().map(best).collect())
    }
}
