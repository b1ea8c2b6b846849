//! Sets of pairs for training that lie in one file as two arrays of pictures.

use std::path::Path;

use super::array::{Array, DType, load_safetensors};
use super::frames::Frames;
use super::npy::{load_npy, load_npz};
use super::picture::Picture;
use super::torch::{self, Value};
use crate::error::{Error, Result, excerpt};
use crate::ops::Pixels;

/// Names that say which array is which, first and second. Others are taken in order of name.
const NAMES: [(&str, &str); 4] = [("a", "b"), ("noisy", "clean"), ("input", "target"), ("x", "y")];

/// A picture with its name.
pub type Shot = (String, Picture);

/// Pairs of pictures of one size.
#[derive(Clone, PartialEq)]
pub struct PairSet {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pairs.
    pub count: usize,
    /// Values of a pixel: 1 or 3.
    pub channels: usize,
    /// The first picture of each pair, the noisy one where the other is clean: `(N, H, W, C)`.
    pub a: Pixels,
    /// The second picture of each pair: `(N, H, W, C)`.
    pub b: Pixels,
    frames: Frames,
}

impl PairSet {
    /// The pairs as pictures, named by their number.
    pub fn into_pictures(self) -> Vec<(Shot, Shot)> {
        let both = [&self.a, &self.b].map(|pixels| self.frames.pictures(pixels));
        let [a, b] = both.map(|pictures| (1..).map(|n: usize| n.to_string()).zip(pictures));
        a.zip(b).collect()
    }
}

/// Reads pairs of pictures: two arrays of the same shape, `(N, 3, H, W)` or `(N, H, W, 3)`, or with one channel, `(N, 1, H, W)`,
/// `(N, H, W, 1)` or `(N, H, W)`; or one array of twice that, `(2, N, ..)`. Values of uint8 and uint16 count from 0 to their
/// largest; those of other types become floats and stay as they are. `.pkl`, `.pt` and `.pth` are files of `torch.save` with a
/// tuple, list or dictionary of two tensors; `.npz`, `.npy` and `.safetensors` are read as well. Arrays with names that do not
/// tell (`a` and `b`, `noisy` and `clean`, `input` and `target`, `x` and `y`) are taken in order of name. Where a shape can be
/// read both ways, channels come first.
///
/// # Errors
/// When the name ends otherwise, the file cannot be read as what its name says, or does not hold two arrays of pictures of
/// the same number and size, or holds none, or the same pictures twice.
pub fn load(path: &Path) -> Result<PairSet> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let failed = |what: String| Error::file(path, what);
    let arrays = match extension.as_str() {
        "pkl" | "pt" | "pth" => tensors(torch::load(path)?).map_err(failed)?,
        "npz" => load_npz(path)?,
        "npy" => vec![(String::new(), load_npy(path)?)],
        "safetensors" => load_safetensors(path)?,
        _ => {
            return Err(Error::format(path, "is no data set: give a .pkl, .pt, .pth, .npz, .npy or .safetensors file"));
        }
    };
    pairs(arrays).map_err(failed)
}

/// What a file of `torch.save` holds, as named arrays in their order.
fn tensors(value: Value) -> Result<Vec<(String, Array)>, String> {
    let named: Vec<(String, Value)> = match value {
        Value::Tensor(_) => vec![(String::new(), value)],
        Value::Tuple(values) | Value::List(values) => (0..).map(|i: usize| i.to_string()).zip(values).collect(),
        Value::Dict(mut entries) => {
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries
        }
        other => return Err(format!("holds {}, not pairs: save a tuple of two tensors", other.kind())),
    };
    if named.len() > 2 {
        return Err(format!("holds {} entries: save a tuple of two tensors (N, 3, H, W)", named.len()));
    }
    let tensor = |(name, value): (String, Value)| match value {
        Value::Tensor(array) => Ok((name, array)),
        other => Err(format!("its entry {} is {}: save a tuple of two tensors (N, 3, H, W)", excerpt(&name), other.kind())),
    };
    named.into_iter().map(tensor).collect()
}

/// What is wrong, when something is, as the end of a sentence that the file name begins.
fn pairs(mut arrays: Vec<(String, Array)>) -> Result<PairSet, String> {
    let set = match &mut arrays[..] {
        [(_, both)] => halves(both)?,
        [(name_a, a), (name_b, b)] => {
            let turned =
                NAMES.iter().any(|(first, second)| name_a.eq_ignore_ascii_case(second) && name_b.eq_ignore_ascii_case(first));
            let (a, b) = if turned { (b, a) } else { (a, b) };
            let (type_a, type_b) = (a.dtype(), b.dtype());
            if type_a != type_b {
                return Err(format!("has first pictures of {type_a} but second ones of {type_b}: give both in one type"));
            }
            let (of_a, of_b) = (Frames::of(a.shape())?, Frames::of(b.shape())?);
            check_partners(&of_a, &of_b)?;
            // One after the other, so that there are never both twice in memory.
            let taken = |array: &mut Array| std::mem::replace(array, Array::new(vec![0], DType::U8, Vec::new()));
            let (a, b) = (of_a.pixels(&taken(a)), of_b.pixels(&taken(b)));
            set(of_a, a, b)
        }
        [] => return Err("is empty: it must hold two arrays of pictures".to_owned()),
        many => {
            return Err(format!("holds {} arrays: it must be two, the first and the second picture of each pair", many.len()));
        }
    };
    if set.a == set.b {
        return Err("holds the same pictures twice: give two pictures of each scene with noise of their own".to_owned());
    }
    Ok(set)
}

/// The two halves of `(2, N, ..)`.
fn halves(both: &Array) -> Result<PairSet, String> {
    let Some(rest @ [_, _, _, ..]) = both.shape().strip_prefix(&[2]) else {
        return Err(format!("holds one array of shape {:?}: it must be two arrays, or one of (2, N, ..)", both.shape()));
    };
    let frames = Frames::of(rest)?;
    let (a, b) = both.data().split_at(both.data().len() / 2);
    let [a, b] = [a, b].map(|half| frames.pixels(&Array::new(rest.to_vec(), both.dtype(), half.to_vec())));
    Ok(set(frames, a, b))
}

fn check_partners(a: &Frames, b: &Frames) -> Result<(), String> {
    let (n, m) = (a.count, b.count);
    if n != m {
        return Err(format!("has {n} first pictures but {m} second ones: give two of each pair"));
    }
    let (w, h, v, g) = (a.width, a.height, b.width, b.height);
    if (w, h) != (v, g) {
        return Err(format!("has first pictures of {w}x{h} but second ones of {v}x{g}: give both the same size"));
    }
    let (of_a, of_b) = (a.colours(), b.colours());
    if of_a != of_b {
        return Err(format!("has first pictures of {of_a} channels but second ones of {of_b}: give both alike"));
    }
    Ok(())
}

fn set(frames: Frames, a: Pixels, b: Pixels) -> PairSet {
    let (Frames { width, height, count, .. }, channels) = (frames, frames.colours());
    PairSet { width, height, count, channels, a, b, frames }
}
