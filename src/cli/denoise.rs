//! `n2n-gpu denoise`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::denoise::{Denoiser, Estimator};
use n2n_gpu::nets::BUILT_IN;
use serde_json::json;

use super::Common;
use super::aux::AuxArgs;
use super::model::{self, load_model};
use super::output::{Output, complain, counted, path_text};
use super::pipeline::{Worker, denoise_all};
use super::pipes::is_pipe;
use super::places::{Places, skipped_line, skipped_object};
use super::train::make_folder;

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
    #[arg(long, value_name = "MODEL", default_value = BUILT_IN[0].name, help = model::help())]
    model: PathBuf,
    #[command(flatten)]
    aux: AuxArgs,
    /// How much of the denoised picture is blended in, 0 to 1, or auto: all of it where a picture is noisy, less where it is
    /// nearly clean
    #[arg(long, value_name = "S", default_value = "auto", value_parser = Strength::parse, allow_negative_numbers = true)]
    strength: Strength,
    /// Largest side of tiles and strips, pixels [default: what the device holds]
    #[arg(long, value_name = "PX")]
    tile: Option<usize>,
    /// Denoise eight flips and turns of every picture and take their mean: better, but takes eight times as long, and 12 bytes of
    /// memory a pixel
    #[arg(long, hide_short_help = true)]
    tta: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Strength {
    Auto,
    Of(f32),
}

impl Strength {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse().ok().filter(|v| (0.0..=1.0).contains(v));
        number.map(Self::Of).ok_or_else(|| "must be a number from 0 to 1, or auto".into())
    }
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<Output> {
    let tasks = options.places.tasks(model::file(&options.model).as_deref(), common.json)?;
    tasks.part.iter().for_each(|line| common.remark(line));
    if tasks.existing > 0 {
        common.remark(&format!("left out, as there are results already: {}", counted(tasks.existing, "picture")));
    }
    let model = load_model(&options.model)?;
    options.aux.check(model.network.as_ref())?;
    options.aux.check_inputs(tasks.tasks.len(), options.places.is_recursive())?;
    let device = common.open()?;
    let denoiser = Denoiser::new(&device, &model, options.tile)?.with_flips(options.tta);
    let (strength, judged) = match options.strength {
        Strength::Auto => (1.0, Estimator::suits(&model)),
        Strength::Of(strength) => (strength, false),
    };
    let estimator = if judged { Some(Estimator::new(&model)?) } else { None };
    let worker = Worker { denoiser, strength, estimator };
    // A single picture makes its folder itself, once it was read.
    if tasks.tasks.len() > 1 {
        tasks.folders.iter().try_for_each(|(flag, folder)| make_folder(flag, folder))?;
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (task, outcome) in tasks.tasks.iter().zip(denoise_all(common, worker, &tasks, &options.aux)) {
        match outcome {
            Ok(file) => done.push(file),
            Err(e) => failed.push((&task.input, e)),
        }
    }
    if !tasks.skipped.is_empty() {
        common.remark(&format!("skipped {}", skipped_line(&tasks.skipped, true)));
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
        "skipped": skipped_object(&tasks.skipped), "existing": tasks.existing,
    });
    let output = Output::new(json, text);
    if failed.is_empty() {
        return Ok(output);
    }
    Ok(output.failed(format!("{} of {all} could not be denoised", failed.len()), 1))
}
