//! `n2n-gpu denoise`.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use clap::Args;
use n2n_gpu::data::files::{is_picture_name, list};
use n2n_gpu::data::picture::{Header, Pages, Picture, Rows, save_pages};
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::error::Error;
use n2n_gpu::nets::Model;
use serde_json::{Value, json};

use super::Common;
use super::files::check_outputs;
use super::output::{Bar, Output, complain, counted, path_text, program};

/// What `demo` writes when no folder is named.
const DEMO_MODEL: &str = "n2n-demo/best.safetensors";

/// Arguments of `denoise`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Pictures and folders of pictures: PNG, JPEG, TIFF, WebP, BMP, PNM, OpenEXR, Radiance HDR
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// Output: a file for one picture, else a folder
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Model that `train` wrote [default: ./n2n-demo/best.safetensors, which `demo` writes]
    #[arg(long, value_name = "FILE", default_value = DEMO_MODEL, hide_default_value = true)]
    model: PathBuf,
    /// How much of the denoised picture is blended in, 0 to 1
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = strength, allow_negative_numbers = true)]
    strength: f32,
    /// Largest side of tiles and strips, pixels [default: what the device holds]
    #[arg(long, value_name = "PX")]
    tile: Option<usize>,
}

fn strength(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|v| (0.0..=1.0).contains(v)).ok_or_else(|| "must be a number from 0 to 1".into())
}

/// Input and output files. One input that is a file goes to OUT itself, unless that is a folder; else OUT is one.
fn files(options: &Options) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let inputs = list(&options.inputs)?;
    let out = &options.output;
    let one = options.inputs.len() == 1 && !options.inputs[0].is_dir();
    let named_as_folder = out.is_dir() || out.as_os_str().to_string_lossy().ends_with(std::path::MAIN_SEPARATOR);
    let outputs: Vec<PathBuf> = if one && !named_as_folder {
        vec![out.clone()]
    } else {
        if out.is_file() {
            return Err(Error::file(out, "is a file, but several pictures are to be written: name a folder with -o").into());
        }
        if is_picture_name(out) && !out.is_dir() {
            return Err(Error::file(out, "is named like a picture, but of a folder a folder is made: name one with -o").into());
        }
        inputs.iter().map(|input| out.join(input.file_name().unwrap_or_default())).collect()
    };
    let read: Vec<&Path> = inputs.iter().chain([&options.model]).map(PathBuf::as_path).collect();
    let files: Vec<_> = inputs.iter().cloned().zip(outputs).collect();
    check_outputs("-o", &read, &files)?;
    Ok(files)
}

/// A page that was read, and the seconds that took. Most files have one.
struct Loaded {
    photo: Picture,
    seconds: f64,
    /// Its number in the file, and the number of pages there.
    page: usize,
    pages: usize,
}

/// Reads the pages of a file one after the other, until one cannot be read; `take` gets them.
fn load((input, output): &(PathBuf, PathBuf), mut take: impl FnMut(Result<Loaded, Error>)) {
    let mut start = Instant::now();
    let mut reader = match Picture::check_output(output).and_then(|()| Pages::open(input)) {
        Ok(reader) => reader,
        Err(e) => return take(Err(e)),
    };
    for page in 1..=reader.total() {
        let photo = reader.next().expect("there are so many").and_then(|photo| {
            photo.header().check(output, false)?;
            Ok(Loaded { photo, seconds: start.elapsed().as_secs_f64(), page, pages: reader.total() })
        });
        let failed = photo.is_err();
        take(photo);
        if failed {
            return;
        }
        start = Instant::now();
    }
}

/// A page that is being denoised: its rows come while it is written.
struct Page {
    header: Header,
    rows: Receiver<Result<Rows, Error>>,
    /// Told when the page begins to be written, and dropped where it never will be.
    begun: Sender<()>,
}

/// A file that is being denoised, page by page.
struct Denoised {
    pages: Receiver<Result<Page, Error>>,
    /// When denoising began, and the seconds that reading the first page took before.
    start: Instant,
    loading: f64,
}

impl Denoised {
    /// Writes the file; the lines for people go to `remark`. Gives what `--json` says of it.
    fn write(self, (input, output): &(PathBuf, PathBuf), remark: &dyn Fn(&str)) -> Result<Value, Error> {
        let (mut size, mut said) = ([0, 0], Vec::new());
        let mut say_once = |line: String| {
            if !said.contains(&line) {
                remark(&line);
                said.push(line);
            }
        };
        let pages = self.pages.into_iter().map(|page| {
            let Page { header, rows, begun } = page?;
            size = header.size();
            if let Some(lost) = header.loses(output) {
                say_once(format!("{}: this format cannot hold {lost}", output.display()));
            }
            if let Some(dropped) = header.dropped() {
                say_once(format!("{}: not kept: {dropped}", output.display()));
            }
            let _ = begun.send(());
            Ok((header, rows.into_iter()))
        });
        save_pages(output, pages)?;
        let ([width, height], seconds) = (size, self.loading + self.start.elapsed().as_secs_f64());
        remark(&format!("{} -> {} ({width}x{height}, {seconds:.2} s)", input.display(), output.display()));
        Ok(json!({
            "input": path_text(input), "output": path_text(output), "width": width, "height": height, "seconds": seconds,
        }))
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
fn denoise_all(
    common: &Common,
    mut denoiser: Denoiser,
    strength: f32,
    files: &[(PathBuf, PathBuf)],
) -> Vec<Result<Value, Error>> {
    let mut bar = Bar::new(common);
    let above = bar.above();
    let remark = move |line: &str| above(&|| common.remark(line));
    // It holds nothing: the reader waits with what it has loaded.
    let (loaded, to_denoise) = sync_channel::<(usize, Result<Loaded, Error>)>(0);
    let (denoised, to_write) = channel::<Denoised>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for (number, file) in files.iter().enumerate() {
                // A receiver that is gone has panicked, and the panic is passed on in the end.
                load(file, |page| drop(loaded.send((number, page))));
            }
        });
        let writer = scope.spawn(move || files.iter().zip(to_write).map(|(file, photo)| photo.write(file, &remark)).collect());
        // The pages of the file that is being denoised, which its writer takes.
        let mut current: Option<(usize, Sender<Result<Page, Error>>)> = None;
        for (number, photo) in to_denoise {
            if current.as_ref().is_none_or(|(file, _)| *file != number) {
                let (page, pages) = channel();
                let loading = photo.as_ref().map_or(0.0, |photo| photo.seconds);
                let _ = denoised.send(Denoised { pages, start: Instant::now(), loading });
                current = Some((number, page));
            }
            let (_, pages) = current.as_ref().expect("it was just made");
            let place = if files.len() > 1 { format!(" ({} of {})", number + 1, files.len()) } else { String::new() };
            let photo = match photo {
                Ok(photo) => photo,
                Err(e) => {
                    let _ = pages.send(Err(e));
                    continue;
                }
            };
            let (page, of) = (photo.page, photo.pages);
            let show = |share: f64| {
                let file = (page as f64 - 1.0 + share) / of as f64;
                let all = (number as f64 + file) / files.len() as f64;
                bar.show(all, || format!("{}{place}: {:.0} %", files[number].0.display(), 100.0 * file));
            };
            denoise_rows(&mut denoiser, photo, strength, show, pages);
            if page == of {
                current = None;
            }
        }
        // The last photo is written without the memory of strips.
        drop((denoiser, denoised, current));
        writer.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Denoises a page, which is sent to the writer at once and followed by its rows. Returns when the writer has begun with it, or never will.
fn denoise_rows(
    denoiser: &mut Denoiser,
    Loaded { photo, .. }: Loaded,
    strength: f32,
    show: impl FnMut(f64),
    pages: &Sender<Result<Page, Error>>,
) {
    let (row, rows) = channel();
    let (begun, has_begun) = channel();
    // A writer that takes no more pages or rows has said why.
    if pages.send(Ok(Page { header: photo.header().clone(), rows, begun })).is_err() {
        return;
    }
    let emit = |done| row.send(Ok(done)).map_err(|_| Error::data("it cannot be written"));
    if let Err(e) = denoiser.denoise_rows(&photo, strength, show, emit) {
        let _ = row.send(Err(e));
    }
    drop(row);
    let _ = has_begun.recv();
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<Output> {
    let files = files(options)?;
    if options.model == Path::new(DEMO_MODEL) && !options.model.exists() {
        let message =
            format!("--model is missing and there is no {DEMO_MODEL}: run {} demo, or name a model that train wrote", program());
        return Err(Error::data(message).into());
    }
    let model = Model::load(&options.model)?;
    let device = common.open()?;
    let denoiser = Denoiser::new(&device, &model, options.tile)?;
    if files.iter().any(|(_, output)| *output != options.output) {
        super::train::make_folder("-o", &options.output)?;
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for ((input, _), outcome) in files.iter().zip(denoise_all(common, denoiser, options.strength, &files)) {
        match outcome {
            Ok(file) => done.push(file),
            Err(e) => failed.push((input, e)),
        }
    }
    if files.len() == 1 && !failed.is_empty() {
        return Err(failed.remove(0).1.into());
    }
    failed.iter().for_each(|(_, e)| complain(&format!("error: {e}")));
    let errors: Vec<_> = failed.iter().map(|(input, e)| json!({"input": path_text(input), "error": e.to_string()})).collect();
    let all = counted(files.len(), "picture");
    let text = match done.len() {
        0 => String::new(),
        count if count == files.len() => format!("{all} denoised on {}", device.name()),
        count => format!("{count} of {all} denoised on {}", device.name()),
    };
    let json = json!({"device": device.name(), "model": path_text(&options.model), "files": done, "failed": errors});
    let output = Output::new(json, text);
    if failed.is_empty() {
        return Ok(output);
    }
    Ok(output.failed(format!("{} of {all} could not be denoised", failed.len()), 1))
}
