//! Which of several equal variants of an op is the fastest on a device: keys and choices, to be stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::graph::Precision;
use crate::kernel::Shader;
use crate::ops::Conv;

/// An op and its shape, for which variants are timed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TuningKey {
    /// Its kernel.
    pub kernel: Shader,
    /// (N, H, W) of the small side of a convolution, or of a result.
    pub shape: [usize; 3],
    /// Channels that go in, padded.
    pub input: usize,
    /// Channels that come out, padded.
    pub output: usize,
    /// Window.
    pub conv: Conv,
    /// Of the pictures.
    pub precision: Precision,
}

/// Which of the variants that the planner knows for an op it takes. Where there is no entry, the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    chosen: BTreeMap<TuningKey, usize>,
    always: Option<usize>,
}

impl Tuning {
    /// Variant number `i` of every op, counted round: to try them all.
    pub fn always(i: usize) -> Self {
        Self { always: Some(i), ..Self::default() }
    }

    /// The variant for `key`, one of `count`.
    pub(super) fn choice(&self, key: &TuningKey, count: usize, default: usize) -> usize {
        let chosen = self.chosen.get(key).copied().filter(|&i| i < count);
        self.always.map(|i| i % count).or(chosen).unwrap_or(default)
    }

    /// Whether there is an entry for `key`.
    pub fn knows(&self, key: &TuningKey) -> bool {
        self.chosen.contains_key(key)
    }

    /// Notes the variant to take for `key`.
    pub fn set(&mut self, key: TuningKey, variant: usize) {
        self.chosen.insert(key, variant);
    }

    /// All entries.
    pub fn entries(&self) -> &BTreeMap<TuningKey, usize> {
        &self.chosen
    }
}
