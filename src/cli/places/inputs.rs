//! Files and folders that are named on the command line, as patterns of a shell or not.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};
use n2n_gpu::data::files::{Found, Listing, Search, picture_formats, search};
use n2n_gpu::error::Error;

use super::{Places, check_stdin, skipped};
use crate::cli::Usage;
use crate::cli::pipes::is_pipe;

/// The inputs with patterns such as `*.jpg` replaced by what they match, as a shell does it where it is one; and whether that is one
/// picture, and nothing that could be more.
pub(super) fn expand(inputs: &[PathBuf]) -> anyhow::Result<(Vec<PathBuf>, bool)> {
    let mut all = Vec::new();
    for input in inputs {
        match input.to_str().filter(|text| text.contains(['*', '?', '[']) && !input.exists()) {
            Some(pattern) => all.extend(matches(pattern, input)?),
            None => all.push(input.clone()),
        }
    }
    if all.iter().any(|input| is_pipe(input)) {
        if all.len() > 1 {
            return Err(Usage::new("-: a picture from stdin goes with no others"));
        }
        check_stdin()?;
    }
    let one = matches!(&all[..], [input] if *input == inputs[0] && !input.is_dir());
    Ok((all, one))
}

fn matches(pattern: &str, input: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let options =
        MatchOptions { case_sensitive: !cfg!(windows), require_literal_separator: true, require_literal_leading_dot: true };
    // What is no pattern is the name of a file that is not there.
    let paths = glob_with(pattern, options).map_err(|_| Error::file(input, "does not exist: check its name and folder"))?;
    let found: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(Error::file(input, "matches no file: check the pattern and its folder").into());
    }
    Ok(found)
}

/// The pictures that there are; `results` is the folder that theirs go to.
pub(super) fn find(inputs: &[PathBuf], options: &Places, results: Option<&Path>) -> anyhow::Result<Listing> {
    if let [input] = inputs
        && is_pipe(input)
    {
        return Ok(Listing { found: vec![Found { path: input.clone(), root: None }], ..Listing::default() });
    }
    let suffix = Some(options.suffix()).filter(|suffix| !suffix.is_empty());
    let how = Search { recursive: options.recursive, suffix, results };
    let listing = search(inputs, &how)?;
    let is_empty = |input: &&PathBuf| input.is_dir() && !listing.found.iter().any(|found| found.root.as_ref() == Some(input));
    if let Some(folder) = inputs.iter().find(is_empty) {
        let skipped = skipped::line(&search(std::slice::from_ref(folder), &how)?.skipped);
        let but = if skipped.is_empty() { String::new() } else { format!(", but {skipped}") };
        let problem = format!("has no pictures ({}) in it{but}: name another folder", picture_formats());
        return Err(Error::file(folder, problem).into());
    }
    Ok(listing)
}
