//! Noisy shots: where they are, and the look at pairs of them.

use std::path::{Path, PathBuf};

use n2n_gpu::data::dataset;
use n2n_gpu::data::files::{Paired, is_picture_name, paired};
use n2n_gpu::data::inspect::{Inspector, Kind, Look, PairFiles, read_at_once};
use n2n_gpu::data::npy::load_npy;
use n2n_gpu::data::picture::{Pages, Picture};
use n2n_gpu::error::{Error, shown};
use rayon::prelude::*;

use super::Common;
use super::output::{Bar, counted};
use super::scenes::{Burst, LeftOut, form, leave_out, pages};

/// Noisy shots of scenes, as the pairs that are looked at: of a scene, the first shot with each other one, or neighbours.
pub(super) struct Pairs {
    pub(super) of: Of,
    /// Whether only neighbours in a scene are two shots of the same.
    pub(super) neighbours: bool,
    /// What is left out already.
    pub(super) left_out: Vec<LeftOut>,
}

/// What pairs are made of.
pub(super) enum Of {
    /// Files that are not read yet: each two of a scene of their own.
    Files(Vec<PairFiles>),
    /// Files of scenes that are not read yet.
    Bursts(Vec<Burst>),
    /// Scenes of pictures, from files that hold several.
    Pictures(Vec<Vec<Shot>>),
}

/// A noisy picture of a scene.
pub(super) struct Shot {
    /// What it is called.
    label: String,
    /// What the pair is called of which it is the second.
    pub(super) pair: String,
    pub(super) picture: Picture,
}

/// What was seen, what is used of the pairs with the numbers of their scenes, and what is left out.
pub(super) struct Looked<T> {
    pub(super) inspector: Inspector,
    pub(super) usable: Vec<(usize, T)>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A file's name without its folder.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Pairs {
    fn of(of: Of) -> Self {
        Self { of, neighbours: false, left_out: Vec::new() }
    }

    /// Of two folders, or two files.
    pub(super) fn of_two(a: &Path, b: &Path) -> Result<Self, Error> {
        let Paired { pairs, alone } = paired(a, b)?;
        let left_out = |file: PathBuf| {
            let other = if file.starts_with(a) { b } else { a };
            let problem = format!("has no partner of that name in {}: give both pictures of a pair the same name", shown(other));
            LeftOut::new(Kind::Few, name(&file), Error::file(&file, problem))
        };
        let files = pairs.into_iter().map(|(a, b)| PairFiles { name: name(&a), files: [a, b] });
        Ok(Self { left_out: alone.into_iter().map(left_out).collect(), ..Self::of(Of::Files(files.collect())) })
    }

    /// Of a folder with the folders a and b, or a file.
    pub(super) fn of_dataset(data: &Path) -> Result<Self, Error> {
        if data.is_dir() {
            let folders = ["a", "b"].map(|folder| data.join(folder));
            if let Some(missing) = folders.iter().find(|folder| !folder.is_dir()) {
                let problem = format!(
                    "has no folder {} in it: give one with a and b, of which both have the pictures of a pair under one name \
                     (for --val, noisy ones in a and clean ones in b)",
                    name(missing)
                );
                return Err(Error::file(data, problem));
            }
            return Self::of_two(&folders[0], &folders[1]);
        }
        let (mut scenes, mut left_out) = (Vec::new(), Vec::new());
        let set = dataset::load(data).map_err(|e| if holds_pictures(data) { no_set(data) } else { e });
        for ((number, a), (_, b)) in set?.into_pictures() {
            let pair = format!("pair {number}");
            let problem = a.not_finite().or_else(|| b.not_finite());
            match problem {
                Some(problem) => left_out.push(LeftOut::new(Kind::Broken, &pair, Error::file(data, format!("{pair} {problem}")))),
                None => {
                    let shot = |of: &str, picture| Shot { label: format!("{of} of {pair}"), pair: pair.clone(), picture };
                    scenes.push(vec![shot("a", a), shot("b", b)]);
                }
            }
        }
        Ok(Self { left_out, ..Self::of(Of::Pictures(scenes)) })
    }

    /// Of a folder with a folder of shots for every scene.
    pub(super) fn of_bursts(root: &Path) -> Result<Self, Error> {
        let mut left_out = Vec::new();
        let bursts = Burst::list(root, &mut left_out)?;
        Ok(Self { left_out, ..Self::of(Of::Bursts(bursts)) })
    }

    /// Of files with several pages each, which are shots of one scene.
    pub(super) fn of_stacks(files: &[PathBuf], neighbours: bool) -> Result<Self, Error> {
        let (mut scenes, mut left_out) = (Vec::<Vec<Shot>>::new(), Vec::new());
        for file in files {
            let (stem, mut last) = (file.file_stem().unwrap_or_default().to_string_lossy(), None);
            for (number, picture) in pages(file, &mut left_out)? {
                let label = format!("{stem}-{}", number + 1);
                let shot = Shot { pair: label.clone(), label, picture };
                // Where a page between them is left out, two are no neighbours.
                match (last, scenes.last_mut()) {
                    (Some(last), Some(scene)) if !neighbours || last + 1 == number => scene.push(shot),
                    _ => scenes.push(vec![shot]),
                }
                last = Some(number);
            }
        }
        scenes.retain(|scene| scene.len() > 1);
        Ok(Self { of: Of::Pictures(scenes), neighbours, left_out })
    }

    /// Whether every pair is a scene of its own.
    pub(super) fn are_alone(&self) -> bool {
        match &self.of {
            Of::Files(_) => true,
            Of::Bursts(bursts) => bursts.iter().all(|burst| burst.files.len() == 2),
            Of::Pictures(scenes) => scenes.iter().all(|scene| scene.len() == 2),
        }
    }

    /// The files of every scene, where scenes are not in memory yet.
    pub(super) fn scene_files(&self) -> Option<Vec<Vec<PathBuf>>> {
        match &self.of {
            Of::Files(files) => Some(files.iter().map(|pair| pair.files.to_vec()).collect()),
            Of::Bursts(bursts) => Some(bursts.iter().map(|burst| burst.files.clone()).collect()),
            Of::Pictures(_) => None,
        }
    }

    /// So many scenes of those in files, spread evenly.
    pub(super) fn sampled(self, count: usize) -> Self {
        let of = match self.of {
            Of::Files(files) => Of::Files(spread(files, count)),
            Of::Bursts(bursts) => Of::Bursts(spread(bursts, count)),
            of @ Of::Pictures(_) => of,
        };
        Self { of, ..self }
    }

    /// Looks at all of them.
    pub(super) fn look<T: Send>(self, common: &Common, keep: impl Fn(&mut Look, [Picture; 2]) -> T + Sync) -> Looked<T> {
        let mut looked = Looked { inspector: Inspector::default(), usable: Vec::new(), left_out: self.left_out };
        match self.of {
            Of::Files(files) => {
                let (mut bar, count) = (Bar::new(common), files.len());
                let show = |done: usize| {
                    bar.show(done as f64 / count as f64, || format!("looked at {done} of {}", counted(count, "pair")));
                };
                for (scene, usable) in looked.inspector.read(&files, keep, show).into_iter().enumerate() {
                    match usable {
                        Ok(usable) => looked.usable.push((scene, usable)),
                        Err(e) => looked.left_out.push(LeftOut::new(Kind::Broken, &files[scene].name, e)),
                    }
                }
            }
            Of::Bursts(bursts) => looked.read(common, &bursts, &keep),
            Of::Pictures(scenes) => {
                for (scene, shots) in scenes.iter().enumerate() {
                    let pairs = (1..shots.len()).map(|k| [if self.neighbours { k - 1 } else { 0 }, k]).collect();
                    looked.add(scene, look_at(shots, pairs, &keep));
                }
            }
        }
        looked
    }
}

/// So many of all, or all if there are fewer.
fn spread<T>(all: Vec<T>, count: usize) -> Vec<T> {
    let len = all.len();
    let is_chosen = |i: usize| len <= count || i * count % len < count;
    all.into_iter().enumerate().filter(|(i, _)| is_chosen(*i)).map(|(_, one)| one).collect()
}

/// Whether a file is one of pictures, and an array none of two halves.
fn holds_pictures(file: &Path) -> bool {
    if !file.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) {
        return is_picture_name(file);
    }
    load_npy(file).is_ok_and(|array| array.shape().len() > 1 && !matches!(array.shape(), [2, _, _, _, ..]))
}

/// What is wrong with a file of pictures where a data set is wanted.
fn no_set(file: &Path) -> Error {
    match Pages::open(file).map(|pages| pages.total()) {
        Ok(1) => Error::file(file, "is one picture: give two shots of the scene, as two files, or two folders"),
        Ok(pages) => {
            let problem = "give it with --stack, as shots of one scene, or with --stack and --neighbours, as slices or frames";
            Error::file(file, format!("has {}: {problem}", counted(pages, "page")))
        }
        Err(e) => e,
    }
}

/// Looks at pairs of shots.
fn look_at<T: Send>(
    shots: &[Shot],
    pairs: Vec<[usize; 2]>,
    keep: &(impl Fn(&mut Look, [Picture; 2]) -> T + Sync),
) -> Vec<(Look, T)> {
    let look = |[a, b]: [usize; 2]| {
        let [a, b] = [a, b].map(|i| &shots[i]);
        let mut look = Look::new(&b.pair, [&a.label, &b.label], [&a.picture, &b.picture]);
        let usable = keep(&mut look, [a.picture.clone(), b.picture.clone()]);
        (look, usable)
    };
    pairs.into_par_iter().map(look).collect()
}

impl<T: Send> Looked<T> {
    fn add(&mut self, scene: usize, looked: Vec<(Look, T)>) {
        for (look, usable) in looked {
            self.inspector.add(look);
            self.usable.push((scene, usable));
        }
    }

    /// Reads bursts, some at a time, and looks at the first shot of each with every other.
    fn read(&mut self, common: &Common, bursts: &[Burst], keep: &(impl Fn(&mut Look, [Picture; 2]) -> T + Sync)) {
        let (mut bar, mut done) = (Bar::new(common), 0);
        while done < bursts.len() {
            let some = &bursts[done..][..read_at_once(bursts[done..].iter().map(Burst::bytes))];
            let look = |burst: &Burst| {
                let load = |file: &PathBuf| Picture::load(file).map(Picture::as_measured);
                let mut left_out = Vec::new();
                let used = burst.usable(burst.files.par_iter().map(load).collect(), form, &mut left_out);
                let shot = |(i, picture): (usize, Picture)| Shot {
                    label: burst.files[i].display().to_string(),
                    pair: burst.shot(i),
                    picture,
                };
                let shots: Vec<Shot> = used.into_iter().map(shot).collect();
                (look_at(&shots, (1..shots.len()).map(|k| [0, k]).collect(), keep), left_out)
            };
            let looked: Vec<_> = some.par_iter().map(look).collect();
            for (scene, (looked, left_out)) in looked.into_iter().enumerate() {
                self.add(done + scene, looked);
                self.left_out.extend(left_out);
            }
            done += some.len();
            bar.show(done as f64 / bursts.len() as f64, || format!("looked at {done} of {}", counted(bursts.len(), "scene")));
        }
    }
}

/// Those of the pictures that can be read. Others are named and left out, unless there are no more, or it is `strict`.
pub(super) fn readable<T>(pictures: impl IntoIterator<Item = Result<T, Error>>, strict: bool) -> Result<Vec<T>, Error> {
    readable_of(pictures, strict).map(|(read, _)| read)
}

/// The same, and what was said of the others.
pub(super) fn readable_of<T>(
    pictures: impl IntoIterator<Item = Result<T, Error>>,
    strict: bool,
) -> Result<(Vec<T>, Vec<String>), Error> {
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for picture in pictures {
        match picture {
            Ok(picture) => read.push(picture),
            Err(e) => errors.push(e),
        }
    }
    let told = leave_out(errors, read.len(), strict)?;
    Ok((read, told))
}
