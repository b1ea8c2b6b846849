//! `n2n-gpu completions` and `n2n-gpu man`: what shells and manuals know of this program.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use n2n_gpu::data::files::save_bytes;
use n2n_gpu::error::{Error, shown};
use serde_json::json;

use super::output::{Output, counted, path_text};
use super::train::make_folder;
use super::{Common, pipes};

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// Shell to write them for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Args, Debug)]
pub(super) struct Manual {
    /// Folder for the pages, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(common: &Common, options: &Completions, mut program: Command) -> anyhow::Result<Output> {
    let mut script = Vec::new();
    let name = program.get_name().to_owned();
    generate(options.shell, &mut program, &name, &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if options.shell == Shell::Bash {
        // clap_complete 4.6 spells a hyphen in the program's name in two ways, so that no command would be completed.
        script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
    }
    if common.json {
        return Ok(Output::new(json!({"shell": options.shell.to_string(), "script": script}), ""));
    }
    // As it is: what is printed for people has its control characters escaped, tabs among them.
    pipes::write(script.as_bytes())?;
    Ok(Output::new(json!({}), ""))
}

/// Writes a page for the program and for each of its commands.
pub(super) fn manual(options: &Manual, program: Command) -> anyhow::Result<Output> {
    make_folder("DIR", &options.folder)?;
    // Manuals show all options, also those that only the long help does.
    let show = |command: Command| command.mut_args(|argument| argument.hide_short_help(false));
    let mut program = show(program.disable_help_subcommand(true)).mut_subcommands(show);
    program.build();
    let mut pages = Vec::new();
    for command in std::iter::once(&program).chain(program.get_subcommands()) {
        let page = Man::new(command.clone());
        let path = options.folder.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text).map_err(|e| Error::file_from(&path, format!("cannot be made: {e}"), e))?;
        save_bytes(&path, &text)?;
        pages.push(path_text(&path));
    }
    let text = format!("{} in {}", counted(pages.len(), "man page"), shown(&options.folder));
    Ok(Output::new(json!({"files": pages}), text))
}
