//! `denoise` with very many files.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::cli::{Shell, wave};
use image::DynamicImage;

const MODEL: &str = "--model model/last.safetensors --device cpu";

/// Writes a thousand pictures of six formats and three sizes, 8 and 16 bit, grey and colour; every fiftieth is broken.
/// Returns the names of those.
fn thousand(shell: &Shell) -> Vec<String> {
    fs::create_dir(shell.path("in")).unwrap();
    let formats = ["png", "jpg", "tiff", "bmp", "webp", "pgm"];
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    for (w, h) in [(64, 48), (31, 70), (80, 80)] {
        for extension in formats {
            let colour = DynamicImage::from(wave(w, h));
            let picture = match extension {
                "pgm" => colour.to_luma8().into(),
                "tiff" => colour.to_rgb16().into(),
                _ => colour,
            };
            let path = shell.path(&format!("sample.{extension}"));
            picture.save(&path).unwrap();
            files.push((extension, fs::read(&path).unwrap()));
            fs::remove_file(path).unwrap();
        }
    }
    let mut broken = Vec::new();
    for i in 0..1000 {
        let (extension, bytes) = &files[i % files.len()];
        let name = format!("in/{i:03}.{extension}");
        let is_broken = i % 50 == 7;
        let end = if is_broken { bytes.len() / 3 } else { bytes.len() };
        fs::write(shell.path(&name), &bytes[..end]).unwrap();
        broken.extend(is_broken.then_some(name));
    }
    broken
}

#[test]
fn twenty_broken_files_among_a_thousand_are_named_and_memory_stays_flat() {
    let shell = Shell::new();
    shell.model();
    let broken = thousand(&shell);
    let mut command = shell.command(&format!("denoise in -o out --json {MODEL}"));
    // Pictures as small as these have no work for two.
    command.env("RAYON_NUM_THREADS", "1");
    // Files, for nobody reads pipes until it has ended.
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| fs::File::create(shell.path(name)).unwrap());
    let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
    // Peaks after a quarter and at the end.
    let (mut early, mut late) = (None, None);
    while child.try_wait().unwrap().is_none() {
        let written = fs::read_dir(shell.path("out")).map_or(0, Iterator::count);
        late = crate::cli::peak(&child).or(late);
        if written < 250 {
            early = late;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| fs::read_to_string(shell.path(name)).unwrap());
    assert_eq!(child.wait().unwrap().code(), Some(1), "{stderr}");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let inputs = |key: &str| json[key].as_array().unwrap().iter().map(|f| f["input"].as_str().unwrap().to_owned());
    assert_eq!((inputs("files").count(), inputs("failed").collect::<Vec<_>>()), (980, broken.clone()));
    assert_eq!(fs::read_dir(shell.path("out")).unwrap().count(), 980);
    assert_eq!(json["error"], "20 of 1000 pictures could not be denoised");
    // Those that failed come last, one to a line.
    let errors: Vec<&str> = stderr.lines().rev().take(21).collect();
    assert!(errors[0].starts_with("error: 20 of 1000 pictures"), "{}", errors[0]);
    for (line, name) in errors[1..].iter().rev().zip(&broken) {
        assert!(line.starts_with(&format!("error: {name}: ")), "{name}: {line}");
    }
    let (Some(early), Some(late)) = (early, late) else {
        return crate::cli::left_out("memory is not measured: this system does not tell it in /proc");
    };
    // A picture takes 20 KiB on average; if every one stayed, that would be 15 MiB.
    assert!(late - early < 5.0, "{early:.1} MiB after a quarter, {late:.1} in the end");
}

#[test]
fn shards_make_up_all_pictures_and_share_none() {
    let shell = Shell::new();
    shell.model();
    for i in 0..11 {
        shell.picture(&format!("in/{}/{i}.png", i % 3), 9, 8);
    }
    let mut all = BTreeSet::new();
    let mut sizes = Vec::new();
    for i in 1..=4 {
        // In whichever order the pictures are named.
        let inputs = if i % 2 == 0 { "in/0 in/1 in/2" } else { "in/2 in/1 in/0" };
        let done = shell.run(&format!("denoise {inputs} -o out --shard {i}/4 --json {MODEL}"));
        let json = done.json("files");
        let of = if i == 4 { 2 } else { 3 };
        assert!(done.stderr.starts_with(&format!("part {i} of 4: {of} of 11 pictures\n")), "{done}");
        let files = json["files"].as_array().unwrap();
        sizes.push(files.len());
        all.extend(files.iter().map(|file| file["input"].as_str().unwrap().to_owned()));
    }
    assert_eq!((all.len(), sizes), (11, vec![3, 3, 3, 2]));
    assert_eq!(shell.names("out").len(), 11);
    let done = shell.run(&format!("denoise in/0 -o more --shard 9/9 {MODEL}"));
    assert_eq!(done.succeeds().stdout, "0 pictures denoised on cpu\n");
}
