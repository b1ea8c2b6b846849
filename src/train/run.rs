//! A training with validation, checkpoints and a report: a run.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::log::{Log, Marks};
use super::report::{Record, Strip};
use super::state::{Identity, Snapshot, State};
use super::trainer::Trainer;
use super::validation::Scores;
use super::writer::{BEST, LAST, Writer};
use super::{Length, Options, Source, Validation};
use crate::data::files::lock;
use crate::denoise::Denoiser;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nets::{Model, Network};
use crate::plan::Ticket;

/// Steps between looks at the log of losses.
const LOOK: u64 = 16;
/// Validations in a training.
const VALIDATIONS: f64 = 20.0;
/// Most seconds without a checkpoint.
const CHECKPOINT_SECONDS: f64 = 600.0;
/// Largest share of the time that validation may take, the last one excepted.
const VALIDATING: f64 = 0.1;
/// Least seconds between states that are saved without a validation.
const SAVE_SECONDS: f64 = 10.0;
/// Saving takes at most a hundredth of the time.
const SAVE_COST: f64 = 100.0;
/// Points of the loss curve.
const POINTS: f64 = 200.0;

/// What is trained, how, on what, and where its files go.
#[derive(Clone)]
pub struct Run<'a> {
    /// Where the steps run.
    pub device: &'a Device,
    /// The network.
    pub network: Arc<dyn Network>,
    /// How it is trained.
    pub options: &'a Options,
    /// What it is trained on.
    pub source: &'a Source,
    /// What it is judged by.
    pub validation: &'a Validation,
    /// The run folder.
    pub out: &'a Path,
}

/// How far training has got.
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

impl Run<'_> {
    /// Trains, and leaves `config.toml`, `metrics.jsonl`, `best.safetensors`, `last.safetensors`, `state.safetensors`, `report.html`
    /// and `samples/` in the run folder. `watch` is told after every step, and ends the training by `ControlFlow::Break`. Files of
    /// an earlier run in the folder stay until there is something to put in their place.
    ///
    /// # Errors
    /// If options and pictures do not fit each other, the device fails, a file cannot be written, or the loss is not finite any
    /// more. Of a training whose device was lost, the state of some seconds before is in the folder.
    pub fn start(&self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<Outcome> {
        Training::new(self, false)?.complete(watch)
    }

    /// Goes on with a training that [`Run::start`] left in the run folder, as if it had not been stopped: with the same options and
    /// pictures, to the same bits on the same device.
    ///
    /// # Errors
    /// As [`Run::start`], and if the folder has no state of a training with these options and pictures.
    pub fn resume(&self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<Outcome> {
        Training::new(self, true)?.complete(watch)
    }
}

/// A state on its way from the device.
struct Saving {
    snapshot: Snapshot,
    tickets: [Ticket; 3],
    vectors: [Option<Vec<f32>>; 3],
}

/// A run under way.
struct Training<'a> {
    options: &'a Options,
    validation: &'a Validation,
    identity: Identity,
    trainer: Trainer,
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
    scores: Option<Scores>,
    saving: Option<Saving>,
    /// Step of the state in the folder.
    saved: Option<u64>,
    /// When a state is to be saved next, seconds.
    save_at: f64,
}

impl<'a> Training<'a> {
    /// Readies a training at its first step, or where the run folder has it.
    fn new(run: &Run<'a>, resume: bool) -> Result<Self> {
        let Run { device, ref network, options, source, validation, out } = *run;
        options.check(network.as_ref())?;
        // Another process may be writing to a folder that is there already.
        let lock = if out.is_dir() { Some(lock(out)?) } else { None };
        let identity = Identity::new(network.as_ref(), options, source, validation);
        let state = if resume { Some(State::load_for(out, &identity, network.as_ref())?) } else { None };
        let ranges = network.values().ranges(|| source.statistics());
        let mut trainer = Trainer::new(device, Arc::clone(network), options, source, ranges)?;
        let averaged = trainer.averaged()?;
        let denoiser = Denoiser::with_params(device, (Arc::clone(network), ranges), averaged, None)?;
        let writer = Writer::new(run, ranges, lock)?;
        let mut training = Self {
            options,
            validation,
            identity,
            trainer,
            denoiser,
            writer,
            log: Log::default(),
            looks: Vec::new(),
            points: Marks::new(POINTS),
            validations: Marks::new(VALIDATIONS),
            start: Instant::now(),
            before: 0.0,
            scores: None,
            saving: None,
            saved: None,
            save_at: SAVE_SECONDS,
        };
        if let Some(state) = state {
            training.restore(state)?;
        }
        Ok(training)
    }

    /// Puts everything as it was.
    fn restore(&mut self, State { snapshot, vectors }: State) -> Result<()> {
        self.trainer.restore(snapshot.number, &vectors)?;
        self.scores = snapshot.records.iter().rev().find_map(Scores::of);
        (self.log, self.points, self.validations) = (snapshot.log, snapshot.points, snapshot.validations);
        (self.before, self.saved) = (snapshot.seconds, Some(snapshot.number));
        self.save_at += self.before;
        self.writer.resume(snapshot.records, snapshot.best);
        Ok(())
    }

    fn snapshot(&self, seconds: f64) -> Snapshot {
        Snapshot {
            identity: self.identity.clone(),
            device: self.writer.device().to_owned(),
            number: self.trainer.steps(),
            seconds,
            best: self.writer.best(),
            log: self.log.clone(),
            points: self.points,
            validations: self.validations,
            records: self.writer.records.clone(),
        }
    }

    fn progress(&self) -> Progress {
        let (step, seconds) = (self.trainer.steps(), self.before + self.start.elapsed().as_secs_f64());
        Progress {
            step,
            share: self.options.length.progress(step, seconds, self.trainer.epochs(step)),
            seconds,
            pictures_per_second: step as f64 * self.options.batch as f64 / seconds,
            psnr: self.scores.map(|s| s.headline()),
            estimated: self.scores.is_none_or(|s| s.estimated.is_some()),
        }
    }

    /// Submits a step and takes in the losses that have arrived.
    fn advance(&mut self, share: f64) -> Result<()> {
        self.trainer.advance(share)?;
        let number = self.trainer.steps();
        if number.is_multiple_of(LOOK) {
            let (executor, step) = self.trainer.parts();
            self.looks.push((executor.read_later(step.optimizer.log)?, number));
            let seconds = self.progress().seconds;
            if seconds >= self.save_at && self.saving.is_none() {
                let snapshot = self.snapshot(seconds);
                let mut tickets = [0; 3];
                for (ticket, id) in tickets.iter_mut().zip(self.trainer.state()) {
                    *ticket = self.trainer.parts().0.read_later(id)?;
                }
                self.saving = Some(Saving { snapshot, tickets, vectors: [const { None }; 3] });
            }
        }
        self.take_reads()
    }

    /// Takes in what has arrived: losses in portions of [`LOOK`] steps, so that the curve is the same in every run, and a state.
    fn take_reads(&mut self) -> Result<()> {
        for (ticket, data) in self.trainer.parts().0.finished_reads()? {
            let saving = self.saving.as_mut().and_then(|s| Some((s.tickets.iter().position(|t| *t == ticket)?, s)));
            match saving {
                Some((i, saving)) => saving.vectors[i] = Some(data),
                None => self.take_losses(ticket, &data)?,
            }
        }
        match self.saving.take() {
            Some(Saving { snapshot, vectors: [Some(params), Some(moments), Some(ema)], .. }) => {
                self.save(&State { snapshot, vectors: [params, moments, ema] })
            }
            waiting => {
                self.saving = waiting;
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
        now.share = self.options.length.progress(until, now.seconds, self.trainer.epochs(until));
        if self.points.due(now.share) && !self.log.is_empty() {
            self.note(&now, None);
        }
        if let Some(snapshot) = self.saving.as_mut().map(|s| &mut s.snapshot).filter(|s| s.number == until) {
            // Asked for when these losses were not in yet.
            (snapshot.log, snapshot.points) = (self.log.clone(), self.points);
            snapshot.records.clone_from(&self.writer.records);
        }
        Ok(())
    }

    /// Writes a state. One with values that are not finite is not saved, so that the last good one stays.
    fn save(&mut self, state: &State) -> Result<()> {
        if state.vectors.iter().flatten().all(|v| v.is_finite()) {
            let start = Instant::now();
            self.writer.state(state)?;
            self.saved = Some(state.snapshot.number);
            self.save_at = self.progress().seconds + SAVE_SECONDS.max(SAVE_COST * start.elapsed().as_secs_f64());
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
            lr: self.trainer.rate(now.step, now.share),
            grad_norm,
            psnr_estimated: scores.and_then(|s| s.estimated),
            psnr: scores.and_then(|s| s.truth),
            pictures_per_second: now.pictures_per_second,
        });
    }

    /// Waits for the steps so far, scores the held-out pictures, and writes a checkpoint.
    fn validate(&mut self, now: &Progress) -> Result<()> {
        let number = self.trainer.steps();
        let (executor, step) = self.trainer.parts();
        let rows = executor.read(step.optimizer.log)?;
        self.take_reads()?;
        self.log.take(&rows, number, self.options.precision)?;
        let ema = self.trainer.averaged()?;
        self.denoiser.set_params(ema.clone())?;
        let scores = self.validation.scores(&mut self.denoiser)?;
        let signs = || "held-out pictures come out as values that are not finite".to_owned();
        let scores = scores.ok_or_else(|| Error::Unstable { step: number, signs: signs() })?;
        self.note(now, Some(scores));
        self.writer.checkpoint(now.step, scores.headline(), ema.clone())?;
        self.scores = Some(scores);
        let snapshot = self.snapshot(now.seconds);
        let (executor, step) = self.trainer.parts();
        let [params, moments] = [step.params, step.optimizer.moments].map(|id| executor.read(id));
        self.save(&State { snapshot, vectors: [params?, moments?, ema] })
    }

    /// All steps that are left.
    fn run(&mut self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<()> {
        let (mut checkpoint, mut validating, mut stop) = (self.before, 0.0, false);
        loop {
            let now = self.progress();
            let done = now.share >= 1.0 || stop;
            let due = self.validations.due(now.share) || now.seconds - checkpoint > CHECKPOINT_SECONDS;
            // Validations are for looking at: of a training that has only so much time, they take no more than a part.
            let timed = matches!(self.options.length, Length::Minutes(_));
            let affordable = !timed || validating <= VALIDATING * (now.seconds - self.before);
            if now.step > 0 && (done || due && affordable) {
                self.validate(&now)?;
                checkpoint = now.seconds;
                validating += self.progress().seconds - now.seconds;
            }
            if done {
                return Ok(());
            }
            self.advance(now.share)?;
            stop = watch(&self.progress()).is_break();
        }
    }

    /// The files that end a training.
    fn finish(mut self) -> Result<Outcome> {
        let (steps, seconds) = (self.trainer.steps(), self.before + self.start.elapsed().as_secs_f64());
        let scores = self.scores.ok_or(Error::Stopped)?;
        let psnr_noisy = self.validation.psnr_noisy();
        let strips = self.validation.strips(&mut self.denoiser)?;
        self.writer.finish(steps, seconds, psnr_noisy, scores, &strips)?;
        Ok(Outcome {
            steps,
            seconds,
            psnr_noisy,
            psnr_estimated: scores.estimated,
            psnr: scores.truth,
            model: self.writer.model(steps, self.trainer.averaged()?),
            best: self.writer.path(BEST),
            last: self.writer.path(LAST),
            records: self.writer.records,
            strips,
        })
    }

    fn complete(mut self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<Outcome> {
        let out = self.writer.out;
        let ran = self.run(watch);
        let saved = self.saved;
        ran.and_then(|()| self.finish()).map_err(|e| explain(e, saved, out))
    }
}

/// Says what is left of a training whose device was lost.
fn explain(error: Error, saved: Option<u64>, out: &Path) -> Error {
    match (error, saved) {
        (Error::Lost(what), Some(step)) => {
            Error::Lost(format!("{what}; the state of step {step} is in {}", out.join("state.safetensors").display()))
        }
        (Error::Lost(what), None) => Error::Lost(format!("{what}; nothing was saved of this training yet")),
        (other, _) => other,
    }
}
