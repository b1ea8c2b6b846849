//! How the program finds its device.

#[path = "common/cli.rs"]
mod cli;
mod common;

use cli::{Done, Shell};

/// Also with adapters: a Vulkan driver looks for a desktop, and its library complains where there is none.
#[test]
fn looking_for_a_gpu_says_nothing_on_a_server() {
    let shell = Shell::new();
    for folder in [None, Some("run")] {
        let mut command = shell.command("devices --quiet");
        match folder {
            Some(relative) => command.env("XDG_RUNTIME_DIR", relative),
            None => command.env_remove("XDG_RUNTIME_DIR"),
        };
        let done = Done::of("devices --quiet", command);
        assert_eq!(done.succeeds().stderr, "");
    }
}

/// llvmpipe has numbers in its name, as most GPUs have.
#[test]
fn a_number_is_an_index_and_no_part_of_a_name() {
    let shell = Shell::new();
    let adapters = n2n_gpu::gpu::adapters();
    let digits = adapters.iter().flat_map(|a| a.name.split(|c: char| !c.is_ascii_digit())).map(str::to_owned);
    let beyond = digits.filter(|d| d.parse().is_ok_and(|i: usize| i >= adapters.len()));
    for number in beyond.chain(["1000".to_owned()]) {
        shell.run(&format!("bench --device {number}")).fails(&[&number, "no such device"]);
    }
    assert_eq!(common::gpus().len(), adapters.len());
}
