//! Commands: arguments to typed options, a library call, output. One file per command.

mod announce;
mod aux;
mod bench;
mod check;
mod compare;
mod demo;
mod denoise;
mod devices;
mod eval;
mod export;
mod files;
mod import;
mod info;
mod inspect;
mod interrupt;
mod live;
mod model;
mod net;
mod noise;
mod output;
mod pairs;
mod pipeline;
mod pipes;
mod places;
mod processes;
mod recipe;
mod runs;
mod scenes;
mod seen;
mod settings;
mod shell;
mod shots;
mod supply;
mod task;
mod train;
mod tuning;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use n2n_gpu::device::{Device, ranked};
use n2n_gpu::error::Error;
use n2n_gpu::gpu::adapters;
use output::{INTERRUPTED, Output, complain, exit_code, print_line, program};
use processes::Process;
use serde_json::json;

const EXIT_CODES: &str = "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C.";

/// Learns to denoise from pairs of noisy pictures, and denoises, on any GPU or none.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 110, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of all commands.
#[derive(Args, Debug)]
struct Common {
    /// auto (best GPU, else cpu), cpu, an adapter's index or name
    ///
    /// A part of the name will do
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", help_heading = "Common options")]
    device: String,
    /// Find the fastest tiles for what is run on this GPU first, and remember them; results stay the same to the last bit
    #[arg(long, global = true, help_heading = "Common options", hide_short_help = true)]
    tune: bool,
    /// Print exactly one JSON object on stdout when done
    #[arg(long, global = true, help_heading = "Common options")]
    json: bool,
    /// No progress, no remarks: results and errors alone
    #[arg(long, global = true, help_heading = "Common options")]
    quiet: bool,
    /// Seed of all random numbers [default: 1]
    #[arg(long, global = true, value_name = "N", help_heading = "Common options")]
    seed: Option<u32>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Train on bundled photographs for two minutes, and show what came of it
    Demo(demo::Options),
    /// Train a denoiser from photographs or from pairs of noisy pictures
    Train(Box<train::Options>),
    /// Look at noisy shots before training on them: what will go wrong, and what to do
    Inspect(inspect::Options),
    /// Denoise pictures
    Denoise(denoise::Options),
    /// Measure PSNR and SSIM on a set of pictures
    Eval(eval::Options),
    /// Make a model file from parameters that PyTorch or Open Image Denoise saved
    Import(import::Options),
    /// Write a model for other programs: ONNX, darktable, bioimage.io, Open Image Denoise
    Export(export::Options),
    /// Tell what a model is, and what it was trained for
    Info(info::Options),
    /// List and compare the runs in a folder
    Runs(runs::Options),
    /// List adapters, and what `--device auto` would pick
    Devices,
    /// Test every kernel on the device against the CPU in double precision
    Check,
    /// Time a training step, a forward pass, and every kernel
    Bench(bench::Options),
    /// Print completions for a shell
    Completions(shell::Completions),
    /// Write man pages
    Man(shell::Manual),
}

impl Common {
    /// The device asked for.
    fn select(&self) -> Result<Device, Error> {
        let local = Process::local_rank().filter(|_| self.device.eq_ignore_ascii_case("auto"));
        let wanted = match local.and_then(nth_gpu) {
            Some(index) => index.to_string(),
            None => self.device.clone(),
        };
        Device::select(&wanted).map_err(|e| match e {
            Error::Device { device, problem } if device == self.device => Error::device(format!("--device {device}"), problem),
            other => other,
        })
    }

    /// The device asked for, with its tuned tiles. Says so when `auto` falls back to the CPU.
    fn open(&self) -> anyhow::Result<Device> {
        let mut device = self.select()?;
        if matches!(device, Device::Cpu) && self.device.eq_ignore_ascii_case("auto") {
            self.remark(&format!("no real GPU found: running on the CPU ({} devices lists what there is)", program()));
        }
        match &mut device {
            Device::Gpu(gpu) => tuning::load(gpu, self.tune, self.quiet),
            Device::Cpu if self.tune => self.remark("--tune: the CPU has nothing to choose"),
            Device::Cpu => {}
        }
        Ok(device)
    }

    /// The seed, where no run that is resumed has another one.
    fn seed(&self) -> u32 {
        self.seed.unwrap_or(1)
    }

    /// A line on stderr, unless quiet.
    fn remark(&self, line: &str) {
        if !self.quiet {
            complain(line);
        }
    }
}

/// The adapter of one of several processes on a machine with several GPUs: each takes another.
fn nth_gpu(process: usize) -> Option<usize> {
    let real = ranked(&adapters());
    (real.len() > 1).then(|| real[process % real.len()])
}

fn run(cli: &Cli, start: Instant) -> anyhow::Result<Output> {
    interrupt::handle(&cli.common)?;
    match &cli.command {
        Command::Demo(options) => demo::run(&cli.common, options),
        Command::Train(options) => train::run(&cli.common, options),
        Command::Inspect(options) => inspect::run(&cli.common, options),
        Command::Denoise(options) => denoise::run(&cli.common, options),
        Command::Eval(options) => eval::run(&cli.common, options),
        Command::Import(options) => import::run(options),
        Command::Export(options) => export::run(options),
        Command::Info(options) => info::run(options),
        Command::Runs(options) => runs::run(options),
        Command::Devices => devices::run(&cli.common),
        Command::Check => check::run(&cli.common),
        Command::Bench(options) => bench::run(&cli.common, options, start),
        Command::Completions(options) => shell::completions(&cli.common, options, Cli::command()),
        Command::Man(options) => shell::manual(options, Cli::command()),
    }
}

/// Parses the command line and runs it. Exit code 0, 1 for failures, 2 for usage, 130 after Ctrl-C. `start` is when the program
/// began.
pub(crate) fn main(start: Instant) -> ExitCode {
    if let Some(problem) = train::misread_port(std::env::args_os()) {
        return Output::failure(problem, MISUSE).print(wants_json());
    }
    let parsed = Cli::command().try_get_matches().and_then(|m| Ok((Cli::from_arg_matches(&m)?, m)));
    let (mut cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(e) => return not_run(&e),
    };
    let command = matches.subcommand_name().unwrap_or_default();
    limit_threads();
    let helper = Process::of_mpirun().filter(|p| p.rank > 0 && matches!(cli.command, Command::Train(_)));
    if helper.is_some() {
        // The first process tells people, and what asked for JSON.
        (cli.common.quiet, cli.common.json) = (true, false);
    }
    let result = run(&cli, start);
    if let (Some(_), Err(e)) = (helper, &result)
        && let Some(Error::Gone(_)) = e.downcast_ref()
    {
        // The first process says it, and has a state to save. mpirun kills it as soon as this one ends.
        std::thread::sleep(LINGER);
        return ExitCode::FAILURE;
    }
    let output = result.unwrap_or_else(|e| match helper {
        None => Output::failure(sentence(&e, command), code_of(&e)),
        Some(Process { rank, .. }) => Output::failure(format!("process {rank}: {}", sentence(&e, command)), code_of(&e)),
    });
    output.print(cli.common.json)
}

/// What the standard library and clap say of numbers, and what they mean.
const NUMBERS: [(&str, &str); 4] = [
    ("invalid digit found in string", "not a whole number from 0 up"),
    ("number too large to fit in target type", "too large a number"),
    ("cannot parse integer from empty string", "not a number"),
    ("0 is not in 1..18446744073709551615", "must be 1 or more"),
];

/// Prints what the parser of arguments has to say: help, the version, or what is wrong with them.
fn not_run(e: &clap::Error) -> ExitCode {
    let told = e.to_string();
    let message = NUMBERS.iter().fold(told.clone(), |text, (said, meant)| text.replace(said, meant));
    let printed = if message == told { e.print() } else { write!(stderr(), "{message}") };
    let printed = printed.and_then(|()| stdout().flush());
    if !e.use_stderr() {
        return exit_code(printed, 0);
    }
    if !wants_json() {
        return ExitCode::from(MISUSE);
    }
    // The first paragraph; usage and hints follow.
    let problem = message.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let sentence = problem.split_whitespace().collect::<Vec<_>>().join(" ");
    exit_code(print_line(&json!({"error": sentence, "exit_code": MISUSE}).to_string()), MISUSE)
}

/// Whether there is `--json` among the words of the command line, whatever is wrong with them.
fn wants_json() -> bool {
    std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json")
}

/// Bounds rayon's threads, which it would start in any number that its variable says, until the machine stands still.
fn limit_threads() {
    let wanted = std::env::var("RAYON_NUM_THREADS").ok();
    if let Some(threads) = threads(wanted.as_deref(), std::thread::available_parallelism().map_or(1, usize::from)) {
        // It fails where there is a pool already, which nothing here makes before.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
}

/// Threads for the value of `RAYON_NUM_THREADS`, if it is one that must be bounded: four times as many as run at once help
/// nobody. What is no number is ignored, as rayon does.
fn threads(wanted: Option<&str>, available: usize) -> Option<usize> {
    let most = 4 * available;
    wanted?.parse().ok().filter(|&threads: &usize| threads > most).map(|_| most)
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

/// How long a process of a team stays that another one has left.
const LINGER: Duration = Duration::from_secs(5);

/// Exit code of what makes no sense.
const MISUSE: u8 = 2;

/// 2 for what makes no sense, 130 after Ctrl-C, 1 for what could not be done.
fn code_of(e: &anyhow::Error) -> u8 {
    match e.downcast_ref() {
        Some(Error::Option { .. } | Error::Format { .. }) => MISUSE,
        Some(Error::Stopped) => INTERRUPTED,
        _ if e.is::<Usage>() => MISUSE,
        _ => 1,
    }
}

/// An error as the command line says it: options of the library are flags here, where the command has them.
fn sentence(e: &anyhow::Error, command: &str) -> String {
    match e.downcast_ref() {
        Some(Error::Option { option, problem }) => {
            let flag = option.replace('_', "-");
            // A number that it begins with is the value: `--crop 33 is no multiple of 8`.
            let colon = if problem.starts_with(|first: char| first.is_ascii_digit()) { "" } else { ":" };
            let dashes = if has_flag(command, &flag) { "--" } else { "" };
            format!("{dashes}{flag}{colon} {problem}")
        }
        _ => e.to_string(),
    }
}

fn has_flag(command: &str, flag: &str) -> bool {
    let cli = Cli::command();
    let own = cli.find_subcommand(command).into_iter().flat_map(clap::Command::get_arguments);
    own.chain(cli.get_arguments()).any(|argument| argument.get_long() == Some(flag))
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
            (Error::Stopped, 130),
            (Error::Memory("x".into()), 1),
            (Error::Lost("x".into()), 1),
        ] {
            assert_eq!(code_of(&error.into()), code);
        }
        assert_eq!((code_of(&Usage::new("x")), code_of(&anyhow::anyhow!("x"))), (2, 1));
    }

    #[test]
    fn options_of_the_library_are_flags_where_the_command_has_them() {
        let error = Error::option("crop", "33 is no multiple of 8").into();
        assert_eq!(sentence(&error, "train"), "--crop 33 is no multiple of 8");
        assert_eq!(sentence(&error, "demo"), "crop 33 is no multiple of 8");
        assert_eq!(sentence(&Error::option("seed", "is missing").into(), "demo"), "--seed: is missing");
    }

    #[test]
    fn threads_are_at_most_four_times_those_that_run_at_once() {
        for (wanted, threads_of_2) in [
            (None, None),
            (Some("8"), None),
            (Some("0"), None),
            (Some("9"), Some(8)),
            (Some("99999999999"), Some(8)),
            (Some("+99999999999"), Some(8)),
            (Some("99999999999999999999999999"), None),
            (Some("many"), None),
            (Some("-1"), None),
            (Some(""), None),
        ] {
            assert_eq!(threads(wanted, 2), threads_of_2, "{wanted:?}");
        }
    }
}
