//! Pictures through pipes.

use std::io::{ErrorKind, Read, Write, stdin, stdout};
use std::path::Path;

use n2n_gpu::data::files::{MAX_BYTES, extension_of_bytes};
use n2n_gpu::data::picture::Pages;
use n2n_gpu::error::Error;

/// Stands for stdin and stdout; a file of this name is `./-`.
pub(super) fn is_pipe(path: &Path) -> bool {
    path == Path::new("-")
}

/// The pictures that come from stdin, and the extension of files of their format.
pub(super) fn read() -> Result<(Pages, Option<&'static str>), Error> {
    let mut bytes = Vec::new();
    stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes).map_err(|e| Error::file("stdin", format!("cannot be read: {e}")))?;
    let extension = extension_of_bytes(&bytes);
    Ok((Pages::of_bytes("stdin", bytes)?, extension))
}

/// Writes a picture to stdout. A reader that has closed the pipe wants no more, which is no failure.
pub(super) fn write(bytes: &[u8]) -> Result<(), Error> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::file("stdout", format!("cannot be written: {e}"))),
        _ => Ok(()),
    }
}
