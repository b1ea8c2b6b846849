//! Files of `torch.save`: a zip archive of one pickle, which says what there is, and one file of raw values per storage.
//! Nothing in them is executed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use super::archive::Archive;
use super::array::{Array, Strided, byte_len};
use super::input::{DAMAGED, MAX_BYTES, open, read_all};
use super::pickle::{MAX_PICKLE, Pickle};
use super::value::TensorRef;
use crate::error::{Error, Result, excerpt};

pub use super::value::Value;

/// What tensors may take, in file lengths and in bytes. A tensor may repeat its storage, and many may share one; a file that
/// asks for much more memory than its own length is made to.
const MAX_RATIO: u64 = 16;
const MORE_BYTES: u64 = 64 << 20;

/// The start of the pickle that precedes all others in files of `PyTorch` before 1.6: a large integer.
const OLD_FORMAT: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Reads a file of `torch.save` (`PyTorch` 1.6 or later). Tensors of any strides become row-major arrays of the same shape;
/// which of them shared memory, were parameters or lay on a GPU is forgotten. Takes the memory of the tensors, and that of
/// storages of which tensors are parts.
///
/// # Errors
/// When the file cannot be read, is none of this kind or of an older format, is damaged or cut short, asks for other functions
/// than those that make tensors, holds other objects than [`Value`] knows or values of a type that [`super::array::DType`]
/// lacks, or would take more than 8 GiB or sixteen times its length.
pub fn load(path: &Path) -> Result<Value> {
    let (file, len) = open(path)?;
    read(file, len).map_err(|what| Error::file(path, what))
}

/// What is wrong, when something is, as the end of a sentence that the file name begins.
fn read(mut file: File, len: u64) -> Result<Value, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let mut start = Vec::new();
    file.by_ref().take(64).read_to_end(&mut start).map_err(unreadable)?;
    check_kind(&start)?;
    file.rewind().map_err(unreadable)?;

    let budget = len.saturating_mul(MAX_RATIO).saturating_add(MORE_BYTES).min(MAX_BYTES);
    let mut archive = Archive::open(file, budget)?;
    let root = root(&archive)?;
    if archive.read(&format!("{root}byteorder"))?.is_some_and(|order| order != b"little") {
        return Err("was saved on a big-endian machine: save it again on another one".to_owned());
    }
    let pickle = match archive.entry(&format!("{root}data.pkl"))? {
        Some((_, len)) if len > MAX_PICKLE => {
            return Err(format!("has a pickle of {} MiB: save the model's state_dict() alone", len >> 20));
        }
        Some((entry, len)) => read_all(entry, len)?,
        None => return Err(DAMAGED.to_owned()),
    };
    let mut storages = Storages { archive, root, shared: HashMap::new(), budget };
    Pickle::parse(&pickle)?.value(&mut |tensor| storages.array(tensor))
}

fn check_kind(start: &[u8]) -> Result<(), String> {
    if start.starts_with(b"PK\x03\x04") {
        return Ok(());
    }
    if start.windows(OLD_FORMAT.len()).any(|bytes| bytes == OLD_FORMAT) {
        return Err("was saved in PyTorch's old format: save it again with torch.save(..) of PyTorch 1.6 or later".to_owned());
    }
    if let [0x80, 0..=5, ..] = start {
        return Err("is a pickle, but not one of torch.save: load it in Python and write it with torch.save(..)".to_owned());
    }
    Err("is no file of torch.save: write it with torch.save(..) of PyTorch 1.6 or later".to_owned())
}

/// The folder in the archive that holds everything, with a slash at the end. Its name is of no meaning.
fn root(archive: &Archive) -> Result<String, String> {
    let names = archive.names()?;
    let Some(root) = names.iter().filter_map(|name| name.strip_suffix("data.pkl")).min_by_key(|root| root.len()) else {
        return Err("is a zip file, but none of torch.save: write it with torch.save(..)".to_owned());
    };
    if names.contains(&format!("{root}constants.pkl")) {
        return Err("is a TorchScript program, which is not run: save its state_dict() with torch.save(..)".to_owned());
    }
    Ok(root.to_owned())
}

/// The values of the tensors.
struct Storages {
    archive: Archive,
    root: String,
    /// Those of which tensors are parts, so that each is read once.
    shared: HashMap<String, Vec<u8>>,
    /// How many bytes of tensors may still be made.
    budget: u64,
}

impl Storages {
    fn array(&mut self, tensor: &TensorRef) -> Result<Array, String> {
        let TensorRef { key, dtype, shape, .. } = tensor;
        let wanted = byte_len(shape, *dtype).and_then(|len| self.budget.checked_sub(len as u64));
        self.budget = wanted.ok_or("would take far more memory than the file: save it as it is, not expanded")?;
        let values = Strided { shape, strides: &tensor.strides, offset: tensor.offset };
        if values.end().is_none_or(|end| end > tensor.len) {
            return Err("points outside of its storage: save it again".to_owned());
        }
        let data = match self.shared.get(*key) {
            Some(storage) => values.gather(checked(storage, tensor)?, *dtype),
            None => {
                let storage = self.read(tensor)?;
                if values.is_row_major() && byte_len(shape, *dtype) == Some(storage.len()) {
                    storage
                } else {
                    let data = values.gather(&storage, *dtype);
                    self.shared.insert((*key).to_owned(), storage);
                    data
                }
            }
        };
        Ok(Array::new(shape.clone(), *dtype, data))
    }

    fn read(&mut self, tensor: &TensorRef) -> Result<Vec<u8>, String> {
        let name = format!("{}data/{}", self.root, tensor.key);
        let Some((entry, len)) = self.archive.entry(&name).map_err(|what| format!("lies in a file that {what}"))? else {
            return Err(format!("has no values, for `{}` is missing: copy or export the file again", excerpt(&name)));
        };
        // Before it is inflated.
        if tensor.bytes() != Some(len) {
            return Err(format!("says that its storage has {} values, but {len} bytes are there: save it again", tensor.len));
        }
        read_all(entry, len)
    }
}

/// The storage, if it is as long as this tensor says; the one that it was read for may have said otherwise.
fn checked<'a>(storage: &'a [u8], tensor: &TensorRef) -> Result<&'a [u8], String> {
    let same = tensor.bytes() == Some(storage.len() as u64);
    same.then_some(storage).ok_or_else(|| "differs from another in how long their storage is: save it again".to_owned())
}
