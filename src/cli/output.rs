//! What commands print: JSON, text, progress bars.

use std::io::{self, ErrorKind, IsTerminal, Write, stderr};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use n2n_gpu::error::printable;
use n2n_gpu::train::Progress;
use serde_json::{Value, json};

use super::Common;
use super::pipes::to_stdout;

/// Exit code after Ctrl-C: 128 and the number of the signal, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

/// What a command has to say when it ends. It is printed in one place, so that `--json` is one object whatever happens.
#[derive(Debug)]
pub(super) struct Output {
    json: Value,
    text: String,
    /// Why it failed, though it may have done a part of the work.
    error: Option<String>,
    code: u8,
}

impl Output {
    /// Success: the object for `--json`, the text for people.
    pub(super) fn new(json: Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), error: None, code: 0 }
    }

    /// A failure of which there is nothing else to say.
    pub(super) fn failure(error: impl Into<String>, code: u8) -> Self {
        Self::new(json!({}), "").failed(error, code)
    }

    /// The same outcome as a failure, for the work that could not be done.
    pub(super) fn failed(self, error: impl Into<String>, code: u8) -> Self {
        Self { error: Some(error.into()), code, ..self }
    }

    /// Whether Ctrl-C ended the work early; what was done until then is the outcome.
    pub(super) fn interrupted(self, interrupted: bool) -> Self {
        if interrupted { Self { code: INTERRUPTED, ..self } } else { self }
    }

    /// Prints the result on stdout, as one object with `--json`, and the error on stderr.
    pub(super) fn print(mut self, as_json: bool) -> ExitCode {
        if let Some(error) = &self.error {
            self.json["error"] = json!(error);
            self.json["exit_code"] = json!(self.code);
        }
        let line = if as_json { self.json.to_string() } else { printable(self.text.trim_end()).to_string() };
        let printed = if line.is_empty() { Ok(()) } else { print_line(&line) };
        if let Some(error) = &self.error {
            complain(&format!("error: {error}"));
        }
        exit_code(printed, self.code)
    }
}

/// The exit code of what was printed on stdout: `code` unless that failed. A reader that has closed the pipe (`| head`) has all
/// it wants, which is no failure; a full disk is one.
pub(super) fn exit_code(printed: io::Result<()>, code: u8) -> ExitCode {
    match printed {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("error: the result cannot be written to stdout: {e}"));
            ExitCode::from(code.max(1))
        }
        _ => ExitCode::from(code),
    }
}

/// A line on stdout.
pub(super) fn print_line(line: &str) -> io::Result<()> {
    to_stdout(format!("{line}\n").as_bytes())
}

/// A line on stderr. A closed pipe is no error, as it is for `eprintln`.
pub(super) fn complain(line: &str) {
    // In one piece: stderr has no buffer.
    let _ = stderr().write_all(format!("{}\n", printable(line)).as_bytes());
}

/// A path for JSON, which is Unicode: what of it is not becomes `U+FFFD`.
pub(super) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// `1 picture`, `2 pictures`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Scenes of so many pictures each: `30 pairs`, `12 scenes of 4 shots`, `5 scenes of 2 to 4 shots`, `9 pictures`.
pub(super) fn scenes_in_words(shots: &[usize]) -> String {
    let [least, most] = [shots.iter().min(), shots.iter().max()].map(|count| count.copied().unwrap_or(1));
    let scenes = counted(shots.len(), scene_noun(shots));
    match most {
        1 | 2 => scenes,
        _ if least == most => format!("{scenes} of {most} shots"),
        _ => format!("{scenes} of {least} to {most} shots"),
    }
}

/// What a scene of these is called: a picture, a pair, or a scene.
pub(super) fn scene_noun(shots: &[usize]) -> &'static str {
    match shots.iter().max() {
        None | Some(1) => "picture",
        Some(2) => "pair",
        Some(_) => "scene",
    }
}

/// Time that is left of work of which a share took these seconds: `1:02`, `1:00:05`.
pub(super) fn time_left(seconds: f64, share: f64) -> String {
    let left = if share > 0.0 { seconds * (1.0 - share) / share } else { 0.0 } as u64;
    let (hours, minutes, seconds) = (left / 3600, left / 60 % 60, left % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// What is said of a training that waits for files for a share of its time, if that is worth it.
pub(super) fn waiting(share: f64) -> Option<String> {
    (share >= 0.05).then(|| format!("{:.0} % of the time waiting for files: reading them is the bottleneck", 100.0 * share))
}

/// How this program was called, for commands that a user may copy: it need not be on the path.
pub(super) fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_else(|| "n2n-gpu".into());
    let called = called.to_string_lossy().into_owned();
    if called.contains(char::is_whitespace) { format!("\"{called}\"") } else { called }
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
            let psnr = p.psnr.map_or_else(|| "-".into(), |v| format!("{v:.2} dB"));
            let kind = if p.estimated { "estimated PSNR" } else { "PSNR" };
            let left = time_left(p.seconds, p.share);
            let waiting = waiting(p.waiting).map_or_else(String::new, |line| format!(", {line}"));
            format!("step {}, {:.0} pictures/s, {kind} {psnr}, {left} left{waiting}", p.step, p.pictures_per_second)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::time_left;

    #[test]
    fn the_time_left_is_that_of_the_share_to_come() {
        let cases = [(0.0, 0.0, "0:00"), (10.0, 0.5, "0:10"), (1.0, 0.01, "1:39"), (61.0, 0.01, "1:40:39"), (9.0, 1.0, "0:00")];
        for (seconds, share, left) in cases {
            assert_eq!(time_left(seconds, share), left);
        }
    }
}
