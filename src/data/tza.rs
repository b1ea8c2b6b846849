//! Weights files of Intel Open Image Denoise (TZA 2; `core/tza.cpp` there), little-endian:
//!
//! ```text
//! u16 magic | u8 major, u8 minor version | u64 offset of the table | values, each tensor's at a multiple of 64
//! table: u32 count, and of each: u16 length, name | u8 rank | u32 of each dimension | a letter for each | 'f' or 'h' | u64 offset
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;

use super::array::{Array, DType, byte_len};
use super::input::{DAMAGED, read};
use crate::error::{Error, Result, excerpt};

const MAGIC: u16 = 0x41D7;
const VERSION: [u8; 2] = [2, 0];
/// What values begin at multiples of, bytes.
const ALIGN: usize = 64;
/// Letters of the dimensions of a filter, and of a vector.
const LAYOUTS: [&str; 2] = ["oihw", "x"];

/// Reads the tensors of a file by name.
///
/// # Errors
/// When the file cannot be read, is none of this kind or of another version, is damaged or cut short.
pub fn load(path: &Path) -> Result<BTreeMap<String, Array>> {
    parse(&read(path)?).map_err(|what| Error::file(path, what))
}

/// What is wrong, when something is, as the end of a sentence that the file name begins.
fn parse(file: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    let mut header = Cursor { file, at: 0 };
    if header.u16()? != MAGIC {
        return Err("is no weights file of Open Image Denoise (.tza)".to_owned());
    }
    let [major, _] = header.array()?;
    if major != VERSION[0] {
        return Err(format!(
            "is a weights file of version {major}, but {} is read: export it with Open Image Denoise 2",
            VERSION[0]
        ));
    }
    let mut table = Cursor { file, at: header.offset()? };
    let count = u32::from_le_bytes(table.array()?);
    let mut tensors = BTreeMap::new();
    for _ in 0..count {
        let (name, tensor) = table.tensor()?;
        if let Some(twice) = tensors.insert(name, tensor).map(|_| DAMAGED.to_owned()) {
            return Err(twice);
        }
    }
    Ok(tensors)
}

/// A place in a file.
struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], String> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let bytes = rest.get(..len).ok_or(DAMAGED)?;
        self.at += len;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.bytes(N)?.try_into().expect("as many were taken"))
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_le_bytes)
    }

    fn offset(&mut self) -> Result<usize, String> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| DAMAGED.to_owned())
    }

    /// An entry of the table, with the values it names.
    fn tensor(&mut self) -> Result<(String, Array), String> {
        let len = self.u16()?;
        let name = std::str::from_utf8(self.bytes(len.into())?).map_err(|_| DAMAGED)?.to_owned();
        let [rank] = self.array()?;
        let dims: Result<Vec<usize>, String> = (0..rank).map(|_| Ok(u32::from_le_bytes(self.array()?) as usize)).collect();
        let dims = dims?;
        let layout = self.bytes(rank.into())?;
        if !LAYOUTS.iter().any(|known| known.as_bytes() == layout) {
            let layout = excerpt(&String::from_utf8_lossy(layout));
            return Err(format!("has the tensor {} laid out as {layout}, which is not read", excerpt(&name)));
        }
        let dtype = match self.array()? {
            [b'f'] => DType::F32,
            [b'h'] => DType::F16,
            _ => return Err(DAMAGED.to_owned()),
        };
        let mut values = Cursor { file: self.file, at: self.offset()? };
        let data = values.bytes(byte_len(&dims, dtype).ok_or(DAMAGED)?)?;
        Ok((name, Array::new(dims, dtype, data.to_vec())))
    }
}

/// The bytes of a file of these tensors in half precision, which Open Image Denoise wants: filters (O, I, H, W) and vectors.
///
/// # Panics
/// If one is neither, or a name is longer than 65,535 bytes.
pub fn file<'a>(tensors: impl IntoIterator<Item = (&'a str, Vec<usize>, Vec<f32>)>) -> Vec<u8> {
    let tensors: Vec<_> = tensors.into_iter().collect();
    let mut file = Vec::new();
    file.extend(MAGIC.to_le_bytes());
    file.extend(VERSION);
    let table_offset = file.len();
    file.extend([0; 8]);
    let mut table = (tensors.len() as u32).to_le_bytes().to_vec();
    for (name, shape, values) in &tensors {
        file.resize(file.len().next_multiple_of(ALIGN), 0);
        let layout = LAYOUTS.iter().find(|layout| layout.len() == shape.len()).expect("a filter or a vector");
        table.extend(u16::try_from(name.len()).expect("a name has a length of 16 bits").to_le_bytes());
        table.extend(name.as_bytes());
        table.push(shape.len() as u8);
        table.extend(shape.iter().flat_map(|&size| (size as u32).to_le_bytes()));
        table.extend(layout.as_bytes());
        table.push(b'h');
        table.extend((file.len() as u64).to_le_bytes());
        file.extend(values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()));
    }
    let at = file.len() as u64;
    file[table_offset..][..8].copy_from_slice(&at.to_le_bytes());
    file.extend(table);
    file
}
