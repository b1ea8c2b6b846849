//! Runs that are in a folder, to be listed and compared: what their configurations and metrics say.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use walkdir::WalkDir;

use super::config::{CONFIG, load_table};
use super::report::Record;
use super::state::STATE;
use super::validation::Scores;
use crate::error::{Error, Result};

/// A run, as its files tell it.
#[derive(Clone, Debug)]
pub struct PastRun {
    /// Its folder.
    pub path: PathBuf,
    /// Name of its network.
    pub net: String,
    /// Noise as it is written, or `pairs`.
    pub noise: String,
    /// What it was to do, by names such as `batch` or `net.width`.
    pub options: Vec<(String, String)>,
    /// All lines of `metrics.jsonl`; none of a run that has not got as far.
    pub records: Vec<Record>,
}

impl PastRun {
    /// Reads a run.
    ///
    /// # Errors
    /// If its files are damaged, or of a later version.
    fn load(folder: &Path) -> Result<Self> {
        let config = folder.join(CONFIG);
        let table = load_table(&config)?;
        let text = |table: Option<&Table>, key: &str| table?.get(key)?.as_str().map(str::to_owned);
        let net = text(table.get("net").and_then(Value::as_table), "name");
        let (Some(net), Some(noise)) = (net, text(Some(&table), "noise")) else {
            return Err(Error::file(&config, "is of no run: it names no network or no noise"));
        };
        let mut options = Vec::new();
        flatten("", &table, &mut options);
        // What a run found is none of its options, and neither is what has a column of its own.
        let others = ["format", "version", "device", "pictures", "noise", "net.name"];
        options.retain(|(key, _)| !others.contains(&key.as_str()) && !key.starts_with("data."));
        Ok(Self { path: folder.to_owned(), net, noise, options, records: records(&folder.join("metrics.jsonl"))? })
    }

    /// Steps done, at the last line of the metrics.
    pub fn steps(&self) -> u64 {
        self.records.last().map_or(0, |record| record.step)
    }

    /// Seconds of training until then.
    pub fn seconds(&self) -> f64 {
        self.records.last().map_or(0.0, |record| record.seconds)
    }

    /// The validation of the best checkpoint.
    pub fn best(&self) -> Option<&Record> {
        let scored = self.records.iter().filter_map(|record| Some((Scores::of(record)?.headline()?, record)));
        scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, record)| record)
    }

    /// The value of an option, or nothing.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Values by their keys, those of tables behind the name of the table.
fn flatten(prefix: &str, table: &Table, into: &mut Vec<(String, String)>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, into),
            Value::String(text) => into.push((format!("{prefix}{key}"), text.clone())),
            other => into.push((format!("{prefix}{key}"), other.to_string())),
        }
    }
}

fn records(path: &Path) -> Result<Vec<Record>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(|e| Error::file_from(path, format!("cannot be read: {e}"), e))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| Error::file(path, format!("line {number} is none of a run's metrics: {e}")))
    };
    (1..).zip(text.lines()).map(line).collect()
}

/// The runs in a folder and in folders within it, in order of their paths: folders that have a `config.toml` and one of the files
/// of a run. One whose files are damaged is an error of its own.
///
/// # Errors
/// If the folder does not exist or cannot be listed.
pub fn runs(folder: &Path) -> Result<Vec<Result<PastRun>>> {
    if !folder.is_dir() {
        let problem = if folder.exists() { "is no folder: name one with runs in it" } else { "does not exist: check its name" };
        return Err(Error::file(folder, problem));
    }
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|e| {
            let place = e.path().unwrap_or(folder).to_owned();
            Error::file(place, format!("cannot be listed: {}", e.io_error().map_or_else(|| e.to_string(), ToString::to_string)))
        })?;
        let has = |name: &str| entry.path().join(name).is_file();
        if entry.file_type().is_dir() && has(CONFIG) && (has("metrics.jsonl") || has(STATE)) {
            found.push(PastRun::load(entry.path()));
        }
    }
    Ok(found)
}
