//! `n2n-gpu denoise`.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread;
use std::time::Instant;

use clap::Args;
use n2n_gpu::data::files::{is_picture_name, list};
use n2n_gpu::data::picture::{Header, Picture, Rows};
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::error::Error;
use n2n_gpu::nets::Model;
use serde_json::json;

use super::output::{Bar, complain, result};
use super::{Common, Usage};

/// What `demo` writes when no folder is named.
const DEMO_MODEL: &str = "n2n-demo/best.safetensors";

/// Arguments of `denoise`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Pictures and folders of pictures: PNG, JPEG, TIFF, WebP, BMP, PNM
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
    let one = options.inputs.len() == 1 && options.inputs[0].is_file();
    // An original is never replaced: denoised twice, it would be lost.
    let replaces = |input: &Path, output: &Path| match (input.canonicalize(), output.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => {
            Err(Usage::new(format!("{}: would be replaced by its own result: name another place with -o", input.display())))
        }
        _ => Ok(()),
    };
    if one && !out.is_dir() && !out.as_os_str().to_string_lossy().ends_with(std::path::MAIN_SEPARATOR) {
        replaces(&inputs[0], out)?;
        return Ok(vec![(inputs[0].clone(), out.clone())]);
    }
    if out.is_file() {
        return Err(Error::file(out, "is a file, but several pictures are to be written: name a folder with -o").into());
    }
    if is_picture_name(out) && !out.is_dir() {
        return Err(Error::file(out, "is named like a picture, but of a folder a folder is made: name one with -o").into());
    }
    let mut files: Vec<(PathBuf, PathBuf)> = Vec::new();
    for input in inputs {
        let output = out.join(input.file_name().unwrap_or_default());
        replaces(&input, &output)?;
        if let Some((other, _)) = files.iter().find(|(_, o)| *o == output) {
            let message = format!("has the same name as {}: denoise them into different folders", other.display());
            return Err(Error::file(&input, message).into());
        }
        files.push((input, output));
    }
    Ok(files)
}

fn read(input: &Path, output: &Path) -> Result<(Picture, f64), Error> {
    let start = Instant::now();
    Picture::check_output(output)?;
    let photo = Picture::load(input)?;
    photo.header().check_size(output)?;
    Ok((photo, start.elapsed().as_secs_f64()))
}

/// A photo that is being denoised: its rows come while it is written.
struct Denoised {
    header: Header,
    rows: Receiver<Result<Rows, Error>>,
    /// When denoising began, and the seconds that reading took before.
    start: Instant,
    read: f64,
}

/// Denoises files one after the other. Each is encoded while it is denoised, and the next one is read. Gives what came of each, in
/// order. Three photos are in memory at most, that which is denoised twice.
fn denoise_all(
    common: &Common,
    mut denoiser: Denoiser,
    strength: f32,
    files: &[(PathBuf, PathBuf)],
) -> Vec<Result<serde_json::Value, Error>> {
    let mut bar = Bar::new(common);
    let above = bar.above();
    let write = |(input, output): &(PathBuf, PathBuf), Denoised { header, rows, start, read }: Denoised| {
        if let Some(lost) = header.loses(output) {
            above(&|| common.remark(&format!("{}: this format cannot hold {lost}", output.display())));
        }
        header.save(output, rows.into_iter())?;
        let ([width, height], seconds) = (header.size(), read + start.elapsed().as_secs_f64());
        let line = format!("{} -> {} ({width}x{height}, {seconds:.2} s)", input.display(), output.display());
        above(&|| common.remark(&line));
        Ok(json!({"input": input, "output": output, "width": width, "height": height, "seconds": seconds}))
    };
    // Without room of its own: the reader waits with what it has read until it is taken.
    let (read_photo, to_denoise) = sync_channel::<Result<(Picture, f64), Error>>(0);
    let (denoised_photo, to_write) = channel::<Result<Denoised, Error>>();
    // A photo is denoised before the one before it is written, but no more.
    let (taken, is_taken) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for (input, output) in files {
                // A receiver that is gone has panicked, and the panic is passed on in the end.
                let _ = read_photo.send(read(input, output));
            }
        });
        let take = move |photo| {
            let _ = taken.send(());
            photo
        };
        let writer = scope
            .spawn(move || files.iter().zip(to_write.into_iter().map(take)).map(|(file, photo)| write(file, photo?)).collect());
        for (number, ((input, _), photo)) in files.iter().zip(to_denoise).enumerate() {
            let place = if files.len() > 1 { format!(" ({} of {})", number + 1, files.len()) } else { String::new() };
            let mut show = |share: f64| {
                let all = (number as f64 + share) / files.len() as f64;
                bar.show(all, || format!("{}{place}: {:.0} %", input.display(), 100.0 * share));
            };
            match photo {
                Ok((photo, read)) => {
                    let (row, rows) = channel();
                    let header = photo.header().clone();
                    let _ = denoised_photo.send(Ok(Denoised { header, rows, start: Instant::now(), read }));
                    // The writer that takes no more rows has said why.
                    let emit = |done| row.send(Ok(done)).map_err(|_| Error::data("it cannot be written"));
                    if let Err(e) = denoiser.denoise_rows(&photo, strength, &mut show, emit) {
                        let _ = row.send(Err(e));
                    }
                }
                Err(e) => drop(denoised_photo.send(Err(e))),
            }
            let _ = is_taken.recv();
        }
        // The last photo is written without the memory of strips.
        drop((denoiser, denoised_photo));
        writer.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    let files = files(options)?;
    if options.model == Path::new(DEMO_MODEL) && !options.model.exists() {
        let message =
            format!("--model is missing and there is no {DEMO_MODEL}: run n2n-gpu demo, or name a model that train wrote");
        return Err(Error::data(message).into());
    }
    let model = Model::load(&options.model)?;
    let device = common.open()?;
    let denoiser = Denoiser::new(&device, &model, options.tile)?;
    if files.iter().any(|(_, output)| *output != options.output) {
        let out = &options.output;
        std::fs::create_dir_all(out)
            .map_err(|e| Error::file(out, format!("the folder cannot be made: {e}; name another with -o")))?;
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for ((input, _), outcome) in files.iter().zip(denoise_all(common, denoiser, options.strength, &files)) {
        match outcome {
            Ok(file) => done.push(file),
            Err(e) => failed.push((input, e)),
        }
    }
    if files.len() > 1 {
        failed.iter().for_each(|(_, e)| complain(&format!("error: {e}")));
    }
    let count = done.len();
    if count > 0 {
        let text = format!("{count} of {} pictures denoised on {}", files.len(), device.name());
        let errors: Vec<_> = failed.iter().map(|(input, e)| json!({"input": input, "error": e.to_string()})).collect();
        let json = json!({"device": device.name(), "model": options.model, "files": done, "failed": errors});
        result(common, &json, &text);
    }
    match (failed.len(), files.len()) {
        (0, _) => Ok(()),
        (1, 1) => Err(failed.remove(0).1.into()),
        (n, all) => Err(Error::data(format!("{n} of {all} pictures could not be denoised")).into()),
    }
}
