//! Minifies the modules and the style of the page in `web/`, for `src/export/web/` to put into one file.

use std::path::{Path, PathBuf};
use std::{env, fs};

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_mangler::{MangleOptions, Mangler};
use oxc_parser::Parser;
use oxc_span::SourceType;

/// The scripts: each module after those that it imports.
const SCRIPTS: [(&str, &[&str]); 2] = [
    ("page.js", &["viewer", "camera", "train", "page"]),
    (
        "worker.js",
        &["player", "windows", "model", "estimate", "metadata", "denoise", "random", "training", "pictures", "store", "worker"],
    ),
];

fn main() {
    println!("cargo::rerun-if-changed=web");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    let read = |name: &str| fs::read_to_string(Path::new("web").join(name)).unwrap_or_else(|e| panic!("web/{name}: {e}"));
    let write = |name: &str, text: &str| fs::write(out.join(name), text).unwrap_or_else(|e| panic!("{name}: {e}"));
    for (name, modules) in SCRIPTS {
        let modules: String = modules.iter().map(|module| read(&format!("{module}.js"))).collect();
        write(name, &minified(&joined(&modules)));
    }
    write("page.css", &minifier::css::minify(&read("page.css")).unwrap_or_else(|e| panic!("web/page.css: {e}")).to_string());
}

/// Modules as one script: nothing is imported from other files.
fn joined(modules: &str) -> String {
    let lines = modules.lines().filter(|line| !line.starts_with("import "));
    lines.map(|line| line.strip_prefix("export ").unwrap_or(line).to_owned() + "\n").collect()
}

/// A script without comments and white space, with short names. The worker's is no module, but shares its names with nobody.
fn minified(script: &str) -> String {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, script, SourceType::mjs()).parse();
    assert!(parsed.diagnostics.is_empty(), "web/: {:?}", parsed.diagnostics);
    // The worker's state keeps its name, for tests and debuggers.
    let reserved = ["state"].into_iter().map(Into::into).collect();
    let options = MangleOptions { reserved, ..MangleOptions::default() };
    let names = Mangler::new().with_options(options).build(&parsed.program).scoping;
    Codegen::new().with_options(CodegenOptions::minify()).with_scoping(Some(names)).build(&parsed.program).code
}
