//! Zip archives of arrays. No entry is inflated before its size has been weighed: a few bytes can claim to be gigabytes.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::input::{DAMAGED, read_all};

/// Deflate makes at most 1032 bytes of one (a match of 258 bytes in two bits); with some more for the shortest of entries.
const DEFLATE_RATIO: u64 = 1032;
const DEFLATE_MORE: u64 = 4096;

/// An open archive with a limit to what is read of it.
pub(super) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    budget: u64,
}

impl Archive {
    /// Opens an archive of which `budget` bytes may be read in all.
    pub(super) fn open(file: File, budget: u64) -> Result<Self, String> {
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| sentence(&e))?;
        Ok(Self { zip, budget })
    }

    /// The names of all files in the archive.
    pub(super) fn names(&self) -> Result<Vec<String>, String> {
        let names = self.zip.file_names().map(|name| name.map(|name| name.into_owned()).map_err(|e| sentence(&e)));
        names.filter(|name| name.as_ref().map_or(true, |name| !name.ends_with('/'))).collect()
    }

    /// The content of an entry, to read, and its length. Nothing when there is no entry of that name.
    pub(super) fn entry(&mut self, name: &str) -> Result<Option<(impl Read, u64)>, String> {
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(e) => return Err(sentence(&e)),
        };
        let (packed, len) = (entry.compressed_size(), entry.size());
        let most = match entry.compression() {
            CompressionMethod::Stored => packed,
            _ => packed.saturating_mul(DEFLATE_RATIO).saturating_add(DEFLATE_MORE),
        };
        if len > most {
            return Err(format!("holds an entry of {packed} bytes that claims to be {len}: copy or export it again"));
        }
        self.budget =
            self.budget.checked_sub(len).ok_or("would take far more memory than its size: split it into several files")?;
        Ok(Some((entry, len)))
    }

    /// An entry whole. Nothing when there is none of that name.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.entry(name)?.map(|(entry, len)| read_all(entry, len)).transpose()
    }
}

fn sentence(error: &ZipError) -> String {
    match error {
        ZipError::UnsupportedArchive(what) => format!("is a zip file of a kind that is not read ({what}): export it again"),
        ZipError::Io(e) if e.raw_os_error().is_some() => format!("cannot be read: {e}"),
        _ => DAMAGED.to_owned(),
    }
}
