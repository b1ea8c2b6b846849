//! Runs that go on, go further, or begin with what another one had: `--resume`, `--config`, `--from`; and `runs`, which compares
//! them.

use std::fs;
use std::path::Path;

use crate::cli::{Mount, Shell, TINY, left_out};
use serde_json::{Value, json};

/// A folder with pictures, and a run of twenty steps on them.
fn shell() -> Shell {
    let shell = Shell::new();
    for name in ["photos/a.png", "photos/b.png", "held-out/c.png"] {
        shell.picture(name, 40, 32);
    }
    shell.run(&format!("train photos --val held-out --out run --seed 7 {TINY}")).succeeds();
    shell
}

fn last(shell: &Shell, run: &str) -> Vec<u8> {
    fs::read(shell.path(run).join("last.safetensors")).unwrap()
}

fn copy(shell: &Shell, from: &str, to: &str) {
    fs::create_dir_all(shell.path(to)).unwrap();
    for name in shell.names(from).iter().filter(|name| *name != "samples") {
        fs::copy(shell.path(from).join(name), shell.path(to).join(name)).unwrap();
    }
}

#[test]
fn a_run_goes_further_with_nothing_but_its_folder_and_a_new_end() {
    let shell = shell();
    copy(&shell, "run", "told");
    let mut elsewhere = shell.command("train --resume --out ../run --steps 40 --device cpu --json");
    elsewhere.current_dir(shell.path("photos"));
    let json = crate::cli::Done::of("train --resume", elsewhere).succeeds().json("psnr_estimated");
    assert_eq!(json["steps"], 40);
    let told = TINY.replace("--steps 20", "--steps 40");
    shell.run(&format!("train photos --val held-out --out told --seed 7 --resume {told}")).succeeds();
    assert!(last(&shell, "run") == last(&shell, "told"), "what is left out is not as it was");
    let rates: Vec<f64> = fs::read_to_string(shell.path("run/metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|record| record["lr"].as_f64().unwrap())
        .collect();
    // Down to nothing at the first end, and again at the second.
    assert!(rates.iter().filter(|rate| **rate < 1e-9).count() == 2 && *rates.last().unwrap() < 1e-9, "{rates:?}");
    let config: toml::Table = fs::read_to_string(shell.path("run/config.toml")).unwrap().parse().unwrap();
    assert_eq!((config["length"]["steps"].as_integer(), config["format"].as_integer()), (Some(40), Some(1)));

    let before = last(&shell, "run");
    let done = shell.run("train --resume --out run --device cpu");
    assert!(done.succeeds().stderr.contains("has reached its end") && done.stderr.contains("--resume --steps 80"), "{done}");
    assert!(last(&shell, "run") == before);
    shell.run("train --resume --out run --steps 30 --device cpu --quiet").is_misused(&["--steps 30", "trained for 40 steps"]);
    shell.run("train --resume --out run --lr 0.5 --device cpu --quiet").fails(&["state.safetensors", "lr 0.002, not 0.5"]);
    shell.run("train --resume --out run --width 8 --device cpu --quiet").fails(&["state.safetensors", "width 4, not 8"]);
    shell.run("train held-out --resume --out run --device cpu --quiet").fails(&["state.safetensors", "other pictures"]);
    shell.run("train --resume --out nothing --device cpu").fails(&["nothing/state.safetensors", "does not exist"]);
}

#[test]
fn a_run_without_pictures_in_its_configuration_wants_them() {
    let shell = shell();
    let path = shell.path("run/config.toml");
    let config = fs::read_to_string(&path).unwrap();
    let (before, _) = config.split_once("[data]").unwrap();
    let mut tables: toml::Table = config.parse().unwrap();
    tables.remove("data");
    fs::write(&path, tables.to_string()).unwrap();
    assert!(before.len() < config.len());
    shell.run("train --resume --out run --device cpu --quiet").is_misused(&["nothing to train on", "--noise", "--pairs"]);
    shell.run("train photos --val held-out --resume --out run --device cpu").succeeds();
    fs::write(&path, "format = ").unwrap();
    shell.run("train --resume --out run --device cpu --quiet").fails(&["run/config.toml", "line 1", "not TOML"]);
}

#[test]
fn a_configuration_repeats_a_run_and_flags_override_it() {
    let shell = shell();
    shell.run("train --config run/config.toml --out again --device cpu").succeeds();
    assert!(last(&shell, "again") == last(&shell, "run"), "the same configuration makes another model");
    shell.run("train --config run/config.toml --out seed --seed 8 --device cpu").succeeds();
    assert!(last(&shell, "seed") != last(&shell, "run"));
    let line = "train held-out --config run/config.toml --out other --noise gaussian:9 --steps 3 --width 6 --device cpu --json";
    assert_eq!(shell.run(line).succeeds().json("steps")["steps"], 3);
    let config: toml::Table = fs::read_to_string(shell.path("other/config.toml")).unwrap().parse().unwrap();
    assert_eq!((config["noise"].as_str(), config["net"]["width"].as_integer()), (Some("gaussian:9"), Some(6)));
    assert_eq!((config["batch"].as_integer(), config["seed"].as_integer()), (Some(2), Some(7)));
    // By hand, with paths as seen from the file.
    fs::create_dir(shell.path("by-hand")).unwrap();
    let text = "noise = \"gaussian:25\"\nbatch = 2\ncrop = 16\nlength = { steps = 2 }\ndata = { photos = [\"../photos\"] }\n\
                [net]\nname = \"unet\"\nlevels = 1\n";
    fs::write(shell.path("by-hand/a.toml"), text).unwrap();
    shell.run("train --config by-hand/a.toml --out hand --device cpu").succeeds();
    shell.run("train --config run/config.toml --out run --device cpu").fails(&["run", "earlier run"]);
}

#[test]
fn what_is_wrong_with_a_configuration_is_named() {
    let shell = Shell::new();
    shell.picture("a.png", 40, 32);
    let own = env!("CARGO_PKG_VERSION");
    for (text, names) in [
        ("bach = 2", ["bach", "batch is one"]),
        ("zzz = 2", ["zzz", "there are accumulate, augment"]),
        ("[net]\nname = \"unet\"\nwidht = 4", ["widht", "width is one in [net]"]),
        ("[net]\nname = \"tree\"", ["tree", "none of unet"]),
        ("[net]\nwidth = 4", ["[net]", "no name"]),
        ("[net]\nname = \"unet\"\nwidth = 5000", ["[net]", "5000"]),
        ("[data]\nphoto = [\"a.png\"]", ["photo ", "photos is one in [data]"]),
        ("[data]\nphotos = 3", ["data", "invalid type"]),
        ("batch = \"two\"", ["batch = \"two\"", "invalid type"]),
        ("seed = -1", ["seed = -1", "invalid value"]),
        ("schedule = \"sideways\"", ["schedule", "cosine"]),
        ("noise = 25", ["noise", "text"]),
        ("\n\nlr 2", ["line 3", "not TOML"]),
        ("format = 2\nversion = \"9.1.0\"", ["9.1.0", own]),
    ] {
        fs::write(shell.path("wrong.toml"), text).unwrap();
        shell.run("train --config wrong.toml --out run --device cpu").fails(&[&["wrong.toml"][..], &names].concat());
    }
    fs::write(shell.path("wrong.toml"), "noise = \"nonsense:1\"\ndata = { photos = [\"a.png\"] }").unwrap();
    shell.run("train --config wrong.toml --out run --device cpu").fails(&["wrong.toml", "noise = nonsense:1"]);
    fs::write(shell.path("wrong.toml"), "lr = -1\nnoise = \"gaussian:9\"\ndata = { photos = [\"a.png\"] }").unwrap();
    shell.run("train --config wrong.toml --out run --device cpu --quiet").is_misused(&["--lr", "-1"]);
    fs::write(shell.path("wrong.toml"), [0xff, 0xfe]).unwrap();
    shell.run("train --config wrong.toml --out run --device cpu").fails(&["wrong.toml", "cannot be read"]);
    shell.run("train --config none.toml --out run --device cpu").fails(&["none.toml", "cannot be read"]);
    shell.run("train --config none.toml --resume --out run --device cpu").is_misused(&["--config", "--resume"]);
    assert!(!shell.path("run").exists());
}

#[test]
fn any_model_is_trained_further() {
    let shell = shell();
    let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import/epfl-convnet.pth");
    fs::copy(state, shell.path("a.pth")).unwrap();
    shell.run("import a.pth --net epfl-convnet --mean 118 --std 63 -o imported.safetensors").succeeds();
    let info = |model: &str| {
        let json = shell.run(&format!("info {model} --json")).json("");
        ["net", "options", "range", "output_range"].map(|key| json[key].clone())
    };
    let psnr = |model: &str| {
        let done = shell.run(&format!("eval photos --noise gaussian:15 --model {model} --device cpu --json"));
        done.succeeds().json("psnr")["psnr"].as_f64().unwrap()
    };
    // One step that changes next to nothing.
    let train = "--noise gaussian:15 --steps 1 --batch 1 --crop 16 --ema 0 --device cpu --lr 1e-9 --overwrite";
    for (from, model) in
        [("gaussian", "gaussian"), ("run", "run/best.safetensors"), ("imported.safetensors", "imported.safetensors")]
    {
        let done = shell.run(&format!("train photos --from {from} --out fine {train}"));
        assert!(done.succeeds().stderr.contains(&format!(" from {from} of ")), "{done}");
        assert_eq!(info("fine/last.safetensors"), info(model));
        let (before, after) = (psnr(model), psnr("fine/last.safetensors"));
        assert!((before - after).abs() < 0.02, "{from}: {before} becomes {after} dB");
        shell.run("train --resume --out fine --steps 2 --device cpu").succeeds();
        assert_eq!(info("fine/last.safetensors"), info(model));
    }
    // A tenth of the rate of a new one.
    shell.run("train photos --from run --out slow --noise gaussian:15 --steps 1 --batch 1 --crop 16 --device cpu").succeeds();
    assert!(fs::read_to_string(shell.path("slow/config.toml")).unwrap().contains("lr = 0.0002"));
    let refused = |options: &str| shell.run(&format!("train photos --out no --noise gaussian:15 --device cpu --quiet {options}"));
    refused("--from run --width 8").is_misused(&["--width", "--from"]);
    refused("--from run --net unet").is_misused(&["--net", "--from"]);
    refused("--from none").fails(&["none", "model in the box"]);
    refused("--from photos").fails(&["photos", "no best.safetensors", "folder of a run"]);
    refused("--from a.pth").fails(&["a.pth", "import"]);
    refused("--from run --recipe n2n").is_misused(&["--from", "--recipe"]);
    shell
        .run("train photos --from run --out run --overwrite --noise gaussian:15 --device cpu")
        .is_misused(&["--from", "--overwrite"]);
    assert!(!shell.path("no").exists());
}

#[test]
fn runs_are_listed_and_compared() {
    let shell = shell();
    shell.run(&format!("train photos --out more/wide --seed 7 {}", TINY.replace("width 4", "width 8"))).succeeds();
    let done = shell.run("runs . --json");
    let runs = done.succeeds().json("runs failed")["runs"].clone();
    let of = |key: &str| runs.as_array().unwrap().iter().map(|run| run[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("path"), ["./more/wide", "./run"]);
    assert_eq!((of("steps"), of("noise")), (vec![json!(20); 2], vec![json!("gaussian:25"); 2]));
    assert!(of("psnr_estimated").iter().all(Value::is_f64), "{runs}");
    let table = shell.run("runs").succeeds().stdout.clone();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    // The one option in which they differ.
    assert_eq!(rows[0].last(), Some(&"net.width"));
    assert_eq!([rows[1][0], rows[2][0]], ["more/wide", "run"]);
    assert_eq!((rows[1].last(), rows[2].last()), (Some(&"8"), Some(&"4")));
    shell.run("runs . --report all.html").succeeds();
    let page = fs::read_to_string(shell.path("all.html")).unwrap();
    for part in ["2 runs side by side", "more/wide</li>", "--run-1", "<th>net.width</th>"] {
        assert!(page.contains(part), "no {part}");
    }
    assert_eq!(page.matches("<polyline").count(), 8, "two curves in two charts of two sizes");
    shell.run("runs . --report all.html").is_misused(&["all.html exists already"]);
    shell.run("runs . --report all.png").is_misused(&["all.png", "html"]);
    // One that cannot be read does not hide the others.
    fs::write(shell.path("run/metrics.jsonl"), "{}\n").unwrap();
    let done = shell.run("runs");
    done.ends_with(1);
    assert!(done.stdout.contains("more/wide") && done.stderr.contains("error: ./run/metrics.jsonl: line 1"), "{done}");
    shell.run("runs photos").fails(&["photos", "no runs"]);
    shell.run("runs nowhere").fails(&["nowhere", "does not exist"]);
}

#[test]
fn a_full_disk_ends_a_training_and_leaves_the_last_good_state() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    let Some(_mount) = Mount::new(&shell, "disk", "256k") else {
        return left_out("a full disk: this user may not mount a file system");
    };
    shell.run(&format!("train photo.png --out disk/run {TINY}")).succeeds();
    let before = ["state.safetensors", "last.safetensors"].map(|name| fs::read(shell.path("disk/run").join(name)).unwrap());
    // Until nothing fits.
    for (name, size) in [("disk/large", 4096), ("disk/small", 1)] {
        let mut file = fs::File::create(shell.path(name)).unwrap();
        while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
    }
    shell.run("train --resume --out disk/run --steps 40 --device cpu --quiet").fails_with(&["disk/run", "free some space"]);
    let after = ["state.safetensors", "last.safetensors"].map(|name| fs::read(shell.path("disk/run").join(name)).unwrap());
    assert!(before == after, "the state is not the one from before");
    for name in ["disk/large", "disk/small"] {
        fs::remove_file(shell.path(name)).unwrap();
    }
    let json = shell.run("train --resume --out disk/run --steps 40 --device cpu --json").succeeds().json("steps");
    assert_eq!(json["steps"], 40);
}
