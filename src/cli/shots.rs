//! Noisy shots as `train` reads them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::inspect::{Kind, Look, Mends, PairFiles, Report};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::error::Error;
use n2n_gpu::nets::Network;
use n2n_gpu::train::{Load, Source, Supply, TrainingPicture};
use rayon::prelude::*;

use super::aux::AuxArgs;
use super::output::counted;
use super::pairs::{Looked, Of, Pairs, name, readable};
use super::scenes::{Burst, LeftOut, form_of_shot, leave_out, mismatch, on_one_scale};
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

/// Scenes that are looked at, of more than memory holds.
const LOOKED_AT: usize = 64;

/// A pair to train on.
type Pair = (TrainingPicture, TrainingPicture);

/// Reads noisy pictures as they were measured.
pub(super) fn load_measured(file: &Path) -> Result<TrainingPicture, Error> {
    Ok(TrainingPicture::new(name(file), &Picture::load(file)?.as_measured()))
}

/// The same of a pair.
fn load_pair(PairFiles { files: [a, b], .. }: &PairFiles) -> Result<Pair, Error> {
    Ok((load_measured(a)?, load_measured(b)?))
}

impl PairReader<'_> {
    /// Pairs of noisy shots. They are looked at, and mended, unless they are renders.
    pub(super) fn noisy(&self, pairs: Pairs) -> anyhow::Result<(Source, Option<Report>)> {
        if self.mends.align && !pairs.are_alone() || self.mends.brightness && pairs.neighbours {
            return Err(Usage::new(
                "--align, --match: belong to pairs, and --match to bursts and stacks without --neighbours: leave them out",
            ));
        }
        let renders = self.are_renders() && !matches!(pairs.of, Of::Pictures(_));
        if renders && (self.mends.align || self.mends.brightness) {
            return Err(Usage::new("--align, --match: belong to photographs, not to renders: leave them out"));
        }
        if let Some(supply) = self.supply(&pairs) {
            let report = if renders { None } else { Some(self.look_at_some(pairs)?) };
            return Ok((Source::of_files(supply, None)?, report));
        }
        if renders {
            return Ok((self.renders(pairs)?, None));
        }
        let neighbours = pairs.neighbours;
        let keep = |look: &mut Look, pictures: [Picture; 2]| {
            self.mends.mend(look, pictures).map(|picture| TrainingPicture::new(look.name.clone(), &picture)).into()
        };
        let Looked { inspector, kept, left_out } = pairs.look(self.common, keep);
        let mut report = inspector.finish();
        // Those are left out, and told as such.
        report.findings.retain(|finding| finding.kind != Kind::Size);
        Ok((self.source(kept, left_out, neighbours)?, Some(report)))
    }

    /// What reads the files while it trains, if they need more memory than there is.
    fn supply(&self, pairs: &Pairs) -> Option<Supply> {
        let files = pairs.scene_files()?;
        let (mends, alone) = (self.mends, pairs.are_alone());
        let (renders, load): (_, Box<Load>) = if self.are_renders() {
            let (aux, network) = (self.aux.clone(), Arc::clone(self.network));
            let load = move |files: &[PathBuf]| files.iter().map(|file| aux.load(file, &network)).collect();
            (Some(3 + self.aux.channels() as u64), Box::new(load))
        } else {
            (None, Box::new(move |files: &[PathBuf]| load_shots(files, mends, alone)))
        };
        self.memory.supply(self.common, files, renders, load)
    }

    /// A look at some pairs of many.
    fn look_at_some(&self, pairs: Pairs) -> Result<Report, Error> {
        let [all, some] = [usize::MAX, LOOKED_AT].map(|most| pairs.scene_files().map_or(0, |scenes| scenes.len().min(most)));
        let Looked { inspector, left_out, .. } = pairs.sampled(LOOKED_AT).look(self.common, |_, _| ());
        self.common.remark(&format!("a look at {some} of {}", counted(all, "scene")));
        // Others hear of them when it is their turn.
        if self.strict {
            leave_out(left_out.into_iter().map(|left_out| left_out.error), some, true)?;
        }
        Ok(inspector.finish())
    }

    /// The shots of every scene, of which the first is part of all its pairs, or of the next.
    fn source(&self, pairs: Vec<(usize, Pair)>, mut left_out: Vec<LeftOut>, neighbours: bool) -> Result<Source, Error> {
        let mut shots: Vec<(usize, Vec<TrainingPicture>)> = Vec::new();
        for (scene, (a, b)) in pairs {
            match shots.last_mut().filter(|(last, _)| *last == scene) {
                Some((_, shots)) => shots.push(b),
                None if form_of_shot(&a) == form_of_shot(&b) => shots.push((scene, vec![a, b])),
                None => {
                    let problem =
                        format!("{}: the second shot {}", b.name, mismatch(form_of_shot(&b), "the first", form_of_shot(&a)));
                    left_out.push(LeftOut::new(Kind::Size, b.name, Error::data(problem)));
                }
            }
        }
        let scenes = shots.into_iter().map(|(_, shots)| shots).collect();
        self.of_scenes(scenes, left_out, neighbours)
    }

    fn of_scenes(
        &self,
        scenes: Vec<Vec<TrainingPicture>>,
        mut left_out: Vec<LeftOut>,
        neighbours: bool,
    ) -> Result<Source, Error> {
        let scenes = on_one_scale(scenes, &mut left_out);
        leave_out(left_out.into_iter().map(|left_out| left_out.error), scenes.len(), self.strict)?;
        if neighbours { Source::neighbours(scenes) } else { Source::shots(scenes) }
    }

    /// Noisy renders, in floats, with what the network reads beside the colours.
    fn renders(&self, Pairs { of, mut left_out, .. }: Pairs) -> Result<Source, Error> {
        if let Of::Files(files) = &of {
            let mut pairs = Vec::new();
            for (scene, pair) in self.pairs_of_renders(files, self.aux).into_iter().enumerate() {
                match pair {
                    Ok(pair) => pairs.push((scene, pair)),
                    Err(e) => left_out.push(LeftOut::new(Kind::Broken, &files[scene].name, e)),
                }
            }
            return self.source(pairs, left_out, false);
        }
        let Of::Bursts(bursts) = of else { unreachable!("pictures of one file have no features") };
        let scene = |burst: &Burst| {
            let shots = burst.files.par_iter().map(|file| self.aux.load(file, self.network)).collect();
            burst.usable(shots, form_of_shot, &mut left_out).into_iter().map(|(_, shot)| shot).collect()
        };
        let mut scenes: Vec<Vec<TrainingPicture>> = bursts.iter().map(scene).collect();
        scenes.retain(|scene| !scene.is_empty());
        self.of_scenes(scenes, left_out, false)
    }

    /// Pairs of noisy and clean pictures, as [`Pairs::of_dataset`].
    pub(super) fn with_clean(&self, data: &Path) -> Result<Vec<Pair>, Error> {
        let Pairs { of, left_out, .. } = Pairs::of_dataset(data)?;
        match of {
            // Clean pictures need no features.
            Of::Files(files) if self.are_renders() => readable(self.pairs_of_renders(&files, &AuxArgs::default()), self.strict),
            Of::Files(files) => readable(files.par_iter().map(load_pair).collect::<Vec<_>>(), self.strict),
            Of::Bursts(_) => unreachable!("a data set has no bursts"),
            Of::Pictures(scenes) => {
                leave_out(left_out.into_iter().map(|left_out| left_out.error), scenes.len(), self.strict)?;
                let shots = scenes.into_iter().flatten().map(|shot| TrainingPicture::new(shot.pair, &shot.picture));
                let shots: Vec<TrainingPicture> = shots.collect();
                let (noisy, clean) = (shots.iter().step_by(2), shots.iter().skip(1).step_by(2));
                Ok(noisy.cloned().zip(clean.cloned()).collect())
            }
        }
    }

    fn are_renders(&self) -> bool {
        self.network.transfer().is_linear() || !self.aux.is_empty()
    }

    /// `aux_of_b` is what the second pictures have.
    fn pairs_of_renders(&self, files: &[PairFiles], aux_of_b: &AuxArgs) -> Vec<Result<Pair, Error>> {
        let load =
            |PairFiles { files: [a, b], .. }: &PairFiles| Ok((self.aux.load(a, self.network)?, aux_of_b.load(b, self.network)?));
        files.par_iter().map(load).collect()
    }
}
