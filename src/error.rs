//! The one error type. Its messages are sentences for people: they name the file, option or device, and say what to do. They name
//! no flags of the command line, which turns [`Error::Option`] into its own. Names and texts of files become part of them; none
//! reaches a terminal as a command, for every message is printed through [`printable`].

use std::fmt;
use std::path::{Path, PathBuf};

/// What made an error, if it was another one.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that makes no sense, or does not go with the others.
    #[error("{option}: {}", printable(problem))]
    Option {
        /// Its name, as in a run's `config.toml`: `crop`.
        option: &'static str,
        /// What is wrong with it, and what it could be.
        problem: String,
    },
    /// A file or folder cannot be read, written or understood.
    #[error("{}: {}", shown(path), printable(problem))]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
        /// The error below, if there was one.
        source: Option<Cause>,
    },
    /// The name of a file says nothing that can be written or read.
    #[error("{}: {}", shown(path), printable(problem))]
    Format {
        /// Which one.
        path: PathBuf,
        /// What names could end in.
        problem: String,
    },
    /// What was given cannot be worked with: pictures that are too small, pairs that do not match.
    #[error("{}", printable(.0))]
    Data(String),
    /// A device is not there, refuses a kernel, or gives results that make no sense.
    #[error("{}: {}", printable(device), printable(problem))]
    Device {
        /// Its name.
        device: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// What was asked for does not fit the device's memory or limits: something smaller may.
    #[error("{}", printable(.0))]
    Memory(String),
    /// The device was lost, or failed at work: nothing runs on it any more.
    #[error("{}", printable(.0))]
    Lost(String),
    /// Another process of a training has ended.
    #[error("{}", printable(.0))]
    Gone(String),
    /// The loss or its gradient is not finite any more.
    #[error(
        "training became unstable at step {step} ({}): choose a lower learning rate; what was saved before is kept",
        printable(signs)
    )]
    Unstable {
        /// Step after which it was seen.
        step: u64,
        /// What was seen.
        signs: String,
    },
    /// Training was stopped before it had done a step.
    #[error("training was stopped before it had done a step")]
    Stopped,
}

/// Text as it may be shown on a terminal: control characters, and those that turn the direction of writing, are escaped as in
/// Rust (`\u{1b}`). Line breaks are kept, for messages of drivers and compilers have several lines.
pub fn printable(text: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        text.chars().try_for_each(|c| {
            let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if (c.is_control() && c != '\n') || turns {
                write!(f, "{}", c.escape_unicode())
            } else {
                fmt::Write::write_char(f, c)
            }
        })
    })
}

/// Some text of a file, such as the name of a tensor, as it may stand in a message: on one line, and cut off after 80 characters.
pub fn excerpt(text: &str) -> String {
    let (mut short, rest) = (text.chars().take(80).collect::<String>(), text.chars().nth(80));
    short.extend(rest.map(|_| '…'));
    one_line(&short)
}

/// A path as it may stand in a message: on one line.
pub fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

fn one_line(text: &str) -> String {
    printable(text).to_string().replace('\n', "\\n")
}

/// `std::result::Result` with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An option that makes no sense: `crop: 33 is no multiple of 8`.
    pub fn option(option: &'static str, problem: impl Into<String>) -> Self {
        Self::Option { option, problem: problem.into() }
    }

    /// A failure to do something with a file: `photos/a.png: is cut short: copy it again`.
    pub fn file(path: impl AsRef<Path>, problem: impl std::fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_owned(), problem: problem.to_string(), source: None }
    }

    /// The same for a reason that another error gives, which the sentence should repeat.
    pub fn file_from(path: impl AsRef<Path>, problem: impl std::fmt::Display, source: impl Into<Cause>) -> Self {
        Self::File { path: path.as_ref().to_owned(), problem: problem.to_string(), source: Some(source.into()) }
    }

    /// A file name that ends in nothing known.
    pub fn format(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::Format { path: path.as_ref().to_owned(), problem: problem.into() }
    }

    /// Data that cannot be worked with.
    pub fn data(message: impl Into<String>) -> Self {
        Self::Data(message.into())
    }

    /// Memory of the host that is not there.
    pub(crate) fn memory(bytes: u64) -> Self {
        Self::Memory(format!(
            "{} MiB of memory are needed, which this machine does not have: choose a smaller batch or network",
            bytes >> 20
        ))
    }

    /// A device that does not do what it should.
    pub fn device(device: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Device { device: device.into(), problem: problem.into() }
    }
}
