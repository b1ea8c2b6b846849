//! The pictures of a file, read one after the other.

use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use super::decode::{Decoded, decode, finished, several};
use super::formats::extension;
use super::npy::MAGIC;
use super::picture::Picture;
use super::{frames, ifd, input, kinds, tiff};
use crate::error::{Error, Result};

/// The pictures of a file: the pages of a TIFF file, the entries of a `.npy` file, of all others one. Of a TIFF file, one page is
/// in memory at a time.
pub struct Pages {
    path: PathBuf,
    source: Source,
    read: usize,
}

/// What pictures are read from: a file, or bytes in memory.
trait Stream: Read + Seek + Send {}

impl<T: Read + Seek + Send> Stream for T {}

enum Source {
    Whole { file: Box<dyn Stream>, len: u64 },
    Tiff(Box<tiff::Reader<BufReader<Box<dyn Stream>>>>),
    Array(frames::Reader),
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Pages").field("path", &self.path).field("count", &self.total()).finish_non_exhaustive()
    }
}

impl Pages {
    /// Opens a file, of which the first picture is read when it is asked for.
    ///
    /// # Errors
    /// When the file is missing, unreadable, or of a kind that is recognised and not read.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, len) = input::open(path)?;
        Self::of(path, Box::new(file), len)
    }

    /// The same of a file in memory; `name` is for errors.
    ///
    /// # Errors
    /// When it is of a kind that is recognised and not read.
    pub fn of_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        let len = bytes.len() as u64;
        Self::of(Path::new(name), Box::new(Cursor::new(bytes)), len)
    }

    fn of(path: &Path, file: Box<dyn Stream>, len: u64) -> Result<Self> {
        let source = source(&extension(path).unwrap_or_default(), file, len).map_err(|what| Error::file(path, what))?;
        Ok(Self { path: path.to_owned(), source, read: 0 })
    }

    /// How many pictures there are.
    pub fn total(&self) -> usize {
        match &self.source {
            Source::Whole { .. } => 1,
            Source::Tiff(reader) => reader.count(),
            Source::Array(reader) => reader.count(),
        }
    }

    /// The picture, if it is the only one.
    ///
    /// # Errors
    /// When there are several, or it cannot be read.
    pub fn only(mut self) -> Result<Picture> {
        if self.total() > 1 {
            return Err(Error::file(&self.path, several(self.total())));
        }
        self.next().expect("a file has a page")
    }

    fn page(&mut self, n: usize) -> Result<Decoded, String> {
        match &mut self.source {
            Source::Whole { file, len } => {
                let bytes = input::read_all(file, *len)?;
                decode(&extension(&self.path).unwrap_or_default(), &bytes)
            }
            Source::Tiff(reader) => reader.page(n).and_then(finished),
            Source::Array(reader) => finished(reader.page(n)),
        }
    }
}

fn source(extension: &str, mut file: Box<dyn Stream>, len: u64) -> Result<Source, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let mut start = Vec::new();
    file.by_ref().take(32).read_to_end(&mut start).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    if let Some(what) = kinds::refused(extension, &start) {
        return Err(what);
    }
    if start.starts_with(MAGIC) {
        return frames::Reader::open(file, len).map(Source::Array);
    }
    if !ifd::is_tiff(&start) {
        return Ok(Source::Whole { file, len });
    }
    Ok(Source::Tiff(Box::new(tiff::Reader::open(BufReader::new(file))?)))
}

impl Iterator for Pages {
    type Item = Result<Picture>;

    /// The next picture. A page that cannot be read is named by its number.
    fn next(&mut self) -> Option<Result<Picture>> {
        let (n, count) = (self.read, self.total());
        if n == count {
            return None;
        }
        self.read += 1;
        let decoded = self.page(n).map_err(|what| if count > 1 { format!("page {} of {count} {what}", n + 1) } else { what });
        Some(decoded.map(|decoded| Picture::of_pages(decoded, count)).map_err(|what| Error::file(&self.path, what)))
    }
}
