//! Commands: arguments to typed options, a library call, output. One file per command.

mod bench;
mod check;
mod demo;
mod denoise;
mod devices;
mod eval;
mod import;
mod net;
mod output;
mod recipe;
mod train;
mod tuning;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use output::complain;

/// Learns to denoise from pairs of noisy pictures, and denoises, on any GPU or none.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of all commands.
#[derive(Args, Debug)]
struct Common {
    /// auto (best GPU, else cpu), cpu, or an adapter's index or a part of its name
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", help_heading = "Common options")]
    device: String,
    /// Find the fastest tiles for what is run on this GPU first, and remember them; results stay the same to the last bit
    #[arg(long, global = true, help_heading = "Common options")]
    tune: bool,
    /// Print exactly one JSON object on stdout when done
    #[arg(long, global = true, help_heading = "Common options")]
    json: bool,
    /// No progress, no remarks: results and errors alone
    #[arg(long, global = true, help_heading = "Common options")]
    quiet: bool,
    /// Seed of all random numbers
    #[arg(long, global = true, value_name = "N", default_value_t = 1, help_heading = "Common options")]
    seed: u32,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Train on bundled photographs for two minutes, and show what came of it
    Demo(demo::Options),
    /// Train a denoiser from photographs or from pairs of noisy pictures
    Train(Box<train::Options>),
    /// Denoise pictures
    Denoise(denoise::Options),
    /// Measure PSNR and SSIM on a set of pictures
    Eval(eval::Options),
    /// Make a model file from parameters that PyTorch saved
    Import(import::Options),
    /// List adapters, and what `--device auto` would pick
    Devices,
    /// Test every kernel on the device against the CPU in double precision
    Check,
    /// Time a training step, a forward pass, and every kernel
    Bench(bench::Options),
}

impl Common {
    /// The device asked for. Says so when `auto` falls back to the CPU.
    fn open(&self) -> anyhow::Result<Device> {
        let mut device = Device::select(&self.device)?;
        if matches!(device, Device::Cpu) && self.device.eq_ignore_ascii_case("auto") {
            self.remark("no real GPU found: running on the CPU (n2n-gpu devices lists what there is)");
        }
        match &mut device {
            Device::Gpu(gpu) => tuning::load(gpu, self.tune, self.quiet),
            Device::Cpu if self.tune => self.remark("--tune: the CPU has nothing to choose"),
            Device::Cpu => {}
        }
        Ok(device)
    }

    /// A line on stderr, unless quiet.
    fn remark(&self, line: &str) {
        if !self.quiet {
            complain(line);
        }
    }
}

fn run(cli: &Cli, start: Instant) -> anyhow::Result<()> {
    match &cli.command {
        Command::Demo(options) => demo::run(&cli.common, options),
        Command::Train(options) => train::run(&cli.common, options),
        Command::Denoise(options) => denoise::run(&cli.common, options),
        Command::Eval(options) => eval::run(&cli.common, options),
        Command::Import(options) => import::run(&cli.common, options),
        Command::Devices => devices::run(&cli.common),
        Command::Check => check::run(&cli.common),
        Command::Bench(options) => bench::run(&cli.common, options, start),
    }
}

/// Parses the command line and runs it. Exit code 0, 1 for failures, 2 for usage. `start` is when the program began.
pub(crate) fn main(start: Instant) -> ExitCode {
    let cli = Cli::parse();
    match run(&cli, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("error: {}", sentence(&e)));
            ExitCode::from(code_of(&e))
        }
    }
}

/// A command line that makes no sense, in a sentence that names the flag.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

impl Usage {
    #[expect(clippy::new_ret_no_self, reason = "it is made to be returned")]
    fn new(message: impl Into<String>) -> anyhow::Error {
        Self(message.into()).into()
    }
}

/// 2 for what makes no sense, 1 for what could not be done.
fn code_of(e: &anyhow::Error) -> u8 {
    let usage = e.is::<Usage>() || matches!(e.downcast_ref(), Some(Error::Option { .. } | Error::Format { .. }));
    if usage { 2 } else { 1 }
}

/// An error as the command line says it: options of the library are flags here.
fn sentence(e: &anyhow::Error) -> String {
    match e.downcast_ref() {
        Some(Error::Option { option, problem }) => format!("--{}: {problem}", option.replace('_', "-")),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_device_and_a_lack_of_memory_end_in_exit_code_1() {
        for (error, code) in [
            (Error::option("x", "y"), 2),
            (Error::format("x", "y"), 2),
            (Error::data("x"), 1),
            (Error::Memory("x".into()), 1),
            (Error::Lost("x".into()), 1),
        ] {
            assert_eq!(code_of(&error.into()), code);
        }
        assert_eq!((code_of(&Usage::new("x")), code_of(&anyhow::anyhow!("x"))), (2, 1));
    }
}
