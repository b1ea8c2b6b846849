//! The pictures in files and folders, and what was left out there: nothing is skipped without being counted.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::formats::{is_picture_name, picture_formats};
use super::skipped::Skipped;
use crate::error::{Error, Result};

/// How folders are searched. By default, their own pictures are taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search<'a> {
    /// Whether folders within folders are searched, too. Links to folders are not followed.
    pub recursive: bool,
    /// What the names of earlier results end in before their extension, which are left out.
    pub suffix: Option<&'a str>,
    /// Folder of results: it is left out where it lies within a folder that is searched.
    pub results: Option<&'a Path>,
}

/// A picture that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// The folder that was searched, if it was not named itself.
    pub root: Option<PathBuf>,
}

impl Found {
    /// The folder that the picture lies in, as seen from the one that was searched; empty for one that lies there or was named
    /// itself.
    pub fn folder(&self) -> &Path {
        let below = |root: &PathBuf| self.path.parent()?.strip_prefix(root).ok();
        self.root.as_ref().and_then(below).unwrap_or(Path::new(""))
    }
}

/// The pictures that were found, and what was left out.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// In the order of the inputs, within a folder by name.
    pub found: Vec<Found>,
    /// Of all folders together.
    pub skipped: Skipped,
}

/// The picture files that `inputs` name: files as given, pictures of folders by extension, hidden ones left out.
///
/// # Errors
/// When a path does not exist or a folder cannot be listed. A folder may turn out to have no pictures.
pub fn search(inputs: &[PathBuf], search: &Search) -> Result<Listing> {
    let mut listing = Listing::default();
    for input in inputs {
        if input.is_dir() {
            listing.add_folder(input, search)?;
        } else if input.exists() {
            listing.found.push(Found { path: input.clone(), root: None });
        } else {
            return Err(Error::file(input, "does not exist: check its name and folder"));
        }
    }
    Ok(listing)
}

impl Listing {
    /// Adds what was found elsewhere.
    pub fn add(&mut self, more: Self) {
        self.found.extend(more.found);
        self.skipped.add(more.skipped);
    }

    fn add_folder(&mut self, root: &Path, search: &Search) -> Result<()> {
        let depth = if search.recursive { usize::MAX } else { 1 };
        let mut entries = WalkDir::new(root).min_depth(1).max_depth(depth).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|e| {
                let folder = e.path().unwrap_or(root).to_owned();
                let problem = e.io_error().map_or_else(|| e.to_string(), ToString::to_string);
                Error::file(folder, format!("cannot be listed: {problem}"))
            })?;
            let enter = self.add_entry(root, &entry, search);
            if entry.file_type().is_dir() && !enter && search.recursive {
                entries.skip_current_dir();
            }
        }
        Ok(())
    }

    /// Takes an entry of a folder, or counts why not. Whether it is a folder to be searched.
    fn add_entry(&mut self, root: &Path, entry: &DirEntry, search: &Search) -> bool {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            return false;
        }
        let is_folder = path.is_dir();
        if (is_folder || is_picture_name(path)) && search.is_result(path) {
            self.skipped.results += 1;
        } else if is_folder && entry.path_is_symlink() {
            self.skipped.links += 1;
        } else if is_folder {
            self.skipped.folders += usize::from(!search.recursive);
            return true;
        } else if is_picture_name(path) && path.is_file() {
            self.found.push(Found { path: path.to_owned(), root: Some(root.to_owned()) });
        } else {
            self.skipped.add_file(path);
        }
        false
    }
}

impl Search<'_> {
    /// Whether a file or folder is a result of an earlier run.
    fn is_result(&self, path: &Path) -> bool {
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let ends = |suffix: &str| name.is_some_and(|name| name.as_encoded_bytes().ends_with(suffix.as_bytes()));
        let is_folder = |results: &Path| path.is_dir() && path.canonicalize().ok() == results.canonicalize().ok();
        self.suffix.is_some_and(ends) || self.results.is_some_and(is_folder)
    }
}

/// The picture files that `inputs` name: files as given, a folder's own pictures (by extension, hidden ones left out) in
/// order of name.
///
/// # Errors
/// When a path does not exist or a folder has no pictures.
pub fn list(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        let listing = search(std::slice::from_ref(input), &Search::default())?;
        if listing.found.is_empty() {
            return Err(Error::file(input, format!("has no pictures ({}) in it: name another folder", picture_formats())));
        }
        files.extend(listing.found.into_iter().map(|found| found.path));
    }
    Ok(files)
}
