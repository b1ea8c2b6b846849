//! Arrays of numbers as files hold them, and the `.safetensors` reader. Other readers: [`super::npy`], [`super::torch`].

use std::fmt;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::input::{DAMAGED, read};
use crate::error::{Error, Result, excerpt};

/// The most dimensions an array of a file may have.
pub(super) const MAX_RANK: usize = 16;

/// The type of an array's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// One byte, 0 or not.
    Bool,
    /// 8 bit without sign.
    U8,
    /// 8 bit.
    I8,
    /// 16 bit without sign.
    U16,
    /// 16 bit.
    I16,
    /// 32 bit without sign.
    U32,
    /// 32 bit.
    I32,
    /// 64 bit.
    I64,
    /// IEEE half precision.
    F16,
    /// The upper half of an `F32`.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

/// What files call a type of values.
pub(super) struct Names {
    dtype: DType,
    bytes: usize,
    /// In `PyTorch` and `NumPy`.
    pub(super) name: &'static str,
    /// The first part of its class of storages in a pickle.
    pub(super) storage: &'static str,
    /// In the header of a `.npy` file.
    pub(super) npy: Option<&'static str>,
    safetensors: Dtype,
}

/// In the order of [`DType`].
#[rustfmt::skip]
const TYPES: [Names; 12] = [
    Names { dtype: DType::Bool, bytes: 1, name: "bool", storage: "Bool", npy: Some("b1"), safetensors: Dtype::BOOL },
    Names { dtype: DType::U8, bytes: 1, name: "uint8", storage: "Byte", npy: Some("u1"), safetensors: Dtype::U8 },
    Names { dtype: DType::I8, bytes: 1, name: "int8", storage: "Char", npy: Some("i1"), safetensors: Dtype::I8 },
    Names { dtype: DType::U16, bytes: 2, name: "uint16", storage: "UInt16", npy: Some("u2"), safetensors: Dtype::U16 },
    Names { dtype: DType::I16, bytes: 2, name: "int16", storage: "Short", npy: Some("i2"), safetensors: Dtype::I16 },
    Names { dtype: DType::U32, bytes: 4, name: "uint32", storage: "UInt32", npy: Some("u4"), safetensors: Dtype::U32 },
    Names { dtype: DType::I32, bytes: 4, name: "int32", storage: "Int", npy: Some("i4"), safetensors: Dtype::I32 },
    Names { dtype: DType::I64, bytes: 8, name: "int64", storage: "Long", npy: Some("i8"), safetensors: Dtype::I64 },
    Names { dtype: DType::F16, bytes: 2, name: "float16", storage: "Half", npy: Some("f2"), safetensors: Dtype::F16 },
    Names { dtype: DType::Bf16, bytes: 2, name: "bfloat16", storage: "BFloat16", npy: None, safetensors: Dtype::BF16 },
    Names { dtype: DType::F32, bytes: 4, name: "float32", storage: "Float", npy: Some("f4"), safetensors: Dtype::F32 },
    Names { dtype: DType::F64, bytes: 8, name: "float64", storage: "Double", npy: Some("f8"), safetensors: Dtype::F64 },
];

impl DType {
    /// Bytes per value.
    pub fn size(self) -> usize {
        TYPES[self as usize].bytes
    }

    /// The name that `PyTorch` and `NumPy` use, e.g. `uint8`.
    pub fn name(self) -> &'static str {
        TYPES[self as usize].name
    }

    /// What `.npy` files call it, without the order of bytes.
    pub(super) fn npy(self) -> Option<&'static str> {
        TYPES[self as usize].npy
    }

    /// The type that some file calls so.
    pub(super) fn find(called: impl Fn(&Names) -> bool) -> Option<Self> {
        TYPES.iter().find(|names| called(names)).map(|names| names.dtype)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Values of one type in row-major order, little endian, in any number of dimensions; none is a single value.
#[derive(Clone, PartialEq, Eq)]
pub struct Array {
    shape: Vec<usize>,
    dtype: DType,
    data: Vec<u8>,
}

impl fmt::Debug for Array {
    /// Without the values: there are millions of them.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape)
    }
}

impl Array {
    /// An array of `shape` with `data` in row-major order.
    ///
    /// # Panics
    /// When the data is not `shape.product() * dtype.size()` bytes long.
    pub fn new(shape: Vec<usize>, dtype: DType, data: Vec<u8>) -> Self {
        let wanted = byte_len(&shape, dtype);
        assert_eq!(wanted, Some(data.len()), "array: {dtype} {shape:?} does not take {} bytes", data.len());
        Self { shape, dtype, data }
    }

    /// The length of each dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The values in row-major order, little endian.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The values in row-major order, little endian, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The values in row-major order, rounded to single precision; true is 1. What is too large becomes infinite.
    pub fn to_f32(&self) -> Vec<f32> {
        let data = &self.data;
        match self.dtype {
            DType::Bool => map(data, |[v]| if v == 0 { 0.0 } else { 1.0 }),
            DType::U8 => map(data, |v| u8::from_le_bytes(v).into()),
            DType::I8 => map(data, |v| i8::from_le_bytes(v).into()),
            DType::U16 => map(data, |v| u16::from_le_bytes(v).into()),
            DType::U32 => map(data, |v| u32::from_le_bytes(v) as f32),
            DType::I16 => map(data, |v| i16::from_le_bytes(v).into()),
            DType::I32 => map(data, |v| i32::from_le_bytes(v) as f32),
            DType::I64 => map(data, |v| i64::from_le_bytes(v) as f32),
            DType::F16 => map(data, |v| f16::from_le_bytes(v).to_f32()),
            DType::Bf16 => map(data, |v| bf16::from_le_bytes(v).to_f32()),
            DType::F32 => map(data, f32::from_le_bytes),
            DType::F64 => map(data, |v| f64::from_le_bytes(v) as f32),
        }
    }
}

fn map<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| value(*bytes)).collect()
}

/// How many bytes an array takes, or nothing when that is beyond counting.
pub(super) fn byte_len(shape: &[usize], dtype: DType) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(dtype.size(), |len, n| len.checked_mul(*n))
}

/// Where the values of an array lie among others, counted in values.
pub(super) struct Strided<'a> {
    pub(super) shape: &'a [usize],
    pub(super) strides: &'a [usize],
    pub(super) offset: usize,
}

impl Strided<'_> {
    /// The number of values up to the last of these values, or nothing when that is beyond counting.
    pub(super) fn end(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let last = self.shape.iter().zip(self.strides).try_fold(self.offset, |last, (n, stride)| {
            let way = (n - 1).checked_mul(*stride)?;
            last.checked_add(way)
        });
        last?.checked_add(1)
    }

    /// Whether the values follow each other in row-major order from the first on.
    pub(super) fn is_row_major(&self) -> bool {
        let mut step = 1_usize;
        self.offset == 0
            && self.shape.iter().zip(self.strides).rev().all(|(n, stride)| {
                let fits = *n == 1 || *stride == step;
                step = step.saturating_mul(*n);
                fits
            })
    }

    /// The values in row-major order. Panics when they end behind the data.
    pub(super) fn gather(&self, data: &[u8], dtype: DType) -> Vec<u8> {
        if self.shape.contains(&0) {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(byte_len(self.shape, dtype).expect("the caller has checked the size"));
        match dtype.size() {
            1 => copy(&data.as_chunks::<1>().0[self.offset..], self.shape, self.strides, &mut out),
            2 => copy(&data.as_chunks::<2>().0[self.offset..], self.shape, self.strides, &mut out),
            4 => copy(&data.as_chunks::<4>().0[self.offset..], self.shape, self.strides, &mut out),
            _ => copy(&data.as_chunks::<8>().0[self.offset..], self.shape, self.strides, &mut out),
        }
        out
    }
}

fn copy<const N: usize>(from: &[[u8; N]], shape: &[usize], strides: &[usize], out: &mut Vec<u8>) {
    match (shape, strides) {
        ([n], [1]) => out.extend_from_slice(from[..*n].as_flattened()),
        ([n], [stride]) => (0..*n).for_each(|i| out.extend_from_slice(&from[i * stride])),
        ([n, shape @ ..], [stride, strides @ ..]) => (0..*n).for_each(|i| copy(&from[i * stride..], shape, strides, out)),
        _ => out.extend_from_slice(&from[0]),
    }
}

/// Reads the tensors of a `.safetensors` file, in order of name.
///
/// # Errors
/// When the file cannot be read, is none of this kind, cut short, over 8 GiB, or holds values of a type that [`DType`] lacks.
pub fn load_safetensors(path: &Path) -> Result<Vec<(String, Array)>> {
    let bytes = read(path)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::file(path, format!("is no whole safetensors file ({e}): copy or export it again")))?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let array = from_view(&view).map_err(|what| Error::file(path, format!("the tensor {} {what}", excerpt(&name))))?;
        tensors.push((name, array));
    }
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(tensors)
}

pub(crate) fn from_view(view: &TensorView) -> Result<Array, String> {
    let found = DType::find(|names| names.safetensors == view.dtype());
    let dtype = found.ok_or_else(|| format!("is of type {:?}, which is not read: convert it to float32", view.dtype()))?;
    if byte_len(view.shape(), dtype) != Some(view.data().len()) {
        return Err(DAMAGED.to_owned());
    }
    Ok(Array { shape: view.shape().to_vec(), dtype, data: view.data().to_vec() })
}
