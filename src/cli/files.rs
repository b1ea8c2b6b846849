//! Files that commands read and write: no result may replace what was read for it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Usage;

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
/// that of another input: by name, or by links of any kind. `flag` is what names the outputs.
/// The error names the first output that would replace something.
pub(super) fn check_outputs(flag: &str, read: &[&Path], results: &[(PathBuf, PathBuf)]) -> anyhow::Result<()> {
    let read: HashMap<Identity, &Path> = read.iter().map(|path| (Identity::of(path), *path)).collect();
    let mut written: HashMap<Identity, &Path> = HashMap::new();
    // A terminal or /dev/null takes any number of results.
    for (input, output) in results.iter().filter(|(_, output)| !output.exists() || output.is_file()) {
        let identity = Identity::of(output);
        if let Some(&original) = read.get(&identity) {
            let through = if original == output { String::new() } else { format!(" through {}", output.display()) };
            let original = original.display();
            return Err(Usage::new(format!("{flag}: {original} would be replaced by a result{through}: name another place")));
        }
        if let Some(other) = written.insert(identity, input) {
            let (a, b, output) = (other.display(), input.display(), output.display());
            return Err(Usage::new(format!("{flag} {output}: {a} and {b} would both be saved there: name another place")));
        }
    }
    Ok(())
}
