//! Patterns for names of results: `out/{folder}/{name}-clean.{ext}`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Text with places for what differs from picture to picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Name of the input without its extension.
    Name,
    /// Extension of the result.
    Extension,
    /// Folder of the input within the one that was searched.
    Folder,
}

impl Pattern {
    /// The pattern in a path, or none if it has no `{..}`; what is wrong if it has something else in braces.
    pub(super) fn parse(path: &Path) -> Result<Option<Self>, String> {
        // What is no Unicode is the name of something that is there.
        let Some(mut rest) = path.to_str().filter(|text| text.contains('{') && !path.exists()) else { return Ok(None) };
        let mut pieces = Vec::new();
        while let Some((text, inner)) = rest.split_once('{') {
            let Some((word, after)) = inner.split_once('}') else { break };
            pieces.push(Piece::Text(text.to_owned()));
            pieces.push(match word {
                "name" => Piece::Name,
                "ext" => Piece::Extension,
                "folder" => Piece::Folder,
                _ => return Err(format!("{{{word}}} is none of {{name}}, {{ext}} and {{folder}}")),
            });
            rest = after;
        }
        let found = !pieces.is_empty();
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(found.then_some(Self(pieces)))
    }

    /// The path for an input with this name, whose result has this extension.
    pub(super) fn fill(&self, name: &OsStr, extension: &OsStr, folder: &Path) -> PathBuf {
        let mut path = OsString::new();
        for (i, piece) in self.0.iter().enumerate() {
            // A pattern that begins with no folder at all does not begin at the root of all files.
            let rooted = matches!(self.0.get(i + 1), Some(Piece::Text(text)) if text.starts_with(std::path::is_separator));
            path.push(match piece {
                Piece::Folder if folder == Path::new("") && path.is_empty() && rooted => OsStr::new("."),
                Piece::Text(text) => OsStr::new(text),
                Piece::Name => name,
                Piece::Extension => extension,
                Piece::Folder => folder.as_os_str(),
            });
        }
        Path::new(&path).components().collect()
    }

    /// The folder that all results lie in, in folders of their own or not.
    pub(super) fn base(&self) -> PathBuf {
        let Some(Piece::Text(text)) = self.0.first() else { return PathBuf::new() };
        let end = text.rfind(std::path::is_separator).map_or(0, |at| at + 1);
        PathBuf::from(&text[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_others_refused() {
        let filled = |pattern: &str, folder: &str| {
            let pattern = Pattern::parse(Path::new(pattern)).unwrap().unwrap();
            let path = pattern.fill("a b".as_ref(), "jpg".as_ref(), Path::new(folder));
            (path.to_str().unwrap().to_owned(), pattern.base().to_str().unwrap().to_owned())
        };
        let of = |path: &str, base: &str| (path.to_owned(), base.to_owned());
        assert_eq!(filled("out/{name}-clean.{ext}", "x"), of("out/a b-clean.jpg", "out/"));
        assert_eq!(filled("out/{folder}/{name}.png", "x/y"), of("out/x/y/a b.png", "out/"));
        assert_eq!(filled("out/{folder}/{name}.png", ""), of("out/a b.png", "out/"));
        assert_eq!(filled("{folder}/{name}.{ext}.{ext}", ""), of("./a b.jpg.jpg", ""));
        assert_eq!(filled("{folder}-{name}.{ext}", ""), of("-a b.jpg", ""));
        assert_eq!(filled("out/{folder}-{name}.{ext}", ""), of("out/-a b.jpg", "out/"));
        assert_eq!(filled("{name}", "x"), of("a b", ""));
        for none in ["out", "out.png", "a{b.png", "a}b.png"] {
            assert_eq!(Pattern::parse(Path::new(none)), Ok(None), "{none}");
        }
        for wrong in ["{nam}.png", "{}", "{name}{x}", "{Name}"] {
            assert!(Pattern::parse(Path::new(wrong)).is_err(), "{wrong}");
        }
    }
}
