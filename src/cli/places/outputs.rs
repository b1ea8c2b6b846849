//! Names of results.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use n2n_gpu::data::files::{Found, is_picture_name, same_format};
use n2n_gpu::error::shown;

use super::Places;
use super::pattern::Pattern;
use crate::cli::Usage;
use crate::cli::pipes::is_pipe;

/// Where results go.
#[derive(Debug)]
pub(super) enum Destination {
    /// Beside their inputs.
    Beside,
    Stdout,
    File(PathBuf),
    Folder(PathBuf),
    Pattern(Pattern),
}

/// A path that is a folder, or is to become one.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().last().is_some_and(|&last| std::path::is_separator(last.into()))
}

impl Destination {
    /// What `-o` means. `one` is whether there is one picture, and never several.
    pub(super) fn new(options: &Places, one: bool) -> anyhow::Result<Self> {
        let Some(out) = &options.output else {
            return Ok(if is_pipe(&options.inputs[0]) { Self::Stdout } else { Self::Beside });
        };
        let misused = |problem: &str| Err(Usage::new(format!("-o: {} {problem}", shown(out))));
        let destination = if is_pipe(out) {
            Self::Stdout
        } else if let Some(pattern) = Pattern::parse(out).map_err(|e| Usage::new(format!("-o: {}: {e}", shown(out))))? {
            Self::Pattern(pattern)
        } else if one && !is_folder(out) {
            Self::File(out.clone())
        } else if out.is_file() {
            return misused("is a file, but several pictures are to be written: name a folder");
        } else if is_picture_name(out) && !out.is_dir() {
            return misused("is named like a picture, but several are to be written: name a folder, or a pattern with {name}");
        } else {
            Self::Folder(out.clone())
        };
        if let (Some(suffix), false) = (&options.suffix, matches!(destination, Self::Folder(_))) {
            return Err(Usage::new(format!("--suffix: -o names the results: write {suffix} into {}", shown(out))));
        }
        Ok(destination)
    }

    /// The folder of all results, if it is one for all inputs.
    pub(super) fn folder(&self) -> Option<&Path> {
        if let Self::Folder(folder) = self { Some(folder) } else { None }
    }

    /// Folders to be made before anything is done, with the flag that names them; `roots` are those that were searched.
    pub(super) fn folders<'a>(&self, roots: impl Iterator<Item = &'a Path>, options: &Places) -> Vec<(&'static str, PathBuf)> {
        let mut folders = match self {
            Self::Stdout | Self::File(_) => Vec::new(),
            Self::Folder(folder) => vec![folder.clone()],
            Self::Pattern(pattern) => vec![pattern.base()],
            Self::Beside => roots.filter_map(|root| beside(root, options.suffix()).ok()).collect(),
        };
        folders.retain(|folder| *folder != Path::new(""));
        folders.dedup();
        folders.into_iter().map(|folder| ("-o", folder)).collect()
    }

    /// The file for what is made of a picture.
    pub(super) fn output(&self, found: &Found, options: &Places) -> anyhow::Result<PathBuf> {
        let input = found.path.as_path();
        if let Self::Stdout = self {
            return Ok("-".into());
        }
        if let Self::File(file) = self {
            return agreed(file.clone(), options);
        }
        let Some(extension) = options.extension(input) else {
            return Err(Usage::new("-: a picture from stdin has no name: name a file with -o, or its format with --format"));
        };
        let stem = stem(input);
        let named = |suffix: &str| {
            let mut name = stem.to_owned();
            [OsStr::new(suffix), OsStr::new("."), extension].iter().for_each(|part| name.push(part));
            name
        };
        Ok(match (self, &found.root) {
            (Self::Pattern(pattern), _) => return agreed(pattern.fill(stem, extension, found.folder()), options),
            (Self::Folder(folder), _) => folder.join(found.folder()).join(named(options.suffix.as_deref().unwrap_or_default())),
            (_, Some(root)) => beside(root, options.suffix())?.join(found.folder()).join(named("")),
            (_, None) => input.with_file_name(named(options.suffix())),
        })
    }
}

/// A name that was given, whose extension does not speak against `--format`.
fn agreed(path: PathBuf, options: &Places) -> anyhow::Result<PathBuf> {
    match &options.format {
        Some(format) if !same_format(&path, &any_name(format)) => {
            Err(Usage::new(format!("--format {format}: {} is no name of that format: leave one of them out", shown(&path))))
        }
        _ => Ok(path),
    }
}

/// Some name with this extension.
pub(super) fn any_name(extension: &str) -> PathBuf {
    format!("a.{extension}").into()
}

/// The extension of a name if that is of the format, else the format.
pub(super) fn extension_of<'a>(name: &'a Path, format: &'a str) -> &'a OsStr {
    name.extension().filter(|_| same_format(name, &any_name(format))).unwrap_or(OsStr::new(format))
}

fn stem(input: &Path) -> &OsStr {
    if is_pipe(input) { OsStr::new("stdin") } else { input.file_stem().unwrap_or_default() }
}

/// The folder beside another one.
fn beside(root: &Path, suffix: &str) -> anyhow::Result<PathBuf> {
    // `.` and `..` have names elsewhere.
    let root = if root.file_name().is_some() { root.to_owned() } else { root.canonicalize().unwrap_or_else(|_| root.to_owned()) };
    let Some(name) = root.file_name() else {
        return Err(Usage::new(format!("-o is missing: there is no place beside {}", shown(&root))));
    };
    let mut name = name.to_owned();
    name.push(suffix);
    Ok(root.with_file_name(name))
}

/// The file that shows before and after of a picture.
pub(super) fn comparison(path: &Path, found: &Found, one: bool) -> anyhow::Result<PathBuf> {
    if one && !is_folder(path) {
        return Ok(path.to_owned());
    }
    if path.is_file() || (is_picture_name(path) && !path.is_dir()) {
        return Err(Usage::new(format!("--compare: {} names one picture, but there are several: name a folder", shown(path))));
    }
    let mut name: OsString = stem(&found.path).to_owned();
    name.push(".png");
    Ok(path.join(found.folder()).join(name))
}
