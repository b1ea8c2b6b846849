//! `NumPy`'s files: `.npy`, one array behind a short header, and `.npz`, a zip of those. The header is parsed here because
//! crates for it bring a grammar of Python and read value by value.

use std::io::Read;
use std::path::Path;

use super::archive::Archive;
use super::array::{Array, DType, MAX_RANK, Strided, byte_len};
use super::input::{DAMAGED, MAX_BYTES, open, read_all};
use crate::error::{Error, Result, excerpt};

/// What arrays may take, in lengths of their archive and in bytes: a made-up file packs to a thousandth,
/// pictures hardly to a tenth.
const MAX_RATIO: u64 = 100;
const MORE_BYTES: u64 = 64 << 20;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// `NumPy` itself refuses to evaluate longer headers than 10,000 characters.
const MAX_HEADER: usize = 1 << 16;

/// Reads the array of a `.npy` file. Fortran order becomes row-major, big endian becomes little.
///
/// # Errors
/// When the file cannot be read, is none of this kind, cut short, over 8 GiB, or holds values of a type that [`DType`] lacks,
/// Python objects among them.
pub fn load_npy(path: &Path) -> Result<Array> {
    let (file, len) = open(path)?;
    read_npy(file, len).map_err(|what| Error::file(path, what))
}

/// Reads the arrays of a `.npz` file, compressed or not, in order of name.
///
/// # Errors
/// Those of [`load_npy`] for each array, and when the archive is damaged or would take far more memory than its size, or more
/// than 8 GiB.
pub fn load_npz(path: &Path) -> Result<Vec<(String, Array)>> {
    let (file, len) = open(path)?;
    let failed = |what: String| Error::file(path, what);
    let budget = len.saturating_mul(MAX_RATIO).saturating_add(MORE_BYTES).min(MAX_BYTES);
    let mut archive = Archive::open(file, budget).map_err(failed)?;
    let mut names = archive.names().map_err(failed)?;
    names.sort();
    let mut arrays = Vec::new();
    for file in names {
        let Some(name) = file.strip_suffix(".npy") else {
            return Err(failed(format!("holds {}, which is no array: write it again with numpy.savez", excerpt(&file))));
        };
        let read = match archive.entry(&file).map_err(failed)? {
            Some((entry, len)) => read_npy(entry, len),
            None => Err(DAMAGED.to_owned()),
        };
        arrays.push((name.to_owned(), read.map_err(|what| failed(format!("the array {} in it {what}", excerpt(name))))?));
    }
    Ok(arrays)
}

/// The bytes of a `.npy` file of single-precision floats in row-major order.
///
/// # Panics
/// If the values do not fit the shape.
pub fn file(shape: &[usize], values: &[f32]) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), values.len(), "an array of {shape:?} has another number of values");
    let values = values.iter().flat_map(|v| v.to_le_bytes());
    header(shape, DType::F32).into_iter().chain(values).collect()
}

/// What stands before the values of an array in row-major order.
pub(super) fn header(shape: &[usize], dtype: DType) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n},")).collect();
    let order = if dtype.size() == 1 { '|' } else { '<' };
    let kind = dtype.npy().expect("NumPy has all types of its own files");
    let mut header = format!("{{'descr': '{order}{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Values begin at a multiple of 64, after magic, version, length and a line break.
    header += &" ".repeat(64 - (MAGIC.len() + 4 + header.len() + 1) % 64);
    header.push('\n');
    [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat()
}

/// What is wrong, when something is, as the end of a sentence that a name begins.
pub(super) fn read_npy(mut from: impl Read, len: u64) -> Result<Array, String> {
    let header = Header::read(&mut from)?;
    let (dtype, shape) = (header.dtype, header.shape);
    let wanted = byte_len(&shape, dtype).map(|n| n as u64);
    if wanted != len.checked_sub(header.len) {
        return Err(format!("is {len} bytes long, which is not what {dtype} {shape:?} takes: copy or export it again"));
    }
    let mut data = read_all(from, len - header.len)?;
    if header.big_endian {
        data.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    if header.fortran {
        let strides: Vec<usize> = shape
            .iter()
            .scan(1_usize, |step, n| {
                let stride = *step;
                *step = step.saturating_mul(*n);
                Some(stride)
            })
            .collect();
        let columns = Strided { shape: &shape, strides: &strides, offset: 0 };
        if !columns.is_row_major() {
            data = columns.gather(&data, dtype);
        }
    }
    Ok(Array::new(shape, dtype, data))
}

/// What stands before the values: a Python dictionary with three entries.
struct Header {
    len: u64,
    dtype: DType,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(from: &mut impl Read) -> Result<Self, String> {
        let mut start = [0; 8];
        from.read_exact(&mut start).map_err(|_| DAMAGED)?;
        if !start.starts_with(MAGIC) {
            return Err("is no file of numpy.save: write it again with numpy.save".to_owned());
        }
        // Version 1 has a length of two bytes, 2 and 3 of four.
        let width = match start[6] {
            1 => 2,
            2 | 3 => 4,
            version => return Err(format!("has version {version} of NumPy's format, which is not read: save it with version 1")),
        };
        let mut length = [0; 4];
        from.read_exact(&mut length[..width]).map_err(|_| DAMAGED)?;
        let length = u32::from_le_bytes(length);
        let mut text = Vec::new();
        from.take(u64::from(length).min(MAX_HEADER as u64)).read_to_end(&mut text).map_err(|_| DAMAGED)?;
        if text.len() != length as usize {
            return Err(DAMAGED.to_owned());
        }
        let text = String::from_utf8_lossy(&text);
        let (dtype, big_endian) = dtype(&text)?;
        let fortran = match field(&text, "fortran_order") {
            Some(rest) if rest.starts_with("True") => true,
            Some(rest) if rest.starts_with("False") => false,
            _ => return Err(DAMAGED.to_owned()),
        };
        let shape = shape(&text).ok_or(DAMAGED)?;
        Ok(Self { len: 8 + width as u64 + u64::from(length), dtype, big_endian, fortran, shape })
    }
}

/// What follows `'name':`.
fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{name}':"))?;
    Some(rest.trim_start())
}

/// The type, and whether it is big endian.
fn dtype(header: &str) -> Result<(DType, bool), String> {
    let rest = field(header, "descr").ok_or(DAMAGED)?;
    let Some((descr, _)) = rest.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) else {
        return Err("holds records of several fields: save each as an array of its own".to_owned());
    };
    let (order, kind) = descr.split_at_checked(1).ok_or(DAMAGED)?;
    let dtype = DType::find(|names| names.npy == Some(kind)).ok_or_else(|| match kind.starts_with('O') {
        true => "holds Python objects, which are not read: save numbers, not a list of arrays of different shapes".to_owned(),
        false => format!("holds values of type {}, which are not read: convert them to float32 or uint8", excerpt(descr)),
    })?;
    match order {
        "<" | "|" | "=" => Ok((dtype, false)),
        ">" => Ok((dtype, true)),
        _ => Err(DAMAGED.to_owned()),
    }
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (shape, _) = field(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    // Python 2 writes 3L; one dimension is (3,) and none is ().
    let lengths = shape.split(',').map(|n| n.trim().trim_end_matches('L')).filter(|n| !n.is_empty());
    let shape: Vec<usize> = lengths.map(|n| n.parse().ok()).collect::<Option<_>>()?;
    (shape.len() <= MAX_RANK).then_some(shape)
}
