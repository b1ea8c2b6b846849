//! `n2n-gpu train`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::Args;
use n2n_gpu::device::Device;
use n2n_gpu::error::{Error, shown};
use n2n_gpu::nets::{Anatomy, Network};
use n2n_gpu::noise::{self, Noise};
use n2n_gpu::train::{Data, Origin, Outcome, Progress, Run, Source, Start, Team};
use serde_json::{Value, json};

use super::announce::announce;
use super::aux::AuxArgs;
use super::files::remark_skipped;
use super::interrupt::stops_training;
use super::live::{Live, Watched};
use super::net::{NetArgs, PrecisionArg};
use super::output::{Output, TrainingBar, counted, path_text, program, scene_noun};
use super::processes::{self, Process};
use super::recipe::RecipeArgs;
use super::settings::{Settings, check_given};
use super::supply::remark_left_out;
use super::task::Task;
use super::{Common, Usage};

const USAGE: &str = "n2n-gpu train PHOTOS... --noise LAW | --single --out RUN [OPTIONS]
       n2n-gpu train --pairs A B | --burst DIR | --stack FILE... | --dataset FILE --out RUN [OPTIONS]
       n2n-gpu train --resume --out RUN [--minutes M]";

/// Arguments of `train`.
#[derive(Args, Debug)]
#[command(override_usage = USAGE, after_help = format!("Noise laws:\n{}", noise::help()))]
pub(super) struct Options {
    /// Photographs to train on: files and folders, any sizes
    #[arg(value_name = "PHOTOS")]
    pub(super) photos: Vec<PathBuf>,
    /// Noise to add: one of the laws below
    #[arg(long, display_order = 0, value_name = "LAW", conflicts_with_all = ["pairs", "burst", "stack", "dataset"], allow_negative_numbers = true)]
    pub(super) noise: Option<Noise>,
    /// PHOTOS are single noisy pictures, without a second shot of the scene
    ///
    /// Learns from pixels that lie beside each other (`Neighbor2Neighbor`), whose noise must be independent: not that of JPEGs or
    /// of a demosaicked raw file. Two shots of every scene bring more
    #[arg(long, help_heading = "Data", requires = "photos", conflicts_with_all = ["noise", "pairs", "burst", "stack", "dataset", "clean_targets"])]
    pub(super) single: bool,
    /// Two folders with noisy pictures of the same scenes under the same names
    #[arg(long, help_heading = "Data", num_args = 2, value_names = ["A", "B"], conflicts_with = "photos")]
    pub(super) pairs: Option<Vec<PathBuf>>,
    /// A folder with a folder of noisy shots for every scene
    ///
    /// Two shots and more: any two of a scene are trained on
    #[arg(long, help_heading = "Data", value_name = "DIR", conflicts_with_all = ["photos", "pairs"])]
    pub(super) burst: Option<PathBuf>,
    /// Files with many pages, TIFF or .npy: noisy shots of one scene
    #[arg(long, help_heading = "Data", num_args = 1.., value_name = "FILE", conflicts_with_all = ["photos", "pairs", "burst"])]
    pub(super) stack: Vec<PathBuf>,
    /// Only neighbouring pages of --stack show the same, as in microscopy and tomography
    #[arg(long, help_heading = "Data", hide_short_help = true, requires = "stack", conflicts_with_all = ["photos", "pairs", "burst", "dataset"])]
    pub(super) neighbours: bool,
    /// Pairs in one file with two arrays, or a folder with folders a and b
    ///
    /// Files are .pkl, .pt, .npz, .npy or .safetensors
    #[arg(long, help_heading = "Data", value_name = "FILE", conflicts_with_all = ["photos", "pairs", "burst", "stack"])]
    pub(super) dataset: Option<PathBuf>,
    /// Search folders within folders of PHOTOS too
    #[arg(short, long, help_heading = "Data", hide_short_help = true)]
    pub(super) recursive: bool,
    /// Folder for the model, the metrics and the report
    #[arg(long, display_order = 1, value_name = "RUN")]
    pub(super) out: PathBuf,
    /// Show the report in a browser while it trains [default: 7878]
    ///
    /// At a port that no other machine reaches: 7878, or one that is free
    #[arg(long, display_order = 4, value_name = "PORT", num_args = 0..=1, require_equals = true)]
    live: Option<Option<u16>>,
    /// Replace an earlier run in that folder
    #[arg(long, help_heading = "Earlier runs")]
    pub(super) overwrite: bool,
    /// Go on with the run in that folder where it stopped
    ///
    /// Pictures and options are those it had, and need not be given. With a greater --steps, --epochs or --minutes, which count
    /// from the beginning, it goes further. On the same device the result is bit-identical to that of an uninterrupted run,
    /// unless its length is in minutes
    #[arg(long, help_heading = "Earlier runs", conflicts_with = "overwrite")]
    pub(super) resume: bool,
    /// Options from a file such as the config.toml of a run; those that are given override it
    #[arg(long, hide_short_help = true, help_heading = "Earlier runs", value_name = "FILE", conflicts_with_all = ["resume", "recipe"])]
    pub(super) config: Option<PathBuf>,
    /// Train a model further: a file, a run, or one in the box
    ///
    /// This is fine-tuning: the network is that of the model, and the learning rate a tenth of what it is otherwise
    #[arg(long, help_heading = "Earlier runs", value_name = "MODEL", conflicts_with = "recipe")]
    pub(super) from: Option<PathBuf>,
    /// Held-out photographs, or noisy and clean ones [default: one in twenty]
    ///
    /// Noisy and clean ones are a folder with folders a and b, or a file with two arrays, for --pairs, --burst, --stack,
    /// --dataset and --single
    #[arg(long, display_order = 3, value_name = "DATA")]
    pub(super) val: Option<PathBuf>,
    /// Cut the shots of a pair to what they share where one is shifted by whole pixels
    #[arg(long, help_heading = "Data", hide_short_help = true, conflicts_with = "photos")]
    pub(super) align: bool,
    /// Match the second shot's brightness to the first's
    #[arg(long = "match", help_heading = "Data", hide_short_help = true, conflicts_with = "photos")]
    pub(super) brightness: bool,
    /// Stop at pictures that would be left out, and at faults that `inspect` would find
    #[arg(long, help_heading = "Data", hide_short_help = true)]
    strict: bool,
    /// Train towards clean targets, for comparison
    #[arg(long, help_heading = "Data", hide_short_help = true, conflicts_with_all = ["pairs", "burst", "stack", "dataset"])]
    pub(super) clean_targets: bool,
    #[command(flatten, next_help_heading = "Data")]
    pub(super) aux: AuxArgs,
    #[command(flatten)]
    pub(super) net: NetArgs,
    #[command(flatten)]
    precision: PrecisionArg,
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
}

/// What is wrong where the port of --live follows as a word of its own, which would be taken for a photograph.
pub(super) fn misread_port(words: impl Iterator<Item = OsString>) -> Option<String> {
    let words: Vec<OsString> = words.take_while(|word| word != "--").collect();
    let ports = words.windows(2).filter(|two| two[0] == "--live").filter_map(|two| two[1].to_str());
    let port = ports.into_iter().find(|word| word.parse::<u16>().is_ok() && !Path::new(word).exists())?;
    Some(format!("--live {port}: the port follows after =, without a space: --live={port}"))
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

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<Output> {
    options.recipe.check()?;
    check_given(options)?;
    // Of several processes, the first shows the report.
    let first = Process::of_mpirun().is_none_or(|process| process.rank == 0);
    let live = options.live.filter(|_| first).map(|port| Live::bind(port, &options.out)).transpose()?;
    let mut device = common.open()?;
    let settings = Settings::new(common, options, &device)?;
    let (seed, precision, memory) = settings.early()?;
    let precision = options.precision.choose(common, &mut device, precision)?;
    let network = settings.network(&device)?;
    if settings.origin.data.photos.is_empty() {
        settings.aux.check(network.as_ref())?;
    } else if !settings.aux.is_empty() {
        return Err(Usage::new("--aux: belongs to renders of --pairs, --burst or --dataset, not to photographs"));
    }
    let Task { network, training: mut training_set, validation, seen, told, shared } =
        Task::new(common, &settings, &network, (&options.out, options.strict), (seed, memory))?;
    remark_skipped_of(common, &settings.origin.data, training_set.added_noise().is_some())?;
    training_set.check_network(network.as_ref())?;
    let mut training = settings.training(&device, network.as_ref(), training_set.side(), precision)?;
    training.check(network.as_ref())?;
    seen.map_or(Ok(()), |seen| seen.tell(common, options.strict))?;
    leave_out_unfit(common, &mut training_set, (training.crop, options.strict), network.as_ref(), &device)?;
    training_set.check_memory(&device)?;
    let stop = stops_training();
    let team = processes::join(stop)?;
    if team.as_ref().is_none_or(|team| team.rank() == 0) {
        make_folder("--out", &options.out)?;
    }
    if let Some(team) = &team {
        common.remark(&format!("{} processes share every batch of {} crops", team.size(), training.batch));
    }
    if shared {
        let what = if training_set.pictures() > 1 { "there are too few pictures" } else { "there is only one picture" };
        common.remark(&format!("{what} to hold some out: validated on as well; give others with --val"));
    }
    announce(common, &settings, network.as_ref(), (&training_set, &validation), &device);
    let (source, validation) = (&training_set, &validation);
    if options.recipe.finds_rate() && !options.resume {
        if team.is_some() {
            return Err(Usage::new("--lr auto: find the rate in one process, and give it to all"));
        }
        let network = Arc::clone(&network);
        let run = Run { device: &device, network, options: &training, source, validation, out: &options.out };
        common.remark("looking for the learning rate");
        training.lr = run.find_rate(settings.start(), || stop.load(Ordering::Relaxed))?;
        common.remark(&format!("learning rate {}: a tenth of the highest at which the loss does not blow up", training.lr));
    }
    let run = Run { device: &device, network, options: &training, source, validation, out: &options.out };
    let live = live.map(|live| live.serve(common));
    let origin = settings.origin.absolute();
    let how = format!("go on with `{} train --resume --out {}`", program(), shown(&options.out));
    let trained =
        Trained::run(common, &run, team, settings.start(), &origin, live).map_err(|e| with_advice(e, &how, &options.out));
    let left_out = remark_left_out(common, source, &told);
    Ok(trained?.map_or_else(|| Output::new(json!({}), ""), |trained| output(&trained, &how, left_out)))
}

/// Says what is skipped in the folders of the data; `of_photographs` tells whether those of --val are photographs, too, or noisy
/// shots.
fn remark_skipped_of(common: &Common, data: &Data, of_photographs: bool) -> Result<(), Error> {
    let Data { photos, pairs, val, recursive, .. } = data;
    let noisy = val.iter().filter(|_| !of_photographs).flat_map(|val| ["a", "b"].map(|of| val.join(of)));
    let photos_of_val = val.iter().filter(|_| of_photographs);
    remark_skipped(common, photos.iter().chain(photos_of_val), Some(*recursive))?;
    remark_skipped(common, pairs.iter().flatten().chain(&noisy.collect::<Vec<_>>()), None)
}

/// Leaves out pictures that are smaller than a crop, unless it is `strict`, or that the device cannot hold, and says so.
fn leave_out_unfit(
    common: &Common,
    pictures: &mut Source,
    (crop, strict): (usize, bool),
    network: &dyn Network,
    device: &Device,
) -> anyhow::Result<()> {
    let noun = scene_noun(&pictures.shots_of_scenes());
    let dropped = pictures.drop_small(crop, Anatomy::of(network).multiple)?;
    if let Some(first) = dropped.first() {
        let (count, least) = (counted(dropped.len(), noun), if pictures.is_single() { "twice a crop" } else { "a crop" });
        if strict {
            let problem = format!("smaller than {least} of {crop} pixels: {count}, {first} first");
            return Err(Error::data(format!(
                "{problem}; --strict leaves none out: choose a smaller --crop, or train without them"
            ))
            .into());
        }
        common.remark(&format!("left out for being smaller than {least}: {count}, {first} first"));
    }
    let excess = pictures.drop_excess(device)?;
    if let Some(first) = excess.first() {
        let count = counted(excess.len(), noun);
        common.remark(&format!("left out for lack of memory on {}: {count}, {first} first", device.name()));
    }
    Ok(())
}

/// What is to be done about a training that has lost its device, or a process.
fn with_advice(error: Error, how: &str, out: &Path) -> Error {
    match error {
        Error::Gone(what) => Error::Gone(format!("{what}: {how}, in as many processes as there are")),
        Error::Lost(what) if out.join("state.safetensors").exists() => {
            Error::Lost(format!("{what}: {how}, with --device cpu if the device does not come back"))
        }
        other => other,
    }
}

/// What came of a training for people.
fn output(trained: &Trained, how_to_go_on: &str, left_out: usize) -> Output {
    let done = &trained.outcome;
    let within = done.psnr_estimated_interval.map(|[lo, hi]| format!("{lo:.2} to {hi:.2} dB with 95 % confidence"));
    let remarks: Vec<String> = within.into_iter().chain(done.psnr.map(|truth| format!("true: {truth:.2} dB"))).collect();
    let remarks = if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join("; ")) };
    let psnr = match (done.psnr_estimated, done.psnr) {
        (Some(estimated), _) => format!("estimated PSNR: {estimated:.2} dB{remarks}"),
        (None, Some(psnr)) => format!("PSNR: {psnr:.2} dB"),
        (None, None) => "estimated PSNR: unknown".to_owned(),
    };
    let psnr = match done.psnr_noisy {
        noisy if noisy.is_finite() => format!("{psnr} on held-out pictures at the end, noisy {noisy:.2} dB"),
        _ => format!("{psnr}, as there is neither a second shot nor a clean picture"),
    };
    let mismatch = done.mismatch.as_ref().map_or(String::new(), |what| format!("\nwarning: {what}"));
    let worse = if done.psnr_estimated.or(done.psnr).is_some_and(|psnr| psnr < done.psnr_noisy) {
        ": worse than they were, so train for longer, or with a lower --lr if the loss does not fall"
    } else {
        ""
    };
    let going_on = if trained.interrupted { format!(": {how_to_go_on}") } else { String::new() };
    trained.output(
        json!({"psnr": done.psnr, "best": path_text(&done.best), "last": path_text(&done.last), "left_out": left_out}),
        &format!(
            "{}{going_on}\n{psnr}{worse}{mismatch}\nmodel:  {}\nreport: {}",
            trained.summary(),
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
    /// Trains with a bar, until Ctrl-C, alone or in a team, of which only the first has something to tell; browsers may look on.
    pub(super) fn run(
        common: &Common,
        run: &Run,
        team: Option<Box<dyn Team>>,
        start: Start,
        origin: &Origin,
        live: Option<Watched>,
    ) -> Result<Option<Self>, Error> {
        let stop = stops_training();
        let outcome = TrainingBar::new(common).watch(stop, |watch| {
            let both = &mut |progress: &Progress| {
                live.iter().for_each(|live| live.show(progress));
                watch(progress)
            };
            match team {
                None => run.train(start, origin, both).map(Some),
                Some(mut team) => run.train_in(team.as_mut(), start, origin, both).inspect(|_| team.leave()),
            }
        })?;
        Ok(outcome.map(|outcome| Self {
            device: run.device.name().to_owned(),
            network: run.network.name().to_owned(),
            parameters: Anatomy::of(run.network.as_ref()).parameters(),
            report: run.out.join("report.html"),
            outcome,
            interrupted: stop.load(Ordering::Relaxed),
        }))
    }

    /// `20 steps in 3 s on cpu`, and whether that was all.
    pub(super) fn summary(&self) -> String {
        let Outcome { steps, seconds, .. } = self.outcome;
        let interrupted = match self.outcome.early {
            _ if self.interrupted => ", interrupted",
            true => ", ended early as validations brought nothing better",
            false => "",
        };
        format!("{} in {seconds:.0} s on {}{interrupted}", counted(steps as usize, "step"), self.device)
    }

    /// With `more` for `--json` beside what all trainings have, and `text` for people.
    pub(super) fn output(&self, more: Value, text: &str) -> Output {
        let done = &self.outcome;
        let mut json = json!({
            "device": self.device, "net": self.network, "parameters": self.parameters, "steps": done.steps, "seconds": done.seconds,
            "psnr_noisy": done.psnr_noisy, "psnr_estimated": done.psnr_estimated,
            "psnr_estimated_interval": done.psnr_estimated_interval, "report": path_text(&self.report),
            "interrupted": self.interrupted, "early": done.early,
        });
        json.as_object_mut().into_iter().zip(more.as_object()).for_each(|(all, more)| all.extend(more.clone()));
        Output::new(json, text).interrupted(self.interrupted)
    }
}
