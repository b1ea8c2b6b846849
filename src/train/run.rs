//! The training loop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::report::{self, Record, Strip, Summary};
use super::schedule::{ema_decay, rate};
use super::{Options, Source, Validation};
use crate::data::files::save_bytes;
use crate::denoise::Denoiser;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nets::model::Metadata;
use crate::nets::{Model, initial};
use crate::ops::{Adam, Batch, Optimizer, Pictures, Shards};
use crate::plan::Executor;

/// Steps between looks at the log of losses.
const LOOK: u64 = 16;
/// Validations in a training.
const VALIDATIONS: f64 = 20.0;

/// Where training stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Share of the training that is done, 0 to 1.
    pub share: f64,
    /// Since the start.
    pub seconds: f64,
    /// Crops per second.
    pub pictures_per_second: f64,
    /// Estimated clean PSNR of the last validation, dB.
    pub psnr_estimated: Option<f64>,
}

/// What came of a training.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Steps done.
    pub steps: u64,
    /// Wall-clock time of the loop.
    pub seconds: f64,
    /// PSNR of the noisy held-out pictures, dB.
    pub psnr_noisy: f64,
    /// Estimated clean PSNR at the end, dB.
    pub psnr_estimated: f64,
    /// True PSNR at the end, where the clean pictures are known, dB.
    pub psnr: Option<f64>,
    /// The model as it is at the end.
    pub model: Model,
    /// Checkpoint with the best estimated PSNR.
    pub best: PathBuf,
    /// Checkpoint of the last validation.
    pub last: PathBuf,
    /// All lines of `metrics.jsonl`.
    pub records: Vec<Record>,
    /// Held-out pictures before and after.
    pub strips: Vec<Strip>,
}

/// The recorded step, and what the host writes and reads.
struct Step {
    executor: Box<dyn Executor>,
    pictures: Pictures,
    optimizer: Optimizer,
}

impl Step {
    fn new(device: &Device, options: &Options, source: &Source, shards: &Shards) -> Result<Self> {
        let pairs = matches!(source, Source::Pairs(_));
        let sigma = match source {
            Source::Photos(_, noise) => noise.sigma(),
            Source::Pairs(_) => (0.0, 0.0),
        };
        let count = if pairs { shards.count() / 2 } else { shards.count() };
        let Options { batch, crop, clean_targets, .. } = *options;
        let mut g = Graph::new();
        let (x, t, pictures) = g.batch(Batch { count, crop, batch, pairs, clean_targets, sigma }, shards);
        let y = options.net.record(&mut g, x);
        let loss = g.mse(y, t);
        let one = g.one();
        g.backward(&[(loss, one)]);
        let optimizer = g.adam(loss, Adam { beta1: 0.9, beta2: 0.99, eps: 1e-8, clip: options.clip });
        let params = initial(&g, options.init, options.seed);
        let mut executor = device.prepare(g)?;
        for name in ["params", "ema"] {
            let id = executor.plan().host(name);
            executor.write(id, &params)?;
        }
        executor.write_ints(pictures.table, &shards.table)?;
        for (i, &id) in pictures.shards.iter().enumerate() {
            executor.write_ints(id, &shards.words(i))?;
        }
        Ok(Self { executor, pictures, optimizer })
    }

    /// Submits step `step`, counted from 0.
    fn run(&mut self, options: &Options, step: u64, share: f64) -> Result<()> {
        let control = self.optimizer.control(step + 1, options.lr * rate(step, share), ema_decay(step, options.ema));
        self.executor.write(self.optimizer.control, &control)?;
        self.executor.write_ints(self.pictures.draw, &[step as u32, options.seed])?;
        self.executor.run()
    }
}

/// Losses and gradient lengths as they come in.
#[derive(Default)]
struct Log {
    seen: u64,
    loss: f64,
    norm: f64,
    count: u64,
    pending: Vec<(u64, u64)>,
}

impl Log {
    /// Takes in rows of the log up to step `until`; a loss that is not finite ends the training.
    fn take(&mut self, rows: &[f32], until: u64) -> Result<()> {
        for step in self.seen..until {
            let row = &rows[(step % Optimizer::ROWS as u64) as usize * 4..];
            if !row[0].is_finite() || !row[1].is_finite() {
                return Err(Error::failed(format!(
                    "training became unstable at step {step} (loss {}, gradient {}): choose a smaller --lr; the last checkpoint is kept",
                    row[0], row[1]
                )));
            }
            self.loss += f64::from(row[0]);
            self.norm += f64::from(row[1]);
            self.count += 1;
        }
        self.seen = self.seen.max(until);
        Ok(())
    }

    /// Mean loss and gradient length since the last call.
    fn means(&mut self) -> (f64, f64) {
        let count = std::mem::take(&mut self.count).max(1) as f64;
        (std::mem::take(&mut self.loss) / count, std::mem::take(&mut self.norm) / count)
    }
}

/// Trains, and leaves `config.toml`, `metrics.jsonl`, `best.safetensors`, `last.safetensors`, `report.html` and `samples/` in
/// the folder `out`. Ends after the running step once `stop` is set. `watch` is told after every step.
///
/// # Errors
/// If the device fails, a file cannot be written, or the loss is not finite any more.
pub fn train(
    device: &Device,
    options: &Options,
    source: &Source,
    validation: &Validation,
    out: &Path,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Outcome> {
    let config = toml::to_string(options).map_err(|e| Error::file(out, format!("the configuration cannot be written: {e}")))?;
    save_bytes(&out.join("config.toml"), config.as_bytes())?;
    let shards = source.shards(device);
    let mut step = Step::new(device, options, source, &shards)?;
    let mut denoiser = Denoiser::with_params(device, options.net, step.executor.read(step.optimizer.ema)?, None)?;
    let mut writer = Writer::new(options, source, out);
    let psnr_noisy = validation.psnr_noisy();
    let start = Instant::now();
    let (mut log, mut number, mut validations) = (Log::default(), 0, 1.0);
    let mut scores = None;
    loop {
        let share = options.length.progress(number, start.elapsed().as_secs_f64(), source.count(), options.batch);
        let done = share >= 1.0 || stop.load(Ordering::Relaxed);
        if number > 0 && (done || share * VALIDATIONS >= validations) {
            validations = (share * VALIDATIONS).floor() + 1.0;
            log.take(&step.executor.read(step.optimizer.log)?, number)?;
            let (loss, grad_norm) = log.means();
            let ema = step.executor.read(step.optimizer.ema)?;
            denoiser.set_params(ema.clone())?;
            let found = validation.scores(&mut denoiser)?;
            let seconds = start.elapsed().as_secs_f64();
            writer.checkpoint(
                Record {
                    step: number,
                    seconds,
                    loss,
                    lr: options.lr * rate(number, share),
                    grad_norm,
                    psnr_estimated: Some(found.estimated),
                    psnr: found.truth,
                    pictures_per_second: number as f64 * options.batch as f64 / seconds,
                },
                ema,
            )?;
            scores = Some(found);
        }
        if done {
            break;
        }
        step.run(options, number, share)?;
        number += 1;
        if number % LOOK == 0 {
            let ticket = step.executor.read_later(step.optimizer.log)?;
            log.pending.push((ticket, number));
        }
        for (ticket, rows) in step.executor.finished_reads()? {
            let until = log.pending.iter().find(|(t, _)| *t == ticket).map_or(0, |(_, n)| *n);
            log.pending.retain(|(t, _)| *t != ticket);
            log.take(&rows, until)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        watch(&Progress {
            step: number,
            share: options.length.progress(number, seconds, source.count(), options.batch),
            seconds,
            pictures_per_second: number as f64 * options.batch as f64 / seconds,
            psnr_estimated: scores.map(|s| s.estimated),
        });
    }
    let seconds = start.elapsed().as_secs_f64();
    let Some(scores) = scores else { return Err(Error::failed("training was stopped before its first step")) };
    let strips = validation.strips(&mut denoiser)?;
    let facts = writer.facts(device, number, seconds, psnr_noisy, &scores);
    writer.finish(&facts, psnr_noisy, &strips)?;
    Ok(Outcome {
        steps: number,
        seconds,
        psnr_noisy,
        psnr_estimated: scores.estimated,
        psnr: scores.truth,
        model: writer.model(number, step.executor.read(step.optimizer.ema)?),
        best: out.join("best.safetensors"),
        last: out.join("last.safetensors"),
        records: writer.records,
        strips,
    })
}

/// Writes a run's files.
struct Writer<'a> {
    options: &'a Options,
    noise: String,
    out: &'a Path,
    records: Vec<Record>,
    best: f64,
}

impl<'a> Writer<'a> {
    fn new(options: &'a Options, source: &Source, out: &'a Path) -> Self {
        Self { options, noise: source.noise(), out, records: Vec::new(), best: f64::NEG_INFINITY }
    }

    fn model(&self, steps: u64, params: Vec<f32>) -> Model {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Model {
            metadata: Metadata { options: self.options.net, range: [-0.5, 0.5], noise: self.noise.clone(), steps, version },
            params,
        }
    }

    fn checkpoint(&mut self, record: Record, params: Vec<f32>) -> Result<()> {
        let model = self.model(record.step, params);
        let estimated = record.psnr_estimated.unwrap_or(f64::NEG_INFINITY);
        self.records.push(record);
        let lines: Vec<String> = self.records.iter().map(|r| serde_json::to_string(r).expect("a record is plain data")).collect();
        save_bytes(&self.out.join("metrics.jsonl"), (lines.join("\n") + "\n").as_bytes())?;
        model.save(&self.out.join("last.safetensors"))?;
        if estimated > self.best {
            self.best = estimated;
            model.save(&self.out.join("best.safetensors"))?;
        }
        Ok(())
    }

    fn facts(
        &self,
        device: &Device,
        steps: u64,
        seconds: f64,
        psnr_noisy: f64,
        scores: &super::validation::Scores,
    ) -> Vec<(String, String)> {
        let o = self.options;
        let net =
            format!("{}, width {}, {} levels, norm {:?}", o.net.name(), o.net.width, o.net.levels, o.net.norm).to_lowercase();
        let mut facts = vec![
            ("Device", device.name().to_owned()),
            ("Network", net),
            ("Parameters", o.net.parameters().to_string()),
            ("Noise", self.noise.clone()),
            ("Targets", if o.clean_targets { "clean" } else { "noisy" }.into()),
            ("Training", format!("{steps} steps of {} crops of {} px, {seconds:.0} s", o.batch, o.crop)),
            ("PSNR of the noisy pictures", format!("{psnr_noisy:.2} dB")),
            ("Estimated PSNR, denoised", format!("{:.2} dB", scores.estimated)),
        ];
        facts.extend(scores.truth.map(|t| ("True PSNR, denoised", format!("{t:.2} dB"))));
        facts.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }

    fn finish(&self, facts: &[(String, String)], psnr_noisy: f64, strips: &[Strip]) -> Result<()> {
        let summary = Summary {
            title: "Learning to denoise from noisy pictures".into(),
            facts: facts.to_vec(),
            psnr_noisy: Some(psnr_noisy),
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
