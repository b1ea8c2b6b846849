//! The command line: `n2n-gpu COMMAND [OPTIONS]`.

mod cli;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let start = Instant::now();
    // Mesa's Vulkan drivers ask Wayland which of the GPUs draws the desktop. Its library prints an error about this variable
    // where there is no desktop and no session either, as on a server; with any folder it finds that there is no Wayland.
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none_or(|folder| !Path::new(&folder).is_absolute()) {
        // SAFETY: nothing else runs yet that could read the environment at the same time.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
    cli::main(start)
}
