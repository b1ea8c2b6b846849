//! `n2n-gpu denoise`.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use clap::Args;
use n2n_gpu::data::files::{is_picture_name, list};
use n2n_gpu::data::picture::{Header, Picture, Rows};
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

/// A photo that was read, and the seconds that took.
struct Loaded {
    photo: Picture,
    seconds: f64,
}

fn load((input, output): &(PathBuf, PathBuf)) -> Result<Loaded, Error> {
    let start = Instant::now();
    Picture::check_output(output)?;
    let photo = Picture::load(input)?;
    photo.header().check(output, false)?;
    Ok(Loaded { photo, seconds: start.elapsed().as_secs_f64() })
}

/// A photo that is being denoised: its rows come while it is written.
struct Denoised {
    header: Header,
    rows: Receiver<Result<Rows, Error>>,
    /// When denoising began, and the seconds that reading took before.
    start: Instant,
    loading: f64,
}

impl Denoised {
    /// Writes the photo; the lines for people go to `remark`. Gives what `--json` says of it.
    fn write(self, (input, output): &(PathBuf, PathBuf), remark: &dyn Fn(&str)) -> Result<Value, Error> {
        if let Some(lost) = self.header.loses(output) {
            remark(&format!("{}: this format cannot hold {lost}", output.display()));
        }
        self.header.save(output, self.rows.into_iter())?;
        let ([width, height], seconds) = (self.header.size(), self.loading + self.start.elapsed().as_secs_f64());
        remark(&format!("{} -> {} ({width}x{height}, {seconds:.2} s)", input.display(), output.display()));
        Ok(json!({
            "input": path_text(input), "output": path_text(output), "width": width, "height": height, "seconds": seconds,
        }))
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
    files: &[(PathBuf, PathBuf)],
) -> Vec<Result<Value, Error>> {
    let mut bar = Bar::new(common);
    let above = bar.above();
    let remark = move |line: &str| above(&|| common.remark(line));
    // It holds nothing: the reader waits with what it has loaded.
    let (loaded, to_denoise) = sync_channel::<Result<Loaded, Error>>(0);
    let (denoised, to_write) = channel::<Result<Denoised, Error>>();
    let (begin, has_begun) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for file in files {
                // A receiver that is gone has panicked, and the panic is passed on in the end.
                let _ = loaded.send(load(file));
            }
        });
        let writer = scope.spawn(move || {
            let photos = to_write.into_iter().inspect(|_| begin.send(()).unwrap_or_default());
            files.iter().zip(photos).map(|(file, photo)| photo?.write(file, &remark)).collect()
        });
        for (number, ((input, _), photo)) in files.iter().zip(to_denoise).enumerate() {
            let place = if files.len() > 1 { format!(" ({} of {})", number + 1, files.len()) } else { String::new() };
            let show = |share: f64| {
                let all = (number as f64 + share) / files.len() as f64;
                bar.show(all, || format!("{}{place}: {:.0} %", input.display(), 100.0 * share));
            };
            match photo {
                Ok(photo) => denoise_rows(&mut denoiser, photo, strength, show, &denoised),
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
    Loaded { photo, seconds }: Loaded,
    strength: f32,
    show: impl FnMut(f64),
    denoised: &Sender<Result<Denoised, Error>>,
) {
    let (row, rows) = channel();
    let header = photo.header().clone();
    let _ = denoised.send(Ok(Denoised { header, rows, start: Instant::now(), loading: seconds }));
    // The writer that takes no more rows has said why.
    let emit = |done| row.send(Ok(done)).map_err(|_| Error::data("it cannot be written"));
    if let Err(e) = denoiser.denoise_rows(&photo, strength, show, emit) {
        let _ = row.send(Err(e));
    }
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
