//! Imports point down: every module of src/ uses only modules of its own layer or of one below. So do words: flags are the
//! command line's.

use std::collections::BTreeSet;
use std::path::Path;

/// The table in the crate's documentation, from the top to the bottom.
fn layers() -> Vec<Vec<String>> {
    let docs = std::fs::read_to_string("src/lib.rs").unwrap();
    let table = docs.split("```text").nth(1).and_then(|rest| rest.split("```").next()).expect("src/lib.rs has the table");
    let rows = table.lines().map(|line| line.trim_start_matches("//!").trim()).filter(|row| !row.is_empty());
    rows.map(|row| row.split(", ").map(str::to_owned).collect()).collect()
}

fn layer(module: &str) -> usize {
    let found = layers().iter().position(|modules| modules.iter().any(|m| m == module));
    found.unwrap_or_else(|| panic!("the module {module} is in no layer: add it to the table in src/lib.rs"))
}

/// Modules named after `crate::` in a file, also in braces and also in the middle of code; not in comments.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let word = |s: &str| s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let list = list.split_inclusive(['{', '}', ',']);
                for item in list {
                    if depth == 0 && !word(item).is_empty() {
                        found.insert(word(item));
                    }
                    depth += i32::from(item.ends_with('{')) - i32::from(item.ends_with('}'));
                    if depth < 0 {
                        break;
                    }
                }
            }
            None => {
                found.insert(word(rest));
            }
        }
    }
    // A macro or type of the crate's root is no module.
    found.retain(|name| Path::new("src").join(name).exists() || Path::new("src").join(format!("{name}.rs")).exists());
    found
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

#[test]
fn imports_point_down_or_sideways() {
    let mut upward = Vec::new();
    for path in files(Path::new("src")) {
        let inside = path.strip_prefix("src").unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        for used in imports(&std::fs::read_to_string(&path).unwrap()) {
            if layer(&used) < layer(module) {
                upward.push(format!("{}: uses crate::{used}", path.display()));
            }
        }
    }
    assert!(upward.is_empty(), "imports that point up:\n{}", upward.join("\n"));
}

#[test]
fn imports_are_found_in_braces_and_in_code_but_not_in_comments() {
    let text = "use crate::graph::{Graph, Op};\nuse crate::{cpu, plan::{self, Plan}, ops};\n// crate::cli\nfn f(k: &crate::kernel::K) {}";
    let wanted = ["cpu", "graph", "kernel", "ops", "plan"];
    assert_eq!(imports(text), wanted.iter().map(|s| (*s).to_owned()).collect());
}

/// The command line says which flag an option is (`Error::Option`); users of the library have none.
#[test]
fn messages_of_the_library_name_no_flags() {
    let mut found = Vec::new();
    let library = |path: &std::path::PathBuf| !path.starts_with("src/cli") && path.extension().is_some_and(|e| e == "rs");
    for path in files(Path::new("src")).into_iter().filter(library) {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            // In CSS, `var(--ink)` is a colour.
            let line = line.replace("var(--", "");
            let flag =
                |at: usize| line[at + 2..].starts_with(|c: char| c.is_ascii_lowercase()) && line[..at].ends_with([' ', '(', '`']);
            if line.match_indices("--").any(|(at, _)| flag(at)) {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
