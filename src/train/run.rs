//! A training with validation, checkpoints and a report: what goes into a run and what comes of it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::{Record, Strip};
use super::team::Team;
use super::teamwork::assist;
use super::training::Training;
use super::{Options, Origin, Source, Validation};
use crate::device::Device;
use crate::error::Result;
use crate::nets::{Model, Network};

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

/// Where a training begins.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// With initial parameters.
    Fresh,
    /// With the parameters of a model, and the values that it reads and writes.
    From(&'a Model),
    /// Where the run in the folder stopped.
    Resumed,
}

/// How far training has got.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
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
    /// Share of the time that steps have waited for files to be read, 0 to 1.
    pub waiting: f64,
}

/// What came of a training.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Steps done.
    pub steps: u64,
    /// Whether it ended before its length, for validations brought nothing better any more ([`Options::patience`]).
    pub early: bool,
    /// Wall-clock time of the loop.
    pub seconds: f64,
    /// PSNR of the noisy held-out pictures, dB.
    pub psnr_noisy: f64,
    /// Estimated clean PSNR at the end, where the noise allows one, dB.
    pub psnr_estimated: Option<f64>,
    /// 95 % confidence interval, dB; nothing where so little error is left that it may be none.
    pub psnr_estimated_interval: Option<[f64; 2]>,
    /// What is said of held-out pairs that do not match, if there are some.
    pub mismatch: Option<String>,
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
    /// Trains, and leaves `config.toml`, `metrics.jsonl`, `best.safetensors`, `last.safetensors`, `state.safetensors`,
    /// `report.html` and `samples/` in the run folder. `watch` is told after every step, and ends the training by
    /// `ControlFlow::Break`. Files of an earlier run in the folder stay until there is something to put in their place.
    ///
    /// # Errors
    /// If options and pictures do not fit each other, the device fails, a file cannot be written, or the loss is not finite any
    /// more. Of a training whose device was lost, the state of some seconds before is in the folder.
    pub fn start(&self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<Outcome> {
        self.train(Start::Fresh, &Origin::default(), watch)
    }

    /// Goes on with a training that [`Run::start`] left in the run folder, as if it had not been stopped: with the same options
    /// and pictures, to the same bits on the same device. With another length it goes further: from where it is on, learning
    /// rates are those of a training of that length.
    ///
    /// # Errors
    /// As [`Run::start`], and if the folder has no state of a training with these options and pictures, or has already
    /// trained that long.
    pub fn resume(&self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<Outcome> {
        self.train(Start::Resumed, &Origin::default(), watch)
    }

    /// The training of [`Run::start`] or [`Run::resume`], or one that begins with a model of the same network: fine-tuning.
    /// `origin` is noted in `config.toml`.
    ///
    /// # Errors
    /// As these, and if the model is of another network.
    pub fn train(&self, start: Start, origin: &Origin, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<Outcome> {
        Training::new(self, start, origin, None)?.complete(watch)
    }

    /// The same in a team of processes, which all call this with the same options and pictures: each draws a part of every batch,
    /// and they sum their gradients. The first of them leaves the files and gets the outcome; the others get none. Steps are
    /// those of one process with the whole batch within rounding, batch normalisation excepted, which each process does on its
    /// part.
    ///
    /// # Errors
    /// As [`Run::train`], and if another process is gone: the state of the last step is in the folder then.
    pub fn train_in(
        &self,
        team: &mut dyn Team,
        start: Start,
        origin: &Origin,
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Option<Outcome>> {
        if team.rank() == 0 {
            return Training::new(self, start, origin, Some(team))?.complete(watch).map(Some);
        }
        let idle =
            Progress { step: 0, share: 0.0, seconds: 0.0, pictures_per_second: 0.0, psnr: None, estimated: false, waiting: 0.0 };
        assist(self, team, || watch(&idle).is_break()).map(|()| None)
    }
}
