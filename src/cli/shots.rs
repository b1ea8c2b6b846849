//! Noisy shots as `train` reads them.

use std::path::Path;
use std::sync::Arc;

use n2n_gpu::data::inspect::{Look, Mends, PairFiles, Report};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::error::Error;
use n2n_gpu::nets::Network;
use n2n_gpu::train::{Source, TrainingPicture};
use rayon::prelude::*;

use super::aux::AuxArgs;
use super::pairs::{Of, Pairs, name, readable};
use super::{Common, Usage};

/// How pairs are read to train on: as their files have them, or in floats with what the network reads beside the colours.
pub(super) struct PairReader<'a> {
    pub(super) common: &'a Common,
    pub(super) aux: &'a AuxArgs,
    pub(super) network: &'a Arc<dyn Network>,
    pub(super) mends: Mends,
    pub(super) strict: bool,
}

/// A pair to train on.
type Pair = (TrainingPicture, TrainingPicture);

/// Reads a pair as it was measured.
fn measured(PairFiles { files: [a, b], .. }: &PairFiles) -> Result<Pair, Error> {
    let load = |file: &Path| Picture::load(file).map(|picture| TrainingPicture::new(name(file), &picture.as_measured()));
    Ok((load(a)?, load(b)?))
}

impl PairReader<'_> {
    /// Pairs of noisy shots. They are looked at, and mended, unless they are renders.
    pub(super) fn noisy(&self, pairs: Pairs) -> anyhow::Result<(Source, Option<Report>)> {
        if self.mends.align && !pairs.are_alone() || self.mends.brightness && pairs.neighbours {
            return Err(Usage::new(
                "--align, --match: belong to pairs, and --match to bursts and stacks without --neighbours: leave them out",
            ));
        }
        let (scenes, neighbours) = (pairs.scenes.clone(), pairs.neighbours);
        if let Of::Files(files) = &pairs.of
            && self.are_renders()
        {
            if self.mends.align || self.mends.brightness {
                return Err(Usage::new("--align, --match: belong to photographs, not to renders: leave them out"));
            }
            return Ok((self.source(self.renders(files, self.aux), &scenes, neighbours)?, None));
        }
        let keep = |look: &mut Look, pictures: [Picture; 2]| {
            self.mends.mend(look, pictures).map(|picture| TrainingPicture::new(look.name.clone(), &picture)).into()
        };
        let (inspector, pairs) = pairs.look(self.common, keep);
        Ok((self.source(pairs, &scenes, neighbours)?, Some(inspector.finish())))
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
            Of::Files(files) => readable(files.par_iter().map(measured).collect::<Vec<_>>(), self.strict),
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
