//! Files: listed, paired, read with care, written whole or not at all; and folders that one process at a time writes to; and what
//! of their names and texts errors may hold.

use std::fs::{self, File};
use std::path::Path;

use n2n_gpu::data::array::load_safetensors;
use n2n_gpu::data::files::{list, lock, pair, paired, save_bytes};
use n2n_gpu::error::{Error, Result, excerpt};

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn touch(folder: &Path, names: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    for name in names {
        fs::write(folder.join(name), b"").unwrap();
    }
}

#[test]
fn folders_are_expanded_in_order_of_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    touch(root, &["b.PNG", "a.jpg", "notes.txt", ".hidden.png"]);
    touch(&root.join("inner.png"), &["c.png"]);
    let notes = root.join("notes.txt");
    let files = list(&[notes.clone(), root.to_owned()]).unwrap();
    assert_eq!(files, [notes, root.join("a.jpg"), root.join("b.PNG")]);
    touch(&root.join("empty"), &[]);
    assert!(message(list(&[root.join("empty")])).contains("has no pictures"));
    assert!(message(list(&[root.join("missing")])).contains("missing: does not exist"));
}

#[test]
fn pairs_have_the_same_stem() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    touch(&a, &["2.png", "1.png"]);
    touch(&b, &["1.jpg", "2.tif"]);
    let expected = [(a.join("1.png"), b.join("1.jpg")), (a.join("2.png"), b.join("2.tif"))];
    assert_eq!(pair(&a, &b).unwrap(), expected);
    assert_eq!(pair(&a.join("1.png"), &b.join("2.tif")).unwrap(), [(a.join("1.png"), b.join("2.tif"))]);
    assert!(message(pair(&a, &b.join("1.jpg"))).contains("two of a kind"));
    touch(&b, &["3.png", "4.png", "5.png"]);
    touch(&a, &["6.png"]);
    let text = message(pair(&a, &b));
    assert!(text.contains("6.png") && text.contains("4.png, 1 more") && !text.contains("5.png"), "{text}");
    let found = paired(&a, &b).unwrap();
    let alone = [a.join("6.png"), b.join("3.png"), b.join("4.png"), b.join("5.png")];
    assert_eq!((found.pairs.as_slice(), found.alone.as_slice()), (&expected[..], &alone[..]));
    touch(&a, &["1.webp"]);
    assert!(message(pair(&a, &b)).contains("same name"));
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_refused_unopened() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [Path::new("/dev/zero"), &pipe] {
        assert!(load_safetensors(path).unwrap_err().to_string().contains("not an ordinary file"));
    }
}

#[test]
fn no_more_memory_is_asked_for_than_a_file_may_take() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    // A file of a terabyte, none of which is there.
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(load_safetensors(&path).unwrap_err().to_string().contains("too much"));
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bin");
    save_bytes(&path, b"one").unwrap();
    save_bytes(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert!(message(save_bytes(&folder.path().join("no/a.bin"), b"")).contains("create it first"));
    fs::create_dir(folder.path().join("sub")).unwrap();
    assert!(message(save_bytes(&folder.path().join("sub"), b"")).contains("is a folder"));
    assert_eq!(names(folder.path()), ["a.bin", "sub"], "a temporary file was left behind");
}

#[cfg(unix)]
#[test]
fn temporary_files_of_the_dead_are_removed_and_those_of_the_living_stay() {
    let folder = tempfile::tempdir().unwrap();
    // A process locks what it is writing.
    let living = File::create(folder.path().join(".n2n-living.tmp")).unwrap();
    living.lock().unwrap();
    for name in [".n2n-dead.tmp", ".n2n-notes", "n2n.tmp"] {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    fs::create_dir(folder.path().join(".n2n-folder.tmp")).unwrap();
    save_bytes(&folder.path().join("a"), b"x").unwrap();
    assert_eq!(names(folder.path()), [".n2n-folder.tmp", ".n2n-living.tmp", ".n2n-notes", "a", "n2n.tmp"]);
}

#[test]
fn a_folder_is_one_writers_until_it_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let first = lock(folder.path()).unwrap();
    assert!(message(lock(folder.path())).contains("another training writes to this folder"));
    drop(first);
    drop(lock(folder.path()).unwrap());
    assert!(message(lock(&folder.path().join("missing"))).contains("nothing can be written"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_named() {
    // Nobody may create files in /proc, not even root, whom a folder's permissions would not stop.
    let text = message(save_bytes(Path::new("/proc/a.png"), b"x"));
    assert!(text.starts_with("/proc/a.png: cannot be written") && !text.contains(".tmp"), "{text}");
}

#[cfg(unix)]
#[test]
fn files_have_ordinary_permissions_and_links_stay_links() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (plain, ours, link) = (folder.path().join("plain"), folder.path().join("ours"), folder.path().join("link"));
    fs::write(&plain, b"x").unwrap();
    save_bytes(&ours, b"x").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
    std::os::unix::fs::symlink(&ours, &link).unwrap();
    save_bytes(&link, b"y").unwrap();
    assert_eq!(fs::read(&ours).unwrap(), b"y");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    save_bytes(Path::new("/dev/null"), b"x").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn no_message_commands_a_terminal() {
    let evil = "a\u{1b}[2J\u{9b}b\u{7}\r\u{202e}c";
    for error in [
        Error::file(evil, evil),
        Error::format(evil, evil),
        Error::option("x", evil),
        Error::data(evil),
        Error::device(evil, evil),
        Error::Memory(evil.into()),
        Error::Lost(evil.into()),
        Error::Unstable { step: 1, signs: evil.into() },
    ] {
        let text = error.to_string();
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}') && text.contains("a\\u{1b}[2J"), "{text:?}");
    }
    assert_eq!(Error::data("naïve 画像, \u{301}\nsecond line").to_string(), "naïve 画像, \u{301}\nsecond line");
    assert_eq!(excerpt("a\nb\u{1b}"), "a\\nb\\u{1b}");
    assert_eq!(Error::file("a\nb", "c").to_string(), "a\\nb: c");
    assert_eq!(excerpt(&"é".repeat(81)), "é".repeat(80) + "…");
}
