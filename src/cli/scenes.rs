//! Shots of scenes: which of them can be used together, and what is left out, with the reason.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use n2n_gpu::data::files::{Search, search};
use n2n_gpu::data::inspect::Kind;
use n2n_gpu::data::picture::{Pages, Picture};
use n2n_gpu::error::Error;
use n2n_gpu::ops::Pixels;
use n2n_gpu::train::{TrainingPicture, signal};

use super::output::{complain, counted};
use super::pairs::name;

/// A shot, a pair or a scene that is left out.
pub(super) struct LeftOut {
    pub(super) kind: Kind,
    /// What it is called.
    pub(super) place: String,
    pub(super) error: Error,
}

impl LeftOut {
    pub(super) fn new(kind: Kind, place: impl Into<String>, error: Error) -> Self {
        Self { kind, place: place.into(), error }
    }

    /// A scene of so many shots that can be used, of which two are needed.
    fn few(path: &Path, shots: usize) -> Self {
        let problem = match shots {
            0 => "has no pictures in it: give at least two shots of every scene, or remove the folder",
            _ => "has one shot only that can be used: give at least two of every scene",
        };
        Self::new(Kind::Few, name(path), Error::file(path, problem))
    }
}

/// Why shots, pairs and scenes are left out.
pub(super) fn errors(left_out: Vec<LeftOut>) -> Vec<Error> {
    left_out.into_iter().map(|left_out| left_out.error).collect()
}

/// Says what is left out, by name, and how much; returns what was said of each. Fails where that is `strict`, or nothing is
/// `left`.
pub(super) fn leave_out(errors: impl IntoIterator<Item = Error>, left: usize, strict: bool) -> Result<Vec<String>, Error> {
    let mut errors: Vec<Error> = errors.into_iter().collect();
    if !errors.is_empty() && (left == 0 || strict) {
        return Err(errors.swap_remove(0));
    }
    let told: Vec<String> = errors.iter().map(Error::to_string).collect();
    told.iter().for_each(|what| complain(&format!("left out: {what}")));
    if told.len() > 1 {
        complain(&format!("left out in all: {}", told.len()));
    }
    Ok(told)
}

/// What shots must have in common: width and height, and whether their values are of floating point.
pub(super) type Form = ([usize; 2], bool);

/// The form of a shot.
pub(super) fn form(picture: &Picture) -> Form {
    (picture.header().size(), picture.header().is_float())
}

/// The form of a shot to train on.
pub(super) fn form_of_shot(shot: &TrainingPicture) -> Form {
    ([shot.width, shot.height], shot.pixels.value_bytes() == 4)
}

/// What is the matter with a shot of one form where `others` have another one, as the end of a sentence that names it.
pub(super) fn mismatch(([w, h], float): Form, others: &str, ([v, g], _): Form) -> String {
    if [w, h] == [v, g] {
        let kinds = ["whole numbers", "values of floating point"];
        let [own, theirs] = if float { [kinds[1], kinds[0]] } else { kinds };
        return format!("has {own}, but {others} {theirs}: give all in one type");
    }
    format!("has {w}x{h} pixels, but {others} {v}x{g}: give all in one size")
}

/// What is the matter with a pair of shots of two forms, of which the second has a name.
pub(super) fn unlike(name: &str, a: Form, b: Form) -> Option<Error> {
    (a != b).then(|| Error::data(format!("{name}: the second shot {}", mismatch(b, "the first", a))))
}

/// Shots of one scene by their numbers: those that can be read and are of the form that most of them have, the first of it if
/// there are as many of another. `at` makes an error of a number and what is the matter.
pub(super) fn usable<P>(
    shots: Vec<Result<P, Error>>,
    form: impl Fn(&P) -> Form,
    at: impl Fn(usize, String) -> Error,
    place: impl Fn(usize) -> String,
    left_out: &mut Vec<LeftOut>,
) -> Vec<(usize, P)> {
    let mut counts: HashMap<Form, usize> = HashMap::new();
    shots.iter().flatten().for_each(|shot| *counts.entry(form(shot)).or_default() += 1);
    let forms = shots.iter().flatten().map(&form);
    // Of equal ones, the last is the greatest to `max_by_key`.
    let Some(usual) = forms.rev().max_by_key(|form| counts[form]) else {
        left_out.extend(
            shots.into_iter().enumerate().filter_map(|(i, shot)| Some(LeftOut::new(Kind::Broken, place(i), shot.err()?))),
        );
        return Vec::new();
    };
    let mut used = Vec::new();
    for (i, shot) in shots.into_iter().enumerate() {
        match shot {
            Err(e) => left_out.push(LeftOut::new(Kind::Broken, place(i), e)),
            Ok(shot) if form(&shot) != usual => {
                left_out.push(LeftOut::new(Kind::Size, place(i), at(i, mismatch(form(&shot), "others of its scene", usual))));
            }
            Ok(shot) => used.push((i, shot)),
        }
    }
    used
}

/// Floats beyond this count something, and whole numbers beside them are shares of the largest.
const MOST_OF_SHARES: f32 = 2.0;

/// Leaves out the scenes of the type that fewer have, where two are on two scales: floats that count and whole numbers; or whole
/// numbers of 8 bits and of 16 that fill a range of their own.
pub(super) fn on_one_scale<S: AsRef<[TrainingPicture]>>(scenes: Vec<S>, left_out: &mut Vec<LeftOut>) -> Vec<S> {
    let counts = |shot: &TrainingPicture| {
        let Pixels::Floats(values) = &shot.pixels else { return Some(false) };
        (shot.linear || values.iter().any(|v| v.abs() > MOST_OF_SHARES)).then_some(true)
    };
    let scenes = of_one_type(scenes, counts, ["whole numbers", "values of floating point"], left_out);
    let is_wide = |shot: &TrainingPicture| match &shot.pixels {
        Pixels::Bytes(_) => Some(false),
        Pixels::Words(_) => Some(true),
        Pixels::Floats(_) => None,
    };
    let wide = scenes.iter().flat_map(S::as_ref).filter(|shot| is_wide(shot) == Some(true));
    if scenes.iter().all(|scene| is_wide(&scene.as_ref()[0]) != Some(false)) || signal(wide).is_none() {
        return scenes;
    }
    of_one_type(scenes, is_wide, ["8 bits a value", "16 bits a value, which fill a range of their own"], left_out)
}

/// Leaves out the scenes of the type that fewer have, of two with names; `is_second` tells which of them it is, if any.
fn of_one_type<S: AsRef<[TrainingPicture]>>(
    scenes: Vec<S>,
    is_second: impl Fn(&TrainingPicture) -> Option<bool>,
    names: [&str; 2],
    left_out: &mut Vec<LeftOut>,
) -> Vec<S> {
    let kinds = || scenes.iter().filter_map(|scene| is_second(&scene.as_ref()[0]));
    let (first, second) = (kinds().filter(|second| !second).count(), kinds().filter(|second| *second).count());
    if first == 0 || second == 0 {
        return scenes;
    }
    let leaves_second = second < first;
    let [theirs, own] = if leaves_second { names } else { [names[1], names[0]] };
    let (left, kept): (Vec<_>, Vec<_>) =
        scenes.into_iter().partition(|scene| is_second(&scene.as_ref()[0]) == Some(leaves_second));
    for scene in left {
        let scene = scene.as_ref();
        let (name, others) = (&scene[0].name, if scene.len() > 1 { "other scenes" } else { "other pictures" });
        let problem = format!("{name}: has {own}, but {others} {theirs}: give all in one type");
        left_out.push(LeftOut::new(Kind::Size, name, Error::data(problem)));
    }
    kept
}

/// Files with shots of one scene.
pub(super) struct Burst {
    folder: PathBuf,
    pub(super) files: Vec<PathBuf>,
}

impl Burst {
    /// Shots of a scene, all in one folder.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let folder = files.first().and_then(|file| file.parent()).unwrap_or(Path::new(""));
        Self { folder: folder.to_owned(), files: files.to_vec() }
    }

    /// The bursts in the folders of a folder.
    pub(super) fn list(root: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<Self>, Error> {
        let unreadable = |e: std::io::Error| Error::file(root, format!("cannot be listed: {e}"));
        let entries: Result<Vec<_>, _> = std::fs::read_dir(root).map_err(unreadable)?.map(|e| e.map(|e| e.path())).collect();
        let mut folders = entries.map_err(unreadable)?;
        folders.retain(|path| path.is_dir() && !name(path).starts_with('.'));
        folders.sort();
        if folders.is_empty() {
            let problem = "has no folders in it: give a folder with one folder of shots for every scene, or two folders of pairs";
            return Err(Error::file(root, problem));
        }
        let mut bursts = Vec::new();
        for folder in folders {
            let found = search(std::slice::from_ref(&folder), &Search::default())?.found;
            match found.len() {
                few @ 0..2 => left_out.push(LeftOut::few(&folder, few)),
                _ => bursts.push(Self { files: found.into_iter().map(|found| found.path).collect(), folder }),
            }
        }
        Ok(bursts)
    }

    /// The name of a shot: `scene/shot.png`.
    pub(super) fn shot(&self, i: usize) -> String {
        format!("{}/{}", name(&self.folder), name(&self.files[i]))
    }

    /// Bytes of the files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// The shots that can be used together, with their numbers: two and more, or none.
    pub(super) fn usable<P>(
        &self,
        shots: Vec<Result<P, Error>>,
        form: impl Fn(&P) -> Form,
        left_out: &mut Vec<LeftOut>,
    ) -> Vec<(usize, P)> {
        let at = |i: usize, problem: String| Error::file(&self.files[i], problem);
        let mut used = usable(shots, form, at, |i| self.shot(i), left_out);
        if used.len() < 2 {
            left_out.push(LeftOut::few(&self.folder, 1));
            used.clear();
        }
        used
    }
}

/// The pages of a file that can be used together, with their numbers: two and more, or none.
pub(super) fn pages(file: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<(usize, Picture)>, Error> {
    let pages = match Pages::open(file) {
        Err(e) if !file.exists() => return Err(e),
        Err(e) => {
            left_out.push(LeftOut::new(Kind::Broken, name(file), e));
            return Ok(Vec::new());
        }
        Ok(pages) => pages,
    };
    if pages.total() < 2 {
        if let Err(e) = pages.only() {
            left_out.push(LeftOut::new(Kind::Broken, name(file), e));
            return Ok(Vec::new());
        }
        let problem = "has one page only: a stack has two and more, as TIFF or as an array (N, H, W) in .npy";
        left_out.push(LeftOut::new(Kind::Few, name(file), Error::file(file, problem)));
        return Ok(Vec::new());
    }
    let count = pages.total();
    let at = |i: usize, problem: String| Error::file(file, format!("page {} of {count} {problem}", i + 1));
    let place = |i: usize| format!("{} page {}", name(file), i + 1);
    let mut used = usable(pages.map(|page| page.map(Picture::as_measured)).collect(), form, at, place, left_out);
    if used.len() < 2 {
        let problem = format!("has {} that can be used, and two and more are needed", counted(used.len(), "page"));
        left_out.push(LeftOut::new(Kind::Few, name(file), Error::file(file, problem)));
        used.clear();
    }
    Ok(used)
}
