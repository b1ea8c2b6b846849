//! Pictures in more files than memory holds. Training draws from them in an endless sequence: every file once an epoch, in orders that the
//! seed shuffles; of large pictures, a piece from a random place. What comes at a position of the sequence is a function of the seed, the
//! files and the position alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::TrainingPicture;
use super::picture::of_one_size;
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

/// Reads the files of a scene, or some of them: in their order, as pictures of one size.
pub type Load = dyn Fn(&[PathBuf]) -> Result<Vec<TrainingPicture>> + Send + Sync;

/// Files to train on, which are read while it trains.
#[derive(Clone)]
pub struct Supply {
    files: Arc<Files>,
    left_out: Arc<Mutex<BTreeMap<usize, LeftOut>>>,
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

/// Why a scene is not trained on.
#[derive(Clone, Debug)]
pub enum LeftOut {
    /// It is smaller than a crop: its name.
    Small(String),
    /// It cannot be read, or is unlike the others: what is wrong.
    Broken(String),
}

impl std::fmt::Debug for Supply {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Supply").field("scenes", &self.count()).field("side", &self.side).finish_non_exhaustive()
    }
}

impl Supply {
    /// The files of every scene, of which some are held out if `holds_out`; `memory` is that for pictures, MiB. If `strict`, the first
    /// file that cannot be read ends the training.
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

    /// With pieces for crops that need a side of `least`; the side of pieces is none that no picture of the first ones has, and so small that
    /// there is room for some.
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

    /// What is held out, if anything is: of each scene the centre, of no more than `side` pixels a side.
    pub(super) fn held_out(&self, side: usize) -> Vec<Result<Scene>> {
        let centre = |files: &Vec<PathBuf>| {
            let scene = self.read(&files[..files.len().min(self.shots)])?;
            let corner = |[w, h]: [usize; 2], [width, height]: [usize; 2]| [(w - width) / 2, (h - height) / 2];
            Ok(cut(scene, side, corner))
        };
        self.files.held_out.iter().map(centre).collect()
    }

    /// What comes at a position of the sequence, where the order has scene `number`. One that cannot be trained on is remembered, and
    /// another one takes its place at random.
    ///
    /// # Errors
    /// If none of many can be trained on; of a strict supply, if one is broken.
    pub(super) fn scene(&self, position: u64, number: usize) -> Result<Scene> {
        let mut number = number;
        for attempt in 0..ATTEMPTS {
            let random = pcg4d([position as u32, (position >> 32) as u32, self.seed, attempt]);
            let left_out = match self.piece(number, random) {
                Ok(Ok(scene)) => return Ok(scene),
                Ok(Err(name)) => LeftOut::Small(name),
                Err(e) if self.strict => return Err(e),
                Err(e) => LeftOut::Broken(e.to_string()),
            };
            self.left_out.lock().unwrap_or_else(PoisonError::into_inner).insert(number, left_out);
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

    /// A random piece of a scene; of one that is too small, its name.
    fn piece(&self, number: usize, random: [u32; 4]) -> Result<Result<Scene, String>> {
        let files = &self.files.scenes[number];
        let scene = if files.len() > self.shots { self.read(&some_of(files, self.shots, random))? } else { self.read(files)? };
        if !scene[0].has_side(self.least) {
            return Ok(Err(scene[0].name.clone()));
        }
        let [x, y] = [random[0] as usize, random[1] as usize];
        let corner = |[w, h]: [usize; 2], [width, height]: [usize; 2]| [x % (w - width + 1), y % (h - height + 1)];
        Ok(Ok(cut(scene, self.side, corner)))
    }

    /// The pictures of a scene, if they can be trained on beside others.
    fn read(&self, files: &[PathBuf]) -> Result<Scene> {
        let fitting = |p: TrainingPicture| match self.colours {
            Some(colours) => p.in_channels(colours),
            None => Ok(p),
        };
        let scene = (self.files.load)(files)?.into_iter().map(fitting).collect::<Result<Scene>>()?;
        if files.len() > 1 {
            of_one_size(&scene)?;
        }
        for p in &scene {
            let value_bytes = p.pixels.value_bytes();
            if matches!(&p.pixels, Pixels::Floats(values) if values.iter().any(|v| !v.is_finite())) {
                return Err(Error::data(format!("{}: has values that are not finite", p.name)));
            }
            let Some(like) = self.first else { continue };
            if (p.channels, p.linear) != (like.channels, like.linear) {
                return Err(Error::data(format!("{}: has other features than most, or colours on another scale", p.name)));
            }
            if value_bytes > like.value_bytes {
                let bits = [value_bytes, like.value_bytes].map(|bytes| 8 * bytes);
                return Err(Error::data(format!("{}: has {} bits a value, where most have {}", p.name, bits[0], bits[1])));
            }
        }
        Ok(scene)
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
