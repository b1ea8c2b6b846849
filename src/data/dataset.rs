//! Sets of pairs for training that lie in one file as two arrays of pictures.

use std::path::Path;

use rayon::prelude::*;

use super::array::{Array, DType, load_safetensors};
use super::npy::{load_npy, load_npz};
use super::picture::Rgb8;
use super::torch::{self, Value};
use crate::error::{Error, Result, excerpt};

/// Names that say which array is which, first and second. Others are taken in order of name.
const NAMES: [(&str, &str); 4] = [("a", "b"), ("noisy", "clean"), ("input", "target"), ("x", "y")];

/// Pairs of pictures of one size.
#[derive(Clone, PartialEq, Eq)]
pub struct PairSet {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pairs.
    pub count: usize,
    /// The first picture of each pair, the noisy one where the other is clean: `(N, H, W, 3)`.
    pub a: Vec<u8>,
    /// The second picture of each pair: `(N, H, W, 3)`.
    pub b: Vec<u8>,
}

impl PairSet {
    /// The pairs as pictures, named by their number.
    pub fn into_pictures(self) -> Vec<(Rgb8, Rgb8)> {
        let (width, height, size) = (self.width, self.height, self.width * self.height * 3);
        let picture = |name: &str, data: &[u8]| Rgb8 { name: name.to_owned(), width, height, data: data.to_vec() };
        let pairs = self.a.chunks(size).zip(self.b.chunks(size)).zip(1..);
        pairs
            .map(|((a, b), number): (_, usize)| (number.to_string(), a, b))
            .map(|(n, a, b)| (picture(&n, a), picture(&n, b)))
            .collect()
    }
}

/// Reads pairs of pictures: two uint8 arrays of the same shape, `(N, 3, H, W)` or `(N, H, W, 3)`, or with one channel,
/// `(N, 1, H, W)`, `(N, H, W, 1)` or `(N, H, W)`, which is repeated to three; or one array of twice that, `(2, N, ..)`.
/// `.pkl`, `.pt` and `.pth` are files of `torch.save` with a tuple, list or dictionary of two tensors; `.npz`, `.npy` and
/// `.safetensors` are read as well. Arrays with names that do not tell (`a` and `b`, `noisy` and `clean`, `input` and
/// `target`, `x` and `y`) are taken in order of name. Where a shape can be read both ways, channels come first.
///
/// # Errors
/// When the name ends otherwise, the file cannot be read as what its name says, or does not hold two arrays of pictures of
/// the same number and size, or holds none, or the same pictures twice, or values of another type than uint8.
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
        other => return Err(format!("holds {}, not pairs: save a tuple of two uint8 tensors", other.kind())),
    };
    if named.len() > 2 {
        return Err(format!("holds {} entries: save a tuple of two uint8 tensors (N, 3, H, W)", named.len()));
    }
    let tensor = |(name, value): (String, Value)| match value {
        Value::Tensor(array) => Ok((name, array)),
        other => Err(format!("its entry {} is {}: save a tuple of two uint8 tensors (N, 3, H, W)", excerpt(&name), other.kind())),
    };
    named.into_iter().map(tensor).collect()
}

/// What is wrong, when something is, as the end of a sentence that the file name begins.
fn pairs(mut arrays: Vec<(String, Array)>) -> Result<PairSet, String> {
    for (name, array) in &arrays {
        if array.dtype() != DType::U8 {
            let name = if name.is_empty() { "it".to_owned() } else { format!("its array {}", excerpt(name)) };
            let dtype = array.dtype();
            return Err(format!("{name} holds {dtype} values: pairs are read as uint8, 0 to 255, so convert and save it again"));
        }
    }
    let set = match &mut arrays[..] {
        [(_, both)] => halves(both)?,
        [(name_a, a), (name_b, b)] => {
            let turned =
                NAMES.iter().any(|(first, second)| name_a.eq_ignore_ascii_case(second) && name_b.eq_ignore_ascii_case(first));
            let (a, b) = if turned { (b, a) } else { (a, b) };
            let (shape_a, shape_b) = (Shape::of(a.shape())?, Shape::of(b.shape())?);
            shape_a.check_partner(&shape_b)?;
            // One after the other, so that there are never both twice in memory.
            let a = shape_a.pictures(&std::mem::replace(a, Array::new(vec![0], DType::U8, Vec::new())).into_data());
            let b = shape_b.pictures(&std::mem::replace(b, Array::new(vec![0], DType::U8, Vec::new())).into_data());
            shape_a.set(a, b)
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
    let [2, rest @ ..] = both.shape() else {
        return Err(format!("holds one array of shape {:?}: it must be two arrays, or one of (2, N, ..)", both.shape()));
    };
    let shape = Shape::of(rest)?;
    let (a, b) = both.data().split_at(both.data().len() / 2);
    Ok(shape.set(shape.pictures(a), shape.pictures(b)))
}

/// How pictures lie in an array.
struct Shape {
    count: usize,
    height: usize,
    width: usize,
    /// 1 or 3.
    channels: usize,
    channels_first: bool,
}

impl Shape {
    fn of(shape: &[usize]) -> Result<Self, String> {
        let picture = match *shape {
            [count, channels @ (1 | 3), height, width] if channels == 3 || width != 3 => {
                Self { count, height, width, channels, channels_first: true }
            }
            [count, height, width, channels @ (1 | 3)] => Self { count, height, width, channels, channels_first: false },
            [count, height, width] => Self { count, height, width, channels: 1, channels_first: true },
            _ => return Err(format!("holds an array of shape {shape:?}: pictures are (N, 3, H, W) or (N, H, W, 3)")),
        };
        if shape.contains(&0) {
            return Err(format!("holds no pictures (shape {shape:?}): give at least one pair"));
        }
        Ok(picture)
    }

    fn check_partner(&self, other: &Self) -> Result<(), String> {
        let (n, m) = (self.count, other.count);
        if n != m {
            return Err(format!("has {n} first pictures but {m} second ones: give two of each pair"));
        }
        let (w, h, v, g) = (self.width, self.height, other.width, other.height);
        if (w, h) != (v, g) {
            return Err(format!("has first pictures of {w}x{h} but second ones of {v}x{g}: give both the same size"));
        }
        Ok(())
    }

    /// `(N, H, W, 3)`.
    fn pictures(&self, data: &[u8]) -> Vec<u8> {
        let pixels = self.height * self.width;
        if self.channels == 3 && !self.channels_first {
            return data.to_vec();
        }
        let mut out = vec![0; 3 * self.count * pixels];
        let pictures = out.par_chunks_exact_mut(3 * pixels).zip(data.par_chunks_exact(self.channels * pixels));
        pictures.for_each(|(out, data)| {
            // With one channel, all three are the first.
            let step = if self.channels == 3 { pixels } else { 0 };
            for (i, pixel) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                *pixel = [data[i], data[i + step], data[i + 2 * step]];
            }
        });
        out
    }

    fn set(&self, a: Vec<u8>, b: Vec<u8>) -> PairSet {
        PairSet { width: self.width, height: self.height, count: self.count, a, b }
    }
}
