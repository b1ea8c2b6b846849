//! Noisy shots as `train` reads them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::inspect::{Look, Mends, PairFiles, Report};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::error::Error;
use n2n_gpu::nets::Network;
use n2n_gpu::train::{Load, Source, Supply, TrainingPicture};
use rayon::prelude::*;

use super::aux::AuxArgs;
use super::output::counted;
use super::pairs::{Of, Pairs, readable};
use super::supply::{Memory, load_shots};
use super::{Common, Usage};

/// How pairs are read to train on: as their files have them, or in floats with what the network reads beside the colours.
pub(super) struct PairReader<'a> {
    pub(super) common: &'a Common,
    pub(super) aux: &'a AuxArgs,
    pub(super) network: &'a Arc<dyn Network>,
    pub(super) mends: Mends,
    pub(super) strict: bool,
    pub(super) memory: Memory,
}

/// Pairs that are looked at, of more than memory holds.
const LOOKED_AT: usize = 64;

/// The files of every scene: the first shot, and those that make pairs with it.
fn scene_files(pairs: &[PairFiles], scenes: &[usize]) -> Vec<Vec<PathBuf>> {
    let numbered: Vec<(&usize, &PairFiles)> = scenes.iter().zip(pairs).collect();
    let files = |scene: &[(&usize, &PairFiles)]| {
        let others = scene.iter().map(|(_, pair)| pair.files[1].clone());
        std::iter::once(scene[0].1.files[0].clone()).chain(others).collect()
    };
    numbered.chunk_by(|a, b| a.0 == b.0).map(files).collect()
}

/// A pair to train on.
type Pair = (TrainingPicture, TrainingPicture);

impl PairReader<'_> {
    /// Pairs of noisy shots. They are looked at, and mended, unless they are renders.
    pub(super) fn noisy(&self, pairs: Pairs) -> anyhow::Result<(Source, Option<Report>)> {
        if self.mends.align && !pairs.are_alone() || self.mends.brightness && pairs.neighbours {
            return Err(Usage::new(
                "--align, --match: belong to pairs, and --match to bursts and stacks without --neighbours: leave them out",
            ));
        }
        let renders = self.are_renders() && matches!(pairs.of, Of::Files(_));
        if renders && (self.mends.align || self.mends.brightness) {
            return Err(Usage::new("--align, --match: belong to photographs, not to renders: leave them out"));
        }
        if let Some(supply) = self.supply(&pairs) {
            let report = if renders { None } else { Some(self.look_at_some(pairs)?) };
            return Ok((Source::of_files(supply, None)?, report));
        }
        let (scenes, neighbours) = (pairs.scenes.clone(), pairs.neighbours);
        if let Of::Files(files) = &pairs.of
            && renders
        {
            return Ok((self.source(self.renders(files, self.aux), &scenes, neighbours)?, None));
        }
        let keep = |look: &mut Look, pictures: [Picture; 2]| {
            self.mends.mend(look, pictures).map(|picture| TrainingPicture::new(look.name.clone(), &picture)).into()
        };
        let (inspector, pairs) = pairs.look(self.common, keep);
        Ok((self.source(pairs, &scenes, neighbours)?, Some(inspector.finish())))
    }

    /// What reads the files while it trains, if they need more memory than there is.
    fn supply(&self, pairs: &Pairs) -> Option<Supply> {
        let Of::Files(files) = &pairs.of else { return None };
        let (mends, alone) = (self.mends, pairs.are_alone());
        let (renders, load): (_, Box<Load>) = if self.are_renders() {
            let (aux, network) = (self.aux.clone(), Arc::clone(self.network));
            let load = move |files: &[PathBuf]| files.iter().map(|file| aux.load(file, &network)).collect();
            (Some(3 + self.aux.channels() as u64), Box::new(load))
        } else {
            (None, Box::new(move |files: &[PathBuf]| load_shots(files, mends, alone)))
        };
        self.memory.supply(self.common, scene_files(files, &pairs.scenes), renders, load)
    }

    /// A look at some pairs of many.
    fn look_at_some(&self, pairs: Pairs) -> Result<Report, Error> {
        let all = pairs.scenes.len();
        let (inspector, looked) = pairs.sampled(LOOKED_AT).look(self.common, |_, _| ());
        self.common.remark(&format!("a look at {} of {}", looked.len(), counted(all, "pair")));
        if self.strict {
            readable(looked, true)?;
        }
        Ok(inspector.finish())
    }

    /// The shots of every scene, of which the first is part of all its pairs, or of the next.
    fn source(&self, pairs: Vec<Result<Pair, Error>>, scenes: &[usize], neighbours: bool) -> Result<Source, Error> {
        let numbered = scenes.iter().zip(pairs).map(|(&scene, pair)| Ok((scene, pair?)));
        let mut shots: Vec<(usize, Vec<TrainingPicture>)> = Vec::new();
        for (scene, (a, b)) in readable(numbered, self.strict)? {
            match shots.last_mut().filter(|(last, _)| *last == scene) {
                Some((_, shots)) => shots.push(b),
                None => shots.push((scene, vec![a, b])),
            }
        }
        let scenes = shots.into_iter().map(|(_, shots)| shots).collect();
        if neighbours { Source::neighbours(scenes) } else { Source::shots(scenes) }
    }

    /// Pairs of noisy and clean pictures, as [`Pairs::of_dataset`].
    pub(super) fn with_clean(&self, data: &Path) -> Result<Vec<Pair>, Error> {
        match Pairs::of_dataset(data)?.of {
            Of::Pictures(shots, _) => {
                let mut shots = shots.into_iter().map(TrainingPicture::from);
                Ok(std::iter::from_fn(|| shots.next().zip(shots.next())).collect())
            }
            // Clean pictures need no features.
            Of::Files(files) if self.are_renders() => readable(self.renders(&files, &AuxArgs::default()), self.strict),
            Of::Files(files) => {
                let [a, b] = [0, 1].map(|k| files.iter().map(|pair| pair.files[k].clone()).collect::<Vec<_>>());
                let pairs = TrainingPicture::load_each(&a).into_iter().zip(TrainingPicture::load_each(&b));
                readable(pairs.map(|(a, b)| Ok((a?, b?))), self.strict)
            }
        }
    }

    fn are_renders(&self) -> bool {
        self.network.transfer().is_linear() || !self.aux.is_empty()
    }

    /// `aux_of_b` is what the second pictures have.
    fn renders(&self, files: &[PairFiles], aux_of_b: &AuxArgs) -> Vec<Result<Pair, Error>> {
        let load =
            |PairFiles { files: [a, b], .. }: &PairFiles| Ok((self.aux.load(a, self.network)?, aux_of_b.load(b, self.network)?));
        files.par_iter().map(load).collect()
    }
}
