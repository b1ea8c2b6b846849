//! The one error type. Its messages are sentences for users: they name the file, flag or tensor and say what to do.

use std::path::Path;

/// What went wrong, in a sentence for the user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself makes no sense: an unknown noise law, a parameter out of range. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The request makes sense but could not be carried out: a missing file, a broken picture, a lost device. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// What was asked for does not fit the device's memory or limits: something smaller may. Exit code 1.
    #[error("{0}")]
    Memory(String),
    /// The device was lost, or failed at work: nothing runs on it any more. Exit code 1.
    #[error("{0}")]
    Lost(String),
}

/// `std::result::Result` with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure to do something with a file, e.g. `photos/a.png: cannot be read: permission denied`.
    pub fn file(path: impl AsRef<Path>, what: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{}: {what}", path.as_ref().display()))
    }

    /// A request that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A request that could not be carried out.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}
