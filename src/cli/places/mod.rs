//! Which pictures `denoise` reads, and where each result goes.

mod inputs;
mod outputs;
mod pattern;
mod skipped;

use std::ffi::OsStr;
use std::io::{IsTerminal, stdin, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use n2n_gpu::data::files::{Found, Listing, Skipped, picture_extensions, picture_formats, writes};

use super::Usage;
use super::files::{check_existing, check_outputs};
use super::output::counted;
use super::pipes::is_pipe;
use super::processes::Process;
use outputs::Destination;
pub(super) use skipped::{line as skipped_line, object as skipped_object};

/// Where pictures are read and written.
#[derive(Args, Debug)]
pub(super) struct Places {
    #[arg(value_name = "INPUT", required = true, help = format!("Pictures ({}), folders of pictures, or - for stdin", picture_formats()))]
    inputs: Vec<PathBuf>,
    /// Output: a file, a folder, a pattern such as out/{folder}/{name}-clean.{ext}, or - for stdout
    /// [default: photo-denoised.jpg beside photo.jpg, and a folder NAME-denoised beside a folder NAME]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Added to names of results; with -o only if given [default: -denoised].
    /// What ends in it already is not taken from folders again
    #[arg(long, value_name = "TEXT", value_parser = suffix, allow_hyphen_values = true, hide_short_help = true)]
    suffix: Option<String>,
    #[arg(long, value_name = "EXT", value_parser = format, help = format!("Format of results [default: that of the input]: {}", picture_extensions()))]
    format: Option<String>,
    /// Search folders within folders too, and folders that a pattern matches, but not links to folders; results get the same tree
    #[arg(short, long)]
    recursive: bool,
    /// Replace files that exist, and write formats that hold less than the picture. An input is replaced by its own result alone
    #[arg(short, long)]
    force: bool,
    /// Leave out pictures whose results exist already: to go on where an earlier command was ended
    #[arg(long, conflicts_with = "force")]
    skip_existing: bool,
    /// Part I of N of the pictures, sorted by name, for one of N machines: 1/3, 2/3, 3/3; or auto, for the number that mpirun or
    /// an array of jobs has given
    #[arg(long, value_name = "I/N", value_parser = Shard::parse, hide_short_help = true)]
    shard: Option<Shard>,
    /// Before and after, side by side, as a picture; of several pictures in a folder of this name. Shows the middle, up to 800
    /// pixels a side
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    compare: Option<PathBuf>,
}

/// Part `index` of `of`, from 1.
#[derive(Clone, Copy, Debug)]
struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" {
            let process =
                Process::of_jobs().ok_or("there is neither mpirun nor an array of jobs that numbers this command: give I/N")?;
            return Ok(Self { index: process.rank + 1, of: process.size });
        }
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let Some((index, of)) = numbers else { return Err("must be two numbers, such as 1/3".into()) };
        if of == 0 || !(1..=of).contains(&index) {
            return Err(format!("the part must be from 1 to {}", of.max(1)));
        }
        Ok(Self { index, of })
    }

    /// Leaves those of the tasks that are in this part; a sentence on how many these are.
    fn choose(self, tasks: &mut Vec<Task>) -> String {
        let all = counted(tasks.len(), "picture");
        tasks.sort_by(|a, b| a.input.cmp(&b.input));
        *tasks = std::mem::take(tasks).into_iter().skip(self.index - 1).step_by(self.of).collect();
        format!("part {} of {}: {} of {all}", self.index, self.of, tasks.len())
    }
}

fn suffix(text: &str) -> Result<String, String> {
    if text.contains(['/', '\\', '\0']) {
        Err("must be a part of a file name: put folders into -o".into())
    } else {
        Ok(text.into())
    }
}

fn format(text: &str) -> Result<String, String> {
    let extension = text.to_lowercase();
    let known = extension.chars().all(char::is_alphanumeric) && writes(&outputs::any_name(&extension));
    if known { Ok(extension) } else { Err(format!("must be one of {}", picture_extensions())) }
}

/// A picture to denoise.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) input: PathBuf,
    pub(super) output: PathBuf,
    /// Where before and after are shown.
    pub(super) compare: Option<PathBuf>,
}

/// All that is to be done.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    pub(super) tasks: Vec<Task>,
    /// Extension of what goes to stdout, unless that of its content.
    pub(super) format: Option<String>,
    /// Whether a format may hold less than the picture.
    pub(super) force: bool,
    /// Folders that results go to, in folders of their own or not.
    pub(super) folders: Vec<(&'static str, PathBuf)>,
    pub(super) skipped: Skipped,
    /// Pictures that are left out for their results exist already.
    pub(super) existing: usize,
    /// `part 1 of 4: 25 of 100 pictures`, of a shard.
    pub(super) part: Option<String>,
}

impl Places {
    /// Whether folders within folders are searched.
    pub(super) fn is_recursive(&self) -> bool {
        self.recursive
    }

    fn suffix(&self) -> &str {
        self.suffix.as_deref().unwrap_or("-denoised")
    }

    /// Finds the pictures and names the results. `model` is read as well, and not to be replaced.
    /// Nothing is left to be asked then: what would be replaced and may not is refused here.
    pub(super) fn tasks(&self, model: Option<&Path>, json: bool) -> anyhow::Result<Tasks> {
        let (inputs, one) = inputs::expand(&self.inputs, self.recursive)?;
        let destination = Destination::new(self, one)?;
        let Listing { found, skipped } = inputs::find(&inputs, self, destination.folder())?;
        if matches!(destination, Destination::Stdout) {
            self.check_stdout(found.len(), json)?;
        }
        let mut tasks = Vec::new();
        for found in &found {
            let output = destination.output(found, self)?;
            let compare = self.compare.as_deref().map(|path| outputs::comparison(path, found, one)).transpose()?;
            tasks.push(Task { input: found.path.clone(), output, compare });
        }
        self.check(&tasks, model)?;
        let part = self.shard.map(|shard| shard.choose(&mut tasks));
        let all = tasks.len();
        if self.skip_existing {
            tasks.retain(|task| !task.output.exists());
        }
        let existing = all - tasks.len();
        let results = tasks.iter().flat_map(|task| [Some(&task.output), task.compare.as_ref()]).flatten();
        check_existing(self.force, results.map(PathBuf::as_path).filter(|path| !is_pipe(path)))?;
        let format = found.first().and_then(|found| self.stdout_format(found));
        Ok(Tasks { tasks, format, force: self.force, folders: self.folders(&destination, &found, one), skipped, existing, part })
    }

    /// Refuses results that would replace what is read, or one another: of all shards, for they have the same places.
    fn check(&self, tasks: &[Task], model: Option<&Path>) -> anyhow::Result<()> {
        let files = |task: &&Task| !is_pipe(&task.output);
        let mut read: Vec<&Path> =
            tasks.iter().map(|task| task.input.as_path()).filter(|path| !is_pipe(path)).chain(model).collect();
        let outputs: Vec<_> = tasks.iter().filter(files).map(|task| (task.input.clone(), task.output.clone())).collect();
        check_outputs("-o", &read, &outputs, Some(self.force))?;
        let comparisons: Vec<_> = tasks.iter().filter_map(|task| Some((task.input.clone(), task.compare.clone()?))).collect();
        read.extend(outputs.iter().map(|(_, output)| output.as_path()));
        check_outputs("--compare", &read, &comparisons, None)
    }

    fn check_stdout(&self, pictures: usize, json: bool) -> anyhow::Result<()> {
        let problem = if pictures > 1 {
            format!("{} do not fit into one pipe: name a folder", counted(pictures, "picture"))
        } else if json {
            "the picture goes to stdout, and so does what --json prints: name a file".into()
        } else if stdout().is_terminal() {
            "the picture would go to the terminal: name a file".into()
        } else {
            return Ok(());
        };
        Err(Usage::new(format!("-o -: {problem}")))
    }

    /// The extension that says what goes to stdout; of what comes from stdin it is told by the content.
    fn stdout_format(&self, found: &Found) -> Option<String> {
        let own = || Some(self.extension(&found.path)?.to_string_lossy().into_owned());
        self.format.clone().or_else(own)
    }

    /// The extension of what is made of an input; none where only the content tells.
    fn extension<'s>(&'s self, input: &'s Path) -> Option<&'s OsStr> {
        match &self.format {
            Some(format) => Some(outputs::extension_of(input, format)),
            None if is_pipe(input) => None,
            None if writes(input) => input.extension(),
            // What is read and not written.
            None => Some(OsStr::new("png")),
        }
    }

    fn folders(&self, destination: &Destination, found: &[Found], one: bool) -> Vec<(&'static str, PathBuf)> {
        let roots = found.iter().filter_map(|found| found.root.as_deref());
        let mut folders = destination.folders(roots, self);
        folders.extend(self.compare.iter().filter(|path| !one || path.is_dir()).map(|path| ("--compare", path.clone())));
        folders
    }
}

/// Refuses to wait for a picture that somebody would have to type.
pub(super) fn check_stdin() -> anyhow::Result<()> {
    if stdin().is_terminal() {
        return Err(Usage::new("-: no picture comes from stdin, which is the terminal: name a file"));
    }
    Ok(())
}
