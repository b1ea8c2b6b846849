//! Two noisy renders of every frame and a clean one, to try the training on renderers' pictures with (docs/renders.md):
//!
//! ```sh
//! cargo run --release --example noisy_renders -- renders 40 128 4    # folder, frames, pixels a side, samples a pixel
//! ```

mod tracer;

use std::path::Path;

use tracer::Scene;

/// Samples of a clean frame, for every one of a noisy one.
const CLEAN: u32 = 512;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().map_or("renders", String::as_str);
    let number = |i: usize, default: u32| arguments.get(i).map_or(default, |text| text.parse().expect("a whole number"));
    let (frames, side, samples) = (number(1, 40), number(2, 128), number(3, 4));
    let size = [side as usize; 2];
    for name in ["a", "b", "test/noisy", "test/clean"] {
        std::fs::create_dir_all(Path::new(folder).join(name)).expect("the folder can be made");
    }
    for frame in 0..frames {
        let file = |name: &str| Path::new(folder).join(name).join(format!("frame{frame:03}.exr"));
        let scene = Scene::new(frame);
        // One in ten is kept to measure on.
        if frame % 10 == 9 {
            scene.render(size, samples, 1).save(&file("test/noisy"), true);
            scene.render(size, CLEAN * samples, 3).save(&file("test/clean"), false);
        } else {
            scene.render(size, samples, 1).save(&file("a"), true);
            scene.render(size, samples, 2).save(&file("b"), true);
        }
    }
    println!("{frames} frames of {side}x{side} pixels in {folder}");
}
