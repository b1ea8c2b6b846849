//! What `train` is to do: as its flags say; where they do not, as the run that is resumed, a configuration or a model does; else
//! as the recipe does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::graph::Precision;
use n2n_gpu::nets::{Entry, Follows, Model, Network, Task};
use n2n_gpu::noise::Noise;
use n2n_gpu::train::{self, Config, Data, Length, Origin, Recipe, Resumable, Source, Start, is_run, resumable};

use serde_json::Map;

use super::aux::AuxArgs;
use super::model::load_model;
use super::train::Options;
use super::{Common, Usage};

/// A model that is trained further gets this share of the learning rate of a new one.
const FINE: f64 = 0.1;

/// What is to be trained, how, and on what.
pub(super) struct Settings<'a> {
    common: &'a Common,
    options: &'a Options,
    /// The run that is resumed.
    resumed: Option<Resumable>,
    config: Option<Config>,
    /// Where training begins, unless a run is resumed.
    model: Option<Model>,
    /// What to train on; its paths are as seen from here.
    pub(super) origin: Origin,
    /// Features of renders, of [`Settings::origin`].
    pub(super) aux: AuxArgs,
    /// What is added to photographs.
    pub(super) noise: Option<Noise>,
}

impl<'a> Settings<'a> {
    /// Reads what flags name. Refuses to write over an earlier run unasked; of one that is to be resumed, says where it stands.
    pub(super) fn new(common: &'a Common, options: &'a Options, device: &Device) -> anyhow::Result<Self> {
        let resumed = if options.resume { Some(resumed(common, options, device)?) } else { None };
        if resumed.is_none() && !options.overwrite && is_run(&options.out) {
            let how = "go on with it by --resume, replace it with --overwrite, or name another folder with --out";
            return Err(Error::file(&options.out, format!("holds an earlier run: {how}")).into());
        }
        let config = match &options.config {
            Some(path) => Some(Config::load(path)?),
            None if options.resume && options.out.join("config.toml").exists() => Some(Config::of_run(&options.out)?),
            None => None,
        };
        let said = config.as_ref().map(|config| config.origin.clone()).unwrap_or_default();
        let data = data(options, said.data);
        let from = options.from.clone().or(said.from);
        let noise = noise(options, &data, config.as_ref())?;
        let model = from.as_deref().filter(|_| !options.resume).map(|path| starting_model(options, path)).transpose()?;
        let aux = AuxArgs { aux: data.aux.clone() };
        Ok(Self { common, options, resumed, config, model, origin: Origin { from, data }, aux, noise })
    }

    /// Where training begins.
    pub(super) fn start(&self) -> Start<'_> {
        match &self.model {
            _ if self.options.resume => Start::Resumed,
            Some(model) => Start::From(model),
            None => Start::Fresh,
        }
    }

    /// What counts where flags say nothing: nothing where they name a recipe. `ours` is what the configuration does not say.
    fn base(&self, ours: impl FnOnce() -> train::Options) -> Result<train::Options, Error> {
        match (&self.resumed, &self.config) {
            _ if self.options.recipe.recipe.is_some() => Ok(ours()),
            (Some(resumed), _) => Ok(resumed.options.clone()),
            (None, Some(config)) => config.options(ours()),
            (None, None) => Ok(ours()),
        }
    }

    /// Seed, precision if one was chosen before, and memory for pictures, MiB: of what is known before there are pictures.
    pub(super) fn early(&self) -> Result<(u32, Precision, usize), Error> {
        let base = self.base(|| train::Options::new(&Device::Cpu, Length::Minutes(1.0)))?;
        let (seed, precision) = (self.common.seed.unwrap_or(base.seed), base.precision);
        Ok((seed, precision, self.options.recipe.options(base).memory()))
    }

    /// The network, with as many inputs as there are features, unless they are given.
    pub(super) fn network(&self, device: &Device) -> anyhow::Result<Arc<dyn Network>> {
        let network = self.network_as_given(device)?;
        if self.model.is_some() || self.aux.is_empty() {
            return Ok(network);
        }
        self.following(network, Follows::All, 3 + self.aux.channels())
    }

    /// The network for pictures with so many of those channels, if it has an option for them that is not given.
    fn following(&self, network: Arc<dyn Network>, what: Follows, channels: usize) -> anyhow::Result<Arc<dyn Network>> {
        let found = Entry::find(network.name()).and_then(|entry| Some((entry, entry.following(what)?)));
        match found {
            Some((entry, option)) if !self.options.net.given.contains_key(option.name) => {
                let given = Map::from_iter([(option.name.to_owned(), channels.into())]);
                entry.with(network.as_ref(), &given).map_err(|problem| Usage::new(format!("--net: {problem}")))
            }
            _ => Ok(network),
        }
    }

    /// The network, and noisy pictures as it reads them: one for grey ones, if all of them are grey and nothing else is asked
    /// for.
    pub(super) fn for_pictures(&self, network: Arc<dyn Network>, pictures: Source) -> anyhow::Result<(Arc<dyn Network>, Source)> {
        if pictures.added_noise().is_some() {
            return Ok((network, pictures));
        }
        let is_known = self.model.is_some()
            || self.options.recipe.recipe.is_none()
                && (self.resumed.is_some() || self.config.as_ref().is_some_and(|config| config.network.is_some()));
        let network = if !is_known && pictures.is_grey() { self.following(network, Follows::Colours, 1)? } else { network };
        let colours = network.colours();
        Ok((network, pictures.in_channels(colours)?))
    }

    fn network_as_given(&self, device: &Device) -> anyhow::Result<Arc<dyn Network>> {
        let Options { net, recipe, .. } = self.options;
        if let Some(model) = &self.model {
            return match net.first_given() {
                None => Ok(Arc::clone(&model.network)),
                Some(flag) => Err(Usage::new(format!("--{flag}: the network is that of --from: leave one of them out"))),
            };
        }
        let of_run = self.resumed.as_ref().and_then(|run| run.network.as_ref());
        let known = of_run.or_else(|| self.config.as_ref().and_then(|config| config.network.as_ref()));
        match known.filter(|_| recipe.recipe.is_none()) {
            Some(known) => net.instead_of(known.as_ref()),
            None => {
                // Of pairs it is taken for granted.
                let subtracts = self.noise.is_none_or(|noise| noise.suits_residual());
                net.network(recipe.recipe.map(Recipe::net), Task { large: device.is_large(), subtracts })
            }
        }
    }

    /// How to train; `side` is what pictures allow.
    pub(super) fn training(
        &self,
        device: &Device,
        network: &dyn Network,
        side: usize,
        precision: Precision,
    ) -> anyhow::Result<train::Options> {
        let Options { recipe, clean_targets, .. } = self.options;
        let base = self.base(|| {
            let base = recipe.base(device, network, self.noise.as_ref(), side);
            let lr = if self.model.is_some() { FINE * base.lr } else { base.lr };
            train::Options { lr, ..base }
        })?;
        let clean_targets = *clean_targets || base.clean_targets;
        let seed = self.common.seed.unwrap_or(base.seed);
        let given = recipe.options(base);
        // Clean targets are all the same.
        let (targets, loss) = if clean_targets { (1, given.loss.of_clean_targets()) } else { (given.targets, given.loss) };
        Ok(train::Options { seed, clean_targets, targets, loss, precision, ..given })
    }
}

/// Refuses a command line that says not what to train on, and leaves it to no file either: before any work.
pub(super) fn check_given(options: &Options) -> anyhow::Result<()> {
    if options.config.is_none() && !options.resume {
        noise(options, &data(options, Data::default()), None)?;
    }
    Ok(())
}

/// The run that is to be resumed; says where it stands.
fn resumed(common: &Common, options: &Options, device: &Device) -> Result<Resumable, Error> {
    let resumed = resumable(&options.out)?;
    let elsewhere = if resumed.device == device.name() { "" } else { "; on another device the last bits differ" };
    common.remark(&format!("resuming after step {}, trained on {}{elsewhere}", resumed.steps, resumed.device));
    if resumed.finished && !options.recipe.has_length() {
        let further = match resumed.options.length {
            Length::Steps(steps) => format!("--steps {}", 2 * steps),
            Length::Epochs(epochs) => format!("--epochs {}", 2.0 * epochs),
            Length::Minutes(minutes) => format!("--minutes {}", 2.0 * minutes),
        };
        common.remark(&format!("this run has reached its end; to go further, say until where: --resume {further}"));
    }
    Ok(resumed)
}

/// The pictures: those of the flags, else those of a configuration.
fn data(options: &Options, said: Data) -> Data {
    let pairs = options.pairs.as_ref().and_then(|both| <[PathBuf; 2]>::try_from(both.clone()).ok());
    let given = Data {
        photos: options.photos.clone(),
        single: options.single,
        pairs,
        dataset: options.dataset.clone(),
        burst: options.burst.clone(),
        stack: options.stack.clone(),
        neighbours: options.neighbours,
        ..Data::default()
    };
    let val = options.val.clone().or_else(|| said.val.clone());
    let aux = if options.aux.is_empty() { said.aux.clone() } else { options.aux.aux.clone() };
    let recursive = options.recursive || said.recursive;
    let (align, brightness) = (options.align || said.align, options.brightness || said.brightness);
    Data { val, recursive, aux, align, brightness, ..if given.is_some() { given } else { said } }
}

/// The noise that is added: that of the flag, else that of a configuration; none to pictures that are noisy. Refuses flags that
/// such pictures have no use for.
fn noise(options: &Options, data: &Data, config: Option<&Config>) -> anyhow::Result<Option<Noise>> {
    if !data.is_some() {
        let problem = "there is nothing to train on: give photographs PHOTOS and --noise LAW, two noisy shots of every scene with \
                       --pairs A B, more of them with --burst DIR or --stack FILE, pairs in one file with --dataset FILE, or single \
                       noisy pictures with --single";
        return Err(Usage::new(problem));
    }
    let is_set = data.dataset.as_ref().is_some_and(|path| !path.is_dir());
    if options.recipe.has_memory() && (data.single || !data.stack.is_empty() || is_set) {
        let what = if data.single { "single pictures" } else { "stacks and files of pairs" };
        return Err(Usage::new(format!("--memory: {what} are read whole, whatever they need: leave it out")));
    }
    if data.photos.is_empty() {
        if options.recursive {
            let problem = "--pairs and --dataset take the pictures of two folders, and --burst those of one for every scene";
            return Err(Usage::new(format!("--recursive: is for photographs PHOTOS; {problem}: leave it out")));
        }
        return match options.noise {
            Some(_) => Err(Usage::new("--noise: the pictures are pairs, and have their noise already: leave it out")),
            None => Ok(None),
        };
    }
    let missing = || {
        Usage::new("--noise is missing: say which noise to add to the photographs PHOTOS, or that they are noisy with --single")
    };
    if data.single {
        return Ok(None);
    }
    Ok(Some(options.noise.or(config.and_then(|config| config.noise)).ok_or_else(missing)?))
}

/// The model of --from: a file, one in the box by its name, or the best of a run.
fn starting_model(options: &Options, path: &Path) -> anyhow::Result<Model> {
    let file = if is_run(path) { path.join("best.safetensors") } else { path.to_owned() };
    if file.starts_with(&options.out) && options.overwrite {
        return Err(Usage::new("--from: the model lies in the run that --overwrite replaces: name another folder with --out"));
    }
    Ok(load_model(&file)?)
}
