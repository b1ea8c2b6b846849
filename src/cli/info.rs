//! `n2n-gpu info`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::data::range::ends;
use n2n_gpu::nets::Anatomy;
use serde_json::json;

use super::model::{self, load_model};
use super::output::{Output, counted, path_text};

/// Arguments of `info`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Model that `train` or `import` wrote, a run folder, or the name of one in the box
    #[arg(value_name = "MODEL")]
    model: PathBuf,
}

pub(super) fn run(options: &Options) -> anyhow::Result<Output> {
    let model = load_model(&options.model)?;
    let bytes = model::size(&options.model);
    let anatomy = Anatomy::of(model.network.as_ref());
    let parameters = anatomy.parameters();
    let (Anatomy { multiple, radius, .. }, input) = (anatomy, model.ranges.input);
    let [black, white] = match model.signal() {
        // What the network was built for.
        Some(signal) => signal.map(|v| (1e4 * (input[0] + v * (input[1] - input[0]))).round() / 1e4),
        None => input,
    };
    let fills = model.signal().map_or(String::new(), |[low, high]| {
        let ([low, high], unit) = ends([low, high], !model.measured);
        format!("; pictures fill values from {low} to {high}{unit}")
    });
    let lines = [
        ("network", model.network.describe()),
        ("parameters", parameters.to_string()),
        ("trained for", format!("{}, {} steps", model.noise, model.steps)),
        ("written by", format!("n2n-gpu {}, {bytes} bytes", model.version)),
        ("values", format!("black is {black} to it, white {white}{fills}")),
        ("sizes", format!("in multiples of {multiple}; pictures are padded to them")),
        ("a pixel sees", radius.map_or_else(|| "the whole picture".to_owned(), |r| format!("{} around it", counted(r, "pixel")))),
    ];
    let text = lines.map(|(name, value)| format!("{name:13}{value}")).join("\n");
    Ok(Output::new(
        json!({
            "model": path_text(&options.model), "net": model.network.name(), "options": model.network.options(),
            "parameters": parameters, "noise": model.noise, "range": model.ranges.input, "output_range": model.ranges.output, "signal": model.signal(), "measured": model.measured,
            "steps": model.steps, "version": model.version, "bytes": bytes, "multiple": multiple, "radius": radius,
        }),
        text,
    ))
}
