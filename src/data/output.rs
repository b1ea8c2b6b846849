//! Files written whole or not at all, and folders that one process at a time writes to.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Cursor, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

const PREFIX: &str = ".n2n-";
const SUFFIX: &str = ".tmp";

/// Writes a file whole or not at all: under a temporary name in the same folder, then renamed. Whether the process is killed or
/// the machine loses power, the old file or the new one is there; after this returns, the new one. (On Windows and on file
/// systems that cannot write back a folder, power lost within seconds may still bring the old one back.) Temporary files that a
/// killed process left in the folder are removed. A symbolic link stays one, and what is not an ordinary file (`/dev/stdout`) is
/// written to directly.
///
/// # Errors
/// When the folder is missing or read-only, the disk is full, or `path` is a folder.
pub fn save_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    save_with(path, |file| file.write_all(bytes))
}

/// What a file is written to.
pub(super) trait Sink: Write + Seek {}

impl<T: Write + Seek> Sink for T {}

/// The same of a file that `write` writes as it comes.
pub(super) fn save_with(path: &Path, write: impl FnOnce(&mut dyn Sink) -> io::Result<()>) -> Result<()> {
    let (target, folder) = place(path)?;
    let written = if target.exists() && !target.is_file() {
        let mut bytes = Cursor::new(Vec::new());
        write(&mut bytes).and_then(|()| fs::write(&target, bytes.into_inner()))
    } else {
        write_and_rename(&target, &folder, write)
    };
    written.map_err(|e| {
        let problem = match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                format!("cannot be written ({e}): choose a folder that this user may write to")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("cannot be written ({e}): free some space or choose another disk")
            }
            _ => format!("cannot be written: {e}"),
        };
        Error::file_from(path, problem, e)
    })
}

/// Where a file is to be written, and the folder of that.
/// Fails when the folder is missing, or `path` is a folder or a named pipe.
pub(super) fn place(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let resolved = fs::canonicalize(path);
    // Opening one waits until somebody reads it. The pipe of /dev/stdout has no name to resolve.
    if resolved.as_deref().is_ok_and(is_pipe) {
        return Err(Error::file(path, "is a named pipe: give the name of a file, or /dev/stdout"));
    }
    let target = resolved.unwrap_or_else(|_| path.to_owned());
    let folder = match target.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if target.is_dir() {
        return Err(Error::file(path, "is a folder: give the name of a file in it"));
    }
    if !folder.exists() {
        return Err(Error::file(path, format!("its folder {} does not exist: create it first", folder.display())));
    }
    Ok((target, folder))
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

fn write_and_rename(target: &Path, folder: &Path, write: impl FnOnce(&mut dyn Sink) -> io::Result<()>) -> io::Result<()> {
    /// Folders that this process has looked at for temporary files.
    static CLEANED: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut cleaned = CLEANED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let first = cleaned.get_or_insert_default().insert(folder.to_owned());
    drop(cleaned);
    if first {
        remove_abandoned(folder);
    }
    let mut file = temporary(folder)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    write(&mut buffered)?;
    buffered.into_inner()?;
    // Else some file systems rename before they write, and a power loss leaves an empty file.
    file.as_file().sync_data()?;
    file.persist(target).map_err(|e| e.error)?;
    // So that the new name outlasts a power cut, too. Systems that cannot sync folders do without.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// A temporary file, locked: that tells it from those of dead processes.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        // What the umask leaves of this, as for any file; a temporary file is by default its owner's alone.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    loop {
        // The crate adds the temporary name to errors, which says nothing to a user.
        let file = builder.tempfile_in(folder).map_err(|e| io::Error::from(e.kind()))?;
        // Another process that found it before it was locked is removing it, or has. A file system without locks removes none.
        let taken = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        if !taken && file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes the temporary files that nobody holds a lock on. That none is left is a courtesy: errors do not matter.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let ours = name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes());
        if ours
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// That this process alone writes to a folder, until it is dropped or the process ends, however that comes.
#[derive(Debug)]
#[must_use]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock is released: whoever opens the file later makes a new one.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether an open file is the one at a path.
#[cfg(unix)]
fn same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let node = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().map(node).ok() == fs::metadata(path).map(node).ok()
}

#[cfg(not(unix))]
fn same(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Takes a folder for this process, by a lock on the file `.lock` in it, which is there as long. A file system without locks
/// gives it to everyone.
///
/// # Errors
/// When another process, or another part of this one, has it; or nothing can be written there.
pub fn lock(folder: &Path) -> Result<Lock> {
    let failed = |e: io::Error| Error::file_from(folder, format!("nothing can be written there: {e}"), e);
    let path = folder.join(".lock");
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let problem = "another training writes to this folder: wait for its end, or name another folder";
            return Err(Error::file(folder, problem));
        }
        // Whoever had it may have removed the file since it was opened: then the lock is on none that others see.
        if same(&file, &path) {
            return Ok(Lock { _file: file, path });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_writers_of_one_folder_do_not_remove_each_others_files() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for i in 0..4 {
                let folder = folder.path();
                scope.spawn(move || {
                    for _ in 0..25 {
                        remove_abandoned(folder);
                        save_bytes(&folder.join(i.to_string()), b"x").unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}
