//! The command line: `n2n-gpu COMMAND [OPTIONS]`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
