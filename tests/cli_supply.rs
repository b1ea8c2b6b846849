//! `train` on more pictures than --memory holds, as a user runs it.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/supplies.rs"]
mod supplies;

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use cli::{Done, Shell, wave};
use supplies::photographs;

/// A network and a training small enough for any machine, for which pictures of 4 MiB and more are read while it trains.
const TINY: &str = "--width 4 --levels 1 --batch 32 --crop 16 --device cpu --memory 4";

/// Ends a training by Ctrl-C while it trains, and goes on with it: to the same bits as one that was not ended.
#[track_caller]
fn equals_a_resumed_one(shell: &Shell, data: &str) -> Done {
    let tiny = if data.contains("--memory") { TINY.replace(" --memory 4", "") } else { TINY.to_owned() };
    let whole = shell.run(&format!("train {data} --out whole --steps 200 --json {tiny}"));
    assert!(whole.succeeds().stderr.contains("and --memory is "), "{whole}");
    let mut child = shell.command(&format!("train {data} --out parts --steps 200 --quiet {tiny}")).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    // A machine may be so fast that it has come to its end, or so slow that it has not begun.
    if child.wait().unwrap().code() != Some(0) {
        if shell.path("parts/state.safetensors").exists() {
            shell.run("train --resume --out parts --device cpu").succeeds();
        } else {
            shell.run(&format!("train {data} --out parts --overwrite --steps 200 {tiny}")).succeeds();
        }
    }
    let [a, b] = ["whole", "parts"].map(|run| fs::read(shell.path(run).join("last.safetensors")).unwrap());
    assert!(a == b, "{data}: the weights differ");
    whole
}

#[test]
fn photographs_in_folders_within_folders_are_read_while_it_trains() {
    let shell = Shell::new();
    for folder in ["photos/a", "photos/b/c"] {
        photographs(&shell.path(folder), 30);
    }
    fs::write(shell.path("photos/a/05.png"), "broken").unwrap();
    let done = equals_a_resumed_one(&shell, "photos --recursive --noise gaussian:25");
    assert_eq!(done.json("left_out")["left_out"], 1);
    assert_eq!(done.stderr.matches("05.png").count(), 1, "{done}");
    let config: toml::Table = fs::read_to_string(shell.path("whole/config.toml")).unwrap().parse().unwrap();
    assert_eq!((config["memory"].as_integer(), config["pictures"].as_integer()), (Some(4), Some(57)));
    assert_eq!(config["data"]["recursive"].as_bool(), Some(true));
    shell.run(&format!("train photos -r --noise gaussian:25 --strict --out strict --steps 60 {TINY}")).fails_with(&["05.png"]);
}

/// Shots of a scene: its picture, each a little brighter than the one before.
fn shots(shell: &Shell, files: &[String], scene: u32) {
    for (file, i) in files.iter().zip(0..) {
        let mut picture = wave(224, 200 - scene % 5);
        picture.pixels_mut().for_each(|p| p.0[0] = p.0[0].wrapping_add((3 * i + 5 * scene) as u8));
        let path = shell.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture.save(path).unwrap();
    }
}

#[test]
fn pairs_are_read_while_it_trains_and_mended() {
    let shell = Shell::new();
    (0..24).for_each(|scene| shots(&shell, &[format!("a/{scene}.png"), format!("b/{scene}.png")], scene));
    let done = equals_a_resumed_one(&shell, "--pairs a b --match");
    assert!(done.stderr.contains("looked at 24 scenes") && !done.stderr.contains("a look at"), "{done}");
}

/// Every scene has a shot that cannot be used: if that cost the scene, there would be nothing to train on.
#[test]
fn a_bad_shot_costs_no_scene_that_is_read_while_it_trains() {
    let shell = Shell::new();
    let shot = |scene: u32, i: u32| format!("bursts/{scene:02}/{i:02}.png");
    let mut named = vec!["bursts/empty: has no pictures".to_owned(), "bursts/one: has one shot only".to_owned()];
    for scene in 0..41 {
        // Of the last one, two shots of many can be used.
        let (count, bad) = if scene == 40 { (12, 10) } else { (3, 1) };
        shots(&shell, &(0..count).map(|i| shot(scene, i)).collect::<Vec<_>>(), scene);
        for i in 0..bad {
            let (name, path) = (shot(scene, i), shell.path(&shot(scene, i)));
            match scene % 3 {
                0 => wave(64, 64).save(&path).unwrap(),
                1 => fs::write(&path, "broken").unwrap(),
                // By its header it is as good as others.
                _ => fs::write(&path, &fs::read(&path).unwrap()[..5000]).unwrap(),
            }
            named.push(name + if scene % 3 == 0 { ": has 64x64 pixels, but others of its scene 224x" } else { ": " });
        }
    }
    fs::create_dir_all(shell.path("bursts/empty")).unwrap();
    shots(&shell, &["bursts/one/0.png".to_owned()], 1);
    let done = equals_a_resumed_one(&shell, "--burst bursts --memory 9");
    for what in &named {
        assert_eq!(done.stderr.matches(&format!("left out: {what}")).count(), 1, "{what}: {done}");
    }
    assert_eq!(done.json("left_out")["left_out"], named.len());
    assert!(!done.stderr.contains("bursts/40: "), "{done}");
    let config: toml::Table = fs::read_to_string(shell.path("whole/config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["pictures"].as_integer(), Some(39));
    let strict =
        shell.run(&format!("train --burst bursts --strict --out strict --steps 9 {}", TINY.replace("--memory 4", "--memory 9")));
    strict.fails_with(&["bursts/empty"]);
    assert!(!shell.path("strict").exists());
}

#[test]
fn bursts_are_read_while_it_trains_some_shots_at_a_time() {
    let shell = Shell::new();
    for scene in 0..26 {
        // More than a slot has room for, and fewer.
        let count = if scene % 3 == 0 { 11 } else { 2 + scene % 3 };
        shots(&shell, &(0..count).map(|i| format!("bursts/{scene}/{i}.png")).collect::<Vec<_>>(), scene);
    }
    let data = "--burst bursts --memory 16";
    shell.run(&format!("train {data} --out run --steps 20 {}", TINY.replace(" --memory 4", ""))).succeeds();
    let refused = shell.run(&format!("train --burst bursts --out run2 --steps 20 {TINY}"));
    assert!(
        refused.ends_with(2).stderr.contains("--memory: too little for pieces of 128 pixels a side: give 9 MiB"),
        "{refused}"
    );
    // Neither a look at the pictures nor a folder came before it.
    assert!(!refused.stderr.contains("looked at") && !shell.path("run2").exists(), "{refused}");
    let refused = shell.run("train --burst bursts --out run2 --memory -5");
    refused.is_misused(&["'-5'", "--memory <MIB>"]);
    assert!(!refused.stderr.contains("-- -5"), "{refused}");
}

/// Waits for the child and tells the most memory that was resident of it, MiB; nothing where the system does not tell.
fn peak_of(child: &mut Child) -> Option<f64> {
    let mut peak = None;
    while child.try_wait().unwrap().is_none() {
        peak = cli::peak(child).or(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    peak
}

/// All of them take 240 MiB, once; they are held more than once. A few are in memory while they are decoded.
#[test]
fn memory_does_not_grow_with_the_pictures() {
    let shell = Shell::new();
    let first = shell.picture("photos/first.jpg", 1400, 1000);
    for i in 0..60 {
        fs::hard_link(&first, shell.path(&format!("photos/{i}.jpg"))).unwrap();
    }
    let line = format!("train photos --noise gaussian:25 --out run --steps 150 --quiet {TINY}");
    let Some(peak) = peak_of(&mut shell.command(&line).spawn().unwrap()) else {
        return cli::left_out("memory of a training: this system does not tell it");
    };
    assert!(peak < 200.0, "{peak:.0} MiB");
}
