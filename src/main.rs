//! The command line: `n2n-gpu COMMAND [OPTIONS]`.

mod cli;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    cli::main(Instant::now())
}
