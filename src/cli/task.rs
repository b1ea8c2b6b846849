//! What `train` trains on, and what that is judged by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::inspect::Mends;
use n2n_gpu::error::Error;
use n2n_gpu::nets::Network;
use n2n_gpu::train::{Data, Source, TrainingPicture, Validation, split};

use super::files::{lying_in, photographs};
use super::pairs::{Pairs, readable};
use super::scenes::leave_out;
use super::seen::Seen;
use super::settings::Settings;
use super::shots::{Given, PairReader, single};
use super::supply::Memory;
use super::{Common, Usage};

/// What is trained, on what, and what it is judged by.
pub(super) struct Task {
    pub(super) network: Arc<dyn Network>,
    pub(super) training: Source,
    pub(super) validation: Validation,
    /// What was seen of noisy pictures.
    pub(super) seen: Option<Seen>,
    /// What was said of pictures that are left out.
    pub(super) told: Vec<String>,
    /// Whether what is trained on is validated on as well.
    pub(super) shared: bool,
}

impl Task {
    /// What is held out comes from the same set, or is what --val names. `mib` is the memory for pictures.
    pub(super) fn new(
        common: &Common,
        settings: &Settings,
        network: &Arc<dyn Network>,
        (out, strict): (&Path, bool),
        (seed, mib): (u32, usize),
    ) -> anyhow::Result<Self> {
        let data = &settings.origin.data;
        check_apart(data.paths(), out)?;
        let mends = Mends { align: data.align, brightness: data.brightness };
        let memory = Memory { mib, seed, holds_out: data.val.is_none(), strict };
        let reader = PairReader { common, aux: &settings.aux, network, mends, strict, memory };
        let Given { source, seen, mut told } = given(&reader, settings, out)?;
        let (network, training) = settings.for_pictures(Arc::clone(network), source)?;
        let mut shared = false;
        let (training, validation) = match (&data.val, training.added_noise()) {
            (None, _) => match training.held_out() {
                Some((held_out, mut left_out)) => {
                    // Not twice.
                    left_out.retain(|e| held_out.count() == 0 || !told.contains(&e.to_string()));
                    told.extend(leave_out(left_out, held_out.count(), strict)?);
                    (training, Validation::new(&held_out, seed)?)
                }
                None => {
                    let (training, held_out) = split(training);
                    shared = !training.is_single() && training.is_same(&held_out);
                    (training, Validation::new(&held_out, seed)?)
                }
            },
            (Some(folder), Some(noise)) => {
                let files = photographs(std::slice::from_ref(folder), data.recursive, out)?;
                let photos = readable(TrainingPicture::load_each(&files), strict)?;
                (training, Validation::new(&Source::photos(photos, noise), seed)?)
            }
            (Some(data), None) => {
                let signal = training.signal();
                let fitting = |picture: TrainingPicture| picture.in_channels(network.colours());
                let pairs = reader.with_clean(data)?.into_iter().map(|(a, b)| Ok((fitting(a)?, fitting(b)?)));
                (training, Validation::with_clean(pairs.collect::<Result<Vec<_>, Error>>()?, signal)?)
            }
        };
        Ok(Self { network, training, validation, seen, told, shared })
    }
}

/// Refuses files and folders that lie where the samples of the run go.
fn check_apart<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, out: &Path) -> anyhow::Result<()> {
    let problem = "lies where the samples of the run go, and could be replaced: name another folder with --out";
    match lying_in(paths, &out.join("samples")) {
        Some(path) => Err(Usage::new(format!("{}: {problem}", path.display()))),
        None => Ok(()),
    }
}

/// The pictures that are given, as they are read.
fn given(reader: &PairReader, settings: &Settings, out: &Path) -> anyhow::Result<Given> {
    let data @ Data { photos, pairs, burst, dataset, stack, .. } = &settings.origin.data;
    match (pairs, burst, dataset) {
        (Some([a, b]), ..) => return reader.noisy(Pairs::of_two(a, b)?),
        (_, Some(root), _) => return reader.noisy(Pairs::of_bursts(root)?),
        (.., Some(data)) => return reader.noisy(Pairs::of_dataset(data)?),
        _ if !stack.is_empty() => return reader.noisy(Pairs::of_stacks(stack, data.neighbours)?),
        _ => {}
    }
    let files = photographs(photos, data.recursive, out)?;
    check_apart(&files, out)?;
    match settings.noise {
        Some(noise) => Ok(reader.memory.photographs(reader.common, &files, noise)?),
        None => Ok(single(&files, reader.strict)?),
    }
}
