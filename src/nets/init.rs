//! Initial parameters: normal filters; all others are as they were declared.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::random_normals;

/// How filters start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Init {
    /// Normal, variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010)
    Xavier,
    /// Normal, variance 2 / fan-in (He et al. 2015)
    He,
}

/// First of the streams of random numbers that filters are drawn from; noise has those from 0.
const STREAM: u32 = 1 << 31;

/// The flat storage `params` of a recorded network, drawn from `seed`.
///
/// # Errors
/// If there is no memory for it.
pub fn initial(g: &Graph, init: Init, seed: u32) -> Result<Vec<f32>> {
    let len = g.params_storage().map_or(0, |id| g.storage(id).len);
    let mut flat = Vec::new();
    flat.try_reserve_exact(len).map_err(|_| Error::memory(4 * len as u64))?;
    flat.resize(len, 0.0);
    let last = g.params().iter().rposition(|p| p.fill.is_none());
    for (number, param) in g.params().iter().enumerate() {
        let (fan_in, fan_out) = param.layout.fans();
        let variance = match init {
            Init::Xavier => 2.0 / (fan_in + fan_out) as f64,
            // No activation follows the last filter: a gain of 1.
            Init::He if Some(number) == last => 1.0 / fan_in as f64,
            Init::He => 2.0 / fan_in as f64,
        };
        for (place, z) in param.layout.places().into_iter().zip(random_normals(seed, STREAM + number as u32)) {
            flat[param.offset + place] = param.fill.unwrap_or((z * variance.sqrt()) as f32);
        }
    }
    Ok(flat)
}
