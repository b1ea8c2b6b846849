//! `n2n-gpu info`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::nets::Anatomy;
use serde_json::json;

use super::model::{self, load_model};
use super::output::{Output, counted, path_text};

/// Arguments of `info`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Model that `train` or `import` wrote, or the name of one in the box
    #[arg(value_name = "MODEL")]
    model: PathBuf,
}

pub(super) fn run(options: &Options) -> anyhow::Result<Output> {
    let model = load_model(&options.model)?;
    let bytes = model::size(&options.model);
    let anatomy = Anatomy::of(model.network.as_ref());
    let parameters = anatomy.parameters();
    let (Anatomy { multiple, radius, .. }, [black, white]) = (anatomy, model.ranges.input);
    let lines = [
        ("network", model.network.describe()),
        ("parameters", parameters.to_string()),
        ("trained for", format!("{}, {} steps", model.noise, model.steps)),
        ("written by", format!("n2n-gpu {}, {bytes} bytes", model.version)),
        ("values", format!("black is {black} to it, white {white}")),
        ("sizes", format!("in multiples of {multiple}; pictures are padded to them")),
        ("a pixel sees", radius.map_or_else(|| "the whole picture".to_owned(), |r| format!("{} around it", counted(r, "pixel")))),
    ];
    let text = lines.map(|(name, value)| format!("{name:13}{value}")).join("\n");
    Ok(Output::new(
        json!({
            "model": path_text(&options.model), "net": model.network.name(), "options": model.network.options(),
            "parameters": parameters, "noise": model.noise, "range": model.ranges.input, "output_range": model.ranges.output,
            "steps": model.steps, "version": model.version, "bytes": bytes, "multiple": multiple, "radius": radius,
        }),
        text,
    ))
}
