//! Nothing is lost: no command writes over what it reads, or over a run that it was not told to replace, or leaves half a file.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cli::{Mount, Shell, TINY, asset, left_out};

const DENOISE: &str = "--model model/last.safetensors --device cpu";

#[test]
fn results_replace_no_picture_that_is_measured() {
    let shell = Shell::new();
    shell.picture("clean/a.png", 40, 32);
    shell.picture("other/a.jpg", 40, 32);
    let before = fs::read(shell.path("clean/a.png")).unwrap();
    let noise = "--noise gaussian:25";
    shell.run(&format!("eval clean {noise} --save clean")).is_misused(&["--save", "clean/a.png", "another place"]);
    shell.run(&format!("eval clean other {noise} --save out")).is_misused(&["--save", "clean/a.png", "other/a.jpg"]);
    shell.picture("noisy/a.png", 40, 32);
    shell.run("eval --pairs noisy clean --save clean").is_misused(&["--save", "clean/a.png"]);
    assert!(fs::read(shell.path("clean/a.png")).unwrap() == before && !shell.path("out").exists());
    let done = shell.run(&format!("eval clean {noise} --save out"));
    assert!(done.succeeds().stderr.contains("a.png"), "{done}");
    assert_eq!(shell.names("out"), ["a.png"]);
    // A folder that is named like a picture is more likely meant to be one.
    shell.model();
    shell.run(&format!("denoise clean -o out.png {DENOISE}")).is_misused(&["out.png", "folder"]);
    assert!(!shell.path("out.png").exists());
}

/// A run folder stands for the best model in it.
#[test]
fn a_model_that_is_named_by_its_run_folder_is_not_replaced() {
    let shell = Shell::new();
    shell.model();
    shell.picture("in/a.png", 40, 32);
    let best = || fs::read(shell.path("model/best.safetensors")).unwrap();
    let before = best();
    shell.run("export model --half model/best.safetensors --force").is_misused(&["model/best.safetensors"]);
    #[cfg(unix)]
    {
        fs::create_dir(shell.path("out")).unwrap();
        std::os::unix::fs::symlink(shell.path("model/best.safetensors"), shell.path("out/a.png")).unwrap();
        for line in ["eval in --noise gaussian:25 --save out", "denoise in -o out --force"] {
            shell.run(&format!("{line} --model model --device cpu")).is_misused(&["model/best.safetensors", "out/a.png"]);
        }
    }
    assert!(best() == before);
}

#[cfg(unix)]
#[test]
fn no_result_goes_through_a_link_over_a_file_that_is_read_or_another_result() {
    use std::os::unix::fs::symlink;

    let shell = Shell::new();
    shell.model();
    shell.picture("in/a.png", 40, 32);
    shell.picture("in/b.png", 20, 30);
    let read = ["in/a.png", "in/b.png", "model/last.safetensors"];
    let contents = || read.map(|name| fs::read(shell.path(name)).unwrap());
    let before = contents();
    let denoise = |names: &[&str]| {
        shell.run(&format!("denoise in -o out {DENOISE}")).is_misused(names);
        shell.run(&format!("eval in --noise gaussian:25 --save out {DENOISE}")).is_misused(names);
        fs::remove_dir_all(shell.path("out")).unwrap();
        fs::create_dir(shell.path("out")).unwrap();
    };
    fs::create_dir(shell.path("out")).unwrap();
    for target in read {
        symlink(shell.path(target), shell.path("out/a.png")).unwrap();
        denoise(&[target, "out/a.png"]);
        fs::hard_link(shell.path(target), shell.path("out/a.png")).unwrap();
        denoise(&[target, "out/a.png"]);
    }
    fs::write(shell.path("target.png"), "old").unwrap();
    for name in ["out/a.png", "out/b.png"] {
        symlink(shell.path("target.png"), shell.path(name)).unwrap();
    }
    denoise(&["in/a.png", "in/b.png", "out/b.png"]);
    // The whole folder as a link to the inputs.
    symlink(shell.path("in"), shell.path("link")).unwrap();
    shell.run(&format!("denoise in -o link {DENOISE}")).is_misused(&["in/a.png", "link/a.png"]);
    assert!(contents() == before);
}

#[test]
fn a_state_dict_is_not_replaced_by_the_model_made_of_it() {
    let shell = Shell::new();
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files/state.pth");
    fs::copy(golden, shell.path("state.pth")).unwrap();
    let before = fs::read(shell.path("state.pth")).unwrap();
    shell.run("import state.pth --net epfl-unet -o ./state.pth").is_misused(&["state.pth", "-o"]);
    assert!(fs::read(shell.path("state.pth")).unwrap() == before);
}

#[test]
fn a_demo_replaces_a_run_only_when_told_to() {
    let shell = Shell::new();
    shell.model();
    let before = fs::read(shell.path("model/best.safetensors")).unwrap();
    let demo = "demo --minutes 0.01 --width 4 --levels 1 --device cpu --out model";
    shell.run(demo).fails(&["model", "--overwrite", "--out"]);
    assert!(fs::read(shell.path("model/best.safetensors")).unwrap() == before);
    let done = shell.run(&format!("{demo} --overwrite"));
    // The command that it proposes can be copied as it is.
    assert!(done.succeeds().stdout.contains(&format!("now try: {} denoise", env!("CARGO_BIN_EXE_n2n-gpu"))), "{done}");
    assert!(fs::read(shell.path("model/best.safetensors")).unwrap() != before);
    shell.run(&format!("train for-model.png --out model {TINY}")).fails(&["model", "--overwrite"]);
}

/// A run that is interrupted after its first state is no mixture of two runs.
#[test]
fn an_overwritten_run_leaves_no_models_beside_the_state_of_another() {
    let shell = Shell::new();
    shell.model();
    let path = |name: &str| shell.path("model").join(name);
    let [state, best, last] =
        ["state.safetensors", "best.safetensors", "last.safetensors"].map(|name| (path(name), fs::read(path(name)).unwrap()));
    let is_old = |(path, old): &(_, Vec<u8>)| fs::read(path).is_ok_and(|now: Vec<u8>| now == *old);
    let line = "train for-model.png --out model --overwrite --noise gaussian:25 --width 8 --levels 1 --crop 16 --minutes 10 --device cpu";
    let mut child = shell.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let wait = |seconds: u64, until: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !until() && start.elapsed() < Duration::from_secs(seconds) {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait(120, &|| !is_old(&state));
    // They go next.
    wait(2, &|| !is_old(&best) && !is_old(&last));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!([state, best, last].iter().all(|file| !is_old(file)));
}

#[test]
fn a_training_is_refused_photographs_that_lie_where_its_samples_go() {
    let shell = Shell::new();
    shell.picture("run/samples/photo.png", 40, 32);
    let before = fs::read(shell.path("run/samples/photo.png")).unwrap();
    shell.run(&format!("train run/samples --out run {TINY}")).is_misused(&["run/samples", "samples of the run", "--out"]);
    // Other photographs that lie there are safe as well, until the folder holds a run.
    shell.picture("photo.png", 40, 32);
    shell.run(&format!("train photo.png --out run {TINY}")).fails_with(&["samples", "another folder"]);
    // Nor are they read from the folder of a run that is to be replaced, whatever names them.
    shell.picture("twin/photo.png", 40, 32);
    fs::write(shell.path("run/state.safetensors"), "").unwrap();
    let tiny = TINY.replace("--noise gaussian:25", "");
    let noisy = format!("train --pairs run/samples twin --out run --overwrite {tiny}");
    for line in [&format!("train photo.png --val run/samples --out run --overwrite {TINY}"), &noisy] {
        shell.run(line).is_misused(&["run/samples", "samples of the run", "--out"]);
    }
    assert!(fs::read(shell.path("run/samples/photo.png")).unwrap() == before);
}

#[test]
fn an_output_that_cannot_be_is_named_before_the_work() {
    let shell = Shell::new();
    shell.model();
    shell.picture("in/a.png", 40, 32);
    shell.picture("in/b.png", 40, 32);
    fs::write(shell.path("file"), "mine\n").unwrap();
    shell.run(&format!("denoise in -o file {DENOISE}")).is_misused(&["file", "-o"]);
    shell.run(&format!("denoise in -o file/sub {DENOISE}")).fails(&["file/sub", "-o"]);
    shell.run(&format!("denoise in/a.png -o file/sub/a.png {DENOISE}")).fails(&["file/sub", "folder"]);
    shell.run(&format!("denoise in/a.png -o a.xyz {DENOISE}")).is_misused(&["a.xyz", "png"]);
    shell.run(&format!("denoise in/a.png -o a {DENOISE}")).is_misused(&["a: ", "png"]);
    shell.run(&format!("denoise in/a.png -o a.png --tile 1 {DENOISE}")).is_misused(&["--tile 1"]);
    shell.run(&format!("train in --out file {TINY}")).fails(&["file", "--out"]);
    shell.run(&format!("train in --out file/sub {TINY}")).fails(&["file/sub", "--out"]);
    shell.run("demo --out file --minutes 0.01 --device cpu").fails(&["file", "--out"]);
    shell.run(&format!("eval in --noise gaussian:25 --save file {DENOISE}")).fails(&["file", "--save"]);
    assert_eq!(fs::read(shell.path("file")).unwrap(), b"mine\n");
    assert_eq!(shell.names("."), ["file", "for-model.png", "in", "model"]);
}

#[test]
fn a_read_only_folder_is_named() {
    let shell = Shell::new();
    shell.model();
    let mount = Mount::new(&shell, "locked", "64k");
    match &mount {
        Some(mount) => mount.make_read_only(),
        None => lock(&shell, "locked"),
    }
    if mount.is_none() && fs::write(shell.path("locked/probe"), "").is_ok() {
        return left_out("a read-only folder: this user may write anywhere, and may not mount a file system");
    }
    shell.run(&format!("denoise for-model.png -o locked/out.png {DENOISE}")).fails(&["locked/out.png", "cannot be written"]);
    shell.run(&format!("train for-model.png --out locked {TINY}")).fails(&["locked", "--out"]);
    shell.run(&format!("train for-model.png --out locked/run {TINY}")).fails(&["locked/run", "--out"]);
    shell.run("demo --out locked --minutes 0.01 --device cpu").fails(&["locked", "--out"]);
    assert!(shell.names("locked").is_empty());
}

#[cfg(unix)]
fn lock(shell: &Shell, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(shell.path(name), fs::Permissions::from_mode(0o555)).unwrap();
}

#[cfg(not(unix))]
fn lock(_: &Shell, _: &str) {}

#[test]
fn a_full_disk_leaves_whole_files_alone() {
    let shell = Shell::new();
    shell.model();
    fs::copy(asset("spices-128.png"), shell.path("photo.png")).unwrap();
    // Room for the old picture and not for the new one; for nothing but the first files of a run; for all but its report.
    let disks = [("16k", "disk-a"), ("12k", "disk-b"), ("160k", "disk-c")];
    let mounts: Vec<_> = disks.iter().filter_map(|(size, name)| Mount::new(&shell, name, size)).collect();
    if mounts.len() < disks.len() {
        return left_out("a full disk: this user may not mount a small file system");
    }
    fs::write(shell.path("disk-a/out.png"), "old").unwrap();
    shell.run(&format!("denoise photo.png -o disk-a/out.png --force {DENOISE}")).fails(&["disk-a/out.png", "free some space"]);
    assert_eq!(shell.names("disk-a"), ["out.png"]);
    assert_eq!(fs::read(shell.path("disk-a/out.png")).unwrap(), b"old");

    shell.run(&format!("train photo.png --out disk-b --quiet {TINY}")).fails(&["disk-b/last.safetensors", "free some space"]);
    assert_eq!(shell.names("disk-b"), ["config.toml", "metrics.jsonl"]);

    shell.run(&format!("train photo.png --out disk-c --quiet {TINY}")).fails(&["disk-c/report.html", "free some space"]);
    assert_eq!(
        shell.names("disk-c"),
        ["best.safetensors", "config.toml", "last.safetensors", "metrics.jsonl", "state.safetensors"]
    );
    shell.run("denoise photo.png -o out.png --model disk-c/last.safetensors --device cpu").succeeds();

    // A run whose successor does not fit keeps what it had.
    let kept = ["best.safetensors", "last.safetensors", "state.safetensors"].map(|name| shell.path("disk-c").join(name));
    let before = kept.each_ref().map(|path| fs::read(path).unwrap());
    let large = TINY.replace("--width 4", "--width 64");
    shell.run(&format!("train photo.png --out disk-c --overwrite --quiet {large}")).fails(&["disk-c/", "free some space"]);
    assert!(kept.map(|path| fs::read(path).unwrap()) == before);
}
