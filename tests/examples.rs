//! The examples run, short, and improve what they denoise.

use std::path::Path;
use std::process::Command;

fn run(example: &str, arguments: &[&str]) -> String {
    // Beside the program, where cargo builds examples of the same profile for tests.
    let program = Path::new(env!("CARGO_BIN_EXE_n2n-gpu")).with_file_name("examples").join(example);
    let output = Command::new(&program).args(arguments).output().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{example}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The two numbers of an example's last line, "A dB noisy, B dB denoised".
fn scores(example: &str, argument: &str) -> (f64, f64) {
    let text = run(example, &[argument]);
    let last = text.lines().last().unwrap();
    let numbers: Vec<f64> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers.len(), 2, "{last}");
    (numbers[0], numbers[1])
}

#[test]
fn the_network_of_the_second_report_trains_saves_and_loads() {
    let (noisy, denoised) = scores("convnet", "8");
    assert!(denoised > noisy + 1.0, "{noisy} -> {denoised}");
}

#[test]
fn a_network_written_as_straight_code_trains() {
    let (noisy, denoised) = scores("custom_unet", "150");
    assert!(denoised > noisy + 3.0, "{noisy} -> {denoised}");
}

/// Twenty trainings of a tenth of a second.
#[test]
fn the_table_of_the_first_report_has_a_row_for_every_training() {
    let text = run("reports", &["assets", "0.002", "12"]);
    let rows: Vec<Vec<&str>> = text.lines().skip(2).map(|row| row.split('|').map(str::trim).collect()).collect();
    assert_eq!(rows.len(), 20, "{text}");
    for row in &rows {
        let psnr: f64 = row[5].parse().unwrap();
        assert!(psnr.is_finite() && psnr > 3.0, "{row:?}");
    }
    let of = |column: usize, value: &str| rows.iter().filter(|row| row[column] == value).count();
    assert_eq!((of(1, "unet"), of(2, "batch"), of(3, "he"), of(4, "none")), (12, 4, 10, 10));
}

#[test]
fn a_network_of_ones_own_gets_what_the_built_in_ones_get() {
    let text = run("own_network", &["assets", "160"]);
    assert!(text.contains("resumed to the same bits: true"), "{text}");
    let difference: f32 = text.lines().last().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    // A pixel that is doubled is a sum of 64 terms (16 channels, four taps): half a unit in the last place of 1 for each of them is
    // 4e-6, and Winograd's transforms double that.
    assert!(difference < 1e-5, "{text}");
    let psnr: Vec<f64> = text.lines().next().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(psnr[2] > psnr[1] + 1.0, "{text}");
}

/// A tenth of a minute: the real comparison takes 20,000 steps on a hundred photographs.
#[test]
fn bursts_of_four_shots_train_nearly_as_well_as_fresh_noise() {
    let text = run("bursts", &["assets", "300"]);
    let lost: f64 = text.lines().last().unwrap().split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!(lost < 0.5, "{text}");
}
