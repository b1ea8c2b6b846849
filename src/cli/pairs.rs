//! Pairs of noisy shots: where they are, and the look at them before a training.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use n2n_gpu::data::dataset;
use n2n_gpu::data::files::{list, pair};
use n2n_gpu::data::inspect::{Finding, Inspector, Kind, Look, Mends, PairFiles, Report, in_words};
use n2n_gpu::data::picture::{Picture, Rgb8, load_each_rgb8};
use n2n_gpu::error::Error;
use n2n_gpu::nets::Network;
use n2n_gpu::train::{Source, TrainingPicture};
use rayon::prelude::*;

use super::aux::AuxArgs;
use super::output::{Bar, complain, counted};
use super::{Common, Usage};

/// Pairs of shots, not read yet unless they lie in one file.
pub(super) enum Pairs {
    Files(Vec<PairFiles>),
    Pictures(Vec<(Rgb8, Rgb8)>),
}

/// A file's name without its folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Pairs {
    /// Of two folders, or two files.
    pub(super) fn of_two(a: &Path, b: &Path) -> Result<Self, Error> {
        let files = pair(a, b)?.into_iter().map(|(a, b)| PairFiles { name: name(&a), files: [a, b] });
        Ok(Self::Files(files.collect()))
    }

    /// Of a folder with the folders a and b, or a file.
    pub(super) fn of_dataset(data: &Path) -> Result<Self, Error> {
        if data.is_dir() {
            return Self::of_two(&data.join("a"), &data.join("b"));
        }
        Ok(Self::Pictures(dataset::load(data)?.into_pictures()))
    }

    /// Of a folder with a folder of shots for every scene: the first with each other.
    pub(super) fn of_bursts(root: &Path) -> Result<Self, Error> {
        let unreadable = |e: std::io::Error| Error::file(root, format!("cannot be listed: {e}"));
        let entries: Result<Vec<_>, _> = std::fs::read_dir(root).map_err(unreadable)?.map(|e| e.map(|e| e.path())).collect();
        let mut scenes = entries.map_err(unreadable)?;
        scenes.retain(|path| path.is_dir() && !name(path).starts_with('.'));
        scenes.sort();
        if scenes.is_empty() {
            let problem = "has no folders in it: give a folder with one folder of shots for every scene, or two folders of pairs";
            return Err(Error::file(root, problem));
        }
        let mut pairs = Vec::new();
        for scene in scenes {
            let shots = list(std::slice::from_ref(&scene))?;
            let [first, others @ ..] = &shots[..] else { continue };
            if others.is_empty() {
                return Err(Error::file(&scene, "has one shot only: give at least two of every scene, or remove the folder"));
            }
            let name = |other: &Path| format!("{}/{}", name(&scene), name(other));
            let pair = |other: &PathBuf| PairFiles { name: name(other), files: [first.clone(), other.clone()] };
            pairs.extend(others.iter().map(pair));
        }
        Ok(Self::Files(pairs))
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Files(files) => files.iter().map(|pair| pair.name.clone()).collect(),
            Self::Pictures(pairs) => pairs.iter().map(|(a, _)| format!("pair {}", a.name)).collect(),
        }
    }

    /// Looks at all of them. What cannot be read is in the list that comes with it.
    pub(super) fn look<T: Send>(
        self,
        common: &Common,
        keep: impl Fn(&mut Look, [Picture; 2]) -> T + Sync,
    ) -> (Inspector, Vec<Result<T, Error>>) {
        let mut inspector = Inspector::default();
        let kept = match self {
            Self::Files(files) => {
                let (mut bar, count) = (Bar::new(common), files.len());
                let show = |done: usize| {
                    bar.show(done as f64 / count as f64, || format!("looked at {done} of {}", counted(count, "pair")));
                };
                inspector.read(&files, keep, show)
            }
            Self::Pictures(pairs) => {
                let look = |(a, b): (Rgb8, Rgb8)| {
                    let pictures = [a, b].map(|p| (p.name, Picture::from_rgb8(p.width, p.height, &p.data)));
                    let labels = ["a", "b"].map(|of| format!("{of} of pair {}", pictures[0].0));
                    let [(name, a), (_, b)] = pictures;
                    let mut look = Look::new(&format!("pair {name}"), labels.each_ref().map(String::as_str), [&a, &b]);
                    let kept = keep(&mut look, [a, b]);
                    inspector.add(look);
                    Ok(kept)
                };
                pairs.into_iter().map(look).collect()
            }
        };
        (inspector, kept)
    }
}

/// How pairs are read to train on: in 8 bit, or in floats with what the network reads beside the colours.
pub(super) struct PairReader<'a> {
    pub(super) common: &'a Common,
    pub(super) aux: &'a AuxArgs,
    pub(super) network: &'a Arc<dyn Network>,
    pub(super) mends: Mends,
    pub(super) strict: bool,
}

/// A pair to train on.
type Pair = (TrainingPicture, TrainingPicture);

impl PairReader<'_> {
    /// Pairs of noisy shots. Those in 8 bit are looked at, and mended.
    pub(super) fn noisy(&self, pairs: Pairs) -> anyhow::Result<(Source, Option<Report>)> {
        if let Pairs::Files(files) = &pairs
            && self.are_renders()
        {
            if self.mends.align || self.mends.brightness {
                return Err(Usage::new("--align, --match: belong to photographs, not to renders: leave them out"));
            }
            return Ok((Source::pairs(self.renders(files, self.aux)?)?, None));
        }
        let keep = |look: &mut Look, pictures: [Picture; 2]| {
            let shots = pictures.map(|picture| Rgb8::new(look.name.clone(), &picture));
            self.mends.mend(look, shots).map(TrainingPicture::from).into()
        };
        let (inspector, pairs) = pairs.look(self.common, keep);
        Ok((Source::pairs(readable(pairs, self.strict)?)?, Some(inspector.finish())))
    }

    /// Pairs of noisy and clean pictures, as [`Pairs::of_dataset`].
    pub(super) fn with_clean(&self, data: &Path) -> Result<Vec<Pair>, Error> {
        match Pairs::of_dataset(data)? {
            Pairs::Pictures(pairs) => Ok(pairs.into_iter().map(|(a, b)| (a.into(), b.into())).collect()),
            // Clean pictures need no features.
            Pairs::Files(files) if self.are_renders() => self.renders(&files, &AuxArgs::default()),
            Pairs::Files(files) => {
                let [a, b] = [0, 1].map(|k| files.iter().map(|pair| pair.files[k].clone()).collect::<Vec<_>>());
                let pairs = load_each_rgb8(&a).into_iter().zip(load_each_rgb8(&b));
                readable(pairs.map(|(a, b)| Ok((a?.into(), b?.into()))), self.strict)
            }
        }
    }

    fn are_renders(&self) -> bool {
        self.network.transfer().is_linear() || !self.aux.is_empty()
    }

    /// `aux_of_b` is what the second pictures have.
    fn renders(&self, files: &[PairFiles], aux_of_b: &AuxArgs) -> Result<Vec<Pair>, Error> {
        let load =
            |PairFiles { files: [a, b], .. }: &PairFiles| Ok((self.aux.load(a, self.network)?, aux_of_b.load(b, self.network)?));
        let pairs = files.par_iter().map(load);
        readable(pairs.collect::<Vec<_>>(), self.strict)
    }
}

/// Those of the pictures that can be read. Others are named and left out, unless there are no more, or it is `strict`.
pub(super) fn readable<T>(pictures: impl IntoIterator<Item = Result<T, Error>>, strict: bool) -> Result<Vec<T>, Error> {
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for picture in pictures {
        match picture {
            Ok(picture) => read.push(picture),
            Err(e) => errors.push(e),
        }
    }
    if !errors.is_empty() && (read.is_empty() || strict) {
        return Err(errors.swap_remove(0));
    }
    errors.iter().for_each(|e| complain(&format!("left out: {e}")));
    Ok(read)
}

/// Says which faults were found, or that none were. Fails if there are faults and it is `strict`.
pub(super) fn tell(common: &Common, report: &Report, strict: bool) -> Result<(), Error> {
    let found: Vec<Finding> = report.findings.iter().filter(|f| f.kind.is_fault()).cloned().collect();
    lines(&found).iter().for_each(|line| common.remark(line));
    let faults = found.len();
    if faults == 0 {
        let pairs = counted(report.pairs.len(), "pair");
        common.remark(&format!("looked at {pairs}: noise {} of 255, no faults", levels(&report.noise())));
    } else if strict {
        return Err(Error::data(refusal(faults)));
    }
    Ok(())
}

/// What a command of this program does about a fault.
fn remedy(kind: Kind) -> &'static str {
    match kind {
        Kind::Shift => " (train --align, for whole pixels)",
        Kind::Brightness => " (train --match)",
        _ => "",
    }
}

/// Findings as lines.
pub(super) fn lines(findings: &[Finding]) -> Vec<String> {
    in_words(findings).into_iter().map(|(kind, line)| line + remedy(kind)).collect()
}

/// Noise of channels for people: `19.8 20.1 20.0`.
pub(super) fn levels(noise: &[f64]) -> String {
    noise.iter().map(|v| format!("{v:.1}")).collect::<Vec<_>>().join(" ")
}

/// What `--strict` makes of faults.
pub(super) fn refusal(faults: usize) -> String {
    format!("{} in the data, and --strict allows none: mend it, or leave --strict out", counted(faults, "fault"))
}
