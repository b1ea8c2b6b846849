//! State dicts: the parameters of a recorded network as named tensors in `PyTorch`'s layouts, in safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::data::array::{Array, DType, from_view};
use crate::data::input::read;
use crate::error::{Error, Result, excerpt};
use crate::graph::Graph;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, Array>;

/// Tensors of a safetensors file, and its metadata.
pub(crate) type Parsed = (Tensors, HashMap<String, String>);

/// Reads the tensors of a safetensors file, and its metadata.
/// Fails if the file cannot be read, is no ordinary file, or none of this kind.
pub(crate) fn load(path: &Path) -> Result<Parsed> {
    parse(path, &read(path)?)
}

/// The same of a file in memory; `path` is for errors.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Parsed> {
    let damaged = |e| Error::file_from(path, format!("is no whole safetensors file ({e}): copy or export it again"), e);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let mut tensors = Tensors::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(damaged)?.tensors() {
        let array = from_view(&view).map_err(|what| Error::file(path, format!("the tensor {} {what}", excerpt(&name))))?;
        tensors.insert(name, array);
    }
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

/// A tensor of a file to be written: name, shape, values.
pub(crate) type Named<'a> = (&'a str, Vec<usize>, Vec<f32>);

/// The bytes of a safetensors file of single-precision tensors. `metadata` is a key and its text.
/// Panics if a shape does not fit its values.
pub(crate) fn file<'a>(tensors: impl IntoIterator<Item = Named<'a>>, metadata: Option<(&str, String)>) -> Vec<u8> {
    serialize(tensors, Dtype::F32, |values| bytemuck::cast_slice(values).to_vec(), metadata)
}

/// The same, rounded to half precision: of half the size.
pub(crate) fn half_file<'a>(tensors: impl IntoIterator<Item = Named<'a>>, metadata: Option<(&str, String)>) -> Vec<u8> {
    let half = |values: &[f32]| values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    serialize(tensors, Dtype::F16, half, metadata)
}

fn serialize<'a>(
    tensors: impl IntoIterator<Item = Named<'a>>,
    dtype: Dtype,
    bytes: impl Fn(&[f32]) -> Vec<u8>,
    metadata: Option<(&str, String)>,
) -> Vec<u8> {
    let tensors: Vec<_> = tensors.into_iter().map(|(name, shape, values)| (name, shape, bytes(&values))).collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(dtype, shape.clone(), bytes).expect("shape and values agree")));
    let metadata = metadata.map(|(key, text)| HashMap::from([(key.to_owned(), text)]));
    safetensors::serialize(views, metadata).expect("tensors in memory have no gaps")
}

/// The parameters of a recorded network, named and laid out as in `PyTorch`.
pub(crate) fn tensors<'a>(g: &'a Graph, params: &[f32]) -> Vec<(&'a str, Vec<usize>, Vec<f32>)> {
    let values = |p: &crate::graph::Param| p.layout.places().iter().map(|at| params[p.offset + at]).collect();
    g.params().iter().map(|p| (p.name.as_str(), p.layout.file_shape(), values(p))).collect()
}

/// The flat parameters of a recorded network from a file's tensors, whose names begin with `prefix`. Fails with a sentence if a
/// tensor is missing, one too many, of another shape, or no finite floats; `net` is the network's name.
pub(crate) fn params(g: &Graph, net: &str, prefix: &str, tensors: &Tensors) -> Result<Vec<f32>, String> {
    let mut flat = vec![0.0; g.params_storage().map_or(0, |id| g.storage(id).len)];
    for param in g.params() {
        let name = format!("{prefix}{}", param.name);
        let tensor = tensors.get(&name).ok_or_else(|| format!("the tensor {name} of {net} is missing"))?;
        let wanted = param.layout.file_shape();
        if tensor.shape() != wanted {
            return Err(format!("the tensor {name} has the shape {:?}, but {net} wants {wanted:?}", tensor.shape()));
        }
        if !matches!(tensor.dtype(), DType::F16 | DType::Bf16 | DType::F32 | DType::F64) {
            return Err(format!("the tensor {name} holds {}, but {net} wants floats", tensor.dtype().name()));
        }
        let values = tensor.to_f32();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(format!("the tensor {name} holds values that are not finite: training went wrong before it was saved"));
        }
        for (place, value) in param.layout.places().into_iter().zip(values) {
            flat[param.offset + place] = value;
        }
    }
    let known = |name: &str| name.strip_prefix(prefix).is_some_and(|n| g.params().iter().any(|p| p.name == n));
    match tensors.keys().find(|name| !known(name)) {
        Some(name) => Err(format!("the tensor {} is not part of {net} with these options", excerpt(name))),
        None => Ok(flat),
    }
}
