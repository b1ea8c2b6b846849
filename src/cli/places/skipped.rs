//! What was left out of folders, in a line for people and for `--json`.

use n2n_gpu::data::files::Skipped;
use serde_json::{Map, Value, json};

use crate::cli::output::counted;

/// `3 HEIC, 2 raw files (NEF), 1 subfolder (--recursive takes it), 4 others`, or nothing.
pub(in crate::cli) fn line(skipped: &Skipped) -> String {
    let Skipped { pictures, raw, results, folders, links, others } = skipped;
    let mut parts: Vec<String> = pictures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let extensions: Vec<&str> = raw.keys().map(String::as_str).collect();
    let takes = if *folders == 1 { "it" } else { "them" };
    let counts = [
        (raw.values().sum(), "raw file", format!(" ({})", extensions.join(", "))),
        (*results, "earlier result", String::new()),
        (*folders, "subfolder", format!(" (--recursive takes {takes})")),
        (*links, "link", format!(" to {}", if *links == 1 { "a folder" } else { "folders" })),
        (*others, "other", String::new()),
    ];
    parts.extend(counts.into_iter().filter(|(n, ..)| *n > 0).map(|(n, noun, more)| counted(n, noun) + &more));
    parts.join(", ")
}

/// Counts by kind.
pub(in crate::cli) fn object(skipped: &Skipped) -> Value {
    let Skipped { pictures, raw, results, folders, links, others } = skipped;
    let mut object: Map<String, Value> = pictures.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
    object.extend(raw.iter().map(|(extension, count)| (extension.clone(), json!(count))));
    let counts = [("results", results), ("folders", folders), ("links", links), ("others", others)];
    object.extend(counts.into_iter().filter(|(_, n)| **n > 0).map(|(name, n)| (name.to_owned(), json!(n))));
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_counted_by_kind() {
        let mut skipped = Skipped { folders: 1, others: 4, ..Skipped::default() };
        skipped.pictures.insert("HEIC", 3);
        skipped.raw.extend([("DNG".into(), 1), ("NEF".into(), 2)]);
        assert_eq!(line(&skipped), "3 HEIC, 3 raw files (DNG, NEF), 1 subfolder (--recursive takes it), 4 others");
        assert_eq!(object(&skipped), json!({"HEIC": 3, "DNG": 1, "NEF": 2, "folders": 1, "others": 4}));
        let skipped = Skipped { results: 2, links: 1, folders: 2, ..Skipped::default() };
        assert_eq!(line(&skipped), "2 earlier results, 2 subfolders (--recursive takes them), 1 link to a folder");
        assert_eq!(line(&Skipped::default()), "");
    }
}
