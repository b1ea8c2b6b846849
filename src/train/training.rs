//! The loop of a run: steps, a look at the losses, validations, checkpoints and states on the way, the report at the end.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::config::FORMAT;
use super::log::{Log, Marks};
use super::report::{Record, Strip};
use super::run::{Outcome, Progress, Run, Start};
use super::schedule::Plateau;
use super::state::{Identity, Snapshot, State};
use super::trainer::Trainer;
use super::validation::Scores;
use super::writer::{BEST, LAST, Writer};
use super::{Length, Options, Origin, Schedule, Validation};
use crate::data::files::lock;
use crate::denoise::Denoiser;
use crate::error::{Error, Result};
use crate::plan::Ticket;

/// Steps between looks at the log of losses.
const LOOK: u64 = 16;
/// Most seconds without a checkpoint.
const CHECKPOINT_SECONDS: f64 = 600.0;
/// Largest share of the time that validation may take, the last one excepted.
const VALIDATING: f64 = 0.1;
/// Least seconds between states that are saved without a validation.
const SAVE_SECONDS: f64 = 10.0;
/// Saving takes at most a hundredth of the time.
const SAVE_COST: f64 = 100.0;
/// Least seconds between reports.
const REPORT_SECONDS: f64 = 2.0;
/// Points of the loss curve.
const POINTS: f64 = 200.0;

/// A state on its way from the device.
struct Saving {
    snapshot: Snapshot,
    tickets: [Ticket; 3],
    vectors: [Option<Vec<f32>>; 3],
}

/// A run under way.
pub(super) struct Training<'a> {
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
    plateau: Plateau,
    start: Instant,
    /// Seconds of training before `start`.
    before: f64,
    scores: Option<Scores>,
    /// Held-out pictures at the last validation.
    strips: Vec<Strip>,
    /// When the report was written, seconds.
    reported: f64,
    saving: Option<Saving>,
    /// Step of the state in the folder.
    saved: Option<u64>,
    /// When a state is to be saved next, seconds.
    save_at: f64,
}

impl<'a> Training<'a> {
    /// Readies a training at its first step, or where the run folder has it.
    pub(super) fn new(run: &Run<'a>, start: Start, origin: &Origin) -> Result<Self> {
        let Run { device, ref network, options, source, validation, out } = *run;
        options.check(network.as_ref())?;
        // Another process may be writing to a folder that is there already.
        let lock = if out.is_dir() { Some(lock(out)?) } else { None };
        let identity = Identity::new(network.as_ref(), options, source, validation);
        let (state, model) = match start {
            Start::Fresh => (None, None),
            Start::From(model) => (None, Some(model)),
            Start::Resumed => (Some(State::load_for(out, &identity, network.as_ref())?), None),
        };
        // A model of photographs that is trained further on counts reads these as it read photographs.
        let of_model = model.filter(|m| m.signal().is_some() || source.signal().is_none()).map(|m| m.ranges);
        let known = state.as_ref().map_or(of_model, |state| state.snapshot.ranges);
        let ranges = known.unwrap_or_else(|| network.values().ranges_of(source.signal(), || source.statistics()));
        let mut trainer = Trainer::new(device, Arc::clone(network), options, source, ranges)?;
        if let Some(model) = model {
            trainer.begin_with(model)?;
        }
        let averaged = trainer.averaged()?;
        let denoiser = Denoiser::with_params(device, (Arc::clone(network), ranges), averaged, None)?;
        let writer = Writer::new(run, ranges, lock, origin)?;
        let validations = options.validations(trainer.epochs(1), validation.pixels());
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
            validations: Marks::new(validations),
            plateau: Plateau::default(),
            start: Instant::now(),
            before: 0.0,
            scores: None,
            strips: Vec::new(),
            reported: f64::NEG_INFINITY,
            saving: None,
            saved: None,
            save_at: SAVE_SECONDS,
        };
        if let Some(state) = state {
            training.restore(state)?;
        }
        Ok(training)
    }

    /// Puts everything as it was; goes on to another end if another one is asked for.
    fn restore(&mut self, State { snapshot, vectors }: State) -> Result<()> {
        let (number, seconds, length) = (snapshot.number, snapshot.seconds, self.options.length);
        if snapshot.identity.options.length == length {
            (self.points, self.validations) = (snapshot.points, snapshot.validations);
        } else {
            let epochs = self.trainer.epochs(number);
            let share = length.progress(number, seconds, epochs);
            if share >= 1.0 {
                return Err(length.is_over(number, seconds, epochs));
            }
            self.points.skip_to(share);
            self.validations.skip_to(share);
        }
        self.trainer.restore(number, &vectors)?;
        self.plateau = snapshot.plateau;
        self.trainer.scale_rate(self.plateau.factor());
        self.scores = snapshot.records.iter().rev().find_map(Scores::of);
        self.log = snapshot.log;
        (self.before, self.saved) = (seconds, Some(number));
        self.save_at += self.before;
        self.writer.resume(snapshot.records, snapshot.best);
        Ok(())
    }

    fn snapshot(&self, seconds: f64) -> Snapshot {
        let number = self.trainer.steps();
        Snapshot {
            format: FORMAT,
            identity: self.identity.clone(),
            device: self.writer.device().to_owned(),
            number,
            seconds,
            share: self.options.length.progress(number, seconds, self.trainer.epochs(number)),
            ranges: Some(self.writer.ranges()),
            best: self.writer.best(),
            log: self.log.clone(),
            points: self.points,
            validations: self.validations,
            plateau: self.plateau,
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
            psnr: self.scores.and_then(|s| s.headline()),
            estimated: self.scores.is_none_or(|s| s.estimated.is_some() || s.truth.is_none()),
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
            self.report()?;
            self.save_at = self.progress().seconds + SAVE_SECONDS.max(SAVE_COST * start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Writes the report as it is now, unless it was written just before.
    fn report(&mut self) -> Result<()> {
        let Progress { step, seconds, .. } = self.progress();
        if seconds - self.reported >= REPORT_SECONDS {
            self.writer.report(step, seconds, self.validation.psnr_noisy(), self.scores, &self.strips)?;
            self.reported = seconds;
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
            last.psnr_estimated_interval = scores.and_then(|s| s.interval);
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
            psnr_estimated_interval: scores.and_then(|s| s.interval),
            psnr: scores.and_then(|s| s.truth),
            pictures_per_second: now.pictures_per_second,
        });
    }

    /// Waits for the steps so far, scores the held-out pictures, and writes a checkpoint. `counts` for the schedule of the rate, if it
    /// would come in a training without a stop as well.
    fn validate(&mut self, now: &Progress, counts: bool) -> Result<()> {
        let number = self.trainer.steps();
        let (executor, step) = self.trainer.parts();
        let rows = executor.read(step.optimizer.log)?;
        self.take_reads()?;
        self.log.take(&rows, number, self.options.precision)?;
        let ema = self.trainer.averaged()?;
        self.denoiser.set_params(ema.clone())?;
        let scores = self.validation.scores(&mut self.denoiser)?;
        let signs = || "held-out pictures come out as values that are not finite".to_owned();
        let (scores, strips) = scores.ok_or_else(|| Error::Unstable { step: number, signs: signs() })?;
        self.strips = strips;
        self.note(now, Some(scores));
        self.writer.checkpoint(now.step, scores.headline(), ema.clone())?;
        self.scores = Some(scores);
        if counts
            && self.options.schedule == Schedule::Plateau
            && let Some(score) = scores.headline()
        {
            self.plateau.take(score);
            self.trainer.scale_rate(self.plateau.factor());
        }
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
            let done = now.share >= 1.0 || stop || self.options.is_over(&self.writer.records);
            let planned = self.validations.due(now.share);
            let due = planned || now.seconds - checkpoint > CHECKPOINT_SECONDS;
            // Validations are for looking at: of a training that has only so much time, they take no more than a part.
            let timed = matches!(self.options.length, Length::Minutes(_));
            let affordable = !timed || validating <= VALIDATING * (now.seconds - self.before);
            if now.step > 0 && (done || due && affordable) {
                self.validate(&now, planned)?;
                checkpoint = now.seconds;
                validating += self.progress().seconds - now.seconds;
            }
            if done || self.options.is_over(&self.writer.records) {
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
        self.writer.report(steps, seconds, psnr_noisy, Some(scores), &self.strips)?;
        self.writer.samples(&self.strips)?;
        let early = self.progress().share < 1.0 && self.options.is_over(&self.writer.records);
        Ok(Outcome {
            steps,
            early,
            seconds,
            psnr_noisy,
            psnr_estimated: scores.estimated,
            psnr_estimated_interval: scores.interval,
            mismatch: scores.mismatched(),
            psnr: scores.truth,
            model: self.writer.model(steps, self.trainer.averaged()?),
            best: self.writer.path(BEST),
            last: self.writer.path(LAST),
            records: self.writer.records,
            strips: self.strips,
        })
    }

    /// Trains to the end.
    pub(super) fn complete(mut self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<Outcome> {
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
