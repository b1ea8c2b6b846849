//! `denoise` on files of all kinds: depths, pages and what cannot be kept.

#[path = "common/cli.rs"]
mod cli;
#[path = "common/tiff.rs"]
mod tiff_files;

use std::fs;
use std::path::Path;

use cli::Shell;
use n2n_gpu::data::picture::{Pages, Picture};
use tiff_files::{Page, file, long};

const DENOISE: &str = "--model model/last.safetensors --device cpu";

fn shell() -> Shell {
    let shell = Shell::new();
    shell.model();
    shell
}

fn ramp(count: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|i| (i % 97) as f32 / 97.0 * scale).collect()
}

fn write(shell: &Shell, name: &str, pages: &[Page]) {
    fs::write(shell.path(name), file(pages, &[])).unwrap();
}

fn load(path: &Path) -> Picture {
    Picture::load(path).unwrap()
}

#[test]
fn every_page_is_denoised_in_its_place() {
    let shell = shell();
    let pages: Vec<Page> = [20, 120, 220].iter().map(|grey| Page::bytes([24, 20], 1, &[*grey; 480])).collect();
    write(&shell, "stack.tif", &pages);
    shell.run(&format!("denoise stack.tif -o out.tif {DENOISE}")).succeeds();
    let out: Vec<Picture> = Pages::open(&shell.path("out.tif")).unwrap().map(Result::unwrap).collect();
    let means: Vec<f32> = out.iter().map(|page| page.to_rgb().iter().sum::<f32>() / (24.0 * 20.0 * 3.0)).collect();
    assert!(means.windows(2).all(|pair| pair[0] < pair[1]) && means.len() == 3, "{means:?}");
    // Each as when it is alone.
    write(&shell, "second.tif", &pages[1..2]);
    shell.run(&format!("denoise second.tif -o alone.tif {DENOISE}")).succeeds();
    assert_eq!(load(&shell.path("alone.tif")).to_rgb(), out[1].to_rgb());
    shell.run(&format!("denoise stack.tif -o out.png {DENOISE}")).fails(&["out.png", "3 pages", "tif"]);
}

#[test]
fn the_noise_of_every_page_is_told() {
    let shell = Shell::new();
    let noisy = |deviation: u32| {
        let noise = |i: u32| n2n_gpu::ops::pcg4d([i, deviation, 0, 0])[0] % (2 * deviation + 1);
        Page::bytes([64, 64], 1, &(0..64 * 64).map(|i| (128 + noise(i) - deviation) as u8).collect::<Vec<_>>())
    };
    write(&shell, "stack.tif", &[noisy(4), noisy(40), Page::bytes([4, 4], 1, &[100; 16])]);
    let done = shell.run("denoise stack.tif -o out.tif --device cpu --json");
    let file = &done.succeeds().json("files")["files"][0];
    let noise: Vec<Option<f64>> = file["pages"].as_array().unwrap().iter().map(|page| page["noise"].as_f64()).collect();
    let [Some(little), Some(much), None] = noise[..] else { panic!("{file}") };
    assert!(file["noise"] == little && little < 5.0 && much > little + 3.0, "{file}");
    assert!(done.stderr.contains(&format!("noise of about {little:.1} to {much:.1} of 255, strength ")), "{done}");
    assert!(done.stderr.contains("; 1 page too small, or too black and white, to tell its noise: strength 1)"), "{done}");
}

#[test]
fn a_broken_page_fails_its_file_alone_and_leaves_nothing_half_written() {
    let shell = shell();
    let mut pages = vec![Page::bytes([8, 8], 1, &[100; 64]); 500];
    pages[249] = pages[249].clone().with(long(273, 1 << 30));
    fs::create_dir(shell.path("in")).unwrap();
    write(&shell, "in/a.tif", &pages);
    shell.picture("in/b.png", 40, 32);
    let done = shell.run(&format!("denoise in -o out {DENOISE}"));
    assert!(done.ends_with(1).stderr.contains("in/a.tif: page 250 of 500 is cut short"), "{done}");
    assert_eq!(shell.names("out"), ["b.png"]);
}

#[test]
fn floating_point_keeps_its_range() {
    let shell = shell();
    let values: Vec<f32> = ramp(24 * 20 * 3, 9000.0).iter().map(|v| v - 50.0).collect();
    write(&shell, "in.tif", &[Page::floats([24, 20], 3, &values)]);
    load(&shell.path("in.tif")).save(&shell.path("in.exr")).unwrap();
    for name in ["tif", "exr"] {
        shell.run(&format!("denoise in.{name} -o same.{name} --strength 0 {DENOISE}")).succeeds();
        shell.run(&format!("denoise in.{name} -o out.{name} {DENOISE}")).succeeds();
        let [before, same, after] =
            [format!("in.{name}"), format!("same.{name}"), format!("out.{name}")].map(|name| load(&shell.path(&name)));
        assert_eq!(after.header(), before.header());
        let far = before.to_rgb().into_iter().zip(same.to_rgb()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-5, "{far}");
        assert!(after.to_rgb().iter().any(|v| *v > 2.0) && after != before);
    }
}

#[test]
fn an_openexr_picture_of_one_pixel_is_denoised() {
    let shell = shell();
    write(&shell, "one.tif", &[Page::halves([1, 1], 3, &[0.5, 2.0, -0.125])]);
    load(&shell.path("one.tif")).save(&shell.path("one.exr")).unwrap();
    shell.run(&format!("denoise one.exr -o out.exr {DENOISE}")).succeeds();
    assert_eq!(load(&shell.path("out.exr")).header(), load(&shell.path("one.exr")).header());
}

#[test]
fn a_picture_of_sixty_thousand_columns_is_denoised() {
    let shell = shell();
    let words: Vec<u16> = (0..60_000 * 3).map(|i| (i % 60_000) as u16).collect();
    write(&shell, "wide.tif", &[Page::words([60_000, 3], 1, &words)]);
    shell.run(&format!("denoise wide.tif -o out.tif {DENOISE}")).succeeds();
    assert_eq!(load(&shell.path("out.tif")).header(), load(&shell.path("wide.tif")).header());
    shell.run(&format!("denoise wide.tif -o out.webp {DENOISE}")).fails(&["out.webp", "16383 pixels a side"]);
}

#[test]
fn depth_and_alpha_are_lost_only_by_force_and_metadata_with_a_remark() {
    let shell = shell();
    write(&shell, "deep.tif", &[Page::words([24, 20], 1, &[7000; 480])]);
    write(&shell, "float.tif", &[Page::floats([24, 20], 3, &ramp(1440, 1.0))]);
    write(&shell, "alpha.tif", &[Page::bytes([24, 20], 4, &[77; 1920])]);
    write(&shell, "named.tif", &[Page::bytes([24, 20], 3, &[77; 1440]).with((700, 1, b"<xmp/>".to_vec()))]);
    let refused = |line: &str, parts: &[&str]| {
        shell.run(&format!("denoise {line} {DENOISE}")).fails(parts);
        assert!(!shell.path(line.split(' ').nth(2).unwrap()).exists());
    };
    refused("deep.tif -o a.jpg", &["a.jpg: a JPEG file cannot hold the 16 bit depth", "png, tif"]);
    refused("float.tif -o a.png", &["a.png: a PNG file cannot hold floating point values", "tif, pfm, exr"]);
    refused("alpha.tif -o a.jpg", &["a.jpg: a JPEG file cannot hold the alpha channel", "png, tif"]);
    let done = shell.run(&format!("denoise named.tif -o a.bmp {DENOISE}"));
    assert!(done.succeeds().stderr.contains("a.bmp: this format cannot hold the XMP data"), "{done}");
    let done = shell.run(&format!("denoise named.tif -o b.bmp --quiet {DENOISE}"));
    assert!(done.succeeds().stderr.is_empty(), "{done}");
    let done = shell.run(&format!("denoise deep.tif -o a.jpg --force {DENOISE}"));
    assert!(done.succeeds().stderr.contains("a.jpg: this format cannot hold the 16 bit depth"), "{done}");
}

#[test]
fn raw_files_and_animations_are_named_and_the_others_done() {
    let shell = shell();
    fs::create_dir(shell.path("in")).unwrap();
    write(&shell, "in/a.tif", &[Page::bytes([8, 8], 1, &[100; 64]).with(long(50_706, 0x0401))]);
    shell.picture("in/b.png", 40, 32);
    let done = shell.run(&format!("denoise in -o out {DENOISE}"));
    assert!(done.ends_with(1).stderr.contains("in/a.tif: is a raw file of a camera"), "{done}");
    assert_eq!(shell.names("out"), ["b.png"]);
}

#[test]
fn trainings_and_measures_want_files_of_one_picture() {
    let shell = shell();
    write(&shell, "stack.tif", &vec![Page::bytes([40, 32], 1, &[100; 1280]); 2]);
    let wanted = ["stack.tif", "has 2 pages where a single picture is wanted"];
    shell.run(&format!("train stack.tif --out run {}", cli::TINY)).fails(&wanted);
    shell.run("eval stack.tif --noise gaussian:25").fails(&wanted);
}
