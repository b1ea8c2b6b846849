//! The training loop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::log::{Log, Marks, unstable};
use super::report::{Record, Strip};
use super::state::{self, Identity, Standing, State, VECTORS};
use super::step::Step;
use super::validation::Scores;
use super::writer::Writer;
use super::{Length, Options, Source, Validation};
use crate::denoise::Denoiser;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nets::{Model, Net};
use crate::plan::Ticket;

/// Steps between looks at the log of losses.
const LOOK: u64 = 16;
/// Validations in a training.
const VALIDATIONS: f64 = 20.0;
/// Most seconds without a checkpoint.
const CHECKPOINT_SECONDS: f64 = 600.0;
/// Part of a training's minutes that validations before the last one may take.
const VALIDATING: f64 = 0.1;
/// Least seconds between states that are kept without a validation, and how many times as long as writing one they are apart.
const KEEP_SECONDS: f64 = 10.0;
const KEEP_COST: f64 = 100.0;
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

/// A state on its way from the device.
struct Keeping {
    standing: Standing,
    tickets: [Ticket; 3],
    vectors: [Option<Vec<f32>>; 3],
}

/// A training under way.
struct Training<'a> {
    options: &'a Options,
    validation: &'a Validation,
    pictures: usize,
    identity: Identity,
    step: Step,
    denoiser: Denoiser,
    writer: Writer<'a>,
    log: Log,
    /// Reads of the log under way, and the steps until which they count.
    looks: Vec<(Ticket, u64)>,
    points: Marks,
    validations: Marks,
    start: Instant,
    /// Seconds of training before `start`.
    before: f64,
    number: u64,
    scores: Option<Scores>,
    keeping: Option<Keeping>,
    /// Step of the state in the folder.
    kept: Option<u64>,
    /// When a state is to be kept next, seconds.
    keep: f64,
}

impl<'a> Training<'a> {
    /// Readies a training at its first step, or where the folder `out` has it.
    fn new(
        device: &'a Device,
        options: &'a Options,
        (source, validation): (&Source, &'a Validation),
        out: &'a Path,
        resume: bool,
    ) -> Result<Self> {
        source.check(options)?;
        let identity = Identity::new(options, source, validation);
        let state = if resume { Some(State::load_for(out, &identity, options)?) } else { None };
        // Only that network normalises its input; for the others pictures need not be looked at.
        let statistics = if options.net.net == Net::EpflConvnet { source.statistics() } else { (0.5, 0.25) };
        let ranges = options.net.ranges(statistics);
        let mut step = Step::new(device, options, source, &source.shards(device), ranges)?;
        let denoiser = Denoiser::with_params(device, (options.net, ranges), step.executor.read(step.optimizer.ema)?, None)?;
        // Not before all is ready: a training that is refused leaves nothing.
        let writer = Writer::new(device, options, source, ranges, out)?;
        let mut t = Self {
            options,
            validation,
            pictures: source.count(),
            identity,
            step,
            denoiser,
            writer,
            log: Log::default(),
            looks: Vec::new(),
            points: Marks::new(POINTS),
            validations: Marks::new(VALIDATIONS),
            start: Instant::now(),
            before: 0.0,
            number: 0,
            scores: None,
            keeping: None,
            kept: None,
            keep: KEEP_SECONDS,
        };
        match state {
            Some(state) => t.restore(state)?,
            None => state::remove(out)?,
        }
        Ok(t)
    }

    /// Puts everything as it was.
    fn restore(&mut self, state: State) -> Result<()> {
        let State { standing, vectors } = state;
        for (name, vector) in VECTORS.iter().zip(&vectors) {
            let id = self.step.executor.plan().host(name);
            self.step.executor.write(id, vector)?;
        }
        self.scores = standing.records.iter().rev().find_map(Scores::of);
        (self.log, self.points, self.validations) = (standing.log, standing.points, standing.validations);
        (self.number, self.before, self.kept) = (standing.number, standing.seconds, Some(standing.number));
        self.keep += self.before;
        self.writer.resume(standing.records, standing.best);
        Ok(())
    }

    fn standing(&self, seconds: f64) -> Standing {
        Standing {
            identity: self.identity.clone(),
            device: self.writer.device().to_owned(),
            number: self.number,
            seconds,
            best: self.writer.best(),
            log: self.log.clone(),
            points: self.points,
            validations: self.validations,
            records: self.writer.records.clone(),
        }
    }

    /// How often every picture has been shown at a step.
    fn epochs(&self, step: u64) -> f64 {
        step as f64 * self.options.augment.pictures(self.options.batch) as f64 / self.pictures as f64
    }

    /// Share of the highest learning rate.
    fn rate(&self, step: u64, share: f64) -> f64 {
        self.options.schedule.rate(step, share, self.epochs(step))
    }

    fn progress(&self) -> Progress {
        let seconds = self.before + self.start.elapsed().as_secs_f64();
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
            self.looks.push((ticket, self.number));
            let seconds = self.progress().seconds;
            if seconds >= self.keep && self.keeping.is_none() {
                let standing = self.standing(seconds);
                let mut tickets = [0; 3];
                for (ticket, name) in tickets.iter_mut().zip(VECTORS) {
                    let id = self.step.executor.plan().host(name);
                    *ticket = self.step.executor.read_later(id)?;
                }
                self.keeping = Some(Keeping { standing, tickets, vectors: [const { None }; 3] });
            }
        }
        self.take_reads()
    }

    /// Takes in what has arrived: losses in portions of [`LOOK`] steps, so that the curve is the same in every run, and a state.
    fn take_reads(&mut self) -> Result<()> {
        for (ticket, data) in self.step.executor.finished_reads()? {
            let kept = self.keeping.as_mut().and_then(|k| Some((k.tickets.iter().position(|t| *t == ticket)?, k)));
            match kept {
                Some((i, keeping)) => keeping.vectors[i] = Some(data),
                None => self.take_losses(ticket, &data)?,
            }
        }
        match self.keeping.take() {
            Some(Keeping { standing, vectors: [Some(params), Some(moments), Some(ema)], .. }) => {
                self.save(State { standing, vectors: [params, moments, ema] })
            }
            waiting => {
                self.keeping = waiting;
                Ok(())
            }
        }
    }

    fn take_losses(&mut self, ticket: Ticket, rows: &[f32]) -> Result<()> {
        let until = self.looks.iter().find(|(t, _)| *t == ticket).map_or(0, |(_, n)| *n);
        self.looks.retain(|(t, _)| *t != ticket);
        self.log.take(rows, until, self.options.precision)?;
        let mut now = self.progress();
        now.step = until;
        now.share = self.options.length.progress(until, now.seconds, self.epochs(until));
        if self.points.due(now.share) && !self.log.is_empty() {
            self.note(&now, None);
        }
        if let Some(standing) = self.keeping.as_mut().map(|k| &mut k.standing).filter(|s| s.number == until) {
            // Asked for when these losses were not in yet.
            (standing.log, standing.points) = (self.log.clone(), self.points);
            standing.records.clone_from(&self.writer.records);
        }
        Ok(())
    }

    /// Writes a state, of values that are finite: what follows of others is no training, and the state before may be one.
    fn save(&mut self, state: State) -> Result<()> {
        if state.vectors.iter().flatten().all(|v| v.is_finite()) {
            let start = Instant::now();
            state.save(self.writer.out)?;
            self.kept = Some(state.standing.number);
            self.keep = self.progress().seconds + KEEP_SECONDS.max(KEEP_COST * start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Adds a point to the curves.
    fn note(&mut self, now: &Progress, scores: Option<Scores>) {
        if self.log.is_empty()
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
        self.take_reads()?;
        self.log.take(&rows, self.number, self.options.precision)?;
        let ema = self.step.executor.read(self.step.optimizer.ema)?;
        self.denoiser.set_params(ema.clone())?;
        let scores = self.validation.scores(&mut self.denoiser)?;
        let scores = scores.ok_or_else(|| unstable(self.number, "held-out pictures come out as values that are not finite"))?;
        self.note(now, Some(scores));
        self.writer.checkpoint(now.step, scores.headline(), ema.clone())?;
        self.scores = Some(scores);
        let [params, moments] = ["params", "moments"].map(|name| {
            let id = self.step.executor.plan().host(name);
            self.step.executor.read(id)
        });
        self.save(State { standing: self.standing(now.seconds), vectors: [params?, moments?, ema] })
    }

    /// All steps that are left.
    fn run(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(&Progress)) -> Result<()> {
        let (mut checkpoint, mut validating) = (self.before, 0.0);
        loop {
            let now = self.progress();
            let done = now.share >= 1.0 || stop.load(Ordering::Relaxed);
            let due = self.validations.due(now.share) || now.seconds - checkpoint > CHECKPOINT_SECONDS;
            // Validations are for looking at: of a training that has only so much time, they take no more than a part.
            let timed = matches!(self.options.length, Length::Minutes(_));
            let affordable = !timed || validating <= VALIDATING * (now.seconds - self.before);
            if self.number > 0 && (done || due && affordable) {
                self.validate(&now)?;
                checkpoint = now.seconds;
                validating += self.progress().seconds - now.seconds;
            }
            if done {
                return Ok(());
            }
            self.advance(now.share)?;
            watch(&self.progress());
        }
    }

    /// The files that end a training.
    fn finish(mut self) -> Result<Outcome> {
        let seconds = self.before + self.start.elapsed().as_secs_f64();
        let Some(scores) = self.scores else { return Err(Error::Stopped) };
        let psnr_noisy = self.validation.psnr_noisy();
        let strips = self.validation.strips(&mut self.denoiser)?;
        self.writer.finish(self.number, seconds, psnr_noisy, scores, &strips)?;
        Ok(Outcome {
            steps: self.number,
            seconds,
            psnr_noisy,
            psnr_estimated: scores.estimated,
            psnr: scores.truth,
            model: self.writer.model(self.number, self.step.executor.read(self.step.optimizer.ema)?),
            best: self.writer.out.join("best.safetensors"),
            last: self.writer.out.join("last.safetensors"),
            records: self.writer.records,
            strips,
        })
    }

    /// Says what is left of a training whose device was lost.
    fn explain(error: Error, kept: Option<u64>, out: &Path) -> Error {
        match (error, kept) {
            (Error::Lost(what), Some(step)) => {
                Error::Lost(format!("{what}; the state of step {step} is kept in {}", out.join("state.safetensors").display()))
            }
            (Error::Lost(what), None) => Error::Lost(format!("{what}; nothing was kept of this training yet")),
            (other, _) => other,
        }
    }

    fn complete(mut self, stop: &AtomicBool, watch: &mut dyn FnMut(&Progress)) -> Result<Outcome> {
        let out = self.writer.out;
        let ran = self.run(stop, watch);
        let kept = self.kept;
        ran.and_then(|()| self.finish()).map_err(|e| Self::explain(e, kept, out))
    }
}

/// Trains, and leaves `config.toml`, `metrics.jsonl`, `best.safetensors`, `last.safetensors`, `state.safetensors`, `report.html`
/// and `samples/` in the folder `out`. Ends after the running step once `stop` is set. `watch` is told after every step.
///
/// # Errors
/// If options and pictures do not fit each other, the device fails, a file cannot be written, or the loss is not finite any
/// more. Of a training whose device was lost, the state of some seconds before is in the folder.
pub fn train(
    device: &Device,
    options: &Options,
    source: &Source,
    validation: &Validation,
    out: &Path,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Outcome> {
    Training::new(device, options, (source, validation), out, false)?.complete(stop, watch)
}

/// Goes on with a training that [`train`] left in the folder `out`, as if it had not been stopped: with the same options and
/// pictures, to the same bits on the same device.
///
/// # Errors
/// As [`train`], and if the folder has no state of a training with these options and pictures.
pub fn resume(
    device: &Device,
    options: &Options,
    source: &Source,
    validation: &Validation,
    out: &Path,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Outcome> {
    Training::new(device, options, (source, validation), out, true)?.complete(stop, watch)
}
