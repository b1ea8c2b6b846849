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
    /// Anything else.
    Other,
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
    if RAW_EXTENSIONS.contains(&extension.as_str()) { Kind::Raw(extension.to_uppercase()) } else { Kind::Other }
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
    /// Files that are no pictures.
    pub others: usize,
}

impl Skipped {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn add_file(&mut self, path: &Path) {
        match kind_of(path) {
            Kind::Picture(kind) => *self.pictures.entry(kind).or_default() += 1,
            Kind::Raw(extension) => *self.raw.entry(extension).or_default() += 1,
            Kind::Other => self.others += 1,
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
            ("nef", Kind::Other),
            ("a.txt", Kind::Other),
            (".gif", Kind::Other),
        ] {
            assert_eq!(kind_of(Path::new(name)), kind, "{name}");
        }
    }
}
