//! `n2n-gpu import`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::nets::{Net, import::import};
use serde_json::json;

use super::net::NetArgs;
use super::output::result;
use super::recipe::positive;
use super::{Common, Usage};

/// Arguments of `import`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// State dict that PyTorch saved: .pth, .pt or .safetensors
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    net: NetArgs,
    /// Model file to write
    #[arg(short, long = "output", value_name = "FILE")]
    out: PathBuf,
    /// Mean of the pictures that epfl-convnet was trained on, 0 to 255
    #[arg(long, value_name = "M", value_parser = positive, allow_negative_numbers = true)]
    mean: Option<f64>,
    /// Their standard deviation
    #[arg(long, value_name = "S", value_parser = positive, allow_negative_numbers = true)]
    std: Option<f64>,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    options.net.check(Net::Unet)?;
    let net = options.net.options(&Device::Cpu, Net::Unet, None);
    let statistics = match (options.mean, options.std) {
        (Some(mean), Some(std)) if net.net == Net::EpflConvnet => ((mean / 255.0) as f32, (std / 255.0) as f32),
        (None, None) if net.net != Net::EpflConvnet => (0.5, 0.25),
        _ if net.net != Net::EpflConvnet => {
            return Err(Usage::new(format!("--mean, --std: {} has no such options, only epfl-convnet", net.name())));
        }
        _ => return Err(Usage::new("--net epfl-convnet: give --mean and --std of the pictures it was trained on")),
    };
    if options.mean.is_some_and(|m| m > 255.0) || options.std.is_some_and(|s| !(0.1..=255.0).contains(&s)) {
        return Err(Usage::new("--mean and --std are of pictures from 0 to 255; a deviation is at least 0.1"));
    }
    if options.out.is_dir() {
        return Err(Error::file(&options.out, "is a folder: name a file with -o").into());
    }
    let model = import(&options.file, net, statistics)?;
    let net = model.metadata.options;
    if let Some(wanted) = options.net.width().filter(|&w| w != net.width) {
        return Err(
            Usage::new(format!("--width {wanted}: the network in {} has width {}", options.file.display(), net.width)).into()
        );
    }
    model.save(&options.out)?;
    let tensors = net.skeleton().params().len();
    result(
        common,
        &json!({
            "net": net.name(), "tensors": tensors, "parameters": net.parameters(), "width": net.width, "shared": net.shared,
            "output": options.out,
        }),
        &format!(
            "{}: {} of width {}, {tensors} tensors, {} parameters{}",
            options.out.display(),
            net.name(),
            net.width,
            net.parameters(),
            if net.shared { ", blocks shared" } else { "" }
        ),
    );
    Ok(())
}
