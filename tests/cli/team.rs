//! Commands that are one of several processes: under mpirun, or in an array of jobs.

use crate::cli::Shell;

/// Runs a command as one of several processes, as far as variables tell it.
fn run_as(shell: &Shell, line: &str, variables: &[(&str, &str)]) -> crate::cli::Done {
    let mut command = shell.command(line);
    for name in ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "SLURM_ARRAY_TASK_ID"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    crate::cli::Done::of(line, command)
}

#[test]
fn a_shard_is_that_of_the_process_or_job() {
    let shell = Shell::new();
    let model = shell.model();
    for name in ["a", "b", "c"] {
        shell.picture(&format!("in/{name}.png"), 20, 20);
    }
    let line = format!("denoise in -o out --model {model} --shard auto --force --device cpu");
    for (variables, done) in [
        (vec![("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "3")], vec!["b.png"]),
        (vec![("PMI_RANK", "0"), ("PMI_SIZE", "2")], vec!["a.png", "c.png"]),
        (vec![("SLURM_ARRAY_TASK_ID", "12"), ("SLURM_ARRAY_TASK_MIN", "10"), ("SLURM_ARRAY_TASK_COUNT", "3")], vec!["c.png"]),
    ] {
        let _ = std::fs::remove_dir_all(shell.path("out"));
        run_as(&shell, &line, &variables).succeeds();
        assert_eq!(shell.names("out"), done, "{variables:?}");
    }
    run_as(&shell, &line, &[]).is_misused(&["--shard", "neither mpirun nor an array of jobs"]);
}

#[cfg(not(feature = "mpi"))]
#[test]
fn a_program_without_mpi_is_not_one_of_several_that_train() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    let line = format!("train photo.png --out run {}", crate::cli::TINY);
    let variables = [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2")];
    run_as(&shell, &line, &variables).is_misused(&["process 0 of 2", "--features mpi"]);
    assert!(!shell.path("run").exists());
}

#[cfg(feature = "mpi")]
mod with_mpi {
    use std::fs;
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::Shell;
    use crate::cli::Done;

    /// Descent, as Adam makes much of what rounding leaves of a gradient of 0.
    const TRAIN: &str =
        "--noise gaussian:25 --width 4 --levels 1 --crop 16 --batch 4 --optimizer sgd --lr 0.1 --device cpu --out";

    /// `mpirun` with the processes that `parts` tell: how many, and words of the command.
    fn mpirun(shell: &Shell, parts: &[(usize, String)]) -> Command {
        let mut command = Command::new("mpirun");
        command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]).current_dir(shell.path(""));
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir()).env("RUST_BACKTRACE", "0").env("RAYON_NUM_THREADS", "1");
        for (i, (processes, line)) in parts.iter().enumerate() {
            command.args((i > 0).then_some(":"));
            command.args(["-n", &processes.to_string(), env!("CARGO_BIN_EXE_n2n-gpu")]).args(line.split_whitespace());
        }
        command
    }

    fn run(shell: &Shell, processes: usize, line: String) -> Done {
        let command = mpirun(shell, &[(processes, line.clone())]);
        Done::of(&line, command)
    }

    fn losses(run: &Path) -> Vec<f64> {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let loss = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap();
        text.lines().map(loss).collect()
    }

    /// Losses are means over 4 crops of 16 x 16 pixels and 3 colours, in either order: 3072 roundings at most.
    #[track_caller]
    fn assert_alike(shell: &Shell, a: &str, b: &str) {
        let within = 3072.0 * f64::from(f32::EPSILON);
        let [a, b] = [a, b].map(|run| losses(&shell.path(run)));
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= within * a, "{a} and {b}");
        }
    }

    #[test]
    fn two_processes_train_as_one_does() {
        let shell = Shell::new();
        shell.picture("photos/a.png", 40, 32);
        shell.picture("photos/b.png", 60, 50);
        let line = |out: &str| format!("train photos {TRAIN} {out} --steps 30 --json --quiet");
        shell.run(&line("one")).succeeds();
        let two = run(&shell, 2, line("two"));
        two.succeeds();
        assert_eq!(two.json("device net steps psnr_estimated best last")["steps"], 30);
        assert_alike(&shell, "one", "two");
        assert_eq!(shell.names("one"), shell.names("two"));
    }

    #[test]
    fn unlike_devices_train_together() {
        let shell = Shell::new();
        let devices = shell.run("devices --json").json("devices");
        let Some(adapter) = devices["devices"].as_array().and_then(|all| (!all.is_empty()).then_some(0)) else {
            return crate::cli::left_out("a process on an adapter beside one on the CPU: there is no adapter");
        };
        shell.picture("photos/a.png", 40, 32);
        shell.picture("photos/b.png", 60, 50);
        let line = |device: &str, out: &str| format!("train photos {} {out} --steps 6", TRAIN.replace("cpu", device));
        shell.run(&line("cpu", "one")).succeeds();
        let adapter = adapter.to_string();
        let parts = [(1, line("cpu", "two")), (1, line(&adapter, "two"))];
        Done::of("two", mpirun(&shell, &parts)).succeeds();
        assert_alike(&shell, "one", "two");
    }

    #[test]
    fn processes_with_other_pictures_are_named() {
        let shell = Shell::new();
        shell.picture("a/1.png", 40, 32);
        shell.picture("b/1.png", 41, 32);
        let line = |photos: &str| format!("train {photos} {TRAIN} run --steps 30");
        let done = Done::of("train a : train b", mpirun(&shell, &[(1, line("a")), (1, line("b"))]));
        assert!(done.stderr.contains("process 1 has other pictures or options than process 0"), "{done}");
        assert!(!shell.path("run/metrics.jsonl").exists());
        let many = run(&shell, 5, line("a"));
        assert!(many.stderr.contains("--batch 4: fewer crops than the 5 processes"), "{many}");
    }

    /// The process with that number of those that run in the folder of `shell`.
    fn process(shell: &Shell, rank: usize) -> Option<String> {
        let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
        fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path())).find_map(|path| {
            let ours = fs::read_link(path.join("cwd")).ok()? == shell.path("").canonicalize().ok()?;
            let environment = fs::read(path.join("environ")).ok()?;
            let found = ours && environment.split(|byte| *byte == 0).any(|v| v == variable.as_bytes());
            found.then(|| path.file_name()?.to_str().map(str::to_owned)).flatten()
        })
    }

    #[test]
    fn where_one_process_is_killed_the_run_goes_on_from_its_last_step() {
        let shell = Shell::new();
        shell.picture("photos/a.png", 40, 32);
        shell.picture("photos/b.png", 60, 50);
        let line = format!("train photos {TRAIN} run --steps 1000000");
        let (log, file) = (shell.path("log"), fs::File::create(shell.path("log")).unwrap());
        let mut started = mpirun(&shell, &[(3, line)]).stderr(file).spawn().unwrap();
        let since = Instant::now();
        while !fs::read_to_string(&log).unwrap().contains("3 processes share") {
            assert!(since.elapsed() < Duration::from_secs(60), "no training: {}", fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_secs(2));
        let killed = process(&shell, 1).expect("there is a process 1");
        assert!(Command::new("kill").args(["-9", &killed]).status().unwrap().success());
        assert!(!started.wait().unwrap().success());
        let said = fs::read_to_string(&log).unwrap();
        // mpirun may kill the first process before it has said so (tests/team.rs looks at what it says), not before it has saved:
        // until then, there is the state of the first look at the losses, and another one after ten seconds.
        let steps = n2n_gpu::train::resumable(&shell.path("run")).unwrap().steps;
        assert!(steps > 16, "the state of step {steps}: {said}");
        // Any number of processes goes on, and ends where it is asked to.
        let resumed = run(&shell, 2, format!("train --resume --out run --steps {} --json --quiet --device cpu", steps + 10));
        assert_eq!(resumed.succeeds().json("steps")["steps"], steps + 10);
    }
}
