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

/// Two files, or the pictures of two folders matched by name without extension, in order of name.
///
/// # Errors
/// When one is a file and the other a folder, a name is in one folder only, or twice in one.
pub fn pair(a: &Path, b: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let (in_a, in_b) = (list(&[a.to_owned()])?, list(&[b.to_owned()])?);
    match (a.is_dir(), b.is_dir()) {
        (false, false) => return Ok(vec![(a.to_owned(), b.to_owned())]),
        (true, true) => {}
        (true, false) => {
            return Err(Error::file(a, format!("is a folder but {} a file: give two of a kind", b.display())));
        }
        (false, true) => {
            return Err(Error::file(a, format!("is a file but {} a folder: give two of a kind", b.display())));
        }
    }
    let (in_a, mut in_b) = (by_stem(in_a)?, by_stem(in_b)?);
    let mut pairs = Vec::new();
    let mut alone = Vec::new();
    for (stem, file) in in_a {
        match in_b.remove(&stem) {
            Some(partner) => pairs.push((file, partner)),
            None => alone.push(file),
        }
    }
    alone.extend(in_b.into_values());
    if alone.is_empty() {
        return Ok(pairs);
    }
    let mut names: Vec<String> = alone.iter().take(3).map(|file| file.display().to_string()).collect();
    if alone.len() > 3 {
        names.push(format!("{} more", alone.len() - 3));
    }
    let (names, a, b) = (names.join(", "), a.display(), b.display());
    Err(Error::data(format!("{a} and {b}: only one of them has {names}: give both pictures of a pair the same name")))
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
