//! Noisy shots: where they are, and the look at pairs of them.

use std::path::{Path, PathBuf};

use n2n_gpu::data::dataset::{self, Shot};
use n2n_gpu::data::files::{list, pair};
use n2n_gpu::data::frames::load_stack;
use n2n_gpu::data::inspect::{Finding, Inspector, Kind, Look, PairFiles, Report, in_words};
use n2n_gpu::data::picture::{Pages, Picture};
use n2n_gpu::error::Error;
use rayon::prelude::*;

use super::Common;
use super::output::{Bar, complain, counted};

/// Noisy shots of scenes, as the pairs that are looked at.
pub(super) struct Pairs {
    pub(super) of: Of,
    /// The scene of each. Those of one scene follow each other: the first shot with each other one, or neighbours.
    pub(super) scenes: Vec<usize>,
    /// Whether only neighbours in a scene are two shots of the same.
    pub(super) neighbours: bool,
}

/// What pairs are made of.
pub(super) enum Of {
    /// Files that are not read yet.
    Files(Vec<PairFiles>),
    /// Pictures of files that hold several, and which of them make pairs.
    Pictures(Vec<Shot>, Vec<[usize; 2]>),
}

/// A file's name without its folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Pairs {
    /// Every pair is a scene of its own.
    fn of(of: Of) -> Self {
        let count = match &of {
            Of::Files(files) => files.len(),
            Of::Pictures(_, pairs) => pairs.len(),
        };
        Self { of, scenes: (0..count).collect(), neighbours: false }
    }

    /// Of two folders, or two files.
    pub(super) fn of_two(a: &Path, b: &Path) -> Result<Self, Error> {
        let files = pair(a, b)?.into_iter().map(|(a, b)| PairFiles { name: name(&a), files: [a, b] });
        Ok(Self::of(Of::Files(files.collect())))
    }

    /// Of a folder with the folders a and b, or a file.
    pub(super) fn of_dataset(data: &Path) -> Result<Self, Error> {
        if data.is_dir() {
            return Self::of_two(&data.join("a"), &data.join("b"));
        }
        let shots: Vec<Shot> = dataset::load(data)?.into_pictures().into_iter().flat_map(|(a, b)| [a, b]).collect();
        let pairs = (0..shots.len() / 2).map(|i| [2 * i, 2 * i + 1]).collect();
        Ok(Self::of(Of::Pictures(shots, pairs)))
    }

    /// Of a folder with a folder of shots for every scene: the first with each other.
    pub(super) fn of_bursts(root: &Path) -> Result<Self, Error> {
        let unreadable = |e: std::io::Error| Error::file(root, format!("cannot be listed: {e}"));
        let entries: Result<Vec<_>, _> = std::fs::read_dir(root).map_err(unreadable)?.map(|e| e.map(|e| e.path())).collect();
        let mut folders = entries.map_err(unreadable)?;
        folders.retain(|path| path.is_dir() && !name(path).starts_with('.'));
        folders.sort();
        if folders.is_empty() {
            let problem = "has no folders in it: give a folder with one folder of shots for every scene, or two folders of pairs";
            return Err(Error::file(root, problem));
        }
        let (mut pairs, mut scenes) = (Vec::new(), Vec::new());
        for (number, scene) in folders.into_iter().enumerate() {
            let shots = list(std::slice::from_ref(&scene))?;
            let [first, others @ ..] = &shots[..] else { continue };
            if others.is_empty() {
                return Err(Error::file(&scene, "has one shot only: give at least two of every scene, or remove the folder"));
            }
            let name = |other: &Path| format!("{}/{}", name(&scene), name(other));
            let pair = |other: &PathBuf| PairFiles { name: name(other), files: [first.clone(), other.clone()] };
            pairs.extend(others.iter().map(pair));
            scenes.resize(pairs.len(), number);
        }
        Ok(Self { of: Of::Files(pairs), scenes, neighbours: false })
    }

    /// Of files with several pages each, which are shots of one scene: the first with each other, or neighbours.
    pub(super) fn of_stacks(files: &[PathBuf], neighbours: bool) -> Result<Self, Error> {
        let (mut shots, mut pairs, mut scenes) = (Vec::new(), Vec::new(), Vec::new());
        for (number, file) in files.iter().enumerate() {
            let (first, stem) = (shots.len(), file.file_stem().unwrap_or_default().to_string_lossy());
            let named = |(page, picture): (usize, Picture)| (format!("{stem}-{page}"), picture);
            shots.extend((1..).zip(pages(file)?).map(named));
            pairs.extend((first + 1..shots.len()).map(|page| [if neighbours { page - 1 } else { first }, page]));
            scenes.resize(pairs.len(), number);
        }
        Ok(Self { of: Of::Pictures(shots, pairs), scenes, neighbours })
    }

    /// Whether every pair is a scene of its own.
    pub(super) fn are_alone(&self) -> bool {
        self.scenes.windows(2).all(|two| two[0] != two[1])
    }

    /// So many of those in files, spread evenly.
    pub(super) fn sampled(mut self, count: usize) -> Self {
        let all = self.scenes.len();
        let chosen: Vec<usize> = (0..count.min(all)).map(|i| i * all / count.min(all)).collect();
        if let Of::Files(files) = &mut self.of {
            *files = chosen.iter().map(|&i| files[i].clone()).collect();
            self.scenes = chosen.iter().map(|&i| self.scenes[i]).collect();
        }
        self
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        match &self.of {
            Of::Files(files) => files.iter().map(|pair| pair.name.clone()).collect(),
            Of::Pictures(shots, pairs) => pairs.iter().map(|pair| pair_name(shots, pair)).collect(),
        }
    }

    /// Looks at all of them. What cannot be read is in the list that comes with it.
    pub(super) fn look<T: Send>(
        self,
        common: &Common,
        keep: impl Fn(&mut Look, [Picture; 2]) -> T + Sync,
    ) -> (Inspector, Vec<Result<T, Error>>) {
        let mut inspector = Inspector::default();
        let kept = match self.of {
            Of::Files(files) => {
                let (mut bar, count) = (Bar::new(common), files.len());
                let show = |done: usize| {
                    bar.show(done as f64 / count as f64, || format!("looked at {done} of {}", counted(count, "pair")));
                };
                inspector.read(&files, keep, show)
            }
            Of::Pictures(shots, pairs) => {
                let look = |pair: &[usize; 2]| {
                    let [a, b] = pair.map(|i| &shots[i]);
                    let labels = [("a", a), ("b", b)]
                        .map(|(of, (name, _))| if a.0 == b.0 { format!("{of} of pair {name}") } else { name.clone() });
                    let labels = labels.each_ref().map(String::as_str);
                    let mut look = Look::new(&pair_name(&shots, pair), labels, [&a.1, &b.1]);
                    let kept = keep(&mut look, [a.1.clone(), b.1.clone()]);
                    (look, kept)
                };
                let looked: Vec<(Look, T)> = pairs.par_iter().map(look).collect();
                let add = |(look, kept)| {
                    inspector.add(look);
                    Ok(kept)
                };
                looked.into_iter().map(add).collect()
            }
        };
        (inspector, kept)
    }
}

/// `pair 3` of a data set, the name of the second shot of others.
fn pair_name(shots: &[Shot], &[a, b]: &[usize; 2]) -> String {
    let (first, second) = (&shots[a].0, &shots[b].0);
    if first == second { format!("pair {second}") } else { second.clone() }
}

/// The pages of a stack, all of one size.
fn pages(file: &Path) -> Result<Vec<Picture>, Error> {
    let is_array = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"));
    let pages = if is_array { load_stack(file)? } else { Pages::open(file)?.collect::<Result<Vec<_>, _>>()? };
    let sizes = |i: usize| pages[i].header().size();
    if let Some(other) = (1..pages.len()).find(|&i| sizes(i) != sizes(0)) {
        let ([w, h], [v, g], page) = (sizes(0), sizes(other), other + 1);
        let problem = format!("page {page} has {v}x{g} pixels, but the first {w}x{h}: give a stack of one size");
        return Err(Error::file(file, problem));
    }
    if pages.len() < 2 {
        return Err(Error::file(file, "has one page only: a stack has two and more, as TIFF or as an array (N, H, W) in .npy"));
    }
    Ok(pages)
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
