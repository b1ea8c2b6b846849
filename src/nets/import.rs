//! Parameters from `PyTorch`: state dicts of the networks that are known here. Which options a file was made with is told by the
//! names and shapes of its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::model::ENTRY;
use super::state_dict::{self, Tensors};
use super::{Anatomy, Entry, Input, Kind, Model, NetOption, Statistics};
use crate::data::torch::{self, Value};
use crate::data::tza;
use crate::error::{Error, Result};
use crate::graph::{Graph, Param};

/// The option that the first filter tells.
const WIDTH: &str = NetOption::WIDTH.name;

/// Most values of an option that are tried one after the other.
const TRIED: u64 = 16;

/// Reads a state dict, saved by `torch.save`, as safetensors or as TZA, as a model of a network. Names may have a prefix. Options
/// that are not `given` are taken from the file; `statistics` are those of the training pictures, for a network that normalises
/// its input.
///
/// # Errors
/// If the file cannot be read, its tensors are not those of the network, or it does not tell what has to be known.
pub fn import(path: &Path, entry: &Entry, given: &Map<String, Json>, statistics: Option<Statistics>) -> Result<Model> {
    let mut tensors = read(path)?;
    if let Some(option) = entry.options.iter().find(|o| o.hidden && !given.contains_key(o.name)) {
        return Err(Error::option(option.name, format!("a state dict of {} does not tell it: give true or false", entry.name)));
    }
    // A count that BatchNorm keeps and nothing here needs.
    tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
    let options = fit(entry, given, &tensors);
    let none = |problem| Error::file(path, format!("holds no {} that can be recorded: {problem}", entry.name));
    let network = entry.build(options).map_err(none)?;
    let g = Anatomy::of(network.as_ref()).graph;
    let params = state_dict::params(&g, entry.name, prefix(&g, &tensors).0, &tensors);
    let params = params.map_err(|problem| Error::file(path, problem))?;
    if let (Some(wanted), Some(found)) = (given.get(WIDTH), network.options().get(WIDTH))
        && wanted != found
    {
        return Err(Error::option(WIDTH, format!("{wanted}: the network in {} has width {found}", path.display())));
    }
    let values = network.values();
    let statistics = match (statistics, values.input) {
        (None, Input::Normalised) => {
            let problem = format!("{} normalises its input: give the mean and deviation of its training pictures", entry.name);
            return Err(Error::option("mean", problem));
        }
        // Not asked for.
        (statistics, _) => statistics.unwrap_or(Statistics { mean: 0.0, deviation: 1.0 }),
    };
    Ok(Model::new(network, values.ranges(|| statistics), "unknown (imported)".into(), 0, params))
}

/// All tensors of a file by name.
fn read(path: &Path) -> Result<Tensors> {
    if path.extension().is_some_and(|e| e == "safetensors") {
        let (tensors, metadata) = state_dict::load(path)?;
        if metadata.contains_key(ENTRY) {
            return Err(Error::file(path, "is a model of n2n-gpu already: use it as it is"));
        }
        return Ok(tensors);
    }
    if path.extension().is_some_and(|e| e == "tza") {
        return tza::load(path);
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

/// The options that a file fits: those with most of its names and fewest others, then with most of its shapes; and the width of
/// its first filter.
fn fit(entry: &Entry, given: &Map<String, Json>, tensors: &Tensors) -> Map<String, Json> {
    let mut base = entry.published().options();
    base.extend(given.clone());
    // Names do not depend on the width, and one that was asked for need not be one that can be recorded.
    let width = entry.published().options().remove(WIDTH);
    base.extend(width.map(|w| (WIDTH.to_owned(), w)));
    let mut candidates = vec![base];
    // Channels are told by the first filter, as the width is.
    for option in entry.options.iter().filter(|o| !given.contains_key(o.name) && o.name != NetOption::CHANNELS.name) {
        // What the base has comes first: it stays where the file does not tell.
        for base in candidates.clone() {
            for value in values(option).into_iter().filter(|value| base.get(option.name) != Some(value)) {
                let mut options = base.clone();
                options.insert(option.name.to_owned(), value);
                candidates.push(options);
            }
        }
    }
    let score = |options: &Map<String, Json>| {
        let graph = entry.build(options.clone()).ok().map(|network| Anatomy::of(network.as_ref()).graph)?;
        let (prefix, found) = prefix(&graph, tensors);
        let first = graph.params().first().map(|p| format!("{prefix}{}", p.name));
        let fits = |p: &&Param| tensors.get(&format!("{prefix}{}", p.name)).is_some_and(|t| t.shape() == p.layout.file_shape());
        let fitting = graph.params().iter().filter(fits).count();
        Some(((found, std::cmp::Reverse(graph.params().len()), fitting), first))
    };
    let mut best = (candidates[0].clone(), score(&candidates[0]));
    for options in candidates.into_iter().skip(1) {
        let scored = score(&options);
        if scored.as_ref().map(|s| s.0) > best.1.as_ref().map(|s| s.0) {
            best = (options, scored);
        }
    }
    let (mut options, scored) = best;
    let first = scored.and_then(|(_, first)| tensors.get(&first?)).map(|t| t.shape());
    if let Some(&width) = first.and_then(|shape| shape.first()).filter(|_| entry.has(WIDTH)) {
        options.insert(WIDTH.to_owned(), width.into());
    }
    if first.and_then(|shape| shape.get(1)) == Some(&1) && entry.has(NetOption::CHANNELS.name) {
        options.entry(NetOption::CHANNELS.name).or_insert(1.into());
    }
    options
}

/// The values of an option that are tried.
fn values(option: &NetOption) -> Vec<Json> {
    match option.kind {
        Kind::Flag => vec![false.into(), true.into()],
        Kind::Word(words) => words.iter().map(|&word| word.into()).collect(),
        Kind::Count(least, most) if most - least < TRIED => (least..=most).map(Json::from).collect(),
        Kind::Count(..) => Vec::new(),
    }
}
