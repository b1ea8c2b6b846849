//! What is left out of folders: files that are not read are counted by kind, which the extensions of their names tell.

use std::collections::BTreeMap;
use std::path::Path;

use super::kinds::RAW_EXTENSIONS;

/// What a file that is not read seems to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A picture of a kind with this name.
    Picture(&'static str),
    /// What a camera recorded, before it is developed; its extension in capitals.
    Raw(String),
    /// Anything else; how its name ends, with the dot.
    Other(String),
}

const PICTURES: &[(&str, &[&str])] = &[
    ("AVIF", &["avif"]),
    ("DDS", &["dds"]),
    ("GIF", &["gif"]),
    ("HEIC", &["heic", "heif", "hif"]),
    ("JPEG 2000", &["jp2", "j2k", "jpf", "jpx"]),
    ("JPEG XL", &["jxl"]),
    ("PDF", &["pdf"]),
    ("PSD", &["psd", "psb"]),
    ("QOI", &["qoi"]),
    ("SVG", &["svg"]),
    ("TGA", &["tga"]),
    ("XCF", &["xcf"]),
];

/// The kind that the name of a file tells, of those that are not read.
fn kind_of(path: &Path) -> Kind {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if let Some((name, _)) = PICTURES.iter().find(|(_, extensions)| extensions.contains(&extension.as_str())) {
        return Kind::Picture(name);
    }
    match extension.as_str() {
        "" => Kind::Other(String::new()),
        raw if RAW_EXTENSIONS.contains(&raw) => Kind::Raw(extension.to_uppercase()),
        other => Kind::Other(format!(".{other}")),
    }
}

/// What was left out of folders. Hidden files are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Pictures of kinds that are not read, by the name of the kind.
    pub pictures: BTreeMap<&'static str, usize>,
    /// Raw files, by extension in capitals.
    pub raw: BTreeMap<String, usize>,
    /// Results of earlier runs, and folders of them.
    pub results: usize,
    /// Folders within folders.
    pub folders: usize,
    /// Links to folders.
    pub links: usize,
    /// Files that are no pictures, by how their names end: `.txt`, or nothing.
    pub others: BTreeMap<String, usize>,
}

impl Skipped {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts what was left out elsewhere as well.
    pub(super) fn add(&mut self, more: Self) {
        more.pictures.into_iter().for_each(|(kind, count)| *self.pictures.entry(kind).or_default() += count);
        more.raw.into_iter().for_each(|(extension, count)| *self.raw.entry(extension).or_default() += count);
        more.others.into_iter().for_each(|(ending, count)| *self.others.entry(ending).or_default() += count);
        self.results += more.results;
        self.folders += more.folders;
        self.links += more.links;
    }

    pub(super) fn add_file(&mut self, path: &Path) {
        match kind_of(path) {
            Kind::Picture(kind) => *self.pictures.entry(kind).or_default() += 1,
            Kind::Raw(extension) => *self.raw.entry(extension).or_default() += 1,
            Kind::Other(ending) => *self.others.entry(ending).or_default() += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_told_by_the_extension_in_any_case() {
        for (name, kind) in [
            ("a.heic", Kind::Picture("HEIC")),
            ("a.b.HIF", Kind::Picture("HEIC")),
            ("a.nef", Kind::Raw("NEF".into())),
            ("a.Cr3", Kind::Raw("CR3".into())),
            ("nef", Kind::Other(String::new())),
            ("a.TXT", Kind::Other(".txt".into())),
            (".gif", Kind::Other(String::new())),
        ] {
            assert_eq!(kind_of(Path::new(name)), kind, "{name}");
        }
    }
}
