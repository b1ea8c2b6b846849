//! Noise laws on the command line: `demo`, `train` and `eval` take the same ones, ask the same records, and refuse with one
//! reason.

use std::fs;

use crate::cli::Shell;
use n2n_gpu::noise::{LAWS, Noise};

/// Three steps or so of a small network: what a `demo` of 0.001 minutes comes to.
const TINY: &str = "demo --minutes 0.001 --width 4 --levels 1 --device cpu --json --quiet";

#[test]
fn the_demo_trains_with_the_loss_and_the_targets_of_its_noise() {
    for (noise, loss, targets) in
        [("text:0.25", "[loss.outliers]", 8), ("impulse:0.7", "[loss.l0]", 8), ("bernoulli:0.5", "loss = \"l2\"", 1)]
    {
        let shell = Shell::new();
        let done = shell.run(&format!("{TINY} --noise {noise} --out run")).succeeds().json("psnr");
        assert!(done["psnr"].as_f64().is_some(), "{noise}: {done}");
        let config = fs::read_to_string(shell.path("run/config.toml")).unwrap();
        assert!(config.contains(loss) && config.contains(&format!("targets = {targets}\n")), "{noise}: {config}");
    }
}

/// The bundled photographs are 270 to 403 pixels high: a crop of 64 cells of 8 pixels is larger than all of them; half of them
/// allow one of 40.
#[test]
fn the_demo_takes_crops_as_large_as_its_photographs_allow() {
    let shell = Shell::new();
    let done = shell.run(&format!("{TINY} --noise pixelate:8 --out run")).succeeds().json("psnr_estimated psnr");
    assert!(done["psnr_estimated"].as_f64().is_some(), "{done}");
    assert!(fs::read_to_string(shell.path("run/config.toml")).unwrap().contains("crop = 40\n"));
    shell.run(&format!("{TINY} --out plain")).succeeds();
    assert!(fs::read_to_string(shell.path("plain/config.toml")).unwrap().contains("crop = 64\n"));
}

#[test]
fn a_law_that_makes_no_sense_is_refused_with_one_reason_and_nothing_twice() {
    let shell = Shell::new();
    for (noise, reason) in [
        ("-5", "there is no such noise law; write gaussian:25"),
        ("gaussian:-5", "the standard deviation must be above 0 and up to 255, not -5"),
        ("gaussian:x", "x is not a number"),
        ("pixelate:2.5", "the side of the cells must be a whole number from 2 to 64"),
    ] {
        for command in ["demo", "train a.png --out run", "eval a.png"] {
            let done = shell.run(&format!("{command} --noise {noise}"));
            done.is_misused(&[reason]);
            let first = done.stderr.lines().next().unwrap();
            for said in ["--noise".to_owned(), format!("'{noise}'")] {
                assert!(first.matches(&said).count() == 1, "{command} says {said} not once: {first}");
            }
        }
    }
}

#[test]
fn help_lists_every_law() {
    let shell = Shell::new();
    for command in ["demo", "train", "eval"] {
        let help = shell.command(&format!("{command} --help")).output().unwrap().stdout;
        let help = String::from_utf8(help).unwrap();
        for law in LAWS {
            assert!(
                help.contains(&format!("{}  ", law.examples.join(", "))) && help.contains(law.help),
                "{command}, {}: {help}",
                law.name
            );
        }
    }
}

#[test]
fn the_readme_shows_every_law_and_none_that_is_not_there() {
    let readme = fs::read_to_string("README.md").unwrap();
    for example in LAWS.iter().flat_map(|law| law.examples) {
        assert!(readme.contains(&format!("`{example}`")), "README.md does not show {example}");
    }
    let quoted = readme.split('`').skip(1).step_by(2);
    for text in quoted.filter(|text| LAWS.iter().any(|law| text.starts_with(&format!("{}:", law.name)))) {
        assert!(text.parse::<Noise>().is_ok(), "README.md shows {text}");
    }
}
