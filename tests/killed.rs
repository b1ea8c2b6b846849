//! A training that is killed at any moment, again and again, ends with the weights of one that was not, and none of its files is
//! ever unreadable. `N2N_KILLS=1000` kills so often.

#[path = "common/cli.rs"]
mod cli;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cli::{Shell, left_out};
use safetensors::SafeTensors;

/// Kills on the CPU, and on a software adapter a quarter of that.
const KILLS: usize = 20;
/// Small: four hundred steps have fifteen validations, which write all files.
const TRAINING: &str = "--noise gaussian:25 --width 4 --levels 1 --batch 2 --crop 16 --quiet";

/// Moments to kill at, the same in every run of the test (xorshift, Marsaglia 2003).
struct Moments(u64);

impl Moments {
    /// Between nothing and `most`.
    fn next(&mut self, most: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        most.mul_f64((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// All files of a run that are there are whole.
fn check_readable(run: &Path) {
    let text = |name: &str| fs::read_to_string(run.join(name)).ok();
    if let Some(config) = text("config.toml") {
        config.parse::<toml::Table>().unwrap_or_else(|e| panic!("config.toml: {e}"));
    }
    for line in text("metrics.jsonl").iter().flat_map(|text| text.lines()) {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("metrics.jsonl: {e}: {line}"));
    }
    if let Some(page) = text("report.html") {
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "report.html is not whole");
    }
    for name in ["state.safetensors", "last.safetensors", "best.safetensors"] {
        if let Ok(bytes) = fs::read(run.join(name)) {
            SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    for picture in fs::read_dir(run.join("samples")).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if picture.extension().is_some_and(|extension| extension == "png") {
            image::open(&picture).unwrap_or_else(|e| panic!("{}: {e}", picture.display()));
        }
    }
}

/// Kills trainings of so many steps on a device so often, resumes each, and compares what comes of them.
fn kill_again_and_again(device: &str, steps: u64, kills: usize) {
    let shell = Shell::new();
    shell.picture("photos/a.png", 40, 32);
    shell.picture("val/b.png", 20, 20);
    let train = format!("train photos --val val {TRAINING} --steps {steps} --device {device}");
    let start = Instant::now();
    shell.run(&format!("{train} --out whole")).succeeds();
    let (whole, run, most) = (shell.path("whole"), shell.path("run"), start.elapsed());
    let (mut moments, mut done, mut ends) = (Moments(0x9e37_79b9_7f4a_7c15), 0, 0);
    while done < kills || run.exists() {
        let how = if run.join("state.safetensors").exists() { "--resume" } else { "--overwrite" };
        let mut command = shell.command(&format!("{train} --out run {how}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (start, moment) = (Instant::now(), if done < kills { moments.next(most) } else { Duration::MAX });
        while start.elapsed() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(500));
        }
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        check_readable(&run);
        if ended.status.code().is_none() {
            done += 1;
            continue;
        }
        assert!(ended.status.success(), "after {done} kills: {}", String::from_utf8_lossy(&ended.stderr));
        for name in ["last.safetensors", "best.safetensors"] {
            let [a, b] = [&whole, &run].map(|folder| fs::read(folder.join(name)).unwrap());
            assert!(a == b, "{name} on {device} differs after {done} kills");
        }
        fs::remove_dir_all(&run).unwrap();
        ends += 1;
    }
    tell(&format!("{device}: {done} kills in {ends} trainings"));
}

/// For people who asked for more than usual.
fn tell(what: &str) {
    if std::env::var_os("N2N_KILLS").is_some() {
        eprintln!("{what}");
    }
}

fn kills() -> usize {
    std::env::var("N2N_KILLS").map_or(KILLS, |text| text.parse().expect("N2N_KILLS is a number"))
}

#[test]
fn a_training_on_the_cpu_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    kill_again_and_again("cpu", 400, kills());
}

#[test]
fn a_training_on_an_adapter_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    if !n2n_gpu::gpu::adapters().iter().any(|adapter| adapter.name.contains("llvmpipe")) {
        return left_out("kills on a software adapter: there is no llvmpipe");
    }
    kill_again_and_again("llvmpipe", 100, kills() / 4);
}
