//! Noisy shots as `train` reads them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::inspect::{Kind, Look, Mends, PairFiles, SingleLook, SingleReport};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::error::{Error, shown};
use n2n_gpu::nets::Network;
use n2n_gpu::train::{Load, Source, Supply, TrainingPicture};
use rayon::prelude::*;

use super::aux::AuxArgs;
use super::output::counted;
use super::pairs::{Looked, Of, Pairs, name, readable};
use super::scenes::{Burst, LeftOut, errors, form, form_of_shot, leave_out, on_one_scale, unlike};
use super::seen::Seen;
use super::supply::{Memory, load_renders, load_shots};
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

/// What to train on, what was seen of it, and what was said of pictures that are left out.
pub(super) struct Given {
    pub(super) source: Source,
    pub(super) seen: Option<Seen>,
    pub(super) told: Vec<String>,
}

/// A pair to train on.
type Pair = (TrainingPicture, TrainingPicture);
/// Pictures, and what was said of those that are left out.
type Told = (Source, Vec<String>);

/// Reads noisy pictures as they were measured.
fn load_measured(file: &Path) -> Result<TrainingPicture, Error> {
    Ok(TrainingPicture::new(name(file), &Picture::load(file)?.as_measured()))
}

/// The same of a pair.
fn load_pair(PairFiles { files: [a, b], .. }: &PairFiles) -> Result<Pair, Error> {
    Ok((load_measured(a)?, load_measured(b)?))
}

/// Noisy pictures of which there is one each: those that can be read and are on one scale. They are looked at.
pub(super) fn single(files: &[PathBuf], strict: bool) -> Result<Given, Error> {
    let (mut pictures, mut left_out) = (Vec::new(), Vec::new());
    let read = |file: &PathBuf| {
        let (look, picture) = look_at_single(file)?;
        Ok(Single { look, picture: [TrainingPicture::new(name(file), &picture)] })
    };
    for read in files.par_iter().map(read).collect::<Vec<_>>() {
        match read {
            Ok(picture) => pictures.push(picture),
            Err(e) => left_out.push(LeftOut::new(Kind::Broken, "", e)),
        }
    }
    let pictures = on_one_scale(pictures, &mut left_out);
    let told = leave_out(errors(left_out), pictures.len(), strict)?;
    let (looks, pictures): (Vec<_>, Vec<_>) =
        pictures.into_iter().map(|Single { look, picture: [picture] }| (look, picture)).unzip();
    Ok(Given { source: Source::single(pictures), seen: Some(Seen::of_singles(&SingleReport::new(looks, &[]))), told })
}

/// A picture of which there is one, and what was seen of it.
struct Single {
    look: SingleLook,
    picture: [TrainingPicture; 1],
}

impl AsRef<[TrainingPicture]> for Single {
    fn as_ref(&self) -> &[TrainingPicture] {
        &self.picture
    }
}

/// Reads a noisy picture of which there is one, and looks at it.
pub(super) fn look_at_single(file: &Path) -> Result<(SingleLook, Picture), Error> {
    let picture = Picture::load(file)?.as_measured();
    Ok((SingleLook::new(&name(file), &shown(file).to_string(), &picture), picture))
}

impl PairReader<'_> {
    /// Pairs of noisy shots. They are looked at, and mended, unless they are renders.
    pub(super) fn noisy(&self, pairs: Pairs) -> anyhow::Result<Given> {
        if self.mends.align && !pairs.are_alone() || self.mends.brightness && pairs.neighbours {
            return Err(Usage::new(
                "--align, --match: belong to pairs, and --match to bursts and stacks without --neighbours: leave them out",
            ));
        }
        let renders = self.are_renders() && !matches!(pairs.of, Of::Pictures(_));
        if renders && (self.mends.align || self.mends.brightness) {
            return Err(Usage::new("--align, --match: belong to photographs, not to renders: leave them out"));
        }
        if let Some(supply) = self.supply(&pairs)? {
            let (seen, told) = self.look_at_some(pairs, renders)?;
            return Ok(Given { source: Source::of_files(supply, None)?, seen, told });
        }
        if renders {
            let (source, told) = self.renders(pairs)?;
            return Ok(Given { source, seen: None, told });
        }
        let neighbours = pairs.neighbours;
        let keep = |look: &mut Look, pictures: [Picture; 2]| {
            self.mends.mend(look, pictures).map(|picture| TrainingPicture::new(look.name.clone(), &picture)).into()
        };
        let Looked { inspector, usable: pairs, left_out } = pairs.look(self.common, keep);
        let mut report = inspector.finish();
        // Those are left out, and told as such.
        report.findings.retain(|finding| finding.kind != Kind::Size);
        let (source, told) = self.source(pairs, left_out, neighbours)?;
        Ok(Given { source, seen: Some(Seen::of_pairs(&report)), told })
    }

    /// What reads the files while it trains, if they need more memory than there is.
    fn supply(&self, pairs: &Pairs) -> Result<Option<Supply>, Error> {
        let Some(files) = pairs.scene_files() else { return Ok(None) };
        let (mends, are_pairs) = (self.mends, matches!(pairs.of, Of::Files(_)));
        let (renders, load): (_, Box<Load>) = if self.are_renders() {
            let (aux, network) = (self.aux.clone(), Arc::clone(self.network));
            let load = move |files: &[PathBuf]| load_renders(files, |file| aux.load(file, &network), are_pairs);
            (Some(3 + self.aux.channels() as u64), Box::new(load))
        } else {
            (None, Box::new(move |files: &[PathBuf]| load_shots(files, mends, are_pairs)))
        };
        self.memory.supply(self.common, files, renders, load)
    }

    /// A look at some pairs of many, unless they are renders; and what was said of those that are left out.
    fn look_at_some(&self, mut pairs: Pairs, renders: bool) -> Result<(Option<Seen>, Vec<String>), Error> {
        let count = pairs.scene_files().map_or(0, |scenes| scenes.len());
        if renders {
            let left_out = std::mem::take(&mut pairs.left_out);
            return Ok((None, leave_out(errors(left_out), count, self.strict)?));
        }
        let some = count.min(LOOKED_AT);
        let unlike = |look: &mut Look, pictures: [Picture; 2]| {
            let [a, b] = self.mends.mend(look, pictures).each_ref().map(form);
            unlike(&look.name, a, b)
        };
        let Looked { inspector, usable: all, mut left_out } = pairs.sampled(LOOKED_AT).look(self.common, unlike);
        let usable = all.iter().filter(|(_, unlike)| unlike.is_none()).count();
        left_out.extend(all.into_iter().filter_map(|(_, unlike)| Some(LeftOut::new(Kind::Size, "", unlike?))));
        if some < count {
            self.common.remark(&format!("a look at {some} of {}", counted(count, "scene")));
        }
        // Where none of some can be used, others may.
        let left = if some < count { count } else { usable };
        let told = leave_out(errors(left_out), left, self.strict)?;
        let mut report = inspector.finish();
        report.findings.retain(|finding| finding.kind != Kind::Size);
        Ok((Some(Seen::of_pairs(&report)), told))
    }

    /// The shots of every scene, of which the first is part of all its pairs, or of the next.
    fn source(&self, pairs: Vec<(usize, Pair)>, mut left_out: Vec<LeftOut>, neighbours: bool) -> Result<Told, Error> {
        let mut shots: Vec<(usize, Vec<TrainingPicture>)> = Vec::new();
        for (scene, (a, b)) in pairs {
            match shots.last_mut().filter(|(last, _)| *last == scene) {
                Some((_, shots)) => shots.push(b),
                None => match unlike(&b.name, form_of_shot(&a), form_of_shot(&b)) {
                    None => shots.push((scene, vec![a, b])),
                    Some(e) => left_out.push(LeftOut::new(Kind::Size, b.name, e)),
                },
            }
        }
        let scenes = shots.into_iter().map(|(_, shots)| shots).collect();
        self.of_scenes(scenes, left_out, neighbours)
    }

    fn of_scenes(&self, scenes: Vec<Vec<TrainingPicture>>, mut left_out: Vec<LeftOut>, neighbours: bool) -> Result<Told, Error> {
        let scenes = on_one_scale(scenes, &mut left_out);
        let told = leave_out(errors(left_out), scenes.len(), self.strict)?;
        Ok((if neighbours { Source::neighbours(scenes) } else { Source::shots(scenes) }?, told))
    }

    /// Noisy renders, in floats, with what the network reads beside the colours.
    fn renders(&self, Pairs { of, mut left_out, .. }: Pairs) -> Result<Told, Error> {
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
            Of::Files(files) => {
                let alone = left_out.into_iter().map(|left_out| Err(left_out.error));
                // Clean pictures need no features.
                let read: Vec<_> = if self.are_renders() {
                    self.pairs_of_renders(&files, &AuxArgs::default())
                } else {
                    files.par_iter().map(load_pair).collect()
                };
                readable(alone.chain(read), self.strict)
            }
            Of::Bursts(_) => unreachable!("a data set has no bursts"),
            Of::Pictures(scenes) => {
                leave_out(errors(left_out), scenes.len(), self.strict)?;
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
