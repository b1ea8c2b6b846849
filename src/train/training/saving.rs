//! What is kept of a run on its way: losses and states as the device brings them, and the report.

use std::time::Instant;

use super::{SAVE_SECONDS, Training};
use crate::error::Result;
use crate::plan::Ticket;
use crate::train::config::FORMAT;
use crate::train::run::Progress;
use crate::train::state::{Snapshot, State};
use crate::train::validation::Scores;

/// Saving takes at most a hundredth of the time.
const SAVE_COST: f64 = 100.0;
/// Least seconds between reports.
const REPORT_SECONDS: f64 = 2.0;

/// A state on its way from the device.
pub(super) struct Saving {
    pub(super) snapshot: Snapshot,
    pub(super) tickets: [Ticket; 3],
    pub(super) vectors: [Option<Vec<f32>>; 3],
}

impl Training<'_> {
    /// Restores a saved state. If the length changed since, the progress is that of the new length.
    pub(super) fn restore(&mut self, State { snapshot, vectors }: State) -> Result<()> {
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
        self.judged = snapshot.judged;
        self.trainer.scale_rate(self.judged.factor(self.options.schedule));
        self.scores = snapshot.records.iter().rev().find_map(Scores::of);
        self.log = snapshot.log;
        (self.before, self.saved) = (seconds, Some(number));
        self.save_at += self.before;
        self.writer.resume(snapshot.records, snapshot.best);
        Ok(())
    }

    pub(super) fn snapshot(&self, seconds: f64) -> Snapshot {
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
            judged: self.judged,
            records: self.writer.records.clone(),
        }
    }

    /// Takes in what has arrived: losses in portions of [`LOOK`] steps, so that the curve is the same in every run, and a state.
    pub(super) fn take_reads(&mut self) -> Result<()> {
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

    pub(super) fn take_losses(&mut self, ticket: Ticket, rows: &[f32]) -> Result<()> {
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
    pub(super) fn save(&mut self, state: &State) -> Result<()> {
        let start = Instant::now();
        if self.keep(state)? {
            self.report()?;
            self.save_at = self.progress().seconds + SAVE_SECONDS.max(SAVE_COST * start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Writes a state, and nothing else: whether its values are finite.
    pub(super) fn keep(&mut self, state: &State) -> Result<bool> {
        let finite = state.vectors.iter().flatten().all(|v| v.is_finite());
        if finite {
            self.writer.state(state)?;
            self.saved = Some(state.snapshot.number);
        }
        Ok(finite)
    }

    /// Waits for the steps so far and saves their state: there may be no time for more.
    pub(super) fn save_now(&mut self) -> Result<()> {
        let number = self.trainer.steps();
        let (executor, step) = self.trainer.parts();
        let rows = executor.read(step.optimizer.log)?;
        self.take_reads()?;
        self.log.take(&rows, number, self.options.precision)?;
        let snapshot = self.snapshot(self.progress().seconds);
        let [params, moments, ema] = self.trainer.state().map(|id| self.trainer.parts().0.read(id));
        self.keep(&State { snapshot, vectors: [params?, moments?, ema?] }).map(drop)
    }

    /// Writes the report as it is now, unless it was written just before.
    pub(super) fn report(&mut self) -> Result<()> {
        let Progress { step, seconds, .. } = self.progress();
        if seconds - self.reported >= REPORT_SECONDS {
            self.writer.report(step, seconds, self.validation.psnr_noisy(), self.scores, &self.strips)?;
            self.reported = seconds;
        }
        Ok(())
    }
}
