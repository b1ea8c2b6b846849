//! Pictures through pipes: `denoise -`, `-o -`.

use std::fs::{self, File};
use std::process::Output;

use crate::cli::Shell;

const MODEL: &str = "--model model/last.safetensors --device cpu";

/// Runs a command with a file as its stdin.
fn piped(shell: &Shell, line: &str, stdin: &str) -> Output {
    shell.command(line).stdin(File::open(shell.path(stdin)).unwrap()).output().unwrap()
}

#[test]
fn what_comes_through_a_pipe_is_what_a_file_has() {
    let shell = Shell::new();
    shell.model();
    let colour = image::open(shell.picture("a.png", 30, 20)).unwrap();
    for name in ["a.jpg", "a.bmp", "a.tiff", "a.webp", "a.pam"] {
        colour.save(shell.path(name)).unwrap();
    }
    fs::write(shell.path("a.ppm"), [b"P6 30 20 255\n", &colour.to_rgb8().into_raw()[..]].concat()).unwrap();
    colour.to_luma16().save(shell.path("deep.png")).unwrap();
    for name in ["a.png", "a.jpg", "a.bmp", "a.tiff", "a.webp", "a.ppm", "a.pam", "deep.png"] {
        shell.run(&format!("denoise {name} -o files/ {MODEL}")).succeeds();
        let file = fs::read(shell.path("files").join(name)).unwrap();
        // Not a word on stdout but the picture.
        for line in [format!("denoise - {MODEL}"), format!("denoise - -o - {MODEL}"), format!("denoise {name} -o - {MODEL}")] {
            let done = piped(&shell, &line, name);
            let stderr = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success() && done.stdout == file, "{line} < {name}: {stderr}");
            assert!(stderr.contains(" -> stdout (30x20, ") && !stderr.contains("denoised on"), "{stderr}");
        }
    }
    let done = piped(&shell, &format!("denoise - --format png --quiet {MODEL}"), "a.jpg");
    assert_eq!(image::guess_format(&done.stdout).unwrap(), image::ImageFormat::Png);
    assert!(done.stderr.is_empty());
}

#[test]
fn a_pipe_and_a_file_go_together() {
    let shell = Shell::new();
    shell.model();
    shell.picture("a.png", 30, 20);
    for (line, written) in [
        ("-o out.png", "out.png"),
        ("-o folder/ --format jpg", "folder/stdin.jpg"),
        ("-o p/{name}2.{ext} --format png", "p/stdin2.png"),
        ("-o - --compare both.png", "both.png"),
    ] {
        let done = piped(&shell, &format!("denoise - {line} {MODEL}"), "a.png");
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        assert!(image::open(shell.path(written)).is_ok(), "{line}");
    }
    let done = piped(&shell, &format!("denoise - -o again.png --json {MODEL}"), "a.png");
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&json["files"][0]["input"], &json["files"][0]["output"]), (&"-".into(), &"again.png".into()));
}

#[test]
fn a_pipe_that_brings_no_picture_or_cannot_take_one_is_told() {
    let shell = Shell::new();
    shell.model();
    shell.picture("in/a.png", 30, 20);
    shell.picture("in/b.png", 30, 20);
    shell.run(&format!("denoise - {MODEL}")).fails(&["stdin: is empty"]);
    fs::write(shell.path("text"), "not a picture\n").unwrap();
    let done = piped(&shell, &format!("denoise - -o out.png {MODEL}"), "text");
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && stderr.starts_with("error: stdin: is not a picture"), "{stderr}");
    shell.run(&format!("denoise in -o - {MODEL}")).is_misused(&["-o -", "2 pictures"]);
    shell.run(&format!("denoise in/a.png -o - --json {MODEL}")).ends_with(2).json("error");
    shell.run(&format!("denoise - --json {MODEL}")).ends_with(2).json("error");
    assert_eq!(shell.names("."), ["for-model.png", "in", "model", "text"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_a_pipe_is_an_error_and_a_closed_one_is_none() {
    let shell = Shell::new();
    shell.model();
    let line = format!("denoise for-model.png -o - {MODEL}");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = shell.command(&line).stdout(full).output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && stderr.contains("error: stdout: cannot be written"), "{stderr}");
    let closed = |line: &str| {
        let mut shell_command = std::process::Command::new("sh");
        shell_command.args(["-c", &format!("{} {line} >&-", env!("CARGO_BIN_EXE_n2n-gpu"))]).current_dir(shell.path("."));
        let done = shell_command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, stderr) = closed(&line);
    assert!(code == Some(1) && stderr.contains("error: stdout: cannot be written: it is closed"), "{stderr}");
    let (code, stderr) = closed("devices");
    assert!(code == Some(1) && stderr.contains("cannot be written to stdout: it is closed"), "{stderr}");
    assert!(shell.command(&line).stdout(std::process::Stdio::null()).output().unwrap().status.success());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(shell.command(&line).stdout(writer).output().unwrap().status.success());
}
