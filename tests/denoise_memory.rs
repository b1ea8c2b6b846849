//! Memory that denoising and evaluation take.

#[path = "common/cli.rs"]
mod cli;

use cli::Shell;

/// Waits for the child and tells the most memory that was resident of it, MiB; nothing where the system does not tell.
fn peak_of(child: &mut std::process::Child) -> Option<f64> {
    let mut peak = None;
    // The file is gone with the child: looked at often, its last state is at most a little old, and a peak stays.
    while child.try_wait().unwrap().is_none() {
        peak = cli::peak(child).or(peak);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[test]
fn a_photograph_is_denoised_within_300_mib_beside_its_own() {
    let shell = Shell::new();
    let model = shell.model();
    let (width, height) = (4000, 3000);
    shell.picture("photo.png", width, height);
    let line = format!("denoise photo.png -o out.png --model {model} --device cpu --quiet");
    let mut child = shell.command(&line).stdout(std::process::Stdio::null()).spawn().unwrap();
    let Some(peak) = peak_of(&mut child) else {
        return cli::left_out("memory is not measured: this system does not tell it in /proc");
    };
    // What was read, and what is written.
    let own = 2.0 * f64::from(3 * width * height) / f64::from(1 << 20);
    assert!(peak - own < 300.0, "{peak:.0} MiB, of which {own:.0} are the picture's own");
    assert!(peak > own, "{peak:.0} MiB were seen, less than the picture's own {own:.0}");
}

#[test]
fn an_evaluation_takes_the_memory_of_two_pictures_of_floats_and_one_of_bytes() {
    let shell = Shell::new();
    let (width, height) = (4000, 3000);
    shell.picture("photo.png", width, height);
    let mut child =
        shell.command("eval photo.png --noise gaussian:25 --quiet").stdout(std::process::Stdio::null()).spawn().unwrap();
    let Some(peak) = peak_of(&mut child) else {
        return cli::left_out("memory is not measured: this system does not tell it in /proc");
    };
    let own = f64::from(3 * width * height * (2 * 4 + 1)) / f64::from(1 << 20);
    assert!((own - 100.0..own + 100.0).contains(&peak), "{peak:.0} MiB, where the pictures take {own:.0}");
}
