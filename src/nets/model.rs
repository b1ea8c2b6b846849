//! A trained model as a file: `model.safetensors`, tensors named and laid out as in the `PyTorch` twin of the network, and
//! one metadata entry `n2n-gpu` with JSON.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{NetOptions, Ranges};
use crate::data::files::save_bytes;
use crate::error::{Error, Result};
use crate::graph::Graph;

/// What a model file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The network.
    #[serde(flatten)]
    pub options: NetOptions,
    /// What the values 0 and 1 of a picture are to the network: for example `[-0.5, 0.5]`.
    pub range: [f32; 2],
    /// The same at its output, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_range: Option<[f32; 2]>,
    /// Noise it was trained for, as written on the command line; `pairs` if from pairs.
    pub noise: String,
    /// Training steps.
    pub steps: u64,
    /// Version of the program that wrote it.
    pub version: String,
}

/// A network with its parameters.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is.
    pub metadata: Metadata,
    /// The flat storage `params` of the recorded network.
    pub params: Vec<f32>,
}

impl Metadata {
    /// What a file says of a network trained here by this version.
    pub fn new(options: NetOptions, ranges: Ranges, noise: String, steps: u64) -> Self {
        let output_range = (ranges.output != ranges.input).then_some(ranges.output);
        Self { options, range: ranges.input, output_range, noise, steps, version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// What the network reads and writes.
    pub fn ranges(&self) -> Ranges {
        Ranges { input: self.range, output: self.output_range.unwrap_or(self.range) }
    }
}

impl Model {
    /// Whether a file says of itself that it is a model of this program.
    pub(super) fn is_one(path: &Path) -> bool {
        let header = std::fs::read(path).ok().and_then(|bytes| SafeTensors::read_metadata(&bytes).ok());
        header.is_some_and(|(_, h)| h.metadata().as_ref().is_some_and(|m| m.contains_key("n2n-gpu")))
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// If the file cannot be read, is no model of ours, or its tensors do not fit the network it names.
    pub fn load(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::file(path, "is a folder: give the model in it, best.safetensors"));
        }
        if !path.exists() {
            return Err(Error::file(path, "does not exist: give --model a file that `n2n-gpu train` wrote"));
        }
        let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("the model cannot be read: {e}")))?;
        let what = |problem: String| {
            Error::file(path, format!("{problem}; give a model that `n2n-gpu train` wrote, such as run/best.safetensors"))
        };
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|e| what(format!("not a model file, or a truncated one ({e})")))?;
        let json =
            header.metadata().as_ref().and_then(|m| m.get("n2n-gpu")).ok_or_else(|| what("holds no n2n-gpu model".into()))?;
        let metadata: Metadata =
            serde_json::from_str(json).map_err(|e| what(format!("describes a network this version does not know ({e})")))?;
        let options = metadata.options;
        options.check().map_err(&what)?;
        let ranges = metadata.ranges();
        if [ranges.input, ranges.output].iter().any(|[a, b]| !(a.is_finite() && b.is_finite() && a < b)) {
            return Err(what("describes a network with a range of values that is none".into()));
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|e| what(format!("a truncated or damaged model file ({e})")))?;
        let g = options.skeleton();
        let len = g.params_storage().map_or(0, |id| g.storage(id).len);
        let mut params = vec![0.0; len];
        for param in g.params() {
            let tensor = file.tensor(&param.name).map_err(|_| what(format!("the tensor {} is missing", param.name)))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != param.layout.file_shape() {
                let (shape, wanted) = (tensor.shape(), param.layout.file_shape());
                return Err(what(format!("the tensor {} is {:?} {shape:?}, not F32 {wanted:?}", param.name, tensor.dtype())));
            }
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
            if values.iter().any(|v| !v.is_finite()) {
                return Err(what(format!("the tensor {} holds values that are not finite", param.name)));
            }
            for (place, value) in param.layout.places().into_iter().zip(values) {
                params[param.offset + place] = value;
            }
        }
        if let Some(name) = file.names().iter().find(|n| g.params().iter().all(|p| p.name != **n)) {
            return Err(what(format!("the tensor {name} is not part of {} with these options", options.name())));
        }
        Ok(Self { metadata, params })
    }

    /// Writes a model file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string(&self.metadata).expect("metadata is plain data");
        let bytes = state_dict(&self.metadata.options.skeleton(), &self.params, Some(json))
            .map_err(|e| Error::file(path, format!("the model cannot be written: {e}")))?;
        save_bytes(path, &bytes)
    }
}

/// The flat parameters of a recorded graph as a safetensors file, named and laid out as in `PyTorch`; `json` becomes the metadata
/// entry `n2n-gpu`.
pub(crate) fn state_dict(g: &Graph, params: &[f32], json: Option<String>) -> Result<Vec<u8>, SafeTensorError> {
    let data: Vec<(&str, Vec<usize>, Vec<u8>)> = g
        .params()
        .iter()
        .map(|param| {
            let values: Vec<f32> = param.layout.places().iter().map(|p| params[param.offset + p]).collect();
            (param.name.as_str(), param.layout.file_shape(), bytemuck::cast_slice(&values).to_vec())
        })
        .collect();
    let views = data
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("shape and bytes agree")));
    safetensors::serialize(views, json.map(|json| HashMap::from([("n2n-gpu".to_owned(), json)])))
}
