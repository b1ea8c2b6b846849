//! `config.toml`: written for every run, and read to train alike or to go on. What a file leaves open is as it is without one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};
use serde_json::{Map, Value};
use toml::Table;

use super::state::Described;
use super::{Length, Options, Source};
use crate::data::features::FeatureSource;
use crate::device::Device;
use crate::error::{Error, Result, excerpt};
use crate::nets::{Entry, NETWORKS, Network};
use crate::noise::Noise;

/// Version of the layout of configurations and states: files of later ones are refused.
pub(super) const FORMAT: u32 = 1;
/// The file of a run.
pub(super) const CONFIG: &str = "config.toml";
/// Likeness, from 0 to 1, from which on a key is taken for another one that is misspelt.
const ALIKE: f64 = 0.7;

/// Where pictures and first parameters of a training come from, as the user names them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Model that is trained further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// The pictures.
    #[serde(default, skip_serializing_if = "Data::is_empty")]
    pub data: Data,
}

/// Files and folders of pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
    /// Photographs that noise is added to, or that are noisy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub photos: Vec<PathBuf>,
    /// Whether those in folders within folders belong to them.
    #[serde(skip_serializing_if = "is_false")]
    pub recursive: bool,
    /// Two folders of noisy pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<[PathBuf; 2]>,
    /// A file of pairs, or a folder with both folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<PathBuf>,
    /// A folder with a folder of noisy shots for every scene.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<PathBuf>,
    /// Files whose pages are noisy shots of one scene.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<PathBuf>,
    /// Whether photographs are noisy, and their own neighbouring pixels are learned from.
    #[serde(skip_serializing_if = "is_false")]
    pub single: bool,
    /// Whether only neighbouring pages of a stack show the same.
    #[serde(skip_serializing_if = "is_false")]
    pub neighbours: bool,
    /// What is held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<PathBuf>,
    /// Features of renders, and where they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aux: Vec<FeatureSource>,
    /// Whether the shots of a pair are cut to what they share.
    #[serde(skip_serializing_if = "is_false")]
    pub align: bool,
    /// Whether the second shot of a pair gets the brightness of the first.
    #[serde(rename = "match", skip_serializing_if = "is_false")]
    pub brightness: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Data {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All files and folders that are named.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let one = [&self.dataset, &self.burst, &self.val].into_iter().flatten();
        self.photos.iter().chain(self.pairs.iter().flatten()).chain(&self.stack).chain(one)
    }

    /// Whether it says what to train on.
    pub fn is_some(&self) -> bool {
        let folders = self.pairs.is_some() || self.dataset.is_some() || self.burst.is_some();
        folders || !self.photos.is_empty() || !self.stack.is_empty()
    }
}

impl Origin {
    /// The same with paths that hold in whichever folder a command runs; nothing if one of them is no Unicode, as TOML is.
    #[must_use]
    pub fn absolute(&self) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).ok().filter(|path| path.to_str().is_some());
        let all = |paths: &[PathBuf]| paths.iter().map(absolute).collect::<Option<Vec<_>>>();
        let one = |path: &Option<PathBuf>| path.as_ref().map_or(Some(None), |path| absolute(path).map(Some));
        let Data { photos, recursive, single, pairs, dataset, burst, stack, neighbours, val, aux, align, brightness } =
            &self.data;
        let feature =
            |FeatureSource { feature, side }: &FeatureSource| Some(FeatureSource { feature: *feature, side: one(side)? });
        let found = || {
            let pairs = match pairs {
                Some([a, b]) => Some([absolute(a)?, absolute(b)?]),
                None => None,
            };
            Some(Data {
                photos: all(photos)?,
                recursive: *recursive,
                single: *single,
                pairs,
                dataset: one(dataset)?,
                burst: one(burst)?,
                stack: all(stack)?,
                neighbours: *neighbours,
                val: one(val)?,
                aux: aux.iter().map(feature).collect::<Option<_>>()?,
                align: *align,
                brightness: *brightness,
            })
        };
        // A name of a model in the box is no path.
        let from = self.from.as_ref().and_then(|from| if from.exists() { absolute(from) } else { Some(from.clone()) });
        Self { from, data: found().unwrap_or_default() }
    }
}

/// What is written for a run.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    pub(super) format: u32,
    pub(super) version: &'static str,
    pub(super) device: &'a str,
    pub(super) noise: &'a str,
    pub(super) pictures: usize,
    #[serde(flatten)]
    pub(super) options: &'a Options,
    #[serde(flatten)]
    pub(super) origin: &'a Origin,
    pub(super) net: Described,
}

/// Keys of [`Written`] beside those of options.
const KEYS: [&str; 8] = ["format", "version", "device", "noise", "pictures", "from", "data", "net"];

/// A configuration that was read.
#[derive(Clone)]
pub struct Config {
    /// Its file.
    path: PathBuf,
    /// What is added to photographs.
    pub noise: Option<Noise>,
    /// The network.
    pub network: Option<Arc<dyn Network>>,
    /// Pictures and first parameters; paths are as seen from the folder of the file.
    pub origin: Origin,
    /// Options of the training.
    options: Table,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Config").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Config {
    /// Reads the configuration of the run in a folder.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn of_run(folder: &Path) -> Result<Self> {
        Self::load(&folder.join(CONFIG))
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// If the file cannot be read, is no TOML, of a later version, or has a key that is not known or a value that makes no sense.
    pub fn load(path: &Path) -> Result<Self> {
        let table = load_table(path)?;
        let wrong = |problem: String| Error::file(path, format!("{problem}: correct it"));
        let known = keys_of::<Options>();
        let mut keys: Vec<&str> = known.iter().copied().chain(KEYS).collect();
        keys.sort_unstable();
        let inside = |name: &str| table.get(name).and_then(toml::Value::as_table).into_iter().flat_map(Table::keys);
        check_keys(table.keys(), &keys).map_err(wrong)?;
        check_keys(inside("data"), keys_of::<Data>()).map_err(|problem| wrong(format!("{problem} in [data]")))?;
        let noise = table.get("noise").map(noise).transpose().map_err(wrong)?.flatten();
        let network = table.get("net").map(|net| network(net).map_err(wrong)).transpose()?;
        let places: Table = table.iter().filter(|(key, _)| ["from", "data"].contains(&key.as_str())).map(owned).collect();
        let origin: Origin = places.try_into().map_err(|e| wrong(format!("data or from: {}", message(&e))))?;
        let options = table.iter().filter(|(key, _)| known.contains(&key.as_str())).map(owned).collect();
        let config = Self { path: path.to_owned(), noise, network, origin: origin.within(path), options };
        config.options(Options::new(&Device::Cpu, Length::Minutes(1.0)))?;
        Ok(config)
    }

    /// `base` with what is said here in its place.
    ///
    /// # Errors
    /// If a value makes no sense.
    pub fn options(&self, base: Options) -> Result<Options> {
        let mut all = Table::try_from(&base).expect("options are plain data");
        let mut options = base;
        for (key, value) in &self.options {
            all.insert(key.clone(), value.clone());
            options = all.clone().try_into().map_err(|e: toml::de::Error| {
                Error::file(&self.path, format!("{key} = {}: {}: correct it", excerpt(&value.to_string()), message(&e)))
            })?;
        }
        Ok(options)
    }

    /// Whether it says something of this option.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }
}

impl Origin {
    /// Paths as seen from where a file is.
    fn within(self, file: &Path) -> Self {
        let folder = file.parent().unwrap_or(Path::new(""));
        let Data { photos, recursive, single, pairs, dataset, burst, stack, neighbours, val, mut aux, align, brightness } =
            self.data;
        let at = |path: PathBuf| folder.join(path);
        aux.iter_mut().for_each(|source| source.side = source.side.take().map(at));
        // A name of a model in the box is no path.
        let from = self.from.map(|from| if at(from.clone()).exists() { at(from) } else { from });
        let photos = photos.into_iter().map(at).collect();
        Self {
            from,
            data: Data {
                photos,
                recursive,
                single,
                pairs: pairs.map(|both| both.map(at)),
                dataset: dataset.map(at),
                burst: burst.map(at),
                stack: stack.into_iter().map(at).collect(),
                neighbours,
                val: val.map(at),
                aux,
                align,
                brightness,
            },
        }
    }
}

/// The table in a file, of a format that this version reads.
pub(super) fn load_table(path: &Path) -> Result<Table> {
    let text =
        std::fs::read_to_string(path).map_err(|e| Error::file_from(path, format!("the configuration cannot be read: {e}"), e))?;
    let table: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Error::file(path, format!("line {line} is not TOML: {}: correct it", message(&e)))
    })?;
    let number = |key: &str| table.get(key).and_then(toml::Value::as_integer);
    let version = table.get("version").and_then(toml::Value::as_str).unwrap_or("a later version");
    check_format(number("format"), version).map_err(|problem| Error::file(path, problem))?;
    Ok(table)
}

/// Refuses formats of later versions.
pub(super) fn check_format(format: Option<i64>, version: &str) -> Result<(), String> {
    match format {
        Some(format) if format > FORMAT.into() => Err(format!(
            "has format {format}, which n2n-gpu {} wrote; this one, {}, reads formats up to {FORMAT}: update it",
            excerpt(version),
            env!("CARGO_PKG_VERSION")
        )),
        _ => Ok(()),
    }
}

fn owned((key, value): (&String, &toml::Value)) -> (String, toml::Value) {
    (key.clone(), value.clone())
}

/// What is wrong, on one line and without the place, which a table has none of.
fn message(e: &toml::de::Error) -> String {
    e.message().trim().replace('\n', ", ")
}

/// The keys of a struct in a file.
fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut keys: &[&str] = &[];
    let _ = T::deserialize(Keys(&mut keys));
    keys
}

/// Notes which keys a struct has, when it is read from this.
struct Keys<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = keys;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("there are no values"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// Names the first key that is not known, and the known one that it resembles most.
fn check_keys<'a>(mut keys: impl Iterator<Item = &'a String>, known: &[&str]) -> Result<(), String> {
    let Some(key) = keys.find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let likeness = |other: &&str| strsim::jaro_winkler(key, other);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|other| likeness(other) >= ALIKE);
    Err(match nearest {
        Some(nearest) => format!("{} is no key of a configuration; {nearest} is one", excerpt(key)),
        None => format!("{} is no key of a configuration; there are {}", excerpt(key), known.join(", ")),
    })
}

/// The law that a value names; none for `pairs` and `single`.
fn noise(value: &toml::Value) -> Result<Option<Noise>, String> {
    match value.as_str() {
        Some("pairs" | Source::SINGLE) => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|e| format!("noise = {}: {e}", excerpt(text))),
        None => Err("noise must be text".into()),
    }
}

/// The network that a table describes, by its name and some of its options.
fn network(table: &toml::Value) -> Result<Arc<dyn Network>, String> {
    let json = serde_json::to_value(table).map_err(|e| format!("net: {e}"))?;
    let Value::Object(mut options) = json else { return Err("net must be a table with a name".into()) };
    let names = || NETWORKS.iter().map(|n| n.name).collect::<Vec<_>>().join(", ");
    let name = options.remove("name").and_then(|name| Some(name.as_str()?.to_owned()));
    let name = name.ok_or_else(|| format!("[net] has no name: there are {}", names()))?;
    let entry =
        Entry::find(&name).ok_or_else(|| format!("[net] has the name {}, which is none of {}", excerpt(&name), names()))?;
    let published: Map<String, Value> = entry.published().options();
    let known: Vec<&str> = published.keys().map(String::as_str).chain(entry.options.iter().map(|option| option.name)).collect();
    check_keys(options.keys(), &known).map_err(|problem| format!("{problem} in [net]"))?;
    entry.with(entry.published().as_ref(), &options).map_err(|problem| format!("[net]: {problem}"))
}
