//! Pictures on their way through `denoise`: read, denoised and written side by side.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use n2n_gpu::data::picture::{Header, Pages, Picture, Rows, encode_pages, save_pages};
use n2n_gpu::denoise::{Denoiser, Estimate, Estimator};
use n2n_gpu::error::{Error, shown};
use serde_json::{Value, json};

use super::Common;
use super::aux::AuxArgs;
use super::compare::Comparison;
use super::noise::Noise;
use super::output::{Bar, path_text, time_left};
use super::pipes::{self, is_pipe};
use super::places::{Task, Tasks};

/// What pictures are denoised by.
pub(super) struct Worker {
    pub(super) denoiser: Denoiser,
    /// How much of the denoised picture is blended in, unless each picture is judged.
    pub(super) strength: f32,
    /// Judges each picture.
    pub(super) estimator: Option<Estimator>,
}

/// A page that was read, and the seconds that took. Most files have one.
struct Loaded {
    photo: Picture,
    seconds: f64,
    /// Its number in the file, and the number of pages there.
    page: usize,
    pages: usize,
    /// Tells the format by its extension: the output, or one for stdout.
    name: PathBuf,
}

/// Reads the pages of a file one after the other, until one cannot be read, or `take`, which gets them, wants no more.
fn load(task: &Task, tasks: &Tasks, aux: &AuxArgs, mut take: impl FnMut(Result<Loaded, Error>) -> bool) {
    let mut start = Instant::now();
    let (mut reader, name) = match open(task, tasks.format.as_deref()) {
        Ok(opened) => opened,
        Err(e) => {
            take(Err(e));
            return;
        }
    };
    for page in 1..=reader.total() {
        let photo = reader.next().expect("there are so many").and_then(|photo| {
            photo.header().check(&name, tasks.force)?;
            let photo = aux.attach(&task.input, photo)?;
            // Not before a page could be read.
            make_folders(task)?;
            Ok(Loaded { photo, seconds: start.elapsed().as_secs_f64(), page, pages: reader.total(), name: name.clone() })
        });
        let failed = photo.is_err();
        if !take(photo) || failed {
            return;
        }
        start = Instant::now();
    }
}

/// A file or stdin, and a name that tells the format of the result. `format` is the extension of what goes to stdout.
fn open(task: &Task, format: Option<&str>) -> Result<(Pages, PathBuf), Error> {
    let (pages, own) = if is_pipe(&task.input) { pipes::read()? } else { (Pages::open(&task.input)?, None) };
    let piped = is_pipe(&task.output);
    let name = if piped { format!("stdout.{}", format.or(own).unwrap_or("png")).into() } else { task.output.clone() };
    Ok((pages, name))
}

/// Makes the folders of what is written.
fn make_folders(task: &Task) -> Result<(), Error> {
    for path in [Some(&task.output).filter(|path| !is_pipe(path)), task.compare.as_ref()].into_iter().flatten() {
        let folder = path.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).map_err(|e| Error::file(folder, format!("the folder cannot be made: {e}")))?;
        Picture::check_output(path)?;
    }
    Ok(())
}

/// A page that is being denoised: its rows come while it is written.
struct Page {
    header: Header,
    /// Of the first page, where one is asked for.
    comparison: Option<Comparison>,
    /// What it was judged by, and whether that was asked for.
    estimate: Option<Estimate>,
    judged: bool,
    /// What is to be said of its values.
    scale: Option<String>,
    rows: Receiver<Result<Rows, Error>>,
    /// Told when the page begins to be written, and dropped where it never will be.
    begun: Sender<()>,
}

/// A file that is being denoised, page by page.
struct Denoised {
    name: PathBuf,
    pages: Receiver<Result<Page, Error>>,
    /// When denoising began, and the seconds that reading the first page took before.
    start: Instant,
    loading: f64,
}

/// What is known of a file once its pages are written.
#[derive(Default)]
struct Written {
    /// Of the last page.
    size: [usize; 2],
    noise: Noise,
    /// Of the first page.
    comparison: Option<Comparison>,
    /// Lines for people, each once.
    said: Vec<String>,
    scale_said: bool,
}

impl Written {
    fn say(&mut self, line: String, remark: &dyn Fn(&str)) {
        if !self.said.contains(&line) {
            remark(&line);
            self.said.push(line);
        }
    }
}

impl Denoised {
    /// Writes the file; the lines for people go to `remark`. Gives what `--json` says of it.
    fn write(self, task: &Task, remark: &dyn Fn(&str)) -> Result<Value, Error> {
        let Self { name, pages, start, loading } = self;
        let [input, output] = [("stdin", &task.input), ("stdout", &task.output)]
            .map(|(pipe, path)| if is_pipe(path) { pipe.to_owned() } else { shown(path) });
        let written = RefCell::new(Written::default());
        let pages = pages.into_iter().enumerate().map(|(number, page)| {
            let Page { header, comparison, estimate, judged, scale, rows, begun } = page?;
            let mut known = written.borrow_mut();
            known.size = header.size();
            if judged {
                known.noise.0.push(estimate);
            }
            if number == 0 {
                known.comparison = comparison;
            }
            // Of many pages, once.
            if let Some(scale) = scale.filter(|_| !std::mem::replace(&mut known.scale_said, true)) {
                known.say(format!("{input}: {scale}"), remark);
            }
            if let Some(lost) = header.loses(&name) {
                known.say(format!("{output}: this format cannot hold {lost}"), remark);
            }
            if let Some(dropped) = header.dropped() {
                known.say(format!("{output}: not kept: {dropped}"), remark);
            }
            let _ = begun.send(());
            let written = &written;
            let compare = move |rows: &Result<Rows, Error>| {
                if let (0, Ok(rows), Some(comparison)) = (number, rows, &mut written.borrow_mut().comparison) {
                    comparison.show(rows);
                }
            };
            Ok((header, rows.into_iter().inspect(compare)))
        });
        if is_pipe(&task.output) {
            pipes::write(&encode_pages(&name, pages)?)?;
        } else {
            save_pages(&name, pages)?;
        }
        let Written { size: [width, height], noise, comparison, .. } = written.into_inner();
        if let (Some(comparison), Some(path)) = (comparison, &task.compare) {
            comparison.save(path)?;
        }
        let seconds = loading + start.elapsed().as_secs_f64();
        remark(&format!("{input} -> {output} ({width}x{height}, {seconds:.2} s{noise})"));
        let (input, output) = (path_text(&task.input), path_text(&task.output));
        let mut json = json!({"input": input, "output": output, "width": width, "height": height, "seconds": seconds});
        json.as_object_mut().expect("it is one").extend(noise.json());
        Ok(json)
    }
}

/// Denoises files one after the other, and gives what came of each, in order. Three threads work on neighbouring pages, so that
/// three are in memory at most, that which is denoised twice:
///
/// ```text
/// reader   | load n+1, wait until it is taken
/// this one | denoise n ............. wait until the writer has begun with n
/// writer   | end of n-1, then the rows of n as they come
/// ```
pub(super) fn denoise_all(common: &Common, mut worker: Worker, all: &Tasks, aux: &AuxArgs) -> Vec<Result<Value, Error>> {
    let tasks = &all.tasks;
    let mut bar = Bar::new(common);
    let above = bar.above();
    let remark = move |line: &str| above(&|| common.remark(line));
    // It holds nothing: the reader waits with what it has loaded.
    let (loaded, to_denoise) = sync_channel::<(usize, Result<Loaded, Error>)>(0);
    let (denoised, to_write) = channel::<Denoised>();
    let start = Instant::now();
    // The file whose writer has failed: nobody wants its other pages.
    let given_up = &AtomicUsize::new(usize::MAX);
    thread::scope(|scope| {
        scope.spawn(move || {
            for (number, task) in tasks.iter().enumerate() {
                // A receiver that is gone has panicked, and the panic is passed on in the end.
                load(task, all, aux, |page| loaded.send((number, page)).is_ok() && given_up.load(Ordering::Relaxed) != number);
            }
        });
        let writer = scope.spawn(move || tasks.iter().zip(to_write).map(|(task, file)| file.write(task, &remark)).collect());
        // The pages of the file that is being denoised, which its writer takes.
        let mut current: Option<(usize, Sender<Result<Page, Error>>)> = None;
        for (number, photo) in to_denoise {
            if given_up.load(Ordering::Relaxed) == number {
                continue;
            }
            let task = &tasks[number];
            if current.as_ref().is_none_or(|(file, _)| *file != number) {
                let (page, pages) = channel();
                let (name, loading) =
                    photo.as_ref().map_or((task.output.clone(), 0.0), |photo| (photo.name.clone(), photo.seconds));
                let _ = denoised.send(Denoised { name, pages, start: Instant::now(), loading });
                current = Some((number, page));
            }
            let (_, pages) = current.as_ref().expect("it was just made");
            let photo = match photo.and_then(|photo| worker.fitting(task, photo)) {
                Ok(photo) => photo,
                Err(e) => {
                    let _ = pages.send(Err(e));
                    continue;
                }
            };
            let (page, of) = (photo.page, photo.pages);
            let show = |share: f64| show(&mut bar, start, (number, tasks), (page as f64 - 1.0 + share) / of as f64);
            if !worker.denoise(photo, task.compare.is_some(), show, pages) {
                given_up.store(number, Ordering::Relaxed);
            }
            if page == of {
                current = None;
            }
        }
        // The last photo is written without the memory of strips.
        drop((worker, denoised, current));
        writer.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Shows how far it is with all files, of which number `number` is done to a share of `file`.
fn show(bar: &mut Bar, start: Instant, (number, tasks): (usize, &[Task]), file: f64) {
    let done = (number as f64 + file) / tasks.len() as f64;
    let place = if tasks.len() > 1 { format!("{} of {}, ", number + 1, tasks.len()) } else { String::new() };
    let line = |left: &str| format!("{}: {:.0} %, {place}{left} left", shown(&tasks[number].input), 100.0 * file);
    bar.show(done, || line(&time_left(start.elapsed().as_secs_f64(), done)));
}

impl Worker {
    /// A page as the model reads it, if it reads such colours.
    fn fitting(&self, task: &Task, loaded: Loaded) -> Result<Loaded, Error> {
        match self.denoiser.check_colours(&loaded.photo) {
            Ok(()) => Ok(Loaded { photo: self.denoiser.as_read(loaded.photo), ..loaded }),
            Err(problem) => Err(Error::file(&task.input, problem)),
        }
    }

    /// Denoises a page, which is sent to the writer at once and followed by its rows. Returns when the writer has begun with it,
    /// or never will: whether it takes more.
    fn denoise(
        &mut self,
        Loaded { photo, page, .. }: Loaded,
        compare: bool,
        show: impl FnMut(f64),
        pages: &Sender<Result<Page, Error>>,
    ) -> bool {
        let estimate = match self.estimator.as_mut().map_or(Ok(None), |estimator| estimator.estimate(&photo)) {
            Ok(estimate) => estimate,
            Err(e) => {
                let _ = pages.send(Err(e));
                return false;
            }
        };
        let (judged, strength) = (self.estimator.is_some(), estimate.map_or(self.strength, |found| found.strength));
        let (row, rows) = channel();
        let (begun, has_begun) = channel();
        let comparison = (compare && page == 1).then(|| Comparison::new(&photo, self.denoiser.signal().unwrap_or([0.0, 1.0])));
        // A writer that takes no more pages or rows has said why.
        let (header, scale) = (photo.header().clone(), self.denoiser.scale_remark(&photo));
        if pages.send(Ok(Page { header, comparison, estimate, judged, scale, rows, begun })).is_err() {
            return false;
        }
        let emit = |done| row.send(Ok(done)).map_err(|_| Error::data("it cannot be written"));
        let denoised = self.denoiser.denoise_rows(&photo, strength, show, emit);
        let whole = denoised.is_ok();
        if let Err(e) = denoised {
            let _ = row.send(Err(e));
        }
        drop(row);
        let _ = has_begun.recv();
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_nobody_wants_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let [input, output] = ["in.tif", "out.tif"].map(|name| folder.path().join(name));
        let picture = Picture::from_rgb8(2, 1, &[0; 6]);
        let page = |_| Ok((picture.header().clone(), [Ok(picture.row(0))].into_iter()));
        save_pages(&input, (0..3).map(page)).unwrap();
        let task = Task { input, output, compare: None };
        for (wanted, read) in [(1, 1), (2, 2), (9, 3)] {
            let mut pages = Vec::new();
            load(&task, &Tasks::default(), &AuxArgs::default(), |page| {
                pages.push(page.unwrap().page);
                pages.len() < wanted
            });
            assert_eq!(pages, (1..=read).collect::<Vec<_>>());
        }
    }
}
