//! What the documents say can be read and is there.

use std::fs;
use std::path::Path;

const DOCUMENTS: [&str; 11] = [
    "README.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/data.md",
    "docs/export.md",
    "docs/formats.md",
    "docs/renders.md",
    "docs/reports.md",
    "docs/scaling.md",
    "docs/training.md",
];

fn read(document: &str) -> String {
    fs::read_to_string(document).unwrap_or_else(|e| panic!("{document}: {e}"))
}

#[test]
fn the_readme_is_short_enough_to_be_read() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 120, "{} lines", readme.lines().count());
    for (i, line) in readme.lines().enumerate() {
        assert!(line.chars().count() <= 130, "line {} has {} characters", i + 1, line.chars().count());
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = Path::new(document).parent().expect("a document lies in a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let elsewhere = target.starts_with("http") || target.is_empty();
            assert!(elsewhere || folder.join(target).exists(), "{document}: {link} leads nowhere");
        }
    }
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let text = read("docs/architecture.md");
    let mut count = 0;
    for path in text.split('`').skip(1).step_by(2).filter(|code| !code.contains(char::is_whitespace)) {
        let roots = ["src/", "shaders/", "tests/", "docs/", "examples/", "benches/"];
        if roots.iter().any(|root| path.starts_with(root)) {
            let file = path.split("::").next().unwrap_or(path);
            assert!(Path::new(file).exists(), "docs/architecture.md: there is no {path}");
            count += 1;
        }
    }
    assert!(count > 20, "only {count} paths were found");
}
