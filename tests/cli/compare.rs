//! `--compare` and `--tta`.

use crate::cli::{Shell, wave};
use image::{GenericImageView, Rgb};

const MODEL: &str = "--model model/last.safetensors --device cpu";

#[test]
fn before_and_after_stand_side_by_side() {
    let shell = Shell::new();
    shell.model();
    shell.picture("small.png", 60, 40);
    shell.picture("large.png", 1001, 900);
    for (name, [w, h], [left, top]) in [("small", [60, 40], [0, 0]), ("large", [800, 800], [100, 50])] {
        shell.run(&format!("denoise {name}.png -o out/{name}.png --compare both/{name}.png {MODEL}")).succeeds();
        let before = image::open(shell.path(&format!("{name}.png"))).unwrap().to_rgb8();
        let after = image::open(shell.path(&format!("out/{name}.png"))).unwrap().to_rgb8();
        let both = image::open(shell.path(&format!("both/{name}.png"))).unwrap().to_rgb8();
        assert_eq!(both.dimensions(), (2 * w + 4, h));
        assert!(*both.view(0, 0, w, h).to_image() == *before.view(left, top, w, h).to_image(), "{name}");
        assert!(*both.view(w + 4, 0, w, h).to_image() == *after.view(left, top, w, h).to_image(), "{name}");
        assert!(both.view(w, 0, 4, h).pixels().all(|(_, _, pixel)| pixel == Rgb([255; 3])));
    }
}

#[test]
fn several_comparisons_go_to_a_folder() {
    let shell = Shell::new();
    shell.model();
    shell.picture("in/a.jpg", 30, 20);
    shell.picture("in/sub/b.png", 30, 20);
    shell.run(&format!("denoise in -r -o out --compare both {MODEL}")).succeeds();
    assert_eq!((shell.names("both"), shell.names("both/sub")), (vec!["a.png".into(), "sub".into()], vec!["b.png".into()]));
    shell.run(&format!("denoise in -o new --compare both.png {MODEL}")).is_misused(&["--compare", "both.png", "folder"]);
    shell.run(&format!("denoise in/a.jpg -o new.jpg --compare both.xyz {MODEL}")).is_misused(&["both.xyz"]);
    assert!(!shell.path("new").exists() && !shell.path("new.jpg").exists());
}

#[test]
fn with_tta_a_turned_picture_gives_the_turned_result() {
    let shell = Shell::new();
    shell.model();
    let picture = wave(75, 58);
    picture.save(shell.path("upright.png")).unwrap();
    image::imageops::rotate90(&picture).save(shell.path("turned.png")).unwrap();
    let results = |options: &str| {
        ["upright", "turned"].map(|name| {
            shell.run(&format!("denoise {name}.png -o out-{name}.png --force --strength 1 {options} {MODEL}")).succeeds();
            image::open(shell.path(&format!("out-{name}.png"))).unwrap().to_rgb8()
        })
    };
    let apart = |[upright, turned]: [image::RgbImage; 2]| {
        let upright = image::imageops::rotate90(&upright);
        upright.iter().zip(turned.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    };
    // A value may be rounded the other way where sums have another order.
    assert!(apart(results("--tta")) <= 1);
    assert!(apart(results("")) > 1, "this picture does not tell the difference");
}
