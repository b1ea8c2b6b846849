//! `n2n-gpu train`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::Args;
use n2n_gpu::data::dataset;
use n2n_gpu::data::files::{list, pair};
use n2n_gpu::data::picture::{Rgb8, load_each_rgb8};
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::graph::Precision;
use n2n_gpu::nets::{Anatomy, Entry, Network, Task};
use n2n_gpu::noise::{self, Noise};
use n2n_gpu::train::{self, Outcome, Recipe, Resumable, Run, Source, TrainingPicture, Validation, is_run, resumable, split};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::aux::AuxArgs;
use super::interrupt::stops_training;
use super::net::{NetArgs, PrecisionArg};
use super::output::{Output, TrainingBar, complain, counted, path_text};
use super::recipe::RecipeArgs;
use super::{Common, Usage};

/// Arguments of `train`.
#[derive(Args, Debug)]
#[command(after_help = format!("Noise laws:\n{}", noise::help()))]
pub(super) struct Options {
    /// Photographs to train on: files and folders, any sizes
    #[arg(value_name = "PHOTOS", required_unless_present_any = ["pairs", "dataset"])]
    photos: Vec<PathBuf>,
    /// Noise to add: one of the laws below
    #[arg(long, display_order = 0, value_name = "LAW", conflicts_with_all = ["pairs", "dataset"], allow_negative_numbers = true,
        required_unless_present_any = ["pairs", "dataset"])]
    noise: Option<Noise>,
    /// Two folders with noisy pictures of the same scenes under the same names
    #[arg(long, help_heading = "Data", num_args = 2, value_names = ["A", "B"], conflicts_with = "photos")]
    pairs: Option<Vec<PathBuf>>,
    /// Pairs in one file: .pkl, .pt, .npz, .npy or .safetensors with two arrays of bytes; or a folder with folders a and b
    #[arg(long, help_heading = "Data", value_name = "FILE", conflicts_with_all = ["photos", "pairs"])]
    dataset: Option<PathBuf>,
    /// Folder for the model, the metrics and the report
    #[arg(long, display_order = 1, value_name = "RUN")]
    out: PathBuf,
    /// Replace an earlier run in that folder
    #[arg(long, help_heading = "Earlier runs")]
    overwrite: bool,
    /// Go on with the run in that folder where it stopped
    ///
    /// With the same pictures, --noise, --val and --seed; other options may be left out. On the same device the result is bit-identical to that of an uninterrupted run, unless its length is in minutes
    #[arg(long, help_heading = "Earlier runs", conflicts_with = "overwrite")]
    resume: bool,
    /// Held-out photographs for validation, or a data set of noisy and clean pictures [default: one in twenty of what is given]
    #[arg(long, display_order = 3, value_name = "DATA")]
    val: Option<PathBuf>,
    /// Train towards clean targets, for comparison
    #[arg(long, help_heading = "Data", hide_short_help = true, conflicts_with_all = ["pairs", "dataset"])]
    clean_targets: bool,
    #[command(flatten, next_help_heading = "Data")]
    aux: AuxArgs,
    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    precision: PrecisionArg,
    #[command(flatten)]
    recipe: RecipeArgs,
}

/// Makes the output folder that `flag` names, or says why it cannot be one.
pub(super) fn make_folder(flag: &str, path: &Path) -> anyhow::Result<()> {
    if path.is_file() {
        return Err(Error::file(path, format!("is a file: name a folder with {flag}")).into());
    }
    std::fs::create_dir_all(path)
        .map_err(|e| Error::file(path, format!("the folder cannot be made: {e}; name another with {flag}")))?;
    tempfile::tempfile_in(path)
        .map(drop)
        .map_err(|e| Error::file(path, format!("nothing can be written there: {e}; name another with {flag}")).into())
}

/// Those of the pictures that can be read. Others are named and left out, unless there are no more.
fn readable<T>(pictures: impl IntoIterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for picture in pictures {
        match picture {
            Ok(picture) => read.push(picture),
            Err(e) => errors.push(e),
        }
    }
    if read.is_empty() && !errors.is_empty() {
        return Err(errors.swap_remove(0));
    }
    errors.iter().for_each(|e| complain(&format!("left out: {e}")));
    Ok(read)
}

fn photos(inputs: &[PathBuf]) -> Result<Vec<Rgb8>, Error> {
    readable(load_each_rgb8(&list(inputs)?))
}

/// How pairs are read: in 8 bit, or in floats with what the network reads beside the colours.
struct PairReader<'a> {
    aux: &'a AuxArgs,
    network: &'a Arc<dyn Network>,
}

type Pair = (TrainingPicture, TrainingPicture);

impl PairReader<'_> {
    /// Pairs in two folders, in a folder with the folders a and b, or in a file.
    fn read(&self, data: &Path) -> Result<Vec<Pair>, Error> {
        if data.is_dir() {
            return self.folders(&data.join("a"), &data.join("b"));
        }
        Ok(dataset::load(data)?.into_pictures().into_iter().map(|(a, b)| (a.into(), b.into())).collect())
    }

    fn folders(&self, a: &Path, b: &Path) -> Result<Vec<Pair>, Error> {
        let (a, b): (Vec<_>, Vec<_>) = pair(a, b)?.into_iter().unzip();
        if !self.network.transfer().is_linear() && self.aux.is_empty() {
            return readable(load_each_rgb8(&a).into_iter().zip(load_each_rgb8(&b)).map(|(a, b)| Ok((a?.into(), b?.into()))));
        }
        let load = |(a, b): (&PathBuf, &PathBuf)| Ok((self.aux.load(a, self.network)?, self.aux.load(b, self.network)?));
        readable(a.par_iter().zip(&b).map(load).collect::<Vec<_>>())
    }
}

/// Whether a file lies in a folder, whatever the names of the way there.
fn lies_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    }
}

/// What to train on, and what is held out: from the same set, or what --val names.
fn source(options: &Options, network: &Arc<dyn Network>, seed: u32) -> anyhow::Result<(Source, Validation)> {
    let pairs = PairReader { aux: &options.aux, network };
    let training = match (&options.pairs, &options.dataset) {
        (Some(both), _) => Source::pairs(pairs.folders(&both[0], &both[1])?)?,
        (_, Some(data)) => Source::pairs(pairs.read(data)?)?,
        _ => {
            let noise = options.noise.ok_or_else(|| Usage::new("--noise is missing"))?;
            let files = list(&options.photos)?;
            if let Some(file) = files.iter().find(|file| lies_in(file, &options.out.join("samples"))) {
                let problem = "lies where the samples of the run go, and could be replaced: name another folder with --out";
                return Err(Usage::new(format!("{}: {problem}", file.display())));
            }
            Source::photos(readable(load_each_rgb8(&files))?, noise)
        }
    };
    match (&options.val, training.added_noise()) {
        (None, _) => {
            let (training, held_out) = split(training);
            Ok((training, Validation::new(&held_out, seed)?))
        }
        (Some(folder), Some(noise)) => {
            let held_out = Source::photos(photos(std::slice::from_ref(folder))?, noise);
            Ok((training, Validation::new(&held_out, seed)?))
        }
        (Some(data), None) => Ok((training, Validation::with_clean(pairs.read(data)?)?)),
    }
}

/// The network, and how to train it: as options say, and where they do not, as the run that is resumed (`kept`) or the recipe does.
struct Settings<'a> {
    common: &'a Common,
    options: &'a Options,
    device: &'a Device,
    precision: Precision,
    kept: Option<Resumable>,
}

impl Settings<'_> {
    /// What counts where options say nothing, unless they name a recipe.
    fn base(&self) -> Option<&train::Options> {
        self.kept.as_ref().filter(|_| self.options.recipe.recipe.is_none()).map(|k| &k.options)
    }

    /// With as many inputs as there are features, unless they are given.
    fn network(&self) -> anyhow::Result<Arc<dyn Network>> {
        let Options { net, aux, .. } = self.options;
        let network = self.network_as_given()?;
        match Entry::find(network.name()).filter(|entry| entry.has("inputs")) {
            Some(entry) if !aux.is_empty() && !net.given.contains_key("inputs") => {
                let inputs = Map::from_iter([("inputs".to_owned(), (3 + aux.channels()).into())]);
                entry.with(network.as_ref(), &inputs).map_err(|problem| Usage::new(format!("--net: {problem}")))
            }
            _ => Ok(network),
        }
    }

    fn network_as_given(&self) -> anyhow::Result<Arc<dyn Network>> {
        let Options { net, recipe, noise, .. } = self.options;
        match self.kept.as_ref().and_then(|kept| kept.network.as_ref()).filter(|_| recipe.recipe.is_none()) {
            Some(kept) => net.instead_of(kept.as_ref()),
            None => {
                // Of pairs it is taken for granted.
                let subtracts = noise.is_none_or(|noise| noise.suits_residual());
                net.network(recipe.recipe.map(Recipe::net), Task { large: self.device.is_large(), subtracts })
            }
        }
    }

    /// `side` is what pictures allow.
    fn training(&self, network: &dyn Network, side: usize) -> train::Options {
        let Options { recipe, noise, clean_targets, .. } = self.options;
        let ours = || recipe.base(self.device, network, noise.as_ref(), side);
        let base = self.base().cloned().unwrap_or_else(ours);
        let clean_targets = *clean_targets || base.clean_targets;
        let given = recipe.options(base);
        // Clean targets are all the same.
        let (targets, loss) = if clean_targets { (1, given.loss.of_clean_targets()) } else { (given.targets, given.loss) };
        train::Options { seed: self.common.seed, clean_targets, targets, loss, precision: self.precision, ..given }
    }
}

/// Refuses to write over an earlier run unasked; of one that is to be resumed, says where it stands.
fn earlier(common: &Common, options: &Options, device: &Device) -> Result<Option<Resumable>, Error> {
    if options.resume {
        let kept = resumable(&options.out)?;
        let elsewhere = if kept.device == device.name() { "" } else { "; on another device the last bits differ" };
        common.remark(&format!("resuming after step {}, trained on {}{elsewhere}", kept.steps, kept.device));
        return Ok(Some(kept));
    }
    if !options.overwrite && is_run(&options.out) {
        let how = "go on with it by --resume, replace it with --overwrite, or name another folder with --out";
        return Err(Error::file(&options.out, format!("holds an earlier run: {how}")));
    }
    Ok(None)
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<Output> {
    options.recipe.check()?;
    let mut device = common.open()?;
    let kept = earlier(common, options, &device)?;
    let precision = options.precision.choose(common, &mut device, kept.as_ref().map(|k| k.options.precision))?;
    let settings = Settings { common, options, device: &device, precision, kept };
    let network = settings.network()?;
    if options.photos.is_empty() {
        options.aux.check(network.as_ref())?;
    } else if !options.aux.is_empty() {
        return Err(Usage::new("--aux: belongs to renders of --pairs or --dataset, not to photographs"));
    }
    let (mut training_set, validation) = source(options, &network, common.seed)?;
    training_set.check_network(network.as_ref())?;
    let training = settings.training(network.as_ref(), training_set.side());
    training.check(network.as_ref())?;
    let dropped = training_set.drop_small(training.crop, Anatomy::of(network.as_ref()).multiple)?;
    if let Some(first) = dropped.first() {
        let pictures = counted(dropped.len(), "picture");
        common.remark(&format!("left out for being smaller than a crop: {pictures}, {first} first"));
    }
    let excess = training_set.drop_excess(&device)?;
    if let Some(first) = excess.first() {
        let pictures = counted(excess.len(), "picture");
        common.remark(&format!("left out for lack of memory on {}: {pictures}, {first} first", device.name()));
    }
    make_folder("--out", &options.out)?;
    if training_set.count() == 1 && validation.count() == 1 && options.val.is_none() {
        common.remark("there is only one picture: it is validated on as well; give others with --val");
    }
    common.remark(&format!(
        "training {} of {} parameters on {}, {} held out, noise {}, on {}",
        network.name(),
        Anatomy::of(network.as_ref()).parameters(),
        counted(training_set.count(), "picture"),
        validation.count(),
        training_set.noise(),
        device.name()
    ));
    if training_set.is_linear() {
        common.remark("colours are linear: PSNR is that of errors relative to the brightness around");
    }
    let (source, validation) = (&training_set, &validation);
    let run = Run { device: &device, network, options: &training, source, validation, out: &options.out };
    let trained = Trained::by(common, &run, options.resume).map_err(|e| match e {
        Error::Lost(what) if options.out.join("state.safetensors").exists() => Error::Lost(format!(
            "{what}: go on with the same command and --resume, with --device cpu if the device does not come back"
        )),
        other => other,
    })?;
    let how = if options.overwrite {
        "the same command with --resume in place of --overwrite goes on"
    } else {
        "the same command with --resume goes on"
    };
    Ok(output(&trained, how))
}

/// What came of a training for people.
fn output(trained: &Trained, how_to_go_on: &str) -> Output {
    let done = &trained.outcome;
    let psnr = match (done.psnr_estimated, done.psnr) {
        (Some(estimated), Some(truth)) => format!("estimated PSNR: {estimated:.2} dB (true: {truth:.2} dB)"),
        (Some(psnr), None) => format!("estimated PSNR: {psnr:.2} dB"),
        (None, psnr) => format!("PSNR: {:.2} dB", psnr.unwrap_or(f64::NAN)),
    };
    let going_on = if trained.interrupted { format!(": {how_to_go_on}") } else { String::new() };
    trained.output(
        json!({"psnr": done.psnr, "best": path_text(&done.best), "last": path_text(&done.last)}),
        &format!(
            "{}{going_on}\n{psnr} on held-out pictures at the end, noisy {:.2} dB\nmodel:  {}\nreport: {}",
            trained.summary(),
            done.psnr_noisy,
            done.best.display(),
            trained.report.display()
        ),
    )
}

/// A training that has ended, or was interrupted.
pub(super) struct Trained {
    device: String,
    network: String,
    parameters: usize,
    pub(super) report: PathBuf,
    pub(super) outcome: Outcome,
    pub(super) interrupted: bool,
}

impl Trained {
    /// Trains with a bar, until Ctrl-C.
    pub(super) fn by(common: &Common, run: &Run, resume: bool) -> Result<Self, Error> {
        let stop = stops_training();
        let outcome = TrainingBar::new(common).watch(stop, |watch| if resume { run.resume(watch) } else { run.start(watch) })?;
        Ok(Self {
            device: run.device.name().to_owned(),
            network: run.network.name().to_owned(),
            parameters: Anatomy::of(run.network.as_ref()).parameters(),
            report: run.out.join("report.html"),
            outcome,
            interrupted: stop.load(Ordering::Relaxed),
        })
    }

    /// `20 steps in 3 s on cpu`, and whether that was all.
    pub(super) fn summary(&self) -> String {
        let Outcome { steps, seconds, .. } = self.outcome;
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        format!("{} in {seconds:.0} s on {}{interrupted}", counted(steps as usize, "step"), self.device)
    }

    /// With `more` for `--json` beside what all trainings have, and `text` for people.
    pub(super) fn output(&self, more: Value, text: &str) -> Output {
        let done = &self.outcome;
        let mut json = json!({
            "device": self.device, "net": self.network, "parameters": self.parameters, "steps": done.steps, "seconds": done.seconds,
            "psnr_noisy": done.psnr_noisy, "psnr_estimated": done.psnr_estimated, "report": path_text(&self.report),
            "interrupted": self.interrupted,
        });
        json.as_object_mut().into_iter().zip(more.as_object()).for_each(|(all, more)| all.extend(more.clone()));
        Output::new(json, text).interrupted(self.interrupted)
    }
}
