//! The files of a run.

use std::path::Path;

use serde::Serialize;

use super::report::{self, Record, Strip, Summary};
use super::validation::Scores;
use super::{Options, Source};
use crate::data::files::save_bytes;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nets::model::Metadata;
use crate::nets::{Model, Ranges};

/// `config.toml`: what it takes to repeat the run.
#[derive(Serialize)]
struct Config<'a> {
    version: &'static str,
    device: &'a str,
    noise: &'a str,
    pictures: usize,
    #[serde(flatten)]
    options: &'a Options,
}

/// Writes a run's files, each whole or not at all.
pub(super) struct Writer<'a> {
    options: &'a Options,
    device: &'a str,
    noise: String,
    ranges: Ranges,
    pub(super) out: &'a Path,
    pub(super) records: Vec<Record>,
    best: f64,
}

impl<'a> Writer<'a> {
    /// Begins a run folder with its `config.toml`.
    pub(super) fn new(device: &'a Device, options: &'a Options, source: &Source, ranges: Ranges, out: &'a Path) -> Result<Self> {
        let (noise, device, version) = (source.noise(), device.name(), env!("CARGO_PKG_VERSION"));
        let config = Config { version, device, noise: &noise, pictures: source.count(), options };
        let config =
            toml::to_string(&config).map_err(|e| Error::file(out, format!("the configuration cannot be written: {e}")))?;
        save_bytes(&out.join("config.toml"), config.as_bytes())?;
        Ok(Self { options, device, noise, ranges, out, records: Vec::new(), best: f64::NEG_INFINITY })
    }

    pub(super) fn device(&self) -> &str {
        self.device
    }

    /// PSNR of the best checkpoint.
    pub(super) fn best(&self) -> Option<f64> {
        Some(self.best).filter(|b| b.is_finite())
    }

    /// Goes on where a run stopped. A best checkpoint that is gone has no score to beat.
    pub(super) fn resume(&mut self, records: Vec<Record>, best: Option<f64>) {
        self.records = records;
        self.best = best.filter(|_| self.out.join("best.safetensors").exists()).unwrap_or(f64::NEG_INFINITY);
    }

    pub(super) fn model(&self, steps: u64, params: Vec<f32>) -> Model {
        Model { metadata: Metadata::new(self.options.net, self.ranges, self.noise.clone(), steps), params }
    }

    /// Writes `metrics.jsonl`, `last.safetensors` and, if it is the best so far, `best.safetensors`.
    pub(super) fn checkpoint(&mut self, steps: u64, psnr: f64, params: Vec<f32>) -> Result<()> {
        let model = self.model(steps, params);
        let line = |r: &Record| serde_json::to_string(r).expect("a record is plain data") + "\n";
        let lines: String = self.records.iter().map(line).collect();
        save_bytes(&self.out.join("metrics.jsonl"), lines.as_bytes())?;
        model.save(&self.out.join("last.safetensors"))?;
        if psnr > self.best {
            self.best = psnr;
            model.save(&self.out.join("best.safetensors"))?;
        }
        Ok(())
    }

    fn facts(&self, steps: u64, seconds: f64, psnr_noisy: f64, scores: Scores) -> Vec<(String, String)> {
        let o = self.options;
        let norm = format!("{:?}", o.net.norm).to_lowercase();
        let mut facts = vec![
            ("Device", self.device.to_owned()),
            ("Network", format!("{}, width {}, {} levels, norm {norm}", o.net.name(), o.net.width, o.net.levels)),
            ("Parameters", o.net.parameters().to_string()),
            ("Noise", self.noise.clone()),
            ("Targets", if o.clean_targets { "clean" } else { "noisy" }.into()),
            ("Training", format!("{steps} steps of {} crops of {} px, {seconds:.0} s", o.batch, o.crop)),
            ("Learning rate and seed", format!("{}, {}", o.lr, o.seed)),
            ("PSNR of the noisy pictures", format!("{psnr_noisy:.2} dB")),
        ];
        facts.extend(scores.estimated.map(|e| ("Estimated PSNR, denoised", format!("{e:.2} dB"))));
        facts.extend(scores.truth.map(|t| ("True PSNR, denoised", format!("{t:.2} dB"))));
        facts.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }

    /// Writes `report.html` and `samples/`.
    pub(super) fn finish(&self, steps: u64, seconds: f64, psnr_noisy: f64, scores: Scores, strips: &[Strip]) -> Result<()> {
        let summary = Summary {
            title: "Learning to denoise from noisy pictures".into(),
            facts: self.facts(steps, seconds, psnr_noisy, scores),
            psnr_noisy: Some(psnr_noisy),
            clean_targets: self.options.clean_targets,
            loss: self.options.loss,
        };
        save_bytes(&self.out.join("report.html"), report::html(&summary, &self.records, strips).as_bytes())?;
        let samples = self.out.join("samples");
        std::fs::create_dir_all(&samples).map_err(|e| Error::file(&samples, format!("the folder cannot be made: {e}")))?;
        for strip in strips {
            let stem = Path::new(&strip.name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            strip.picture().save(&samples.join(format!("{stem}.png")))?;
        }
        Ok(())
    }
}
