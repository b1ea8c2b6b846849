//! Files that commands read and write: no result may replace what was read for it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use n2n_gpu::error::shown;

use super::Usage;
use super::output::counted;

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
    Ok(())
}

/// Refuses results where files are already. The error names the first and counts the others.
pub(super) fn check_existing<'a>(results: impl Iterator<Item = &'a Path>) -> anyhow::Result<()> {
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
