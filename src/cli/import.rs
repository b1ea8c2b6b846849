//! `n2n-gpu import`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::data::files::is_picture_name;
use n2n_gpu::error::Error;
use n2n_gpu::nets::{Anatomy, Input, Statistics, import::import};
use serde_json::json;

use super::Usage;
use super::files::{check_existing, check_outputs};
use super::net::NetArgs;
use super::output::{Output, path_text};
use super::recipe::positive;

/// Arguments of `import`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// State dict that PyTorch saved: .pth, .pt or .safetensors; or weights of Open Image Denoise: .tza
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    net: NetArgs,
    /// Model file to write
    #[arg(short, long = "output", value_name = "FILE")]
    out: PathBuf,
    /// Replace that file if it exists
    #[arg(short, long)]
    force: bool,
    /// Mean of the pictures that the network was trained on, 0 to 255, if it normalises its input
    #[arg(long, value_name = "M", value_parser = positive, allow_negative_numbers = true)]
    mean: Option<f64>,
    /// Their standard deviation
    #[arg(long, value_name = "S", value_parser = positive, allow_negative_numbers = true)]
    std: Option<f64>,
}

/// Mean and standard deviation on the [0, 1] range, which only a network that normalises its input has.
fn statistics(options: &Options, name: &str, input: Input) -> anyhow::Result<Option<Statistics>> {
    let (mean, std) = match (options.mean, options.std, input) {
        (Some(mean), Some(std), Input::Normalised) => (mean, std),
        (None, None, Input::Range(_)) => return Ok(None),
        (_, _, Input::Range(_)) => {
            return Err(Usage::new(format!("--mean, --std: {name} does not normalise its input, and has no such options")));
        }
        _ => return Err(Usage::new(format!("--net {name}: give --mean and --std of the pictures it was trained on"))),
    };
    if mean > 255.0 || !(0.1..=255.0).contains(&std) {
        return Err(Usage::new("--mean and --std are of pictures from 0 to 255; a deviation is at least 0.1"));
    }
    Ok(Some(Statistics { mean: (mean / 255.0) as f32, deviation: (std / 255.0) as f32 }))
}

pub(super) fn run(options: &Options) -> anyhow::Result<Output> {
    let entry = options.net.entry(None)?;
    let statistics = statistics(options, entry.name, entry.published().values().input)?;
    if is_picture_name(&options.out) {
        return Err(Error::format(&options.out, "is the name of a picture: a model ends in .safetensors").into());
    }
    if options.out.is_dir() {
        return Err(Error::file(&options.out, "is a folder: name a file with -o").into());
    }
    check_outputs("-o", &[&options.file], &[(options.file.clone(), options.out.clone())], None)?;
    check_existing(options.force, [options.out.as_path()].into_iter())?;
    let model = import(&options.file, entry, &options.net.given, statistics)?;
    let network = model.network.options();
    model.save(&options.out)?;
    let anatomy = Anatomy::of(model.network.as_ref());
    let (tensors, parameters) = (anatomy.graph.params().len(), anatomy.parameters());
    Ok(Output::new(
        json!({
            "net": entry.name, "options": network, "tensors": tensors, "parameters": parameters, "width": network.get("width"),
            "shared": network.get("shared"), "output": path_text(&options.out),
        }),
        format!("{}: {}: {tensors} tensors, {parameters} parameters", options.out.display(), model.network.describe()),
    ))
}
