//! Learning rates of `train`: schedules by name, and rates that are found.

use std::fs;

use crate::cli::{Shell, TINY};
use serde_json::Value;

fn config(shell: &Shell, run: &str) -> toml::Table {
    fs::read_to_string(shell.path(run).join("config.toml")).unwrap().parse().unwrap()
}

fn rates(shell: &Shell, run: &str) -> Vec<f64> {
    let text = fs::read_to_string(shell.path(run).join("metrics.jsonl")).unwrap();
    let rate = |line: &str| serde_json::from_str::<Value>(line).unwrap()["lr"].as_f64().unwrap();
    text.lines().map(rate).collect()
}

#[test]
fn schedules_have_names_that_configurations_keep() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    for name in ["cosine", "constant", "drops", "ramp", "onecycle", "plateau"] {
        shell.run(&format!("train a.png --out {name} --schedule {name} {TINY}")).succeeds();
        assert_eq!(config(&shell, name)["schedule"].as_str(), Some(name));
        shell.run(&format!("train --config {name}/config.toml --out again-{name} --device cpu")).succeeds();
        assert_eq!(config(&shell, &format!("again-{name}"))["schedule"].as_str(), Some(name));
    }
    assert_eq!(rates(&shell, "onecycle").last(), Some(&0.0));
    shell.run(&format!("train a.png --out no --schedule one-cycle {TINY}")).is_misused(&["one-cycle", "onecycle", "plateau"]);
}

#[test]
fn a_rate_that_is_found_is_told_kept_and_the_same_in_every_run() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    let train = format!("train a.png {TINY} --lr auto");
    let done = shell.run(&format!("{train} --out run"));
    let found = config(&shell, "run")["lr"].as_float().unwrap();
    assert!((1e-4..1.0).contains(&found), "{found}");
    let told = done.succeeds().stderr.lines().filter(|line| line.contains(&format!("learning rate {found}:"))).count();
    assert_eq!(told, 1, "{done}");
    // The training begins anew after the test: it is that with the number.
    shell.run(&format!("train a.png {TINY} --out given --lr {found}")).succeeds();
    let last = |run: &str| fs::read(shell.path(run).join("last.safetensors")).unwrap();
    assert!(last("run") == last("given"), "the test left something behind");
    // Nothing is tested again to go on, also where the same command says so.
    let done = shell.run(&format!("{} --out run --resume", train.replace("--steps 20", "--steps 40")));
    assert!(!done.succeeds().stderr.contains("learning rate"), "{done}");
    assert_eq!(config(&shell, "run")["lr"].as_float(), Some(found));
    // Also from the network that a model has.
    let fine = "train a.png --from run --out fine --noise gaussian:25 --batch 2 --crop 16 --steps 20 --device cpu --lr auto";
    assert!(shell.run(fine).succeeds().stderr.contains("learning rate "));
    shell.run(&format!("train a.png {TINY} --out no --lr best")).is_misused(&["--lr", "best", "auto"]);
    shell.run(&format!("train a.png {TINY} --out no --lr 0")).is_misused(&["--lr 0", "above 0"]);
    assert!(!shell.path("no").exists());
}
