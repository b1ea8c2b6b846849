//! A trained model as a file: `model.safetensors`, tensors named and laid out as in the `PyTorch` twin of the network, and
//! one metadata entry `n2n-gpu` with JSON.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::network::{Anatomy, Network, Ranges};
use super::registry;
use super::state_dict::{self, Named, Parsed};
use crate::data::files::save_bytes;
use crate::data::picture::Picture;
use crate::data::range::ends;
use crate::error::{Error, Result};

/// Name of the metadata entry of model files.
pub(super) const ENTRY: &str = "n2n-gpu";

/// Version of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// The version of the program that wrote a model, if it is newer than this one.
fn newer_version(json: &str) -> Option<String> {
    let metadata: Value = serde_json::from_str(json).ok()?;
    let written = metadata.get("version")?.as_str()?;
    let numbers = |version: &str| -> Option<Vec<u64>> { version.split('.').map(|n| n.parse().ok()).collect() };
    (numbers(written)? > numbers(OWN)?).then(|| written.to_owned())
}

/// What a model file says of itself.
#[derive(Serialize, Deserialize)]
struct Metadata {
    net: String,
    /// Options of the network. Files of before have them beside the other entries.
    #[serde(default)]
    options: Option<Map<String, Value>>,
    /// What the values 0 and 1 of a picture are to the network: for example `[-0.5, 0.5]`.
    range: [f32; 2],
    /// The same at its output, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_range: Option<[f32; 2]>,
    noise: String,
    steps: u64,
    version: String,
    /// Whether it reads floats as files have them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    measured: bool,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// White of models from which on their floats count: no shares of a largest value are so large.
const MOST_OF_SHARES: f32 = 2.0;

/// How a model reads pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// As light, which goes through a curve where it has no upper end.
    #[default]
    Light,
    /// Floats as they were measured, whole numbers as shares of the largest.
    Measured,
    /// Floats that count, as whole numbers do.
    Counts,
    /// Whole numbers of 16 bits as shares of the largest, and so floats that count.
    Shares,
}

impl Reading {
    /// A picture with the values that the model reads.
    #[must_use]
    pub fn of(self, picture: Picture) -> Picture {
        match self {
            Self::Light => picture,
            Self::Measured => picture.as_measured(),
            Self::Counts => picture.as_counts(true),
            Self::Shares => picture.as_counts(false),
        }
    }
}

/// A network with its parameters.
#[derive(Clone)]
pub struct Model {
    /// The network.
    pub network: Arc<dyn Network>,
    /// What it reads and writes.
    pub ranges: Ranges,
    /// Noise it was trained for, as written on the command line; `pairs` if from pairs.
    pub noise: String,
    /// Training steps.
    pub steps: u64,
    /// Version of the program that wrote it.
    pub version: String,
    /// Whether it was trained on floats as they were measured, and is to read those of files so: by no curve, whatever they are.
    pub measured: bool,
    /// The flat parameters of the recorded network.
    pub params: Vec<f32>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = self.network.name();
        f.debug_struct("Model").field("network", &name).field("noise", &self.noise).finish_non_exhaustive()
    }
}

impl Model {
    /// A network trained here by this version.
    pub fn new(network: Arc<dyn Network>, ranges: Ranges, noise: String, steps: u64, params: Vec<f32>) -> Self {
        Self { network, ranges, noise, steps, version: OWN.to_owned(), measured: false, params }
    }

    /// Which values of pictures are black and white to it, where it was trained on pictures that fill another range than 0 to 1.
    pub fn signal(&self) -> Option<[f32; 2]> {
        self.network.values().signal(&self.ranges)
    }

    /// How it reads pictures.
    pub fn reading(&self) -> Reading {
        match self.signal() {
            _ if self.network.transfer().is_linear() => Reading::Light,
            Some([_, white]) if self.measured && white > MOST_OF_SHARES => Reading::Counts,
            Some(_) if !self.measured => Reading::Shares,
            None if !self.measured => Reading::Light,
            _ => Reading::Measured,
        }
    }

    /// Refuses a model of other pictures than photographs: of other colours, or of another range.
    ///
    /// # Errors
    /// A sentence that says what it reads.
    pub fn check_photographs(&self) -> Result<()> {
        self.network.check_photographs()?;
        let Some([black, white]) = self.signal() else { return Ok(()) };
        let ([black, white], unit) = ends([black, white], !self.measured);
        Err(Error::data(format!(
            "the model reads pictures with values from {black} to {white}{unit}, but photographs have them from 0 to 1: take one that was \
             trained on photographs"
        )))
    }

    /// Reads a model file of one of our networks.
    ///
    /// # Errors
    /// If the file cannot be read, is no model of ours, or its tensors do not fit the network it names.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, registry::build)
    }

    /// Reads a model file of a network of one's own, with the options that it was saved with.
    ///
    /// # Errors
    /// As [`Model::load`], and if the file is of another network.
    pub fn load_as<N: Network + DeserializeOwned + 'static>(path: &Path) -> Result<Self> {
        Self::load_with(path, |name, options| {
            let network: N = serde_json::from_value(options.into()).map_err(|e| format!("is of another network ({e})"))?;
            if network.name() == name { Ok(Arc::new(network)) } else { Err(format!("is of the network {name}")) }
        })
    }

    /// Reads a model file of `network`, whose name and options the file must have: of a network that cannot be read from its
    /// options, as a function.
    ///
    /// # Errors
    /// As [`Model::load`], and if the file is of another network.
    pub fn load_for(path: &Path, network: Arc<dyn Network>) -> Result<Self> {
        Self::load_with(path, |name, options| {
            let same = network.name() == name && network.options() == options;
            if same { Ok(network) } else { Err(format!("is of another network, {name}")) }
        })
    }

    fn load_with(path: &Path, build: impl FnOnce(&str, Map<String, Value>) -> Result<Arc<dyn Network>, String>) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::file(path, "is a folder: give the model in it, best.safetensors"));
        }
        Self::of_tensors(path, state_dict::load(path)?, build)
    }

    /// Reads a model file of one of our networks in memory; `name` is for errors.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let path = Path::new(name);
        Self::of_tensors(path, state_dict::parse(path, bytes)?, registry::build)
    }

    fn of_tensors(
        path: &Path,
        (tensors, metadata): Parsed,
        build: impl FnOnce(&str, Map<String, Value>) -> Result<Arc<dyn Network>, String>,
    ) -> Result<Self> {
        let what = |problem: String| {
            Error::file(path, format!("{problem}; give a model that `n2n-gpu train` wrote, such as run/best.safetensors"))
        };
        let json = metadata.get(ENTRY).ok_or_else(|| what("holds no n2n-gpu model".into()))?;
        let unknown = |problem: String| match newer_version(json) {
            Some(version) => {
                Error::file(path, format!("{problem}: version {version} of n2n-gpu wrote it, this is {OWN}: update it"))
            }
            None => what(problem),
        };
        let metadata: Metadata =
            serde_json::from_str(json).map_err(|e| unknown(format!("describes a network this version does not know ({e})")))?;
        let Metadata { net, options, range, output_range, noise, steps, version, measured, others } = metadata;
        let network = build(&net, options.unwrap_or(others)).map_err(unknown)?;
        network.check().map_err(unknown)?;
        let ranges = Ranges { input: range, output: output_range.unwrap_or(range) };
        if [ranges.input, ranges.output].iter().any(|[a, b]| !(a.is_finite() && b.is_finite() && a < b)) {
            return Err(what("describes a network with a range of values that is none".into()));
        }
        let params = state_dict::params(&Anatomy::of(network.as_ref()).graph, &net, "", &tensors).map_err(unknown)?;
        Ok(Self { network, ranges, noise, steps, version, measured, params })
    }

    /// Writes a model file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        save_bytes(path, &self.bytes(|tensors, metadata| state_dict::file(tensors, metadata)))
    }

    /// A model file in memory whose parameters are rounded to half precision, of half the size.
    pub fn half_file(&self) -> Vec<u8> {
        self.bytes(|tensors, metadata| state_dict::half_file(tensors, metadata))
    }

    fn bytes(&self, file: impl FnOnce(Vec<Named>, Option<(&str, String)>) -> Vec<u8>) -> Vec<u8> {
        let Ranges { input, output } = self.ranges;
        let metadata = Metadata {
            net: self.network.name().to_owned(),
            options: Some(self.network.options()),
            range: input,
            output_range: (output != input).then_some(output),
            noise: self.noise.clone(),
            steps: self.steps,
            version: self.version.clone(),
            measured: self.measured,
            others: Map::new(),
        };
        let json = serde_json::to_string(&metadata).expect("metadata is plain data");
        let g = Anatomy::of(self.network.as_ref()).graph;
        file(state_dict::tensors(&g, &self.params), Some((ENTRY, json)))
    }
}
