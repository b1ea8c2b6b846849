//! `n2n-gpu denoise`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use n2n_gpu::data::files::list;
use n2n_gpu::data::picture::Picture;
use n2n_gpu::denoise::Denoiser;
use n2n_gpu::error::Error;
use n2n_gpu::nets::Model;
use serde_json::json;

use super::Common;
use super::output::{complain, result};

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
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = strength)]
    strength: f32,
    /// Largest side of tiles, pixels [default: what the device holds]
    #[arg(long, value_name = "PX")]
    tile: Option<usize>,
}

fn strength(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|v| (0.0..=1.0).contains(v)).ok_or_else(|| "must be a number from 0 to 1".into())
}

/// Input and output files. One input that is a file goes to OUT itself, unless that is a folder; else OUT is one.
fn files(options: &Options) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let inputs = list(&options.inputs)?;
    let out = &options.output;
    let one = options.inputs.len() == 1 && options.inputs[0].is_file();
    // An original is never replaced: denoised twice, it would be lost.
    let replaces = |input: &Path, output: &Path| match (input.canonicalize(), output.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => {
            Err(Error::usage(format!("{}: would be replaced by its own result: name another place with -o", input.display())))
        }
        _ => Ok(()),
    };
    if one && !out.is_dir() && !out.as_os_str().to_string_lossy().ends_with(std::path::MAIN_SEPARATOR) {
        replaces(&inputs[0], out)?;
        return Ok(vec![(inputs[0].clone(), out.clone())]);
    }
    if out.is_file() {
        return Err(Error::file(out, "is a file, but several pictures are to be written: name a folder with -o"));
    }
    let mut files: Vec<(PathBuf, PathBuf)> = Vec::new();
    for input in inputs {
        let output = out.join(input.file_name().unwrap_or_default());
        replaces(&input, &output)?;
        if let Some((other, _)) = files.iter().find(|(_, o)| *o == output) {
            let message = format!("has the same name as {}: denoise them into different folders", other.display());
            return Err(Error::file(&input, message));
        }
        files.push((input, output));
    }
    Ok(files)
}

fn denoise(
    denoiser: &mut Denoiser,
    input: &Path,
    output: &Path,
    strength: f32,
    common: &Common,
) -> Result<(usize, usize), Error> {
    Picture::check_output(output)?;
    let mut picture = Picture::load(input)?;
    if let Some(lost) = picture.loses(output) {
        common.remark(&format!("{}: this format cannot hold {lost}", output.display()));
    }
    let denoised = denoiser.denoise(&picture.rgb, picture.width, picture.height)?;
    for (v, d) in picture.rgb.iter_mut().zip(denoised) {
        *v += strength * (d - *v);
    }
    picture.save(output)?;
    Ok((picture.width, picture.height))
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    let files = files(options)?;
    if options.model == Path::new(DEMO_MODEL) && !options.model.exists() {
        let message =
            format!("--model is missing and there is no {DEMO_MODEL}: run n2n-gpu demo, or name a model that train wrote");
        return Err(Error::failed(message).into());
    }
    let model = Model::load(&options.model)?;
    let device = common.open()?;
    let mut denoiser = Denoiser::new(&device, &model, options.tile)?;
    if files.iter().any(|(_, output)| *output != options.output) {
        let out = &options.output;
        std::fs::create_dir_all(out)
            .map_err(|e| Error::file(out, format!("the folder cannot be made: {e}; name another with -o")))?;
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (input, output) in &files {
        let start = Instant::now();
        match denoise(&mut denoiser, input, output, options.strength, common) {
            Ok((width, height)) => {
                let seconds = start.elapsed().as_secs_f64();
                common.remark(&format!("{} -> {} ({width}x{height}, {seconds:.2} s)", input.display(), output.display()));
                done.push(json!({"input": input, "output": output, "width": width, "height": height, "seconds": seconds}));
            }
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
        (n, all) => Err(Error::failed(format!("{n} of {all} pictures could not be denoised")).into()),
    }
}
