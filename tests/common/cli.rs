//! Runs the program as a user would, in a folder of its own.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

/// A folder that commands run in, deleted with its tests.
pub(crate) struct Shell {
    folder: TempDir,
}

/// What a command left behind.
pub(crate) struct Done {
    line: String,
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A network and a training small enough for any machine, on the CPU.
pub(crate) const TINY: &str = "--noise gaussian:25 --width 4 --levels 1 --batch 2 --crop 16 --steps 20 --device cpu";

/// The photographs that come with the program.
pub(crate) fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

/// For people, even where the test passes: what `eprintln` prints then is swallowed.
pub(crate) fn left_out(what: &str) {
    let _ = writeln!(std::io::stderr(), "left out: {what}");
}

/// The most memory that was resident of a child until now, MiB; nothing where the system does not tell.
pub(crate) fn peak(child: &std::process::Child) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let kib: f64 = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())?;
    Some(kib / 1024.0)
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command `n2n-gpu` with the words of `line`, not run yet.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_n2n-gpu"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        // Mesa complains on stderr where this is missing.
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir()).env("RUST_BACKTRACE", "0");
        command
    }

    /// Runs `n2n-gpu` with the words of `line`.
    pub(crate) fn run(&self, line: &str) -> Done {
        Done::of(line, self.command(line))
    }

    /// Runs `n2n-gpu` with the words of `line` and then `args`, which need be no words.
    pub(crate) fn run_with<S: AsRef<std::ffi::OsStr>>(&self, line: &str, args: impl IntoIterator<Item = S>) -> Done {
        let mut command = self.command(line);
        command.args(args);
        Done::of(line, command)
    }

    /// As on a machine without any adapter.
    pub(crate) fn run_without_adapters(&self, line: &str) -> Done {
        let mut command = self.command(line);
        command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
        Done::of(line, command)
    }

    /// Writes a colour picture of smooth waves that differ between channels, and makes the folders on the way.
    pub(crate) fn picture(&self, name: &str, width: u32, height: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        wave(width, height).save(&path).unwrap();
        path
    }

    /// Trains a model in a blink and returns its name.
    pub(crate) fn model(&self) -> &'static str {
        self.picture("for-model.png", 40, 32);
        self.run(&format!("train for-model.png --out model {TINY}")).succeeds();
        "model/last.safetensors"
    }

    /// Names in a folder, sorted. Hidden ones too: temporary files must not stay.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Smooth waves, different in every channel.
pub(crate) fn wave(width: u32, height: u32) -> RgbImage {
    let at = |x: u32, y: u32, c: f64| 128.0 + 100.0 * (f64::from(x) * (0.2 + 0.1 * c) + f64::from(y) * 0.15).sin();
    RgbImage::from_fn(width, height, |x, y| Rgb([0.0, 1.0, 2.0].map(|c| at(x, y, c) as u8)))
}

impl Done {
    pub(crate) fn of(line: &str, mut command: Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        let done =
            Self { line: line.to_owned(), code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!done.stderr.contains("panicked"), "{done}");
        done
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Exit code 1 and one sentence on stderr, with all of `names` in it.
    #[track_caller]
    pub(crate) fn fails(&self, names: &[&str]) {
        assert_eq!(self.code, Some(1), "{self}");
        assert!(self.stderr.starts_with("error: ") && self.stderr.trim_end().lines().count() == 1, "{self}");
        self.names(names);
    }

    /// Exit code 1, and all of `names` in the last line on stderr, which is the error.
    #[track_caller]
    pub(crate) fn fails_with(&self, names: &[&str]) {
        assert_eq!(self.code, Some(1), "{self}");
        assert!(self.stderr.trim_end().lines().last().is_some_and(|line| line.starts_with("error: ")), "{self}");
        self.names(names);
    }

    /// Exit code 2 and an error with all of `names` in its first lines; the parser of arguments adds how to go on.
    #[track_caller]
    pub(crate) fn is_misused(&self, names: &[&str]) {
        assert_eq!(self.code, Some(2), "{self}");
        assert!(self.stderr.starts_with("error: ") && self.stderr.matches("error: ").count() == 1, "{self}");
        self.names(names);
    }

    /// Exit code `code`, whatever is said.
    #[track_caller]
    pub(crate) fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    #[track_caller]
    fn names(&self, names: &[&str]) {
        for name in names {
            assert!(self.stderr.contains(name), "{name:?} is not named: {self}");
        }
        assert!(self.stdout.is_empty(), "{self}");
    }

    /// The one JSON object on stdout, which has all of `keys`.
    #[track_caller]
    pub(crate) fn json(&self, keys: &str) -> Value {
        let value: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self}"));
        assert!(value.is_object(), "{self}");
        for key in keys.split_whitespace() {
            assert!(value.get(key).is_some(), "no key {key}: {self}");
        }
        value
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "`n2n-gpu {}` exit {:?}\nstdout: {}\nstderr: {}", self.line, self.code, self.stdout, self.stderr)
    }
}

/// A small file system of memory, unmounted in the end.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts `size` (as mount says it) at a new folder, if this user may.
    pub(crate) fn new(shell: &Shell, name: &str, size: &str) -> Option<Self> {
        let path = shell.path(name);
        fs::create_dir(&path).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "n2n-test"]).arg(&path).output();
        done.is_ok_and(|d| d.status.success()).then_some(Self(path))
    }

    pub(crate) fn make_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(done.unwrap().success(), "the file system cannot be made read-only");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
