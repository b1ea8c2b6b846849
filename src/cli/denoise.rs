//! `n2n-gpu denoise`.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use clap::Args;
use n2n_gpu::data::picture::{Header, Picture, Rows};
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::error::{Error, shown};
use n2n_gpu::nets::Model;
use serde_json::{Value, json};

use super::Common;
use super::compare::Comparison;
use super::output::{Bar, Output, complain, counted, path_text, program, time_left};
use super::pipes::{self, is_pipe};
use super::places::{Places, Task, Tasks, skipped_line, skipped_object};
use super::train::make_folder;

/// What `demo` writes when no folder is named.
const DEMO_MODEL: &str = "n2n-demo/best.safetensors";

const EXAMPLES: &str = "Examples:
  n2n-gpu denoise photo.jpg                               writes photo-denoised.jpg
  n2n-gpu denoise holiday -r -o clean --force             all folders within, same names and tree
  n2n-gpu denoise 'in/*.tif' -o 'out/{name}-2.{ext}'      {name}, {ext}, {folder}: of the input
  n2n-gpu denoise - --format png < photo.jpg > clean.png  pipes";

/// Arguments of `denoise`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    places: Places,
    /// Model that `train` wrote [default: ./n2n-demo/best.safetensors, which `demo` writes]
    #[arg(long, value_name = "FILE", default_value = DEMO_MODEL, hide_default_value = true)]
    model: PathBuf,
    /// How much of the denoised picture is blended in, 0 to 1
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = strength, allow_negative_numbers = true)]
    strength: f32,
    /// Largest side of tiles and strips, pixels [default: what the device holds]
    #[arg(long, value_name = "PX")]
    tile: Option<usize>,
    /// Denoise eight flips and turns of every picture and take their mean: better, but takes eight times as long, and 12 bytes of memory a
    /// pixel
    #[arg(long, hide_short_help = true)]
    tta: bool,
}

fn strength(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|v| (0.0..=1.0).contains(v)).ok_or_else(|| "must be a number from 0 to 1".into())
}

/// A photo that was read, and the seconds that took.
struct Loaded {
    photo: Picture,
    seconds: f64,
    /// Tells the format by its extension: the output, or one for stdout.
    name: PathBuf,
}

/// Reads a photo, and makes the folder for what is made of it. `format` is the extension of what goes to stdout.
fn load(task: &Task, format: Option<&str>) -> Result<Loaded, Error> {
    let start = Instant::now();
    let (photo, own) = if is_pipe(&task.input) { pipes::read()? } else { (Picture::load(&task.input)?, None) };
    let piped = is_pipe(&task.output);
    let name = if piped { format!("stdout.{}", format.or(own).unwrap_or("png")).into() } else { task.output.clone() };
    photo.header().check_size(&name)?;
    for path in [Some(&task.output).filter(|_| !piped), task.compare.as_ref()].into_iter().flatten() {
        let folder = path.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).map_err(|e| Error::file(folder, format!("the folder cannot be made: {e}")))?;
        Picture::check_output(path)?;
    }
    Ok(Loaded { photo, seconds: start.elapsed().as_secs_f64(), name })
}

/// A photo that is being denoised: its rows come while it is written.
struct Denoised {
    header: Header,
    name: PathBuf,
    comparison: Option<Comparison>,
    rows: Receiver<Result<Rows, Error>>,
    /// When denoising began, and the seconds that reading took before.
    start: Instant,
    loading: f64,
}

impl Denoised {
    /// Writes the photo; the lines for people go to `remark`. Gives what `--json` says of it.
    fn write(self, task: &Task, remark: &dyn Fn(&str)) -> Result<Value, Error> {
        let [input, output] = [("stdin", &task.input), ("stdout", &task.output)]
            .map(|(pipe, path)| if is_pipe(path) { pipe.to_owned() } else { shown(path) });
        if let Some(lost) = self.header.loses(&self.name) {
            remark(&format!("{output}: this format cannot hold {lost}"));
        }
        let mut comparison = self.comparison;
        let rows = self.rows.into_iter().inspect(|rows| {
            if let (Ok(rows), Some(comparison)) = (rows, &mut comparison) {
                comparison.show(rows);
            }
        });
        if is_pipe(&task.output) {
            pipes::write(&self.header.encode(&self.name, rows)?)?;
        } else {
            self.header.save(&self.name, rows)?;
        }
        if let (Some(comparison), Some(path)) = (comparison, &task.compare) {
            comparison.save(path)?;
        }
        let ([width, height], seconds) = (self.header.size(), self.loading + self.start.elapsed().as_secs_f64());
        remark(&format!("{input} -> {output} ({width}x{height}, {seconds:.2} s)"));
        let (input, output) = (path_text(&task.input), path_text(&task.output));
        Ok(json!({"input": input, "output": output, "width": width, "height": height, "seconds": seconds}))
    }
}

/// Denoises files one after the other, and gives what came of each, in order. Three threads work on neighbouring files, so that
/// three photos are in memory at most, that which is denoised twice:
///
/// ```text
/// reader   | load n+1, wait until it is taken
/// this one | denoise n ............. wait until the writer has begun with n
/// writer   | end of n-1, then the rows of n as they come
/// ```
fn denoise_all(
    common: &Common,
    mut denoiser: Denoiser,
    strength: f32,
    Tasks { tasks, format, .. }: &Tasks,
) -> Vec<Result<Value, Error>> {
    let mut bar = Bar::new(common);
    let above = bar.above();
    let remark = move |line: &str| above(&|| common.remark(line));
    // It holds nothing: the reader waits with what it has loaded.
    let (loaded, to_denoise) = sync_channel::<Result<Loaded, Error>>(0);
    let (denoised, to_write) = channel::<Result<Denoised, Error>>();
    let (begin, has_begun) = channel();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            for task in tasks {
                // A receiver that is gone has panicked, and the panic is passed on in the end.
                let _ = loaded.send(load(task, format.as_deref()));
            }
        });
        let writer = scope.spawn(move || {
            let photos = to_write.into_iter().inspect(|_| begin.send(()).unwrap_or_default());
            tasks.iter().zip(photos).map(|(task, photo)| photo?.write(task, &remark)).collect()
        });
        for (number, (task, photo)) in tasks.iter().zip(to_denoise).enumerate() {
            let show = |share: f64| {
                let all = (number as f64 + share) / tasks.len() as f64;
                let place = if tasks.len() > 1 { format!("{} of {}, ", number + 1, tasks.len()) } else { String::new() };
                let line = |left: &str| format!("{}: {:.0} %, {place}{left} left", shown(&task.input), 100.0 * share);
                bar.show(all, || line(&time_left(start.elapsed().as_secs_f64(), all)));
            };
            match photo {
                Ok(photo) => denoise_rows(&mut denoiser, photo, task.compare.is_some(), strength, show, &denoised),
                Err(e) => drop(denoised.send(Err(e))),
            }
            let _ = has_begun.recv();
        }
        // The last photo is written without the memory of strips.
        drop((denoiser, denoised));
        writer.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Denoises a photo, which is sent to the writer at once and followed by its rows.
fn denoise_rows(
    denoiser: &mut Denoiser,
    Loaded { photo, seconds, name }: Loaded,
    compare: bool,
    strength: f32,
    show: impl FnMut(f64),
    denoised: &Sender<Result<Denoised, Error>>,
) {
    let (row, rows) = channel();
    let header = photo.header().clone();
    let comparison = compare.then(|| Comparison::new(&photo));
    let _ = denoised.send(Ok(Denoised { header, name, comparison, rows, start: Instant::now(), loading: seconds }));
    // The writer that takes no more rows has said why.
    let emit = |done| row.send(Ok(done)).map_err(|_| Error::data("it cannot be written"));
    if let Err(e) = denoiser.denoise_rows(&photo, strength, show, emit) {
        let _ = row.send(Err(e));
    }
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<Output> {
    let tasks = options.places.tasks(Some(&options.model), common.json)?;
    if options.model == Path::new(DEMO_MODEL) && !options.model.exists() {
        let message =
            format!("--model is missing and there is no {DEMO_MODEL}: run {} demo, or name a model that train wrote", program());
        return Err(Error::data(message).into());
    }
    let model = Model::load(&options.model)?;
    let device = common.open()?;
    let denoiser = Denoiser::new(&device, &model, options.tile)?.with_flips(options.tta);
    // A single picture makes its folder itself, once it was read.
    if tasks.tasks.len() > 1 {
        tasks.folders.iter().try_for_each(|(flag, folder)| make_folder(flag, folder))?;
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (task, outcome) in tasks.tasks.iter().zip(denoise_all(common, denoiser, options.strength, &tasks)) {
        match outcome {
            Ok(file) => done.push(file),
            Err(e) => failed.push((&task.input, e)),
        }
    }
    if !tasks.skipped.is_empty() {
        common.remark(&format!("skipped {}", skipped_line(&tasks.skipped)));
    }
    if tasks.tasks.len() == 1 && !failed.is_empty() {
        return Err(failed.remove(0).1.into());
    }
    failed.iter().for_each(|(_, e)| complain(&format!("error: {e}")));
    let errors: Vec<_> = failed.iter().map(|(input, e)| json!({"input": path_text(input), "error": e.to_string()})).collect();
    let all = counted(tasks.tasks.len(), "picture");
    let text = match done.len() {
        // Stdout may have a picture on it.
        _ if tasks.tasks.iter().any(|task| is_pipe(&task.output)) => String::new(),
        0 if !failed.is_empty() => String::new(),
        _ if failed.is_empty() => format!("{all} denoised on {}", device.name()),
        count => format!("{count} of {all} denoised on {}", device.name()),
    };
    let json = json!({
        "device": device.name(), "model": path_text(&options.model), "files": done, "failed": errors,
        "skipped": skipped_object(&tasks.skipped),
    });
    let output = Output::new(json, text);
    if failed.is_empty() {
        return Ok(output);
    }
    Ok(output.failed(format!("{} of {all} could not be denoised", failed.len()), 1))
}
