//! What commands print: JSON, text, progress bars.

use std::io::{IsTerminal, Write, stderr, stdout};
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

/// Progress of a training: a bar on a terminal, else a line every ten seconds.
#[derive(Debug)]
pub(super) struct TrainingBar {
    bar: Option<ProgressBar>,
    plain: bool,
    printed: Instant,
}

impl TrainingBar {
    pub(super) fn new(common: &Common) -> Self {
        let terminal = stderr().is_terminal();
        let style =
            ProgressStyle::with_template("{bar:28} {percent:>3}%  {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = (terminal && !common.quiet).then(|| ProgressBar::new(1000).with_style(style));
        Self { bar, plain: !terminal && !common.quiet, printed: Instant::now() }
    }

    pub(super) fn show(&mut self, p: &Progress) {
        let left = if p.share > 0.0 { p.seconds * (1.0 - p.share) / p.share } else { 0.0 };
        let psnr = p.psnr.map_or_else(|| "-".into(), |v| format!("{v:.2} dB"));
        let kind = if p.estimated { "estimated PSNR" } else { "PSNR" };
        let left = format!("{}:{:02}", left as u64 / 60, left as u64 % 60);
        let line = format!("step {}, {:.0} pictures/s, {kind} {psnr}, {left} left", p.step, p.pictures_per_second);
        if let Some(bar) = &self.bar {
            bar.set_position((p.share * 1000.0) as u64);
            bar.set_message(line);
        } else if self.plain && self.printed.elapsed().as_secs() >= 10 {
            complain(&line);
            self.printed = Instant::now();
        }
    }
}

impl Drop for TrainingBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
