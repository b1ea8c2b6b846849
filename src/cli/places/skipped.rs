//! What was left out of folders, in a line for people and for `--json`.

use std::collections::BTreeMap;

use n2n_gpu::data::files::Skipped;
use serde_json::{Map, Value, json};

use crate::cli::output::counted;

/// Most endings of other files that are told.
const ENDINGS: usize = 5;

/// `3 HEIC, 2 raw files (NEF), 1 subfolder (--recursive takes it), 4 other files (.txt, .xml)`, or nothing. `recursive` is
/// whether the command has such a flag.
pub(in crate::cli) fn line(skipped: &Skipped, recursive: bool) -> String {
    let Skipped { pictures, raw, results, folders, links, others } = skipped;
    let mut parts: Vec<String> = pictures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let extensions: Vec<&str> = raw.keys().map(String::as_str).collect();
    let takes = match folders {
        _ if !recursive => String::new(),
        1 => " (--recursive takes it)".to_owned(),
        _ => " (--recursive takes them)".to_owned(),
    };
    let counts = [
        (raw.values().sum(), "raw file", format!(" ({})", extensions.join(", "))),
        (*results, "earlier result", String::new()),
        (*folders, "subfolder", takes),
        (*links, "link", format!(" to {}", if *links == 1 { "a folder" } else { "folders" })),
        (others.values().sum(), "other file", format!(" ({})", endings(others))),
    ];
    parts.extend(counts.into_iter().filter(|(n, ..)| *n > 0).map(|(n, noun, more)| counted(n, noun) + &more));
    parts.join(", ")
}

/// How the names of other files end.
fn endings(others: &BTreeMap<String, usize>) -> String {
    let named = |ending: &String| if ending.is_empty() { "no ending".to_owned() } else { ending.clone() };
    let mut endings: Vec<String> = others.keys().take(ENDINGS).map(named).collect();
    if others.len() > ENDINGS {
        endings.push(format!("{} more", others.len() - ENDINGS));
    }
    endings.join(", ")
}

/// Counts by kind.
pub(in crate::cli) fn object(skipped: &Skipped) -> Value {
    let Skipped { pictures, raw, results, folders, links, others } = skipped;
    let mut object: Map<String, Value> = pictures.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
    object.extend(raw.iter().map(|(extension, count)| (extension.clone(), json!(count))));
    let counts = [("results", *results), ("folders", *folders), ("links", *links), ("others", others.values().sum())];
    object.extend(counts.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), json!(n))));
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_counted_by_kind() {
        let mut skipped = Skipped { folders: 1, ..Skipped::default() };
        skipped.others.extend([(String::new(), 1), (".txt".into(), 3)]);
        skipped.pictures.insert("HEIC", 3);
        skipped.raw.extend([("DNG".into(), 1), ("NEF".into(), 2)]);
        let but_folders = "3 HEIC, 3 raw files (DNG, NEF), 1 subfolder";
        assert_eq!(line(&skipped, true), format!("{but_folders} (--recursive takes it), 4 other files (no ending, .txt)"));
        assert_eq!(line(&skipped, false), format!("{but_folders}, 4 other files (no ending, .txt)"));
        assert_eq!(object(&skipped), json!({"HEIC": 3, "DNG": 1, "NEF": 2, "folders": 1, "others": 4}));
        let skipped = Skipped { results: 2, links: 1, folders: 2, ..Skipped::default() };
        assert_eq!(line(&skipped, true), "2 earlier results, 2 subfolders (--recursive takes them), 1 link to a folder");
        assert_eq!(line(&Skipped::default(), true), "");
        let many = Skipped { others: (0..7).map(|i| (format!(".{i}"), 1)).collect(), ..Skipped::default() };
        assert_eq!(line(&many, true), "7 other files (.0, .1, .2, .3, .4, 2 more)");
    }
}
