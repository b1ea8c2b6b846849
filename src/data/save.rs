//! Pictures to files, page by page and row by row.

use std::borrow::Cow;
use std::io::{self, Cursor, Seek, Write};
use std::path::Path;

use ::tiff::TiffError;

use super::encode::{Failure, Raw};
use super::formats::{Encoder, Encoding};
use super::output::{Sink, save_with};
use super::picture::Header;
use super::samples::Rows;
use super::{frames, tiff};
use crate::error::{Error, Result};

/// Writes the pages of a file while their rows are being made, from the top down. Only formats that hold pages take more than
/// one.
///
/// # Errors
/// Those of [`super::picture::Picture::save`], and the first error among pages and rows. Nothing is written then.
pub fn save_pages<R: Iterator<Item = Result<Rows>>>(
    path: &Path,
    pages: impl IntoIterator<Item = Result<(Header, R)>>,
) -> Result<()> {
    let owned = |rows: R| rows.map(|rows| rows.map(Cow::Owned));
    save(path, pages.into_iter().map(|page| page.map(|(header, rows)| (header, owned(rows)))))
}

/// What [`save_pages`] would write to a file with this name.
///
/// # Errors
/// Those of [`save_pages`], but for the writing.
pub fn encode_pages<R: Iterator<Item = Result<Rows>>>(
    name: &Path,
    pages: impl IntoIterator<Item = Result<(Header, R)>>,
) -> Result<Vec<u8>> {
    let owned = |rows: R| rows.map(|rows| rows.map(Cow::Owned));
    let pages = pages.into_iter().map(|page| page.map(|(header, rows)| (header, owned(rows))));
    let mut file = Cursor::new(Vec::new());
    write(name, pages, |write| write(&mut file).map_err(|e| Error::file_from(name, format!("cannot be encoded: {e}"), e)))?;
    Ok(file.into_inner())
}

pub(super) fn save<'s, R: Iterator<Item = Result<Cow<'s, Rows>>>>(
    path: &Path,
    pages: impl IntoIterator<Item = Result<(Header, R)>>,
) -> Result<()> {
    write(path, pages, |write| save_with(path, |file| write(file)))
}

/// Encodes pages in the format that `path` names. `to` is given what writes the file.
fn write<'s, R: Iterator<Item = Result<Cow<'s, Rows>>>>(
    path: &Path,
    pages: impl IntoIterator<Item = Result<(Header, R)>>,
    to: impl FnOnce(&mut dyn FnMut(&mut dyn Sink) -> io::Result<()>) -> Result<()>,
) -> Result<()> {
    let mut pages = pages.into_iter();
    let (header, rows) = pages.next().unwrap_or_else(|| Err(Error::file(path, "there are no pages to write")))?;
    // Losses were checked, and said, before the work.
    header.check(path, true)?;
    let encoding = header.encoding(path)?;
    if header.size().contains(&0) {
        return Err(encoding.failed(path, "it has no pixels"));
    }
    match encoding.format.encoder {
        Encoder::Whole(encode) => {
            let encoded = with_bands(&header, encoding, rows, encode);
            let encoded = encoded.map_err(|e| e.unwrap_or_else(|e| encoding.failed(path, &e.to_string())))?;
            to(&mut |file| file.write_all(&encoded))
        }
        Encoder::Pages | Encoder::Array => {
            let mut error = None;
            let count = header.pages;
            let mut pages = std::iter::once(Ok((header, rows))).chain(pages).peekable();
            let written = to(&mut |file| {
                let Some(Ok((first, _))) = pages.peek() else { return Ok(()) };
                let mut writer = Writer::new(file, count, encoding, &first.raw(encoding))?;
                for page in pages.by_ref() {
                    write_page(path, &mut writer, page).map_err(|e| e.unwrap_or_else(|e| stop(&mut error, e)))?;
                }
                Ok(())
            });
            error.map_or(written, Err)
        }
    }
}

/// A file of pages that is being written.
enum Writer<W: Write + Seek> {
    Tiff(tiff::Writer<W>),
    Array(frames::Writer<W>),
}

impl<W: Write + Seek> Writer<W> {
    fn new(file: W, pages: usize, encoding: Encoding, first: &Raw) -> io::Result<Self> {
        match encoding.format.encoder {
            Encoder::Array => frames::Writer::new(file, pages, first).map(Self::Array),
            _ => tiff::Writer::new(file, pages, first).map(Self::Tiff),
        }
    }

    fn page(&mut self, raw: Raw) -> Result<(), Failure> {
        match self {
            Self::Tiff(writer) => writer.page(raw),
            Self::Array(writer) => writer.page(raw),
        }
    }
}

/// What the system has refused, or what else went wrong.
fn by_system(e: Failure) -> Result<io::Error, Failure> {
    match e.downcast::<TiffError>().map(|e| *e) {
        Ok(TiffError::IoError(e)) => Ok(e),
        Ok(e) => Err(e.into()),
        Err(e) => e.downcast().map(|e| *e),
    }
}

/// Writes a page. What the system refused is `Ok` among errors, all else is `Err`.
fn write_page<'s, W: Write + Seek>(
    path: &Path,
    writer: &mut Writer<W>,
    page: Result<(Header, impl Iterator<Item = Result<Cow<'s, Rows>>>)>,
) -> Result<(), Result<io::Error, Error>> {
    let (header, rows) = page.map_err(Err)?;
    let encoding = header.encoding(path).map_err(Err)?;
    with_bands(&header, encoding, rows, |raw| writer.page(raw)).map_err(|e| match e.map_err(by_system) {
        Ok(e) => Err(e),
        Err(Ok(e)) => Ok(e),
        Err(Err(e)) => Err(encoding.failed(path, &e.to_string())),
    })
}

/// Notes what went wrong, and gives what ends the writing of a file.
fn stop(error: &mut Option<Error>, e: Error) -> io::Error {
    *error = Some(e);
    io::ErrorKind::Other.into()
}

/// Gives an encoder the rows. An error of theirs comes before the encoder's, which is `Err`.
fn with_bands<'s, T>(
    header: &Header,
    encoding: Encoding,
    rows: impl Iterator<Item = Result<Cow<'s, Rows>>>,
    encode: impl FnOnce(Raw) -> Result<T, Failure>,
) -> Result<T, Result<Error, Failure>> {
    let mut error = None;
    let bands = rows.map_while(|rows| rows.map_err(|e| error = Some(e)).ok()).map(|rows| match rows {
        Cow::Borrowed(rows) => rows.bytes_as(encoding.color, encoding.transfer),
        Cow::Owned(rows) => rows.bytes_as(encoding.color, encoding.transfer).into_owned().into(),
    });
    let encoded = encode(Raw { bands: Box::new(bands), ..header.raw(encoding) });
    match error {
        Some(e) => Err(Ok(e)),
        None => encoded.map_err(Err),
    }
}
