//! What commands print: JSON, text, progress bars.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use n2n_gpu::train::Progress;

use super::Common;

/// Prints the one JSON object, or the text for people. A closed pipe is no error.
pub(super) fn result(common: &Common, json: &serde_json::Value, text: &str) {
    let line = if common.json { json.to_string() } else { text.trim_end().to_owned() };
    let _ = writeln!(stdout(), "{line}");
}

/// A line on stderr. A closed pipe is no error, as it is for `eprintln`.
pub(super) fn complain(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Progress: a bar on a terminal, else a line every ten seconds; nothing if quiet.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    plain: bool,
    printed: Instant,
}

impl Bar {
    pub(super) fn new(common: &Common) -> Self {
        let terminal = stderr().is_terminal();
        let style =
            ProgressStyle::with_template("{bar:28} {percent:>3}%  {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let shown = terminal && !common.quiet;
        let bar = if shown { ProgressBar::new(1000).with_style(style) } else { ProgressBar::hidden() };
        Self { bar, plain: !terminal && !common.quiet, printed: Instant::now() }
    }

    /// Shows which share is done, 0 to 1. What is hidden is not put into words.
    pub(super) fn show(&mut self, share: f64, line: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_position((share * 1000.0) as u64);
            self.bar.set_message(line());
        } else if self.plain && self.printed.elapsed().as_secs() >= 10 {
            complain(&line());
            self.printed = Instant::now();
        }
    }

    /// What lets other threads print lines while the bar is there.
    pub(super) fn above(&self) -> impl Fn(&dyn Fn()) + use<> {
        let bar = self.bar.clone();
        move |print| bar.suspend(print)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Progress of a training.
#[derive(Debug)]
pub(super) struct TrainingBar(Bar);

impl TrainingBar {
    pub(super) fn new(common: &Common) -> Self {
        Self(Bar::new(common))
    }

    /// Shows the progress of `training`, which ends once `stop` is set.
    pub(super) fn watch<T>(
        mut self,
        stop: &AtomicBool,
        training: impl FnOnce(&mut dyn FnMut(&Progress) -> ControlFlow<()>) -> T,
    ) -> T {
        training(&mut |progress| {
            self.show(progress);
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    fn show(&mut self, p: &Progress) {
        self.0.show(p.share, || {
            let left = if p.share > 0.0 { p.seconds * (1.0 - p.share) / p.share } else { 0.0 };
            let psnr = p.psnr.map_or_else(|| "-".into(), |v| format!("{v:.2} dB"));
            let kind = if p.estimated { "estimated PSNR" } else { "PSNR" };
            let left = format!("{}:{:02}", left as u64 / 60, left as u64 % 60);
            format!("step {}, {:.0} pictures/s, {kind} {psnr}, {left} left", p.step, p.pictures_per_second)
        });
    }
}
