//! Files and folders that are named on the command line, as patterns of a shell or not.

use std::collections::HashSet;
use std::path::{Path, PathBuf, is_separator};

use glob::{MatchOptions, glob_with};
use n2n_gpu::data::files::{Found, Listing, Search, picture_formats, search};
use n2n_gpu::error::Error;

use super::{Places, check_stdin, skipped};
use crate::cli::Usage;
use crate::cli::pipes::is_pipe;

/// A file, or a folder that is searched.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    /// Whether folders within it are searched, too.
    recursive: bool,
}

/// The inputs with patterns such as `*.jpg` replaced by what they match, as a shell does it where it is one; and whether that is
/// one picture, and nothing that could be more.
pub(super) fn expand(inputs: &[PathBuf], recursive: bool) -> anyhow::Result<(Vec<Input>, bool)> {
    let mut all = Vec::new();
    for input in inputs {
        match input.to_str().filter(|text| text.contains(['*', '?', '[']) && !input.exists()) {
            Some(pattern) => all.extend(matches(pattern, input, recursive)?),
            None => all.push(Input { path: input.clone(), recursive }),
        }
    }
    if all.iter().any(|input| is_pipe(&input.path)) {
        if all.len() > 1 {
            return Err(Usage::new("-: a picture from stdin goes with no others"));
        }
        check_stdin()?;
    }
    let one = matches!(&all[..], [input] if input.path == inputs[0] && !input.path.is_dir());
    Ok((all, one))
}

/// What a pattern matches: files, and folders if these are searched for folders. `in/**` is the folder `in` with all within.
fn matches(pattern: &str, input: &Path, recursive: bool) -> anyhow::Result<Vec<Input>> {
    let options =
        MatchOptions { case_sensitive: !cfg!(windows), require_literal_separator: true, require_literal_leading_dot: true };
    let trimmed = pattern.trim_end_matches(is_separator);
    let within = Path::new(trimmed).ends_with("**").then(|| trimmed.trim_end_matches('*').trim_end_matches(is_separator));
    if let Some(folder) = within.filter(|folder| !folder.contains(['*', '?', '['])) {
        let path = match folder {
            "" if trimmed.starts_with(is_separator) => "/",
            "" => ".",
            named => named,
        };
        return Ok(vec![Input { path: path.into(), recursive: true }]);
    }
    // What is no pattern is the name of a file that is not there.
    let paths = glob_with(within.unwrap_or(pattern), options);
    let paths = paths.map_err(|_| Error::file(input, "does not exist: check its name and folder"))?;
    let found: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    let enters = within.is_some() || recursive;
    let taken = |path: &&PathBuf| if path.is_dir() { enters } else { within.is_none() };
    let taken: Vec<_> = found.iter().filter(taken).map(|path| Input { path: path.clone(), recursive: enters }).collect();
    match (taken.is_empty(), found.is_empty()) {
        (false, _) => Ok(taken),
        (true, false) if within.is_none() => Err(Error::file(input, "matches folders alone: --recursive searches them").into()),
        _ => Err(Error::file(input, "matches no file: check the pattern and its folder").into()),
    }
}

/// The pictures that there are; `results` is the folder that theirs go to.
pub(super) fn find(inputs: &[Input], options: &Places, results: Option<&Path>) -> anyhow::Result<Listing> {
    if let [Input { path, .. }] = inputs
        && is_pipe(path)
    {
        return Ok(Listing { found: vec![Found { path: path.clone(), root: None }], ..Listing::default() });
    }
    let suffix = Some(options.suffix()).filter(|suffix| !suffix.is_empty());
    let mut all = Listing::default();
    for Input { path, recursive } in inputs {
        let how = Search { recursive: *recursive, suffix, results };
        let listing = search(std::slice::from_ref(path), &how)?;
        if listing.found.is_empty() {
            let skipped = skipped::line(&listing.skipped, true);
            let but = if skipped.is_empty() { String::new() } else { format!(", but {skipped}") };
            let problem = format!("has no pictures ({}) in it{but}: name another folder", picture_formats());
            return Err(Error::file(path, problem).into());
        }
        all.add(listing);
    }
    // What is named twice is done once. A link is another picture than what it leads to.
    let mut seen = HashSet::new();
    all.found.retain(|found| seen.insert(place(&found.path)));
    Ok(all)
}

/// The one path of a file: in a folder without links and dots.
fn place(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).join(file.file_name().unwrap_or_default())
}
