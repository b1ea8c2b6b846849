//! What commands print, whatever happens: one JSON object with `--json`, an exit code that tells the truth, plain sentences.

use std::fs;

use crate::cli::{Shell, TINY};

#[test]
fn a_failure_is_one_json_object_with_its_error() {
    let shell = Shell::new();
    shell.model();
    shell.picture("a.png", 40, 32);
    fs::write(shell.path("broken.png"), "not a picture\n").unwrap();
    let model = "--model model/last.safetensors --device cpu";
    let failures = [
        (2, "frobnicate --json".to_owned(), "frobnicate"),
        (2, "--json".to_owned(), "requires a subcommand"),
        (2, "train a.png --json --noise gaussian:25".to_owned(), "--out"),
        (2, "train a.png --noise gaussian:300 --out run --json".to_owned(), "--noise"),
        (2, "bench --json --device cpu --levels 3 --size 20".to_owned(), "--size"),
        (2, "demo --json --device cpu --minutes 0".to_owned(), "--minutes"),
        (2, format!("denoise a.png -o a.png --json {model}"), "a.png"),
        (1, format!("train missing --out run --json {TINY}"), "missing"),
        (1, format!("denoise broken.png -o b.png --json {model}"), "broken.png"),
        (1, format!("eval broken.png --noise gaussian:25 --json {model}"), "broken.png"),
        (1, "import missing.pth --net epfl-unet -o m.safetensors --json".to_owned(), "missing.pth"),
        (1, "check --json --device none-such".to_owned(), "none-such"),
    ];
    for (code, line, names) in failures {
        let done = shell.run(&line);
        let json = done.ends_with(code).json("error exit_code");
        assert_eq!(json["exit_code"], code, "{done}");
        let error = json["error"].as_str().unwrap();
        assert!(error.contains(names) && !error.contains('\n') && !error.starts_with("error"), "{done}");
        assert!(done.stderr.starts_with("error: "), "{done}");
    }
}

#[test]
fn files_that_failed_are_in_the_object_with_the_error() {
    let shell = Shell::new();
    shell.model();
    for name in ["in/a.png", "in/b.png"] {
        fs::create_dir_all(shell.path("in")).unwrap();
        fs::write(shell.path(name), "not a picture\n").unwrap();
    }
    let denoise = "denoise in -o out --force --model model/last.safetensors --device cpu";
    let json = shell.run(&format!("{denoise} --json")).ends_with(1).json("files failed error exit_code");
    assert_eq!((json["files"].as_array().unwrap().len(), json["failed"].as_array().unwrap().len()), (0, 2));
    shell.picture("in/c.png", 40, 32);
    let done = shell.run(&format!("{denoise} --json"));
    let json = done.ends_with(1).json("files failed error exit_code");
    assert_eq!((json["files"].as_array().unwrap().len(), json["failed"].as_array().unwrap().len()), (1, 2));
    assert_eq!(json["error"], "2 of 3 pictures could not be denoised");
    let done = shell.run(denoise);
    assert_eq!(done.ends_with(1).stdout, "1 of 3 pictures denoised on cpu\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_stdout_is_an_error_and_a_closed_pipe_is_none() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    for line in ["devices", "devices --json", "eval a.png --noise gaussian:25 --quiet", "--help", "--version"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = shell.command(line);
        let done = command.stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{line}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains("stdout") && stderr.trim().lines().count() == 1, "{stderr}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = shell.command(line);
        let done = command.stdout(writer).output().unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.code() == Some(0) && stderr.is_empty(), "{line}: {:?} {stderr}", done.status);
    }
}

/// Paths need not be Unicode; JSON is.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_unicode_are_no_problem() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use crate::cli::Done;

    let shell = Shell::new();
    shell.model();
    let strange = |name: &[u8]| OsStr::from_bytes(name).to_owned();
    let (photos, photo, out) = (strange(b"in\xff"), strange(b"a\xfe.png"), strange(b"out\xfd"));
    let folder = shell.path("").join(&photos);
    fs::create_dir(&folder).unwrap();
    fs::copy(shell.path("for-model.png"), folder.join(&photo)).unwrap();
    let run = |line: &str, args: &[&OsStr]| {
        let mut command = shell.command(line);
        command.args(args);
        let done = Done::of(line, command);
        done.succeeds().json("")
    };
    let model = "--model model/last.safetensors --device cpu";
    let json = run(&format!("denoise --json {model}"), &[&photos, OsStr::new("-o"), &out]);
    assert_eq!(json["files"][0]["output"], "out\u{fffd}/a\u{fffd}.png");
    assert!(shell.path("").join(&out).join(&photo).is_file());
    run(&format!("eval --noise gaussian:25 --json {model}"), &[&photos, OsStr::new("--save"), &strange(b"saved\xff")]);
    assert!(shell.path("").join(strange(b"saved\xff")).join(&photo).is_file());
    let json = run(&format!("train --json {TINY}"), &[&photos, OsStr::new("--out"), &strange(b"run\xff")]);
    assert_eq!(json["best"], "run\u{fffd}/best.safetensors");
    let demo = "demo --minutes 0.01 --width 4 --levels 1 --device cpu --json";
    assert_eq!(run(demo, &[OsStr::new("--out"), &strange(b"demo\xff")])["report"], "demo\u{fffd}/report.html");
}

/// Rayon starts as many threads as its variable says.
#[cfg(target_os = "linux")]
#[test]
fn threads_are_bounded() {
    let shell = Shell::new();
    shell.picture("a.png", 300, 200);
    // 2,000 threads would be noticed, and be harmless.
    let mut command = shell.command("eval a.png --noise gaussian:25 --quiet");
    let mut child = command.env("RAYON_NUM_THREADS", "2000").stdout(std::process::Stdio::null()).spawn().unwrap();
    let (status, mut most) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let threads = text.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
        most = most.max(threads.unwrap_or(0));
    }
    let bound = 4 * std::thread::available_parallelism().unwrap().get() + 16;
    assert!(child.wait().unwrap().success() && most <= bound, "{most} threads");
}

#[test]
fn a_bad_value_is_named_once() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    for (line, value) in [
        ("train a.png --out run --noise gaussian:300", "gaussian:300"),
        ("eval a.png --noise nonsense", "nonsense"),
        ("demo --noise poisson:0", "poisson:0"),
        ("bench --net epfl-resunet --width 10 --size 32 --device cpu", "width 10"),
    ] {
        let done = shell.run(line);
        let first = done.ends_with(2).stderr.lines().next().unwrap();
        assert_eq!((first.matches(value).count(), first.matches("--").count() <= 2), (1, true), "{done}");
    }
    let device = shell.run("bench --device none-such");
    assert_eq!(device.ends_with(1).stderr.matches("none-such").count(), 1, "{device}");
}

#[test]
fn one_picture_is_no_pictures() {
    let shell = Shell::new();
    shell.model();
    let done = shell.run("denoise for-model.png -o out.png --model model/last.safetensors --device cpu");
    assert_eq!(done.succeeds().stdout, "1 picture denoised on cpu\n");
    let done = shell.run("eval for-model.png --noise gaussian:25 --model model/last.safetensors --device cpu");
    assert!(done.succeeds().stdout.starts_with("1 picture: PSNR "), "{done}");
}

#[test]
fn every_command_prints_one_json_object_and_nothing_else() {
    let shell = Shell::new();
    shell.picture("photos/a.png", 40, 32);
    shell.picture("photos/b.png", 33, 21);
    let model = "--model run/best.safetensors";
    let cpu = "--json --quiet --device cpu";
    let eval = "pictures psnr_noisy psnr ssim_noisy ssim seconds";
    let commands = [
        (format!("train photos --out run --json --quiet {TINY}"), "device net parameters steps seconds psnr_estimated best last"),
        (format!("denoise photos -o out {model} {cpu}"), "device files"),
        (format!("eval photos --noise gaussian:25 {model} {cpu}"), eval),
        (format!("eval --pairs photos photos {model} {cpu}"), eval),
        (format!("eval photos --noise gaussian:25 {cpu}"), eval),
        (format!("check {cpu}"), "device cases failed worst"),
        (
            format!("bench --width 4 --levels 1 --batch 2 --size 16 --runs 2 --kernels {cpu}"),
            "device net batch size train_step_ms forward_ms gflops peak_memory_mib first_step_ms peaks kernels",
        ),
        (format!("devices {cpu}"), "devices"),
        (format!("demo --minutes 0.02 --width 4 --levels 1 --out demo {cpu}"), "device steps seconds psnr_noisy psnr report"),
    ];
    for (line, keys) in commands {
        let done = shell.run(&line);
        done.succeeds().json(keys);
        assert!(done.stderr.is_empty(), "{done}");
    }
    let demo = fs::read_to_string(shell.path("demo/report.html")).unwrap();
    assert!(demo.contains("</html>") && demo.contains("chelsea"));
    assert_eq!(shell.names("demo"), shell.names("run"));
    let strip = image::open(shell.path("demo/samples/chelsea-192.png")).unwrap();
    assert_eq!((strip.width(), strip.height()), (3 * 192 + 16, 192));
}

#[test]
fn every_command_has_help() {
    let shell = Shell::new();
    for command in ["", "demo", "train", "denoise", "eval", "devices", "check", "bench"] {
        shell.run(&format!("{command} --help")).succeeds();
    }
    shell.run("--version").succeeds();
    shell.run("").ends_with(2);
}

#[test]
fn the_short_help_of_train_is_short_and_begins_with_what_a_beginner_needs() {
    let shell = Shell::new();
    let [short, long] = ["train -h", "train --help"].map(|line| shell.run(line).succeeds().stdout.clone());
    assert!(short.lines().count() <= 50 && long.lines().count() > 2 * short.lines().count(), "{short}");
    let flags: Vec<&str> =
        short.lines().filter_map(|line| line.trim_start().strip_prefix("--")?.split_whitespace().next()).collect();
    assert_eq!(flags[..4], ["noise", "out", "minutes", "val"], "{short}");
    for heading in ["Data:", "Network:", "Training:", "Earlier runs:", "Common options:"] {
        assert_eq!(long.lines().filter(|line| *line == heading).count(), 1, "{heading} {long}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_every_command_with_exit_code_130_and_one_json_object() {
    use std::io::{BufRead, BufReader, Read};

    let shell = Shell::new();
    for i in 0..40 {
        shell.picture(&format!("in/{i:02}.png"), 400, 400);
    }
    // Their first line on stderr says that they are at work.
    for line in ["check --device cpu --json", "eval in --noise gaussian:25 --json"] {
        let mut command = shell.command(line);
        let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut String::new()).unwrap();
        assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        std::io::copy(&mut stderr, &mut std::io::sink()).unwrap();
        let mut stdout = String::new();
        child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{line}: {stdout}");
        let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((&json["error"], &json["exit_code"]), (&"interrupted".into(), &130.into()), "{json}");
    }
}

/// A network for grey pictures is timed as others are.
#[test]
fn a_network_of_one_channel_is_benchmarked() {
    let tiny = "--width 4 --levels 1 --batch 1 --size 16 --runs 1 --device cpu";
    Shell::new().run(&format!("bench --channels 1 --json {tiny}")).succeeds().json("train_step_ms");
}
