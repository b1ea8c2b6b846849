//! Files that commands read and write: no result may replace what was read for it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use n2n_gpu::data::files::{Listing, Search, list, picture_formats, search};
use n2n_gpu::error::{Error, shown};

use super::output::counted;
use super::places::skipped_line;
use super::{Common, Usage};

/// What makes two paths the same file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    /// Device and inode, which links of both kinds share.
    #[cfg(unix)]
    Node(u64, u64),
    /// Path without links and dots.
    Path(PathBuf),
    /// Name in a folder, of a file that is not there yet.
    New(PathBuf, OsString),
}

impl Identity {
    fn of(path: &Path) -> Self {
        #[cfg(unix)]
        if let Ok(metadata) = path.metadata() {
            use std::os::unix::fs::MetadataExt;
            return Self::Node(metadata.dev(), metadata.ino());
        }
        if let Ok(path) = path.canonicalize() {
            return Self::Path(path);
        }
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        Self::New(folder.canonicalize().unwrap_or_else(|_| folder.to_owned()), path.file_name().unwrap_or_default().to_owned())
    }
}

/// Refuses `results`, which are inputs with their outputs, where an output is one of `read`, all files that the command reads, or
/// that of another input: by name, or by links of any kind. `flag` is what names the outputs. Where the command has `--force`,
/// `force` tells whether it was given: an input may then be replaced by its own result.
/// The error names the first output that would replace something.
pub(super) fn check_outputs(
    flag: &str,
    read: &[&Path],
    results: &[(PathBuf, PathBuf)],
    force: Option<bool>,
) -> anyhow::Result<()> {
    let read: HashMap<Identity, &Path> = read.iter().map(|path| (Identity::of(path), *path)).collect();
    let mut written: HashMap<Identity, &Path> = HashMap::new();
    // A terminal or /dev/null takes any number of results.
    for (input, output) in results.iter().filter(|(_, output)| !output.exists() || output.is_file()) {
        let identity = Identity::of(output);
        let original = read.get(&identity);
        let in_place = original.is_some() && Identity::of(input) == identity;
        if let Some(&original) = original.filter(|_| !(in_place && force == Some(true))) {
            let through = if original == output { String::new() } else { format!(" through {}", shown(output)) };
            let or = if in_place && force.is_some() { ", or replace it with --force" } else { "" };
            let original = shown(original);
            return Err(Usage::new(format!("{flag}: {original} would be replaced by a result{through}: name another place{or}")));
        }
        if let Some(other) = written.insert(identity, input) {
            let (a, b, output) = (shown(other), shown(input), shown(output));
            return Err(Usage::new(format!("{flag} {output}: {a} and {b} would both be saved there: name another place")));
        }
    }
    let places = results.iter().map(|(input, output)| (input.as_path(), output.as_path()));
    match same_but_for_case(places, ignores_case) {
        None => Ok(()),
        Some([a, b, output]) => {
            let (a, b, output) = (shown(a), shown(b), shown(output));
            let problem = format!("{a} and {b} would both be saved there, as this disk ignores the case of names");
            Err(Usage::new(format!("{flag} {output}: {problem}: name another place")))
        }
    }
}

/// Two inputs whose outputs have names that differ in nothing but their case, on a disk where that is no difference, and one of
/// these names.
fn same_but_for_case<'a>(
    results: impl Iterator<Item = (&'a Path, &'a Path)>,
    ignores_case: impl Fn(&Path) -> bool,
) -> Option<[&'a Path; 3]> {
    let mut seen: HashMap<String, (&Path, &Path)> = HashMap::new();
    for (input, output) in results {
        if let Some((other, place)) = seen.insert(output.to_string_lossy().to_lowercase(), (input, output))
            && place != output
            && ignores_case(output)
        {
            return Some([other, input, output]);
        }
    }
    None
}

/// Whether case makes no difference where a file is to be: told by a temporary one, in the folder that is there already.
fn ignores_case(path: &Path) -> bool {
    let folders = path.ancestors().skip(1).map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
    let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else { return false };
    let Ok(file) = tempfile::Builder::new().prefix(".n2n-Case-").tempfile_in(folder) else { return false };
    let name = file.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    folder.join(name).exists()
}

/// The first of these files and folders that lies in a folder, or is it, by whichever links it is reached.
pub(super) fn lying_in<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, folder: &Path) -> Option<&'a PathBuf> {
    let folder = folder.canonicalize().ok()?;
    paths.into_iter().find(|path| path.canonicalize().is_ok_and(|path| path.starts_with(&folder)))
}

/// The photographs that `inputs` name, of folders within folders too if it is `recursive`, but for those of the run in `out`.
pub(super) fn photographs(inputs: &[PathBuf], recursive: bool, out: &Path) -> Result<Vec<PathBuf>, Error> {
    if !recursive {
        for input in inputs.iter().filter(|input| input.is_dir()) {
            let Listing { found, skipped } = search(std::slice::from_ref(input), &Search::default())?;
            if found.is_empty() && skipped.folders > 0 {
                let but = skipped_line(&skipped, true);
                return Err(Error::file(
                    input,
                    format!("has no pictures ({}) in it, but {but}: name another folder", picture_formats()),
                ));
            }
        }
        return list(inputs);
    }
    let found = search(inputs, &Search { recursive, results: Some(out), ..Search::default() })?.found;
    if found.is_empty() {
        let folder = inputs.first().map_or(Path::new(""), PathBuf::as_path);
        return Err(Error::file(folder, "has no pictures in it, nor in its folders: name another folder"));
    }
    Ok(found.into_iter().map(|found| found.path).collect())
}

/// Says what is left out of those of these folders that are there. Without `recursive`, which tells whether folders within them
/// are searched too, there is no such flag for them.
pub(super) fn remark_skipped<'a>(
    common: &Common,
    folders: impl IntoIterator<Item = &'a PathBuf>,
    recursive: Option<bool>,
) -> Result<(), Error> {
    let folders: Vec<PathBuf> = folders.into_iter().filter(|folder| folder.is_dir()).cloned().collect();
    let skipped = search(&folders, &Search { recursive: recursive == Some(true), ..Search::default() })?.skipped;
    if !skipped.is_empty() {
        common.remark(&format!("skipped {}", skipped_line(&skipped, recursive.is_some())));
    }
    Ok(())
}

/// Refuses results where files are already, unless they may be replaced (`force`). The error names the first and counts the
/// others.
pub(super) fn check_existing<'a>(force: bool, results: impl Iterator<Item = &'a Path>) -> anyhow::Result<()> {
    if force {
        return Ok(());
    }
    // A link that leads nowhere is something as well.
    let mut existing = results.filter(|path| path.is_file() || (path.is_symlink() && !path.exists()));
    let Some(first) = existing.next().map(shown) else { return Ok(()) };
    Err(Usage::new(match existing.count() {
        0 => format!("{first} exists already: replace it with --force, or name another place"),
        more => {
            format!("{first} and {} exist already: replace them with --force, or name another place", counted(more, "other file"))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_alone_are_one_where_the_disk_has_it_so() {
        let results = [("a", "out/x.png"), ("b", "out/y.png"), ("c", "Out/X.png")];
        let found = |ignores: bool| {
            let paths = results.iter().map(|(input, output)| (Path::new(*input), Path::new(*output)));
            same_but_for_case(paths, |_| ignores)
        };
        assert_eq!(found(true), Some(["a", "c", "Out/X.png"].map(Path::new)));
        assert_eq!(found(false), None);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Name"), "").unwrap();
        assert_eq!(ignores_case(&folder.path().join("new/a.png")), folder.path().join("nAME").exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
