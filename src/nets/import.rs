//! Parameters from `PyTorch`: state dicts of the networks that are known here.

use std::collections::BTreeMap;
use std::path::Path;

use super::model::Metadata;
use super::{Model, Net, NetOptions, Ranges};
use crate::data::array::{Array, DType, load_safetensors};
use crate::data::torch::{self, Value};
use crate::error::{Error, Result};
use crate::graph::Graph;

type Tensors = BTreeMap<String, Array>;

/// Reads a state dict, saved by `torch.save` or as safetensors, as a model of a network. Names may have a prefix. Width and
/// shared blocks are taken from the file: of `options` they do not matter.
///
/// # Errors
/// If the file cannot be read, or its tensors are not those of the network.
pub fn import(path: &Path, options: NetOptions, statistics: (f32, f32)) -> Result<Model> {
    let mut tensors = read(path)?;
    // A count that BatchNorm keeps and nothing here needs.
    tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
    let options = fit(options, &tensors);
    options.check().map_err(|problem| Error::file(path, format!("holds no network of ours: {problem}")))?;
    let g = options.skeleton();
    let params = take(&g, &options, &tensors).map_err(|problem| Error::file(path, problem))?;
    let ranges: Ranges = options.ranges(statistics);
    Ok(Model { metadata: Metadata::new(options, ranges, "unknown (imported)".into(), 0), params })
}

/// All tensors of a file by name.
fn read(path: &Path) -> Result<Tensors> {
    if path.extension().is_some_and(|e| e == "safetensors") {
        if Model::is_one(path) {
            return Err(Error::file(path, "is a model of n2n-gpu already: use it with --model"));
        }
        return Ok(load_safetensors(path)?.into_iter().collect());
    }
    let mut value = torch::load(path)?;
    // Training programs save more than the parameters.
    for key in ["state_dict", "model_state_dict", "model", "params"] {
        if let Some(inner) = value.get(key).filter(|v| matches!(v, Value::Dict(_))) {
            value = inner.clone();
        }
    }
    // However they are called: one dictionary among numbers and texts.
    if let Value::Dict(entries) = &value {
        let dictionaries: Vec<_> = entries.iter().filter(|(_, v)| matches!(v, Value::Dict(_))).collect();
        if let ([(_, inner)], false) = (&dictionaries[..], entries.iter().any(|(_, v)| matches!(v, Value::Tensor(_)))) {
            value = inner.clone();
        }
    }
    let Value::Dict(entries) = value else {
        let kind = value.kind();
        return Err(Error::file(path, format!("holds {kind}, not a state dict: save it with torch.save(net.state_dict(), ..)")));
    };
    let tensors = entries.into_iter().filter_map(|(name, value)| match value {
        Value::Tensor(t) => Some((name, t)),
        _ => None,
    });
    Ok(tensors.collect())
}

/// The prefix of most of the names that a network's parameters have in a file, and how many have it.
fn prefix<'a>(g: &Graph, tensors: &'a Tensors) -> (&'a str, usize) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for param in g.params() {
        for name in tensors.keys() {
            if let Some(before) = name.strip_suffix(&param.name).filter(|p| p.is_empty() || p.ends_with('.')) {
                *counts.entry(before).or_default() += 1;
            }
        }
    }
    counts.into_iter().max_by_key(|&(prefix, count)| (count, std::cmp::Reverse(prefix.len()))).unwrap_or(("", 0))
}

/// The options that a file fits: shared blocks or own ones, whichever has more of its names, and the width of its first filter.
fn fit(options: NetOptions, tensors: &Tensors) -> NetOptions {
    // Names do not depend on the width, and one that was asked for need not be one that can be recorded.
    let options = NetOptions { width: NetOptions::new(options.net).width, ..options };
    let matches = |o: &NetOptions| prefix(&o.skeleton(), tensors).1;
    let shared = [true, false].map(|shared| NetOptions { shared, ..options });
    let mut options = if matches(&shared[0]) > matches(&shared[1]) { shared[0] } else { shared[1] };
    let g = options.skeleton();
    let first = g.params().first().map_or(String::new(), |p| format!("{}{}", prefix(&g, tensors).0, p.name));
    if let Some(&width) = tensors.get(&first).and_then(|t| t.shape().first()).filter(|_| options.net != Net::EpflConvnet) {
        options.width = width;
    }
    options
}

/// The flat parameters of a recorded network.
fn take(g: &Graph, options: &NetOptions, tensors: &Tensors) -> Result<Vec<f32>, String> {
    let (prefix, net) = (prefix(g, tensors).0, options.name());
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
    let known = |name: &String| name.strip_prefix(prefix).is_some_and(|n| g.params().iter().any(|p| p.name == n));
    match tensors.keys().find(|name| !known(name)) {
        Some(name) => Err(format!(
            "the tensor {name} is not part of {net} with these options (--norm, --levels, --residual and others say which network it is)"
        )),
        None => Ok(flat),
    }
}
