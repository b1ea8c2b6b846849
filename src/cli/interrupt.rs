//! Ctrl-C: ends a command at once, and a training after the running step.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use super::Common;
use super::output::{INTERRUPTED, Output, complain};

/// Whether a training is under way.
static TRAINING: AtomicBool = AtomicBool::new(false);
/// Whether it is to stop.
static STOP: AtomicBool = AtomicBool::new(false);

/// Handles Ctrl-C from now on. Files are written under temporary names first: none is left half-written.
pub(super) fn handle(common: &Common) -> anyhow::Result<()> {
    let (json, quiet) = (common.json, common.quiet);
    let handler = move || {
        if !TRAINING.load(Ordering::Relaxed) || STOP.swap(true, Ordering::Relaxed) {
            let _ = Output::failure("interrupted", INTERRUPTED).print(json);
            std::process::exit(INTERRUPTED.into());
        }
        if !quiet {
            complain("\nstopping after this step; Ctrl-C again ends at once and keeps the last checkpoint");
        }
    };
    ctrlc::set_handler(handler).context("Ctrl-C cannot be handled")
}

/// Begins a training: Ctrl-C sets what is returned, and ends the program when it comes again.
pub(super) fn stops_training() -> &'static AtomicBool {
    TRAINING.store(true, Ordering::Relaxed);
    &STOP
}
