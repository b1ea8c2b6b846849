//! Files from outside, opened only where that cannot hang, and read only where the memory for it is there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// The most bytes that are read of one file. More is not asked of the system on a file's word alone.
pub const MAX_BYTES: u64 = 8 << 30;

/// How to make a file whole that is not.
pub(super) const DAMAGED: &str = "is cut short or damaged: copy or export it again";

/// Opens an ordinary file and says how long it is. Fails when it is missing, unreadable, empty, a folder or a device.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let failed = |e: io::Error| {
        let problem = match e.kind() {
            io::ErrorKind::NotFound => "does not exist: check its name and folder".to_owned(),
            io::ErrorKind::PermissionDenied => "may not be read by this user: change its permissions".to_owned(),
            _ => format!("cannot be read: {e}"),
        };
        Error::file_from(path, problem, e)
    };
    // Before it is opened: that would wait for the other end of a pipe.
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::file(path, "is a folder: give the name of a file in it"));
    }
    if !metadata.is_file() {
        return Err(Error::file(path, "is not an ordinary file: copy what it holds to one"));
    }
    if metadata.len() == 0 {
        return Err(Error::file(path, "is empty: copy or export it again"));
    }
    Ok((File::open(path).map_err(failed)?, metadata.len()))
}

/// Reads an ordinary file whole.
/// Fails as [`open`] does, and when it is longer than [`MAX_BYTES`] or than the memory that is free.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let (file, len) = open(path)?;
    read_all(file, len).map_err(|what| Error::file(path, what))
}

/// Reads `len` bytes, which must be all there are.
pub(super) fn read_all(mut from: impl Read, len: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let capacity = usize::try_from(len).ok().filter(|_| len <= MAX_BYTES);
    if capacity.is_none_or(|n| bytes.try_reserve_exact(n).is_err()) {
        return Err(format!("needs {} MiB of memory, which is too much: split it into several files", len >> 20));
    }
    let read = from.by_ref().take(len).read_to_end(&mut bytes);
    // One byte more: at the end, an archive compares its checksum.
    let rest = from.read(&mut [0]);
    match (read, rest) {
        (Ok(read), Ok(0)) if read as u64 == len => Ok(bytes),
        (Err(e), _) | (_, Err(e)) if e.raw_os_error().is_some() => Err(format!("cannot be read: {e}")),
        _ => Err(DAMAGED.to_owned()),
    }
}
