//! Pictures through pipes.

use std::io::{self, ErrorKind, Read, Write, stdin, stdout};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether stdout was closed when the program began.
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Before `main`, for Rust opens /dev/null in the place of what is closed, where all that is written gets lost without an error.
// SAFETY: it makes one system call and calls nothing that has to be readied.
#[cfg(unix)]
#[ctor::ctor(unsafe)]
fn look_at_stdout() {
    let closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
    STDOUT_CLOSED.store(closed, Ordering::Relaxed);
}

/// Writes to stdout, unless it is closed, and at once.
pub(super) fn to_stdout(bytes: &[u8]) -> io::Result<()> {
    if STDOUT_CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("it is closed"));
    }
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// Writes a picture to stdout. A reader that has closed the pipe wants no more, which is no failure.
pub(super) fn write(bytes: &[u8]) -> Result<(), Error> {
    match to_stdout(bytes) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::file("stdout", format!("cannot be written: {e}"))),
        _ => Ok(()),
    }
}
