//! Pictures in more files than memory holds. Training draws from them in an endless sequence: every file once an epoch, in orders
//! that the seed shuffles; of large pictures, a piece from a random place. What comes at a position of the sequence is a function
//! of the seed, the files and the position alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::TrainingPicture;
use super::picture::of_one_size;
use super::ring::{holds, too_little};
use super::schedule::Order;
use super::split::hold_out;
use super::state::Digest;
use crate::error::{Error, Result};
use crate::ops::{Pixels, pcg4d};

/// Scenes that are read before training begins: what is to be known of all is taken from them.
const FIRST: usize = 64;
/// Side of the pieces that larger pictures are cut to, pixels.
const SIDE: usize = 512;
/// Smallest side that pieces are cut to for more of them to find room.
const SMALLEST: usize = 128;
/// Pieces that are wanted in a ring at least.
const PIECES: u64 = 32;
/// Most shots of a scene that are in a ring at once.
const SHOTS: usize = 8;
/// Files that are tried at a position, until one can be trained on.
const ATTEMPTS: u32 = 100;
/// The share of the memory for pictures that a ring takes. The rest is for what is being decoded.
const SHARE: u64 = 4;

/// The shots of a scene.
pub(super) type Scene = Vec<TrainingPicture>;

/// Reads the files of a scene, or some of them.
pub type Load = dyn Fn(&[PathBuf]) -> Loaded + Send + Sync;

/// What was read of a scene.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order of the files, and of one size: one photograph, or two and more shots; none of a scene that cannot be trained
    /// on.
    pub pictures: Vec<TrainingPicture>,
    /// Why files, or the scene, are left out.
    pub left_out: Vec<Error>,
}

impl From<Result<Vec<TrainingPicture>>> for Loaded {
    fn from(read: Result<Vec<TrainingPicture>>) -> Self {
        match read {
            Ok(pictures) => Self { pictures, left_out: Vec::new() },
            Err(e) => Self { pictures: Vec::new(), left_out: vec![e] },
        }
    }
}

/// Files to train on, which are read while it trains.
#[derive(Clone)]
pub struct Supply {
    files: Arc<Files>,
    /// By the number of the scene, and what is said.
    left_out: Arc<Mutex<BTreeMap<(usize, String), LeftOut>>>,
    seed: u32,
    strict: bool,
    /// Bytes of the pieces in a ring.
    bytes: u64,
    /// Most shots of a scene.
    shots: usize,
    /// Largest side of a piece, and smallest side of a picture.
    side: usize,
    least: usize,
    /// Colours that the network reads.
    colours: Option<usize>,
    /// What others have to be like.
    first: Option<Like>,
}

struct Files {
    scenes: Vec<Vec<PathBuf>>,
    held_out: Vec<Vec<PathBuf>>,
    load: Box<Load>,
    digest: u64,
}

/// What all pictures share.
#[derive(Clone, Copy, PartialEq)]
struct Like {
    channels: usize,
    linear: bool,
    value_bytes: usize,
}

/// Why a scene, or a shot of one, is not trained on.
#[derive(Clone, Debug)]
pub enum LeftOut {
    /// It is smaller than a crop: its name.
    Small(String),
    /// It cannot be read, or is unlike the others: what is wrong.
    Broken(String),
}

impl LeftOut {
    fn text(&self) -> &String {
        match self {
            Self::Small(text) | Self::Broken(text) => text,
        }
    }
}

impl std::fmt::Debug for Supply {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Supply").field("scenes", &self.count()).field("side", &self.side).finish_non_exhaustive()
    }
}

impl Supply {
    /// The files of every scene, of which some are held out if `holds_out`; `memory` is that for pictures, MiB. If `strict`, the
    /// first file that cannot be trained on ends the training.
    pub fn new(scenes: Vec<Vec<PathBuf>>, load: Box<Load>, seed: u32, memory: usize, holds_out: bool, strict: bool) -> Self {
        let shots = scenes.iter().map(Vec::len).max().unwrap_or(1).min(SHOTS);
        let digest = digest(&scenes);
        let (held_out, scenes) = if holds_out { hold_out(scenes) } else { (Vec::new(), scenes) };
        Self {
            files: Arc::new(Files { scenes, held_out, load, digest }),
            left_out: Arc::default(),
            seed,
            strict,
            bytes: ((memory as u64) << 20) / SHARE,
            shots,
            side: SIDE,
            least: 1,
            colours: None,
            first: None,
        }
    }

    /// Scenes that are trained on.
    pub(super) fn count(&self) -> usize {
        self.files.scenes.len()
    }

    /// A number that other files, or another ring, do not have.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        [self.files.digest, self.bytes, self.side as u64, self.shots as u64].into_iter().for_each(|word| digest.add(word));
        digest.value()
    }

    pub(super) fn side(&self) -> usize {
        self.side
    }

    pub(super) fn shots(&self) -> usize {
        self.shots
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory for pictures that has room for a ring of so many bytes, MiB.
    pub(super) fn memory_for(bytes: u64) -> u64 {
        (SHARE * bytes).div_ceil(1 << 20)
    }

    /// Whether so many MiB suffice for the smallest pieces, before any picture is read: of scenes of that many shots, with so
    /// many bytes a pixel, of which the largest has so many pixels.
    ///
    /// # Errors
    /// If they do not.
    pub fn check_memory(memory: usize, shots: usize, pixel: u64, largest: u64) -> Result<()> {
        let side = SMALLEST.min(largest.isqrt() as usize);
        let slot = (side * side * shots.min(SHOTS)) as u64 * pixel;
        if holds(((memory as u64) << 20) / SHARE, slot) { Ok(()) } else { Err(too_little(side, slot)) }
    }

    /// The numbers of the scenes along the sequence.
    pub(super) fn order(&self) -> Order {
        Order::new(self.count(), self.seed)
    }

    /// What was left out so far.
    pub fn left_out(&self) -> Vec<LeftOut> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// With pictures as a network of so many colours reads them.
    pub(super) fn in_channels(self, colours: usize) -> Self {
        Self { colours: Some(colours), ..self }
    }

    /// With pieces for crops that need a side of `least`; the side of pieces is none that no picture of the first ones has, and
    /// so small that there is room for some.
    pub(super) fn fitting(self, least: usize, first: &[Scene]) -> Self {
        let pictures = || first.iter().flatten();
        let longest = pictures().map(|p| p.width.max(p.height)).max().unwrap_or(SIDE);
        let pixel = pictures().map(|p| p.channels * p.pixels.value_bytes()).max().unwrap_or(3);
        let mut side = longest.min(self.side);
        let smallest = SMALLEST.max(least);
        while (PIECES * (side * side * pixel * self.shots) as u64) > self.bytes && side > smallest {
            side = (side / 2).max(smallest);
        }
        Self { side: side.max(least), least, ..self }
    }

    /// Whether a piece is one that it would give; larger ones may be wanted than there were.
    pub(super) fn takes(&self, piece: &TrainingPicture) -> bool {
        self.side <= SIDE && piece.has_side(self.least) && piece.width.max(piece.height) <= self.side
    }

    /// With others left out that are not like the first ones.
    pub(super) fn like(self, first: &[Scene]) -> Self {
        let all = first.iter().flatten();
        let value_bytes = all.clone().map(|p| p.pixels.value_bytes()).max().unwrap_or(1);
        let like = all.clone().next().map(|p| Like { channels: p.channels, linear: p.linear, value_bytes });
        Self { first: like, ..self }
    }

    /// What the sequence begins with.
    pub(super) fn first_scenes(&self) -> Result<Vec<Scene>> {
        let mut order = self.order();
        let numbers: Vec<usize> = (0..FIRST.min(self.count()) as u64).map(|at| order.picture(at) as usize).collect();
        numbers.into_par_iter().enumerate().map(|(at, number)| self.scene(at as u64, number)).collect()
    }

    /// What is held out, if anything is: of each scene the centre, of no more than `side` pixels a side; and why others are left
    /// out.
    pub(super) fn held_out(&self, side: usize) -> (Vec<Scene>, Vec<Error>) {
        let (mut scenes, mut errors) = (Vec::new(), Vec::new());
        for files in &self.files.held_out {
            let Loaded { pictures, left_out } = self.read(&files[..files.len().min(self.shots)]);
            errors.extend(left_out);
            let corner = |[w, h]: [usize; 2], [width, height]: [usize; 2]| [(w - width) / 2, (h - height) / 2];
            scenes.extend((!pictures.is_empty()).then(|| cut(pictures, side, corner)));
        }
        (scenes, errors)
    }

    /// What comes at a position of the sequence, where the order has scene `number`. What cannot be trained on is remembered, and
    /// another scene takes the place of one without pictures at random.
    ///
    /// # Errors
    /// If none of many can be trained on; of a strict supply, if a picture cannot be.
    pub(super) fn scene(&self, position: u64, number: usize) -> Result<Scene> {
        let mut number = number;
        for attempt in 0..ATTEMPTS {
            let random = pcg4d([position as u32, (position >> 32) as u32, self.seed, attempt]);
            let Loaded { mut pictures, left_out } = self.shots_of(number, random);
            if self.strict && !left_out.is_empty() {
                return Err(left_out.into_iter().next().expect("there is one"));
            }
            left_out.into_iter().for_each(|e| self.leave_out(number, LeftOut::Broken(e.to_string())));
            if let Some(small) = pictures.first().filter(|picture| !picture.has_side(self.least)) {
                if self.strict {
                    let (name, least) = (&small.name, self.least);
                    let problem = "choose a smaller crop, or train without it";
                    return Err(Error::data(format!(
                        "{name}: is smaller than {least} pixels a side, which a crop needs: {problem}"
                    )));
                }
                self.leave_out(number, LeftOut::Small(small.name.clone()));
                pictures.clear();
            }
            if !pictures.is_empty() {
                let [x, y] = [random[0] as usize, random[1] as usize];
                let corner = |[w, h]: [usize; 2], [width, height]: [usize; 2]| [x % (w - width + 1), y % (h - height + 1)];
                return Ok(cut(pictures, self.side, corner));
            }
            number = random[3] as usize % self.count();
        }
        Err(match self.left_out().into_iter().next() {
            Some(LeftOut::Broken(e)) => {
                Error::data(format!("{e}; the pictures tried instead of it could not be used either: check the files"))
            }
            _ => {
                let least = self.least;
                Error::data(format!("{ATTEMPTS} pictures in a row are smaller than {least} pixels a side: choose a smaller crop"))
            }
        })
    }

    fn leave_out(&self, number: usize, left_out: LeftOut) {
        let key = (number, left_out.text().clone());
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).insert(key, left_out);
    }

    /// The shots of a scene, or some of many at random.
    fn shots_of(&self, number: usize, random: [u32; 4]) -> Loaded {
        let files = &self.files.scenes[number];
        if files.len() <= self.shots {
            return self.read(files);
        }
        let some = self.read(&some_of(files, self.shots, random));
        if !some.pictures.is_empty() {
            return some;
        }
        // Others may do.
        let mut all = self.read(files);
        all.pictures.truncate(self.shots);
        all
    }

    /// The pictures of a scene that can be trained on beside others.
    fn read(&self, files: &[PathBuf]) -> Loaded {
        let Loaded { pictures, mut left_out } = (self.files.load)(files);
        let of_several = pictures.len() > 1;
        let mut fitting = Vec::new();
        for picture in pictures {
            match self.fits(picture) {
                Ok(picture) => fitting.push(picture),
                Err(e) => left_out.push(e),
            }
        }
        if of_several && let Err(e) = of_one_size(&fitting) {
            // Of a pair it is said already what is wrong.
            left_out.extend((files.len() > 2 && !fitting.is_empty()).then_some(e));
            fitting.clear();
        }
        Loaded { pictures: fitting, left_out }
    }

    /// A picture as the network reads it, if it is like the first ones.
    fn fits(&self, picture: TrainingPicture) -> Result<TrainingPicture> {
        let p = match self.colours {
            Some(colours) => picture.in_channels(colours)?,
            None => picture,
        };
        let value_bytes = p.pixels.value_bytes();
        if matches!(&p.pixels, Pixels::Floats(values) if values.iter().any(|v| !v.is_finite())) {
            return Err(Error::data(format!("{}: has values that are not finite", p.name)));
        }
        let Some(like) = self.first else { return Ok(p) };
        if (p.channels, p.linear) != (like.channels, like.linear) {
            return Err(Error::data(format!("{}: has other features than most, or colours on another scale", p.name)));
        }
        if value_bytes > like.value_bytes {
            let bits = [value_bytes, like.value_bytes].map(|bytes| 8 * bytes);
            return Err(Error::data(format!("{}: has {} bits a value, where most have {}", p.name, bits[0], bits[1])));
        }
        Ok(p)
    }
}

/// So many of the files, at random, in their order.
fn some_of(files: &[PathBuf], count: usize, random: [u32; 4]) -> Vec<PathBuf> {
    let mut numbers: Vec<usize> = (0..files.len()).collect();
    for i in 0..count {
        let r = pcg4d([random[2], random[3], i as u32, 0]);
        numbers.swap(i, i + r[0] as usize % (files.len() - i));
    }
    numbers.truncate(count);
    numbers.sort_unstable();
    numbers.into_iter().map(|i| files[i].clone()).collect()
}

/// The same place of all shots, of that side at most; `corner` is told their size and that of the piece.
fn cut(scene: Scene, side: usize, corner: impl Fn([usize; 2], [usize; 2]) -> [usize; 2]) -> Scene {
    let [w, h] = [scene[0].width, scene[0].height];
    let size = [w.min(side), h.min(side)];
    if size == [w, h] {
        return scene;
    }
    let corner = corner([w, h], size);
    scene.into_iter().map(|p| p.cut(corner, size)).collect()
}

/// Of the names and the lengths of all files. No file is opened.
fn digest(scenes: &[Vec<PathBuf>]) -> u64 {
    let lengths: Vec<u64> =
        scenes.par_iter().flatten().map(|file| file.metadata().map_or(0, |metadata| metadata.len())).collect();
    let mut digest = Digest::default();
    for (file, length) in scenes.iter().flatten().zip(lengths) {
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        name.iter().for_each(|&byte| digest.add(byte.into()));
        digest.add(length);
    }
    scenes.iter().for_each(|files| digest.add(files.len() as u64));
    digest.value()
}
