//! `state.safetensors`: all it takes to go on with a training as if it had never stopped. Random numbers need no more than the
//! step, by which they are counted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::log::{Log, Marks};
use super::report::Record;
use super::{Options, Source, Validation};
use crate::data::files::save_bytes;
use crate::error::{Error, Result};

/// What a state belongs to: the training it can go on with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    version: String,
    noise: String,
    /// Of the pictures that are trained on and validated with.
    pictures: u64,
    options: serde_json::Value,
}

impl Identity {
    pub(super) fn new(options: &Options, source: &Source, validation: &Validation) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            noise: source.noise(),
            pictures: digest(source, validation),
            options: serde_json::to_value(options).expect("options are plain data"),
        }
    }

    /// What keeps a training like `self` from going on where one like `other` stopped.
    fn difference(&self, other: &Self) -> Option<String> {
        let of = |what: &str, theirs: &str, ours: &str| Some(format!("{what} {theirs}, not {ours}"));
        if self.version != other.version {
            return of("version", &other.version, &self.version);
        }
        if self.noise != other.noise {
            return of("noise", &other.noise, &self.noise);
        }
        if let Some((key, theirs, ours)) = first_difference("", &other.options, &self.options) {
            return of(&key, &theirs, &ours);
        }
        (self.pictures != other.pictures).then(|| "other pictures, or the same in another order".into())
    }
}

/// A number that other pictures, or the same in another order, do not have (Fowler, Noll and Vo's, by words).
fn digest(source: &Source, validation: &Validation) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |word: u64| digest = (digest ^ word).wrapping_mul(0x0100_0000_01b3);
    for picture in source.pictures() {
        add(picture.width as u64);
        for chunk in picture.data.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            add(u64::from_le_bytes(word));
        }
    }
    validation.values().for_each(|v| add(v.to_bits().into()));
    digest
}

/// The first entry in which two trees of options differ: its name, and both values.
fn first_difference(name: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<(String, String, String)> {
    match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) if a.keys().eq(b.keys()) => a.iter().find_map(|(key, a)| first_difference(key, a, &b[key])),
        _ => (a != b).then(|| (name.to_owned(), plain(a), plain(b))),
    }
}

/// JSON as a sentence takes it.
fn plain(value: &serde_json::Value) -> String {
    value.to_string().replace(['"', '{', '}'], "").replace(':', " ")
}

/// Where a training stood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) identity: Identity,
    pub(super) device: String,
    /// Steps done.
    pub(super) number: u64,
    /// Of training, up to there.
    pub(super) seconds: f64,
    /// Best PSNR of the validations, dB.
    pub(super) best: Option<f64>,
    pub(super) log: Log,
    pub(super) points: Marks,
    pub(super) validations: Marks,
    pub(super) records: Vec<Record>,
}

/// A training that stopped, or was stopped.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) standing: Standing,
    /// `params`, `moments` and `ema`, as they lie on the device.
    pub(super) vectors: [Vec<f32>; 3],
}

/// Names of [`State::vectors`], which the graph's storages have as well.
pub(super) const VECTORS: [&str; 3] = ["params", "moments", "ema"];

fn path(out: &Path) -> PathBuf {
    out.join("state.safetensors")
}

/// What a run folder says of the training that can be resumed in it.
#[derive(Clone, Debug)]
pub struct Resumable {
    /// How it trains.
    pub options: Options,
    /// The device it ran on.
    pub device: String,
    /// Steps done.
    pub steps: u64,
}

/// Looks at the training in the folder `out`, which [`super::resume`] goes on with.
///
/// # Errors
/// If there is none, or its state is damaged or of another version.
pub fn resumable(out: &Path) -> Result<Resumable> {
    let State { standing, .. } = State::load(out)?;
    let options = serde_json::from_value(standing.identity.options)
        .map_err(|e| Error::file(path(out), format!("describes a training this version does not know ({e})")))?;
    Ok(Resumable { options, device: standing.device, steps: standing.number })
}

/// Forgets the training that a folder holds, for another begins.
pub(super) fn remove(out: &Path) -> Result<()> {
    match std::fs::remove_file(path(out)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file(path(out), format!("cannot be replaced: {e}"))),
        _ => Ok(()),
    }
}

impl State {
    pub(super) fn save(&self, out: &Path) -> Result<()> {
        let path = path(out);
        let json = serde_json::to_string(&self.standing).expect("where a training stands is plain data");
        let views = VECTORS.iter().zip(&self.vectors).map(|(name, v)| {
            (*name, TensorView::new(Dtype::F32, vec![v.len()], bytemuck::cast_slice(v)).expect("shape and bytes agree"))
        });
        let metadata = HashMap::from([("n2n-gpu-state".to_owned(), json)]);
        let bytes = safetensors::serialize(views, Some(metadata))
            .map_err(|e| Error::file(&path, format!("the state cannot be written: {e}")))?;
        save_bytes(&path, &bytes)
    }

    /// Reads the state in a run folder.
    fn load(out: &Path) -> Result<Self> {
        let path = path(out);
        let what = |problem: String| Error::file(&path, format!("{problem}; train anew with --overwrite"));
        if !path.exists() {
            return Err(Error::file(&path, "does not exist, so that there is nothing to resume: leave out --resume"));
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::file(&path, format!("cannot be read: {e}")))?;
        let damaged = |e: &dyn std::fmt::Display| what(format!("is damaged ({e})"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
        let json = header.metadata().as_ref().and_then(|m| m.get("n2n-gpu-state"));
        let json = json.ok_or_else(|| what("is not the state of a training".into()))?;
        let standing: Standing =
            serde_json::from_str(json).map_err(|e| what(format!("describes a training this version does not know ({e})")))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
        let mut vectors = [const { Vec::<f32>::new() }; 3];
        for (vector, name) in vectors.iter_mut().zip(VECTORS) {
            let tensor = file.tensor(name).map_err(|e| damaged(&e))?;
            if tensor.dtype() != Dtype::F32 {
                return Err(damaged(&format!("{name} is {:?}", tensor.dtype())));
            }
            *vector = bytemuck::pod_collect_to_vec(tensor.data());
            if vector.iter().any(|v| !v.is_finite()) {
                return Err(damaged(&format!("{name} holds values that are not finite")));
            }
        }
        Ok(Self { standing, vectors })
    }

    /// Reads the state in a run folder, which has to be of the training `wanted` by `options`.
    pub(super) fn load_for(out: &Path, wanted: &Identity, options: &Options) -> Result<Self> {
        let state = Self::load(out)?;
        if let Some(difference) = wanted.difference(&state.standing.identity) {
            let how = "give the options and pictures it had, or train anew with --overwrite";
            return Err(Error::file(path(out), format!("is of a training with {difference}: {how}")));
        }
        let g = options.net.skeleton();
        let params = g.params_storage().map_or(0, |id| g.storage(id).len);
        let [p, moments, ema] = &state.vectors;
        if (p.len(), moments.len(), ema.len()) != (params, 2 * params, params) {
            return Err(Error::file(path(out), "is damaged (it has another number of parameters); train anew with --overwrite"));
        }
        Ok(state)
    }
}
