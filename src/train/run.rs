//! The training loop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::report::{Record, Strip};
use super::schedule::{Augment, Order, ema_decay};
use super::validation::Scores;
use super::writer::Writer;
use super::{Options, Source, Validation};
use crate::denoise::Denoiser;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, StorageId};
use crate::nets::{Model, Net, Ranges, initial};
use crate::ops::{Batch, Drawn, Optimizer, Pictures, Shards};
use crate::plan::Executor;

/// Steps between looks at the log of losses.
const LOOK: u64 = 16;
/// Validations in a training.
const VALIDATIONS: f64 = 20.0;
/// Most seconds without a checkpoint.
const CHECKPOINT_SECONDS: f64 = 600.0;
/// Points of the loss curve.
const POINTS: f64 = 200.0;

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
    /// PSNR of the last validation, dB: estimated without clean pictures where the noise allows it.
    pub psnr: Option<f64>,
    /// Whether it is estimated.
    pub estimated: bool,
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
    /// Estimated clean PSNR at the end, where the noise allows one, dB.
    pub psnr_estimated: Option<f64>,
    /// True PSNR at the end, where the clean pictures are known, dB.
    pub psnr: Option<f64>,
    /// The model as it is at the end.
    pub model: Model,
    /// Checkpoint with the best PSNR, estimated if it can be.
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
    /// The exponent of an annealed loss.
    power: Option<StorageId>,
    /// Where pictures come in an order.
    order: Option<Order>,
}

impl Step {
    fn new(device: &Device, options: &Options, source: &Source, shards: &Shards, ranges: Ranges) -> Result<Self> {
        let noise = match source {
            Source::Photos(_, noise) => Some(*noise),
            Source::Pairs(_) => None,
        };
        let given = options.augment == Augment::Triple;
        let batch = Batch {
            count: source.count(),
            crop: options.crop,
            batch: options.batch,
            noise,
            clean_targets: options.clean_targets,
            input: ranges.input,
            target: ranges.output,
            flips: options.augment.flips(),
            given,
            targets: options.targets,
        };
        let mut g = Graph::new();
        g.set_precision(options.precision);
        let Drawn { x, t, mask, pictures } = g.batch(batch, shards);
        let y = options.net.record_training(&mut g, x);
        let loss = g.loss(options.loss, y, t, mask);
        let one = g.one();
        g.backward(&[(loss, one)]);
        let optimizer = g.optimize(loss, options.update, options.clip);
        let power = g.power();
        let params = initial(&g, options.init, options.seed);
        let mut executor = device.prepare(g)?;
        for name in ["params", "ema"] {
            let id = executor.plan().host(name);
            executor.write(id, &params)?;
        }
        executor.write_ints(pictures.table, &shards.rows())?;
        for (i, &id) in pictures.shards.iter().enumerate() {
            executor.write_ints(id, &shards.words(i))?;
        }
        let order = given.then(|| Order::new(source.count(), options.seed));
        Ok(Self { executor, pictures, optimizer, power, order })
    }

    /// Submits step `step`, counted from 0, at a share of the highest learning rate and of the training.
    fn run(&mut self, options: &Options, step: u64, rate: f64, share: f64) -> Result<()> {
        let control = self.optimizer.control(step + 1, options.lr * rate, ema_decay(step, options.ema));
        self.executor.write(self.optimizer.control, &control)?;
        let mut draw = vec![step as u32, options.seed, 0, 0];
        if let Some(order) = &mut self.order {
            draw.extend(order.triple(step, options.augment.pictures(options.batch)));
        }
        self.executor.write_ints(self.pictures.draw, &draw)?;
        if let Some(power) = self.power {
            self.executor.write(power, &[2.0 * (1.0 - share) as f32])?;
        }
        self.executor.run()
    }
}

fn unstable(step: u64, signs: &str) -> Error {
    Error::failed(format!(
        "training became unstable at step {step} ({signs}): choose a smaller --lr; what this run saved before is kept"
    ))
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
                return Err(unstable(step, &format!("loss {}, gradient {}", row[0], row[1])));
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

/// Shares of the training at which something is due: so many, evenly spread.
struct Marks {
    count: f64,
    passed: f64,
}

impl Marks {
    fn due(&mut self, share: f64) -> bool {
        let now = (share * self.count).floor();
        let due = now > self.passed;
        self.passed = self.passed.max(now);
        due
    }
}

/// A training under way.
struct Training<'a> {
    options: &'a Options,
    validation: &'a Validation,
    pictures: usize,
    step: Step,
    denoiser: Denoiser,
    writer: Writer<'a>,
    log: Log,
    points: Marks,
    start: Instant,
    number: u64,
    scores: Option<Scores>,
}

impl Training<'_> {
    /// How often every picture has been shown at a step.
    fn epochs(&self, step: u64) -> f64 {
        step as f64 * self.options.augment.pictures(self.options.batch) as f64 / self.pictures as f64
    }

    /// Share of the highest learning rate.
    fn rate(&self, step: u64, share: f64) -> f64 {
        self.options.schedule.rate(step, share, self.epochs(step))
    }

    fn progress(&self) -> Progress {
        let seconds = self.start.elapsed().as_secs_f64();
        Progress {
            step: self.number,
            share: self.options.length.progress(self.number, seconds, self.epochs(self.number)),
            seconds,
            pictures_per_second: self.number as f64 * self.options.batch as f64 / seconds,
            psnr: self.scores.map(|s| s.headline()),
            estimated: self.scores.is_none_or(|s| s.estimated.is_some()),
        }
    }

    /// Submits a step and takes in the losses that have arrived.
    fn advance(&mut self, share: f64) -> Result<()> {
        let rate = self.rate(self.number, share);
        self.step.run(self.options, self.number, rate, share)?;
        self.number += 1;
        if self.number.is_multiple_of(LOOK) {
            let ticket = self.step.executor.read_later(self.step.optimizer.log)?;
            self.log.pending.push((ticket, self.number));
        }
        self.take_losses()
    }

    /// Takes in losses in portions of [`LOOK`] steps, whenever they arrive, so that the curve is the same in every run.
    fn take_losses(&mut self) -> Result<()> {
        for (ticket, rows) in self.step.executor.finished_reads()? {
            let until = self.log.pending.iter().find(|(t, _)| *t == ticket).map_or(0, |(_, n)| *n);
            self.log.pending.retain(|(t, _)| *t != ticket);
            self.log.take(&rows, until)?;
            let mut now = self.progress();
            now.step = until;
            now.share = self.options.length.progress(until, now.seconds, self.epochs(until));
            if self.points.due(now.share) && self.log.count > 0 {
                self.note(&now, None);
            }
        }
        Ok(())
    }

    /// Adds a point to the curves.
    fn note(&mut self, now: &Progress, scores: Option<Scores>) {
        if self.log.count == 0
            && let Some(last) = self.writer.records.last_mut().filter(|r| r.step == now.step)
        {
            // A point of the curve at this very step has the losses already.
            last.psnr_estimated = scores.and_then(|s| s.estimated);
            last.psnr = scores.and_then(|s| s.truth);
            return;
        }
        let (loss, grad_norm) = self.log.means();
        self.writer.records.push(Record {
            step: now.step,
            seconds: now.seconds,
            loss,
            lr: self.options.lr * self.rate(now.step, now.share),
            grad_norm,
            psnr_estimated: scores.and_then(|s| s.estimated),
            psnr: scores.and_then(|s| s.truth),
            pictures_per_second: now.pictures_per_second,
        });
    }

    /// Waits for the steps so far, scores the held-out pictures, and writes a checkpoint.
    fn validate(&mut self, now: &Progress) -> Result<()> {
        let rows = self.step.executor.read(self.step.optimizer.log)?;
        self.take_losses()?;
        self.log.take(&rows, self.number)?;
        let ema = self.step.executor.read(self.step.optimizer.ema)?;
        self.denoiser.set_params(ema.clone())?;
        let scores = self.validation.scores(&mut self.denoiser)?;
        let scores = scores.ok_or_else(|| unstable(self.number, "held-out pictures come out as values that are not finite"))?;
        self.note(now, Some(scores));
        self.writer.checkpoint(now.step, scores.headline(), ema)?;
        self.scores = Some(scores);
        Ok(())
    }
}

/// Trains, and leaves `config.toml`, `metrics.jsonl`, `best.safetensors`, `last.safetensors`, `report.html` and `samples/` in
/// the folder `out`. Ends after the running step once `stop` is set. `watch` is told after every step.
///
/// # Errors
/// If options and pictures do not fit each other, the device fails, a file cannot be written, or the loss is not finite any
/// more.
pub fn train(
    device: &Device,
    options: &Options,
    source: &Source,
    validation: &Validation,
    out: &Path,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Outcome> {
    source.check(options)?;
    // Only that network normalises its input; for the others pictures need not be looked at.
    let statistics = if options.net.net == Net::EpflConvnet { source.statistics() } else { (0.5, 0.25) };
    let ranges = options.net.ranges(statistics);
    let writer = Writer::new(device, options, source, ranges, out)?;
    let mut step = Step::new(device, options, source, &source.shards(device), ranges)?;
    let denoiser = Denoiser::with_params(device, (options.net, ranges), step.executor.read(step.optimizer.ema)?, None)?;
    let (pictures, log, start) = (source.count(), Log::default(), Instant::now());
    let points = Marks { count: POINTS, passed: 0.0 };
    let mut t = Training { options, validation, pictures, step, denoiser, writer, log, points, start, number: 0, scores: None };
    let mut validations = Marks { count: VALIDATIONS, passed: 0.0 };
    let mut checkpoint = 0.0;
    loop {
        let now = t.progress();
        let done = now.share >= 1.0 || stop.load(Ordering::Relaxed);
        let due = validations.due(now.share) || now.seconds - checkpoint > CHECKPOINT_SECONDS;
        if t.number > 0 && (done || due) {
            t.validate(&now)?;
            checkpoint = now.seconds;
        }
        if done {
            break;
        }
        t.advance(now.share)?;
        watch(&t.progress());
    }
    let seconds = start.elapsed().as_secs_f64();
    let Some(scores) = t.scores else { return Err(Error::failed("training was stopped before its first step")) };
    let psnr_noisy = validation.psnr_noisy();
    let strips = validation.strips(&mut t.denoiser)?;
    t.writer.finish(t.number, seconds, psnr_noisy, scores, &strips)?;
    Ok(Outcome {
        steps: t.number,
        seconds,
        psnr_noisy,
        psnr_estimated: scores.estimated,
        psnr: scores.truth,
        model: t.writer.model(t.number, t.step.executor.read(t.step.optimizer.ema)?),
        best: out.join("best.safetensors"),
        last: out.join("last.safetensors"),
        records: t.writer.records,
        strips,
    })
}
