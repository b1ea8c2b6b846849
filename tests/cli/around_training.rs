//! What goes wrong around a training: a folder that is in use, pictures that change, a clock that is set back, files that do not
//! fit.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::cli::{Done, Shell, TINY};

/// A training in the background, which has saved a state.
fn started(shell: &Shell, line: &str) -> Child {
    let mut child = shell.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !shell.path("run/state.safetensors").exists() {
        assert!(start.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(), "no state is saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_folder_that_another_process_writes_to_is_refused_until_that_ends_or_is_killed() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    let train = format!("train photo.png --out run {}", TINY.replace("--steps 20", "--steps 100000"));
    let mut child = started(&shell, &train);
    for how in ["--resume", "--overwrite"] {
        shell.run(&format!("{train} {how} --quiet")).fails(&["run", "another training writes to this folder"]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(shell.path("run/.lock").exists(), "a process that is killed leaves the file of its lock");
    shell.run(&format!("{} --overwrite", train.replace("100000", "20"))).succeeds();
    assert!(!shell.path("run/.lock").exists());
}

#[test]
fn pictures_that_change_while_training_change_nothing_until_it_is_resumed() {
    let shell = Shell::new();
    shell.picture("photos/a.png", 40, 32);
    shell.picture("photos/b.png", 32, 40);
    let train = format!("train photos --out run {}", TINY.replace("--steps 20", "--steps 2000"));
    shell.run(&train.replace("--out run", "--out whole")).succeeds();
    let mut child = started(&shell, &train);
    fs::rename(shell.path("photos"), shell.path("moved")).unwrap();
    shell.picture("photos/a.png", 24, 24);
    fs::write(shell.path("photos/b.png"), "no picture any more").unwrap();
    assert!(child.wait().unwrap().success());
    let last = |run: &str| fs::read(shell.path(run).join("last.safetensors")).unwrap();
    assert!(last("run") == last("whole"), "the pictures were read again");
    let further = "train --resume --out run --steps 2001 --device cpu --quiet";
    shell.run(&format!("{further} --strict")).fails(&["photos/b.png"]);
    fs::remove_file(shell.path("photos/b.png")).unwrap();
    shell.run(further).fails(&["run/state.safetensors", "other pictures"]);
    fs::remove_dir_all(shell.path("photos")).unwrap();
    shell.run(further).fails(&["photos", "does not exist"]);
    fs::rename(shell.path("moved"), shell.path("photos")).unwrap();
    shell.run(further).succeeds();
}

#[test]
fn a_clock_that_is_set_back_does_no_harm() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    shell.run(&format!("train photo.png --out run {TINY}")).succeeds();
    let year = Duration::from_secs(31_536_000);
    // Files from the future, as of a clock that went back, and from before all clocks.
    for (steps, time) in [(30, SystemTime::now() + 50 * year), (40, SystemTime::UNIX_EPOCH - year)] {
        for name in shell.names("run").iter().filter(|name| *name != "samples") {
            File::options().write(true).open(shell.path("run").join(name)).unwrap().set_modified(time).unwrap();
        }
        let line = format!("train --resume --out run --steps {steps} --live=0 --device cpu --json --quiet");
        assert_eq!(shell.run(&line).succeeds().json("steps")["steps"], steps);
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_does_not_fit_ends_a_training_and_leaves_the_last_good_state() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    shell.run(&format!("train photo.png --out run {TINY}")).succeeds();
    let names = ["state.safetensors", "last.safetensors", "best.safetensors", "report.html"];
    let contents = || names.map(|name| fs::read(shell.path("run").join(name)).unwrap());
    let before = contents();
    // As a full disk does, but for everybody: files may have 512 bytes.
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" train --resume --out run --steps 40 --device cpu --quiet";
    command.args(["-c", script, env!("CARGO_BIN_EXE_n2n-gpu")]).current_dir(shell.path("")).stdin(Stdio::null());
    Done::of(script, command).fails_with(&["run/", "cannot be written"]);
    assert!(contents() == before, "a file is not the one from before");
    assert!(shell.names("run").iter().all(|name| !name.ends_with(".tmp")));
    let json = shell.run("train --resume --out run --steps 40 --device cpu --json").succeeds().json("steps");
    assert_eq!(json["steps"], 40);
}
