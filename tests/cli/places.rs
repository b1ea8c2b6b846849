//! Which pictures `denoise` takes, and what it calls the results.

use std::fs;

use crate::cli::Shell;
use serde_json::{Value, json};

const MODEL: &str = "--model model/last.safetensors --device cpu";

/// Paths of all files below a folder, sorted.
fn tree(shell: &Shell, folder: &str) -> Vec<String> {
    let mut all = Vec::new();
    for name in shell.names(folder) {
        let path = format!("{folder}/{name}");
        let is_folder = fs::symlink_metadata(shell.path(&path)).unwrap().is_dir();
        if is_folder { all.extend(tree(shell, &path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// A folder `in` with pictures at three depths.
fn album() -> Shell {
    let shell = Shell::new();
    shell.model();
    for name in ["in/a.png", "in/b.jpg", "in/sub/a.png", "in/sub/deep/c.png"] {
        shell.picture(name, 12, 9);
    }
    shell
}

fn outputs(json: &Value) -> Vec<&str> {
    json["files"].as_array().unwrap().iter().map(|file| file["output"].as_str().unwrap()).collect()
}

#[test]
fn without_a_name_the_result_is_beside_the_picture() {
    let shell = album();
    fs::copy(shell.path("in/a.png"), shell.path("in/plain")).unwrap();
    for (input, options, output) in [
        ("in/b.jpg", "", "in/b-denoised.jpg"),
        ("in/b.jpg", "--suffix _clean", "in/b_clean.jpg"),
        ("in/b.jpg", "--suffix -2 --format TIFF", "in/b-2.tiff"),
        ("in/plain", "", "in/plain-denoised.png"),
        ("for-model.png", "", "for-model-denoised.png"),
    ] {
        let json = shell.run(&format!("denoise {input} {options} --json {MODEL}")).json("");
        assert_eq!(outputs(&json), [output]);
        let (before, after) = (shell.path(input), image::open(shell.path(output)).unwrap());
        let before = image::load_from_memory(&fs::read(before).unwrap()).unwrap();
        assert_eq!((before.width(), before.height()), (after.width(), after.height()));
    }
}

#[test]
fn a_folder_without_a_name_goes_to_one_beside_it() {
    let shell = album();
    let json = shell.run(&format!("denoise in/ --json {MODEL}")).json("");
    assert_eq!(outputs(&json), ["in-denoised/a.png", "in-denoised/b.jpg"]);
    shell.run(&format!("denoise in --recursive --suffix .new {MODEL}")).succeeds();
    assert_eq!(tree(&shell, "in.new"), ["in.new/a.png", "in.new/b.jpg", "in.new/sub/a.png", "in.new/sub/deep/c.png"]);
    let mut command = shell.command("denoise . --model ../../model/last.safetensors --device cpu");
    command.current_dir(shell.path("in/sub"));
    crate::cli::Done::of("denoise .", command).succeeds();
    assert_eq!(shell.names("in/sub-denoised"), ["a.png"]);
}

#[test]
fn earlier_results_are_not_denoised_again() {
    let shell = album();
    shell.run(&format!("denoise in/a.png in/sub in {MODEL}")).succeeds();
    fs::rename(shell.path("in-denoised"), shell.path("in/album-denoised")).unwrap();
    let done = shell.run(&format!("denoise in -r -o out --json {MODEL}"));
    let json = done.json("skipped");
    assert_eq!(outputs(&json), ["out/a.png", "out/b.jpg", "out/sub/a.png", "out/sub/deep/c.png"]);
    assert_eq!(json["skipped"], json!({"results": 3}));
    assert!(done.stderr.contains("skipped 3 earlier results\n"), "{done}");
    // One that is named is wanted.
    shell.run(&format!("denoise in/a-denoised.png -o twice.png {MODEL}")).succeeds();
}

#[test]
fn results_have_the_names_that_are_given() {
    let shell = album();
    for (line, written) in [
        ("in/a.png -o new/folder/x.png", vec!["new/folder/x.png"]),
        ("in/a.png -o new2/", vec!["new2/a.png"]),
        ("in -o flat --suffix -x", vec!["flat/a-x.png", "flat/b-x.jpg"]),
        ("in -o tiffs --format tif", vec!["tiffs/a.tif", "tiffs/b.tif"]),
        ("in/b.jpg -o jpegs/ --format jpeg", vec!["jpegs/b.jpg"]),
        ("in -o one/{name}-clean.{ext}", vec!["one/a-clean.png", "one/b-clean.jpg"]),
        ("in -r -o two/{folder}/{name}.bmp", vec!["two/a.bmp", "two/b.bmp", "two/sub/a.bmp", "two/sub/deep/c.bmp"]),
    ] {
        let out = line.split_once("-o ").unwrap().1.split('/').next().unwrap().split(' ').next().unwrap();
        shell.run(&format!("denoise {line} {MODEL}")).succeeds();
        assert_eq!(tree(&shell, out), written, "{line}");
    }
}

#[test]
fn two_pictures_of_one_name_are_told_before_any_work() {
    let shell = album();
    shell.picture("in/b.png", 12, 9);
    for (line, names) in [
        ("in -o out --format png", ["in/b.jpg", "in/b.png"]),
        ("in -r -o out/{name}.{ext}", ["in/a.png", "in/sub/a.png"]),
        ("in in/sub -o out", ["in/a.png", "in/sub/a.png"]),
        ("in -o out.png/all.{ext} --format png", ["in/a.png", "in/b.jpg"]),
        ("in -o out --shard 1/4 --format png", ["in/b.jpg", "in/b.png"]),
    ] {
        shell.run(&format!("denoise {line} {MODEL}")).is_misused(&[names[0], names[1], "both be saved"]);
    }
    assert_eq!(shell.names("."), ["for-model.png", "in", "model"]);
}

#[test]
fn a_picture_that_is_named_twice_is_denoised_once() {
    let shell = album();
    let json = shell.run(&format!("denoise in/a.png ./in/../in/a.png in/b.jpg in -r -o out --json {MODEL}")).json("");
    assert_eq!(outputs(&json), ["out/a.png", "out/b.jpg", "out/sub/a.png", "out/sub/deep/c.png"]);
}

#[test]
fn results_that_exist_are_left_out_if_that_is_asked_for() {
    let shell = album();
    shell.run(&format!("denoise in -o out {MODEL}")).succeeds();
    let before = fs::metadata(shell.path("out/a.png")).unwrap().modified().unwrap();
    let done = shell.run(&format!("denoise in -r -o out --skip-existing --json {MODEL}"));
    assert_eq!(outputs(&done.succeeds().json("")), ["out/sub/a.png", "out/sub/deep/c.png"]);
    assert_eq!(done.json("existing")["existing"], 2);
    assert!(done.stderr.contains("left out, as there are results already: 2 pictures\n"), "{done}");
    assert_eq!(fs::metadata(shell.path("out/a.png")).unwrap().modified().unwrap(), before);
    let done = shell.run(&format!("denoise in/a.png -o out/ --skip-existing {MODEL}"));
    assert_eq!(done.succeeds().stdout, "0 pictures denoised on cpu\n");
    shell.run(&format!("denoise in -o out --skip-existing --force {MODEL}")).is_misused(&["--skip-existing", "--force"]);
}

#[cfg(unix)]
#[test]
fn folders_within_folders_keep_their_tree_and_loops_of_links_end() {
    use std::os::unix::fs::symlink;

    let shell = album();
    symlink("..", shell.path("in/sub/up")).unwrap();
    symlink("deep", shell.path("in/sub/again")).unwrap();
    symlink("nowhere.png", shell.path("in/sub/broken.png")).unwrap();
    symlink(shell.path("in/a.png"), shell.path("in/sub/link.png")).unwrap();
    fs::create_dir(shell.path("in/.hidden")).unwrap();
    fs::copy(shell.path("in/a.png"), shell.path("in/.hidden/a.png")).unwrap();
    let written = ["a.png", "b.jpg", "sub/a.png", "sub/deep/c.png", "sub/link.png"].map(|name| format!("in/out/{name}"));
    let done = shell.run(&format!("denoise in --recursive -o in/out {MODEL}"));
    assert!(done.succeeds().stderr.contains("skipped 2 links to folders, 1 other file (.png)\n"), "{done}");
    assert_eq!(tree(&shell, "in/out"), written);
    // The folder of results is not read again.
    let done = shell.run(&format!("denoise in --recursive -o in/out --force {MODEL}"));
    assert!(done.succeeds().stdout.starts_with("5 pictures"), "{done}");
    assert_eq!(tree(&shell, "in/out"), written);
}

#[test]
fn what_is_left_out_of_a_folder_is_counted_by_kind() {
    let shell = album();
    for name in ["1.heic", "2.HEIC", "3.gif", "4.NEF", "5.dng", "notes.txt", ".hidden", "c-denoised.png"] {
        fs::write(shell.path("in").join(name), "x").unwrap();
    }
    let done = shell.run(&format!("denoise in -o out --json {MODEL}"));
    let line = "skipped 1 GIF, 2 HEIC, 2 raw files (DNG, NEF), 1 earlier result, 1 subfolder (--recursive takes it), 1 other file (.txt)\n";
    assert!(done.succeeds().stderr.ends_with(line), "{done}");
    let counts = json!({"GIF": 1, "HEIC": 2, "DNG": 1, "NEF": 1, "results": 1, "folders": 1, "others": 1});
    assert_eq!(done.json("skipped")["skipped"], counts);
    let done = shell.run(&format!("denoise in -o out --force --quiet {MODEL}"));
    assert!(done.succeeds().stderr.is_empty(), "{done}");
    fs::create_dir(shell.path("phone")).unwrap();
    fs::write(shell.path("phone/1.heic"), "x").unwrap();
    shell.run(&format!("denoise in phone -o out2 {MODEL}")).fails(&["phone", "no pictures", "but 1 HEIC"]);
}

#[test]
fn patterns_that_no_shell_expanded_are_expanded() {
    let shell = album();
    shell.picture("in/photo[1].png", 12, 9);
    let run = |line: &str| shell.run(&format!("denoise {line} {MODEL} --json"));
    assert_eq!(outputs(&run("in/*.jpg -o one").json("")), ["one/b.jpg"]);
    assert_eq!(outputs(&run("in/?.* -o two").json("")), ["two/a.png", "two/b.jpg"]);
    assert_eq!(outputs(&run("in/**/c.png -o three").json("")), ["three/c.png"]);
    // No folders, unless they are asked for; or files at all depths.
    fs::write(shell.path("in/sub/notes.txt"), "x").unwrap();
    let all = ["a.png", "b.jpg", "photo[1].png", "sub/a.png", "sub/deep/c.png"];
    let within = |out: &str| all.map(|name| format!("{out}/{name}"));
    assert_eq!(outputs(&run("in/* -o six").json("")), within("six")[..3]);
    for line in ["in/** -o seven", "i?/** -o seven", "in/**/ -o seven"] {
        assert_eq!(outputs(&run(line).json("")), within("seven"), "{line}");
        fs::remove_dir_all(shell.path("seven")).unwrap();
    }
    assert_eq!(outputs(&run("in/*b -r -o eight").json("")), ["eight/a.png", "eight/deep/c.png"]);
    run("in/*b -o nine").ends_with(1).json("error")["error"].as_str().filter(|e| e.contains("--recursive")).unwrap();
    // The file of that name, if there is one.
    assert_eq!(outputs(&run("in/photo[1].png -o four.png").json("")), ["four.png"]);
    for missing in ["in/*.gif", "in/[.png", "in/photo[2].png"] {
        let done = run(&format!("{missing} -o five"));
        assert!(done.ends_with(1).stderr.contains(missing), "{done}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn strange_names_are_kept_and_told_on_one_line() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let shell = album();
    fs::create_dir(shell.path("odd")).unwrap();
    let names: [&[u8]; 5] = [b"it's \"a\".png", b"new\nline.png", b"-dash.png", b"\xff\xfe.png", b"{name} *.png"];
    let names = names.map(|name| OsString::from_vec(name.to_vec()));
    for name in &names {
        fs::copy(shell.path("in/a.png"), shell.path("odd").join(name)).unwrap();
    }
    let done = shell.run(&format!("denoise odd -o out {MODEL}"));
    assert_eq!(done.succeeds().stderr.lines().filter(|line| line.contains(" -> out/")).count(), 5, "{done}");
    assert!(done.stderr.contains("odd/new\\nline.png -> out/new\\nline.png ("), "{done}");
    shell.run(&format!("denoise odd -o pattern/{{name}}+.{{ext}} {MODEL}")).succeeds();
    for name in &names {
        assert!(shell.path("out").join(name).is_file(), "{name:?}");
        let mut beside = shell.path("odd").join(name).file_stem().unwrap().to_owned();
        beside.push("+.png");
        assert!(shell.path("pattern").join(beside).is_file(), "{name:?}");
        // By name, and what is wrong with it.
        let path = shell.path("odd").join(name);
        shell.run_with(&format!("denoise {MODEL}"), [&path]).succeeds();
        let done = shell.run_with(&format!("denoise {MODEL}"), [&path]);
        done.is_misused(&["-denoised.png exists already"]);
        assert_eq!(done.stderr.trim_end().lines().count(), 1, "{done}");
    }
}
