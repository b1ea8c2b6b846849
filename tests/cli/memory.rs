//! Trainings that need more memory than the process may have: what an aborted allocation would end without a word of what to do.
#![cfg(unix)]

use std::process::{Command, Stdio};

use crate::cli::{Done, Shell};

#[test]
fn a_training_that_does_not_fit_into_memory_ends_in_a_sentence_with_numbers() {
    let shell = Shell::new();
    shell.picture("photo.png", 128, 96);
    let large = "--width 1024 --levels 5 --device cpu --quiet";
    let train = "train photo.png --noise gaussian:25 --out run --steps 3 --crop 64 --batch 1";
    for line in [train, "demo --out demo --minutes 0.1", "bench --batch 1"] {
        // Two GB of addresses; the parameters and their moments alone take six.
        let script = format!("ulimit -v 2000000; exec \"$0\" {line} {large}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_n2n-gpu")]).current_dir(shell.path("")).stdin(Stdio::null());
        Done::of(&script, command).fails_with(&["MiB of memory", "smaller"]);
    }
}
