//! `state.safetensors`: all it takes to go on with a training as if it had never stopped. Random numbers need no more than the
//! step, by which they are counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::check_format;
use super::log::{Log, Marks};
use super::report::Record;
use super::schedule::Judged;
use super::{Options, Source, Validation};
use crate::data::array::DType;
use crate::data::files::save_bytes;
use crate::error::{Error, Result};
use crate::nets::{Anatomy, Entry, Network, Ranges, state_dict};
use crate::ops::Optimizer;

/// Name of the metadata entry of states.
const ENTRY: &str = "n2n-gpu-state";
/// Most steps that a training has.
const MOST_STEPS: u64 = 1 << 40;

/// What a state belongs to: the training it can go on with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    version: String,
    noise: String,
    /// Digest of the pictures that are trained on and validated with.
    pictures: u64,
    /// How many of them, or scenes, or pairs, are trained on, and held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts: Option<[usize; 2]>,
    network: Described,
    pub(super) options: Options,
}

/// A network by name and options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Described {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) options: Map<String, Value>,
}

impl Described {
    pub(super) fn new(network: &dyn Network) -> Self {
        Self { name: network.name().to_owned(), options: network.options() }
    }

    /// The network, if it is one of ours.
    fn build(&self) -> Option<Arc<dyn Network>> {
        Entry::find(&self.name)?.build(self.options.clone()).ok()
    }
}

impl Identity {
    pub(super) fn new(network: &dyn Network, options: &Options, source: &Source, validation: &Validation) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            noise: source.noise(),
            pictures: digest(source, validation),
            counts: Some([source.count(), validation.count()]),
            network: Described::new(network),
            options: options.clone(),
        }
    }

    /// A number that other trainings do not have.
    pub(super) fn digest(&self) -> u64 {
        let text = serde_json::to_vec(self).expect("options are written as JSON");
        let mut digest = Digest::default();
        text.into_iter().for_each(|byte| digest.add(byte.into()));
        digest.0
    }

    /// What keeps a training like `self` from going on where one like `other` stopped.
    fn difference(&self, other: &Self) -> Option<String> {
        let tree = |of: &Self| {
            let Self { version, noise, network: Described { name, options: of_network }, options, .. } = of;
            json!({"version": version, "noise": noise, "network": name, "of the network": of_network, "options": options})
        };
        if let Some((what, theirs, ours)) = first_difference("", &tree(other), &tree(self)) {
            return Some(format!("{what} {theirs}, not {ours}"));
        }
        let other_pictures = || match (self.counts, other.counts) {
            (Some([now, _]), Some([then, _])) if now != then => format!("other pictures ({then} to train on, not {now})"),
            (Some([_, now]), Some([_, then])) if now != then => format!("other pictures ({then} held out, not {now})"),
            (_, Some([training, _])) => format!("other pictures, or the same in another order ({training} to train on)"),
            _ => "other pictures, or the same in another order".into(),
        };
        (self.pictures != other.pictures).then(other_pictures)
    }
}

/// A number that other words, or the same in another order, do not have (Fowler, Noll and Vo's).
pub(super) struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub(super) fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
    }

    pub(super) fn value(&self) -> u64 {
        self.0
    }
}

/// That of the pictures.
fn digest(source: &Source, validation: &Validation) -> u64 {
    let mut digest = Digest::default();
    let mut add = |word: u64| digest.add(word);
    if source.has_neighbours() {
        add(1);
    }
    source.supply().into_iter().for_each(|supply| add(supply.digest()));
    source.scenes().iter().filter(|scene| scene.len() > 2).for_each(|scene| add(scene.len() as u64));
    for picture in source.scenes().iter().flatten() {
        add(picture.width as u64);
        for chunk in picture.pixels.raw().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            add(u64::from_le_bytes(word));
        }
    }
    validation.values().for_each(|v| add(v.to_bits().into()));
    digest.0
}

/// The first entry in which two trees of options differ: its name, and both values.
fn first_difference(name: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) if a.len() == b.len() && a.keys().all(|key| b.contains_key(key)) => {
            a.iter().find_map(|(key, a)| first_difference(key, a, &b[key]))
        }
        _ => (a != b).then(|| (name.to_owned(), plain(a), plain(b))),
    }
}

/// JSON as a sentence takes it.
fn plain(value: &Value) -> String {
    if let Value::String(text) = value {
        return text.clone();
    }
    value.to_string().replace(['"', '{', '}'], "").replace(':', " ")
}

/// Where a training has got to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// Version of the layout of this.
    #[serde(default)]
    pub(super) format: u32,
    pub(super) identity: Identity,
    pub(super) device: String,
    /// Steps done.
    pub(super) number: u64,
    /// Of training, up to there.
    pub(super) seconds: f64,
    /// Share of the training that is done.
    #[serde(default)]
    pub(super) share: f64,
    /// What the network reads and writes.
    #[serde(default)]
    pub(super) ranges: Option<Ranges>,
    /// Best PSNR of the validations, dB.
    pub(super) best: Option<f64>,
    pub(super) log: Log,
    pub(super) points: Marks,
    pub(super) validations: Marks,
    #[serde(default)]
    pub(super) judged: Judged,
    pub(super) records: Vec<Record>,
}

impl Snapshot {
    /// Reads one, also of versions whose options had the network in them.
    fn parse(json: &str) -> Result<Self, String> {
        let unknown = |e: serde_json::Error| format!("describes a training this version does not know ({e}): train anew");
        let mut value: Value = serde_json::from_str(json).map_err(unknown)?;
        let version = value.pointer("/identity/version").and_then(Value::as_str).unwrap_or("a later version");
        check_format(value.get("format").and_then(Value::as_i64), version)?;
        if let Some(identity) = value.get_mut("identity").and_then(Value::as_object_mut)
            && !identity.contains_key("network")
            && let Some(Value::Object(mut net)) = identity.get_mut("options").and_then(|o| o.as_object_mut()?.remove("net"))
        {
            let name = net.remove("net").unwrap_or_default();
            net.insert("name".into(), name);
            identity.insert("network".into(), net.into());
        }
        let mut snapshot: Self = serde_json::from_value(value).map_err(unknown)?;
        // Without what other versions wrote beside the network's own options.
        if let Some(network) = snapshot.identity.network.build() {
            snapshot.identity.network = Described::new(network.as_ref());
        }
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Whether a training can have got there.
    fn check(&self) -> Result<(), String> {
        self.identity.options.check_step().map_err(|e| e.to_string())?;
        if self.number > MOST_STEPS {
            return Err(format!("of {} steps", self.number));
        }
        // Losses are read before the device writes over them.
        let seen = self.log.seen;
        if seen > self.number || self.number - seen > Optimizer::ROWS as u64 {
            return Err(format!("with losses of {seen} of {} steps", self.number));
        }
        if !(self.seconds >= 0.0 && self.seconds.is_finite()) {
            return Err(format!("of {} seconds", self.seconds));
        }
        Ok(())
    }
}

/// A training that stopped, or was stopped.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) snapshot: Snapshot,
    /// Parameters, moments and averages, as they lie on the device.
    pub(super) vectors: [Vec<f32>; 3],
}

/// Names of [`State::vectors`] in the file.
const VECTORS: [&str; 3] = ["params", "moments", "ema"];

fn path(out: &Path) -> PathBuf {
    out.join("state.safetensors")
}

/// What a run folder says of the training that can be resumed in it.
#[derive(Clone)]
pub struct Resumable {
    /// What it trains, if it is one of our networks.
    pub network: Option<Arc<dyn Network>>,
    /// How it trains.
    pub options: Options,
    /// The device it ran on.
    pub device: String,
    /// Steps done.
    pub steps: u64,
    /// Whether these are all, by its length or its patience.
    pub finished: bool,
}

/// Looks at the training in the folder `out`, which [`super::Run::resume`] goes on with.
///
/// # Errors
/// If there is none, or its state is damaged or of another version.
pub fn resumable(out: &Path) -> Result<Resumable> {
    let Snapshot { identity, device, number, share, judged, .. } = State::load(out)?.snapshot;
    let (network, finished) = (identity.network.build(), share >= 1.0 || identity.options.is_over(judged));
    Ok(Resumable { network, options: identity.options, device, steps: number, finished })
}

impl State {
    pub(super) fn save(&self, out: &Path) -> Result<()> {
        let json = serde_json::to_string(&self.snapshot).expect("a snapshot is plain data");
        let tensors = VECTORS.iter().zip(&self.vectors).map(|(&name, v)| (name, vec![v.len()], v.clone()));
        save_bytes(&path(out), &state_dict::file(tensors, Some((ENTRY, json))))
    }

    /// Reads the state in a run folder.
    fn load(out: &Path) -> Result<Self> {
        let path = path(out);
        let damaged = |problem: String| Error::file(&path, format!("{problem}: train anew"));
        if !path.exists() {
            return Err(Error::file(&path, "does not exist, so that there is nothing to resume"));
        }
        let (mut tensors, metadata) = state_dict::load(&path)?;
        let json = metadata.get(ENTRY).ok_or_else(|| damaged("is not the state of a training".into()))?;
        let snapshot = Snapshot::parse(json).map_err(|problem| Error::file(&path, problem))?;
        snapshot.check().map_err(|problem| damaged(format!("describes no training ({problem})")))?;
        let mut vectors = [const { Vec::<f32>::new() }; 3];
        for (vector, name) in vectors.iter_mut().zip(VECTORS) {
            let tensor = tensors.remove(name).filter(|t| t.dtype() == DType::F32);
            *vector = tensor.ok_or_else(|| damaged(format!("has no floats named {name}")))?.to_f32();
            if vector.iter().any(|v| !v.is_finite()) {
                return Err(damaged(format!("has values in {name} that are not finite")));
            }
        }
        Ok(Self { snapshot, vectors })
    }

    /// Reads the state in a run folder, which has to be of the training `wanted` of a network, of whichever length
    /// and patience.
    pub(super) fn load_for(out: &Path, wanted: &Identity, network: &dyn Network) -> Result<Self> {
        let state = Self::load(out)?;
        let mut of_its_length = wanted.clone();
        let kept = &state.snapshot.identity.options;
        (of_its_length.options.length, of_its_length.options.patience) = (kept.length, kept.patience);
        if let Some(difference) = of_its_length.difference(&state.snapshot.identity) {
            let how = "give the options and pictures it had, or train anew";
            return Err(Error::file(path(out), format!("is of a training with {difference}: {how}")));
        }
        let g = Anatomy::of(network).graph;
        let params = g.params_storage().map_or(0, |id| g.storage(id).len);
        if state.vectors.each_ref().map(Vec::len) != [params, 2 * params, params] {
            return Err(Error::file(path(out), "is damaged (it has another number of parameters): train anew"));
        }
        Ok(state)
    }
}
