//! The files of a run. Those of an earlier run in the folder stay until this one has something to put in their place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{CONFIG, FORMAT, Written};
use super::report::{self, Record, Strip, Summary, counted, duration};
use super::state::{Described, STATE, State};
use super::validation::Scores;
use super::{Options, Origin, Run, Source};
use crate::data::files::{Lock, lock, save_bytes};
use crate::error::{Error, Result};
use crate::nets::{Anatomy, Model, Network, Ranges};

/// Writes a run's files, each whole or not at all.
pub(super) struct Writer<'a> {
    network: Arc<dyn Network>,
    options: &'a Options,
    device: &'a str,
    noise: String,
    ranges: Ranges,
    /// Whether it is trained on floats as they were measured.
    measured: bool,
    pub(super) out: &'a Path,
    /// Keeps other processes out of the folder, once it is there.
    lock: Option<Lock>,
    config: String,
    /// Whether the folder is this run's already.
    begun: bool,
    pub(super) records: Vec<Record>,
    best: f64,
    /// Whether nothing of it has been saved yet, so that models and states in the folder are an earlier run's.
    fresh: bool,
}

impl<'a> Writer<'a> {
    /// Prepares to write into a folder; nothing is written yet.
    /// Fails if the folder has pictures where samples would go, and no run.
    pub(super) fn new(run: &Run<'a>, ranges: Ranges, lock: Option<Lock>, origin: &Origin) -> Result<Self> {
        let Run { device, ref network, options, source, out, .. } = *run;
        let (noise, device, version) = (source.noise(), device.name(), env!("CARGO_PKG_VERSION"));
        let net = Described::new(network.as_ref());
        let (noise_written, pictures) = (noise.as_str(), source.count());
        let config = Written { format: FORMAT, version, device, noise: noise_written, pictures, options, origin, net };
        let config = toml::to_string(&config)
            .map_err(|e| Error::file_from(out, format!("the configuration cannot be written: {e}"), e))?;
        let samples = out.join("samples");
        if samples.exists() && !is_run(out) && !out.join(CONFIG).exists() {
            return Err(Error::file(samples, "is there already, and not of a training: choose another folder for the run"));
        }
        let (records, best) = (Vec::new(), f64::NEG_INFINITY);
        let network = Arc::clone(network);
        let measured = source.is_measured();
        Ok(Self {
            network,
            options,
            device,
            noise,
            ranges,
            measured,
            out,
            lock,
            config,
            begun: false,
            fresh: true,
            records,
            best,
        })
    }

    pub(super) fn device(&self) -> &str {
        self.device
    }

    /// What the network reads and writes.
    pub(super) fn ranges(&self) -> Ranges {
        self.ranges
    }

    /// PSNR of the best checkpoint.
    pub(super) fn best(&self) -> Option<f64> {
        Some(self.best).filter(|b| b.is_finite())
    }

    /// Goes on where a run stopped. A best checkpoint that is gone has no score to beat.
    pub(super) fn resume(&mut self, records: Vec<Record>, best: Option<f64>) {
        self.fresh = false;
        self.records = records;
        self.best = best.filter(|_| self.path(BEST).exists()).unwrap_or(f64::NEG_INFINITY);
    }

    /// The path of a file of the run.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    pub(super) fn model(&self, steps: u64, params: Vec<f32>) -> Model {
        let model = Model::new(Arc::clone(&self.network), self.ranges, self.noise.clone(), steps, params);
        Model { measured: self.measured, ..model }
    }

    /// Makes the folder this run's: with its configuration, and without the report of an earlier one.
    fn begin(&mut self) -> Result<()> {
        if self.begun {
            return Ok(());
        }
        make_folder(self.out)?;
        if self.lock.is_none() {
            self.lock = Some(lock(self.out)?);
        }
        save_bytes(&self.path(CONFIG), self.config.as_bytes())?;
        if self.fresh {
            self.remove(&[REPORT])?;
        }
        self.begun = true;
        Ok(())
    }

    /// Removes what an earlier run has left that this one replaces, once something of this one is there in its place.
    fn remove_earlier(&mut self, names: &[&str]) -> Result<()> {
        if std::mem::take(&mut self.fresh) { self.remove(names) } else { Ok(()) }
    }

    fn remove(&self, names: &[&str]) -> Result<()> {
        for old in names.iter().map(|name| self.path(name)) {
            match std::fs::remove_file(&old) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file_from(&old, format!("cannot be replaced: {e}"), e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes `state.safetensors`.
    pub(super) fn state(&mut self, state: &State) -> Result<()> {
        self.begin()?;
        state.save(self.out)?;
        self.remove_earlier(&[BEST, LAST])
    }

    /// Writes `metrics.jsonl`, `last.safetensors` and, if it is the best so far, `best.safetensors`. Where nothing is scored, the
    /// last one is the best.
    pub(super) fn checkpoint(&mut self, steps: u64, psnr: Option<f64>, params: Vec<f32>) -> Result<()> {
        self.begin()?;
        let model = self.model(steps, params);
        let line = |r: &Record| serde_json::to_string(r).expect("a record is plain data") + "\n";
        let lines: String = self.records.iter().map(line).collect();
        save_bytes(&self.path("metrics.jsonl"), lines.as_bytes())?;
        model.save(&self.path(LAST))?;
        if psnr.map_or(self.best == f64::NEG_INFINITY, |psnr| psnr > self.best) {
            self.best = psnr.unwrap_or(self.best);
            model.save(&self.path(BEST))?;
        }
        self.remove_earlier(&[STATE])
    }

    fn facts(&self, steps: u64, seconds: f64, psnr_noisy: f64, scores: Option<Scores>) -> Vec<(String, String)> {
        let (o, network) = (self.options, &self.network);
        let mut facts = vec![
            ("Device", self.device.to_owned()),
            ("Network", network.describe()),
            ("Parameters", Anatomy::of(network.as_ref()).parameters().to_string()),
            (
                "Noise",
                if self.is_single() { "that of the pictures, of which there is one each".into() } else { self.noise.clone() },
            ),
            ("Targets", if o.clean_targets { "clean" } else { "noisy" }.into()),
            (
                "Training",
                format!(
                    "{} of {} of {}\u{a0}px, {}",
                    counted(steps, "step"),
                    counted(o.batch as u64, "crop"),
                    o.crop,
                    duration(seconds)
                ),
            ),
            ("Learning rate and seed", format!("{}, {}", o.lr, o.seed)),
        ];
        facts.extend(psnr_noisy.is_finite().then(|| ("PSNR of the noisy pictures", format!("{psnr_noisy:.2} dB"))));
        if network.transfer().is_linear() {
            facts.push(("PSNR", "of linear values, of errors relative to the brightness around".into()));
        }
        if let Some(scores) = scores {
            let within =
                scores.interval.map_or_else(String::new, |[lo, hi]| format!(", {lo:.2} to {hi:.2} dB with 95 % confidence"));
            facts.extend(scores.estimated.map(|e| ("Estimated PSNR of the last validation", format!("{e:.2} dB{within}"))));
            facts.extend(scores.mismatched().map(|what| ("Estimated PSNR", what)));
            facts.extend(scores.truth.map(|t| ("True PSNR of the last validation", format!("{t:.2} dB"))));
        }
        facts.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }

    fn is_single(&self) -> bool {
        self.noise == Source::SINGLE
    }

    /// Writes `report.html`, with what is known so far.
    pub(super) fn report(
        &self,
        steps: u64,
        seconds: f64,
        psnr_noisy: f64,
        scores: Option<Scores>,
        strips: &[Strip],
    ) -> Result<()> {
        let summary = Summary {
            facts: self.facts(steps, seconds, psnr_noisy, scores),
            psnr_noisy: Some(psnr_noisy),
            clean_targets: self.options.clean_targets,
            single: self.is_single(),
            loss: self.options.loss,
        };
        save_bytes(&self.path(REPORT), report::html(&summary, &self.records, strips).as_bytes())
    }

    /// Writes `samples/`.
    pub(super) fn samples(&self, strips: &[Strip]) -> Result<()> {
        let samples = self.path("samples");
        make_folder(&samples)?;
        for strip in strips {
            // Shots of bursts have the name of their scene's folder before their own.
            let name = strip.name.replace(['/', '\\'], "-");
            let stem = Path::new(&name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            strip.picture().save(&samples.join(format!("{stem}.png")))?;
        }
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::file_from(path, format!("the folder cannot be made: {e}"), e))
}

/// Checkpoint with the best PSNR.
pub(super) const BEST: &str = "best.safetensors";
/// Checkpoint of the last validation.
pub(super) const LAST: &str = "last.safetensors";
const REPORT: &str = "report.html";

/// Whether a folder holds a run that has got as far as a checkpoint or a state.
pub fn is_run(folder: &Path) -> bool {
    [BEST, LAST, STATE].iter().any(|name| folder.join(name).exists())
}
