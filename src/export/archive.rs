//! Zip archives of several files.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The bytes of an archive of these files, in that order: parameters do not compress. The same files give the same bytes.
///
/// # Panics
/// If two have one name.
pub(super) fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), options).and_then(|()| Ok(zip.write_all(bytes)?)).expect("memory takes every file");
    }
    zip.finish().expect("memory takes every file").into_inner()
}
