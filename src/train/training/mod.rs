//! The loop of a run: steps, a look at the losses, validations, checkpoints and states on the way, the report at the end.

mod saving;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::film::Film;
use super::log::{Log, Marks};
use super::report::{Record, Strip};
use super::run::{Outcome, Progress, Run, Start};
use super::schedule::Judged;
use super::state::{Identity, STATE, State};
use super::team::{Team, Vote};
use super::teamwork::{synchronise, trainer};
use super::trainer::Trainer;
use super::validation::Scores;
use super::writer::{BEST, LAST, Writer};
use super::{Length, Options, Origin, Validation};
use crate::data::files::lock;
use crate::denoise::Denoiser;
use crate::error::{Error, Result};
use crate::nets::{Model, Ranges};
use crate::plan::Ticket;

/// Steps between looks at the log of losses.
const LOOK: u64 = 16;
/// Most seconds without a checkpoint.
const CHECKPOINT_SECONDS: f64 = 600.0;
/// Largest share of the time that validation may take, the last one excepted.
const VALIDATING: f64 = 0.1;
/// Least seconds between states that are saved without a validation.
const SAVE_SECONDS: f64 = 10.0;
/// Points of the loss curve.
const POINTS: f64 = 200.0;

use saving::Saving;

/// A run under way.
pub(super) struct Training<'a> {
    options: &'a Options,
    validation: &'a Validation,
    identity: Identity,
    trainer: Trainer,
    /// Who trains along, and what was agreed on with the last step.
    team: Option<(&'a mut dyn Team, Vote)>,
    denoiser: Denoiser,
    writer: Writer<'a>,
    log: Log,
    /// Reads of the log under way, and the steps until which they count.
    looks: Vec<(Ticket, u64)>,
    points: Marks,
    validations: Marks,
    judged: Judged,
    start: Instant,
    /// Seconds of training before `start`.
    before: f64,
    scores: Option<Scores>,
    /// Held-out pictures at the last validation.
    strips: Vec<Strip>,
    film: Film,
    /// When the report was written, seconds.
    reported: f64,
    saving: Option<Saving>,
    /// Step of the state in the folder.
    saved: Option<u64>,
    /// When a state is to be saved next, seconds.
    save_at: f64,
}

impl<'a> Training<'a> {
    /// Prepares a training at its first step, or where the run folder has it.
    pub(super) fn new(run: &Run<'a>, start: Start, origin: &Origin, team: Option<&'a mut dyn Team>) -> Result<Self> {
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
        let ranges = ranges(run, state.as_ref(), model);
        let mut team = team.map(|team| (team, Vote { stop: false, share: 0.0, factor: 1.0 }));
        let mut trainer = match &mut team {
            Some((team, _)) => trainer(run, *team, &identity, Some(ranges))?,
            None => Trainer::new(device, Arc::clone(network), options, source, ranges)?,
        };
        if let Some(model) = model {
            trainer.begin_with(model)?;
        }
        let averaged = trainer.averaged()?;
        let denoiser = Denoiser::with_params(device, (Arc::clone(network), ranges), averaged, None)?;
        let writer = Writer::new(run, ranges, lock, origin)?;
        let validations = options.validations(trainer.epochs(1), validation.pixels());
        // A team may lose a process at any time, and has little time then.
        let save_at = if team.is_some() { 0.0 } else { SAVE_SECONDS };
        let mut training = Self {
            options,
            validation,
            identity,
            trainer,
            team,
            denoiser,
            writer,
            log: Log::default(),
            looks: Vec::new(),
            points: Marks::new(POINTS),
            validations: Marks::new(validations),
            judged: Judged::default(),
            start: Instant::now(),
            before: 0.0,
            scores: None,
            strips: Vec::new(),
            film: Film::default(),
            reported: f64::NEG_INFINITY,
            saving: None,
            saved: None,
            save_at,
        };
        if let Some(state) = state {
            training.restore(state)?;
        }
        let share = training.progress().share;
        if let Some((team, agreed)) = &mut training.team {
            *agreed = synchronise(*team, &mut training.trainer, share)?;
        }
        Ok(training)
    }

    fn progress(&self) -> Progress {
        let (step, seconds) = (self.trainer.steps(), self.before + self.start.elapsed().as_secs_f64());
        Progress {
            step,
            share: self.options.length.progress(step, seconds, self.trainer.epochs(step)),
            seconds,
            pictures_per_second: step as f64 * self.options.crops() as f64 / seconds,
            psnr: self.scores.and_then(|s| s.headline()),
            estimated: self.scores.is_none_or(|s| s.estimated.is_some() || s.truth.is_none()),
            waiting: self.trainer.waited().as_secs_f64() / self.start.elapsed().as_secs_f64(),
        }
    }

    /// How far it has got; in a team, by what was agreed on.
    fn now(&self) -> Progress {
        let now = self.progress();
        Progress { share: self.team.as_ref().map_or(now.share, |(_, agreed)| agreed.share), ..now }
    }

    /// Submits a step and takes in the losses that have arrived. A team is told of the wish to stop, and all stop where one
    /// wishes to.
    fn advance(&mut self, share: f64, wish: bool) -> Result<bool> {
        let (next, seconds) = (self.trainer.steps() + 1, self.progress().seconds);
        let stop = match &mut self.team {
            Some((team, agreed)) => {
                let share_then = self.options.length.progress(next, seconds, self.trainer.epochs(next));
                *agreed = self.trainer.advance_with(
                    *team,
                    share,
                    Vote { stop: wish, share: share_then, factor: self.judged.factor(self.options.schedule) },
                )?;
                self.trainer.scale_rate(agreed.factor);
                agreed.stop
            }
            None => {
                self.trainer.advance(share)?;
                wish
            }
        };
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
        self.take_reads()?;
        Ok(stop)
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

    /// Waits for the steps so far, scores the held-out pictures, and writes a checkpoint. `counts` for the rate and for patience,
    /// if it would come in a training without a stop as well.
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
        let (scores, mut strips) = scores.ok_or_else(|| Error::Unstable { step: number, signs: signs() })?;
        self.film.take(number, &mut strips);
        self.strips = strips;
        self.note(now, Some(scores));
        self.writer.checkpoint(now.step, scores.headline(), ema.clone())?;
        self.scores = Some(scores);
        if counts && let Some(score) = scores.headline() {
            self.judged.take(score);
            // A team takes it up together, with the next step.
            if self.team.is_none() {
                self.trainer.scale_rate(self.judged.factor(self.options.schedule));
            }
        }
        let snapshot = self.snapshot(now.seconds);
        let (executor, step) = self.trainer.parts();
        let [params, moments] = [step.params, step.optimizer.moments].map(|id| executor.read(id));
        self.save(&State { snapshot, vectors: [params?, moments?, ema] })
    }

    /// All steps that are left.
    fn run(&mut self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<()> {
        let (mut checkpoint, mut validating, mut stop, mut wish) = (self.before, 0.0, false, false);
        let alone = self.team.is_none();
        let (first, mut validated) = (self.trainer.steps(), None);
        loop {
            let now = self.now();
            let done = now.share >= 1.0 || stop || alone && self.options.is_over(self.judged);
            if stop && !alone {
                // What has started a team may kill it soon after it was told to end it.
                self.save_now()?;
            }
            let planned = self.validations.due(now.share);
            let due = planned || now.seconds - checkpoint > CHECKPOINT_SECONDS;
            // Validations are for looking at: of a training that has only so much time, they take no more than a part.
            let timed = matches!(self.options.length, Length::Minutes(_));
            let affordable = !timed || validating <= VALIDATING * (now.seconds - self.before);
            if now.step > 0 && (done || due && affordable) && validated != Some(now.step) {
                self.validate(&now, planned)?;
                validated = Some(now.step);
                checkpoint = now.seconds;
                validating += self.progress().seconds - now.seconds;
            }
            let over = self.options.is_over(self.judged);
            if done || alone && over {
                return Ok(());
            }
            if alone && !self.trainer.is_ready()? {
                stop = watch(&self.progress()).is_break();
                if stop && now.step == first {
                    // Nothing is new, and all that was saved before stays.
                    return Err(Error::Stopped);
                }
                continue;
            }
            let agreed = self.advance(now.share, wish || over)?;
            wish = watch(&self.progress()).is_break();
            stop = if alone { wish } else { agreed };
        }
    }

    /// The files that end a training.
    fn finish(mut self) -> Result<Outcome> {
        let (steps, seconds) = (self.trainer.steps(), self.before + self.start.elapsed().as_secs_f64());
        let scores = self.scores.ok_or(Error::Stopped)?;
        let psnr_noisy = self.validation.psnr_noisy();
        self.writer.report(steps, seconds, psnr_noisy, Some(scores), &self.strips)?;
        self.writer.samples(&self.strips)?;
        let early = self.progress().share < 1.0 && self.options.is_over(self.judged);
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
        if let Err(Error::Gone(_)) = ran {
            // The last step was not finished, and the device holds the one before. If that cannot be saved, what was saved before
            // stays.
            let _ = self.save_now();
        }
        let saved = self.saved;
        ran.and_then(|()| self.finish()).map_err(|e| explain(e, saved, out))
    }
}

/// What the network reads and writes: as the state or the model says that the training begins with, else by the pictures.
fn ranges(run: &Run, state: Option<&State>, model: Option<&Model>) -> Ranges {
    let source = run.source;
    // A model of photographs that is trained further on counts reads these as it read photographs.
    let of_model = model.filter(|m| m.signal().is_some() || source.signal().is_none()).map(|m| m.ranges);
    let known = state.map_or(of_model, |state| state.snapshot.ranges);
    known.unwrap_or_else(|| run.network.values().ranges_of(source.signal(), || source.statistics()))
}

/// Adds to the error of a lost device, or process, where the last saved state is.
fn explain(error: Error, saved: Option<u64>, out: &Path) -> Error {
    let with_state = |what: &str, step: u64| format!("{what}; the state of step {step} is in {}", out.join(STATE).display());
    match (error, saved) {
        (Error::Lost(what), Some(step)) => Error::Lost(with_state(&what, step)),
        (Error::Gone(what), Some(step)) => Error::Gone(with_state(&what, step)),
        (Error::Lost(what), None) => Error::Lost(format!("{what}; nothing was saved of this training yet")),
        (other, _) => other,
    }
}
