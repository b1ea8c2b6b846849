//! Files of pictures: listing and pairing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use super::formats::{extension_of_bytes, is_picture_name, picture_extensions, picture_formats, same_format, writes};
pub use super::input::MAX_BYTES;
pub use super::listing::{Found, Listing, Search, list, search};
pub use super::output::{Lock, lock, save_bytes};
pub use super::skipped::Skipped;
use crate::error::{Error, Result};

/// Pairs of files, and those that have no partner.
#[derive(Clone, Debug, Default)]
pub struct Paired {
    /// In order of name.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// Files whose name is in one of two folders only.
    pub alone: Vec<PathBuf>,
}

/// Two files, or the pictures of two folders matched by name without extension.
///
/// # Errors
/// When one is a file and the other a folder, no name is in both folders, or one is twice in a folder.
pub fn paired(a: &Path, b: &Path) -> Result<Paired> {
    let (in_a, in_b) = (list(&[a.to_owned()])?, list(&[b.to_owned()])?);
    match (a.is_dir(), b.is_dir()) {
        (false, false) => return Ok(Paired { pairs: vec![(a.to_owned(), b.to_owned())], alone: Vec::new() }),
        (true, true) => {}
        (true, false) => {
            return Err(Error::file(a, format!("is a folder but {} a file: give two of a kind", b.display())));
        }
        (false, true) => {
            return Err(Error::file(a, format!("is a file but {} a folder: give two of a kind", b.display())));
        }
    }
    let (in_a, mut in_b) = (by_stem(in_a)?, by_stem(in_b)?);
    let mut paired = Paired::default();
    for (stem, file) in in_a {
        match in_b.remove(&stem) {
            Some(partner) => paired.pairs.push((file, partner)),
            None => paired.alone.push(file),
        }
    }
    paired.alone.extend(in_b.into_values());
    if paired.pairs.is_empty() { Err(without_partners(a, b, &paired.alone)) } else { Ok(paired) }
}

/// The same, where all must have a partner.
///
/// # Errors
/// Those of [`paired`], and when a name is in one folder only.
pub fn pair(a: &Path, b: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let Paired { pairs, alone } = paired(a, b)?;
    if alone.is_empty() { Ok(pairs) } else { Err(without_partners(a, b, &alone)) }
}

fn without_partners(a: &Path, b: &Path, alone: &[PathBuf]) -> Error {
    let mut names: Vec<String> = alone.iter().take(3).map(|file| file.display().to_string()).collect();
    if alone.len() > 3 {
        names.push(format!("{} more", alone.len() - 3));
    }
    let (names, a, b) = (names.join(", "), a.display(), b.display());
    Error::data(format!("{a} and {b}: only one of them has {names}: give both pictures of a pair the same name"))
}

fn by_stem(files: Vec<PathBuf>) -> Result<BTreeMap<OsString, PathBuf>> {
    let mut stems = BTreeMap::new();
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_owned();
        if let Some(other) = stems.insert(stem, file.clone()) {
            let other = other.display();
            return Err(Error::file(&file, format!("has the same name as {other}, so its partner is not clear: rename one")));
        }
    }
    Ok(stems)
}
