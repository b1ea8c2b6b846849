//! Tests of writing pictures while their rows are being made.

use std::fs;

use super::tests::{HEIGHT, folder, message, noise, picture};
use super::*;

#[test]
fn rows_that_come_one_by_one_make_the_same_file_as_all_at_once() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    for (grey, alpha, deep) in (0..8).map(|i| (i & 1 != 0, i & 2 != 0, i & 4 != 0)) {
        let picture = picture(grey, alpha, deep);
        for name in ["b.png", "b.jpg", "b.tif", "b.webp", "b.bmp", "b.pbm", "b.ppm", "b.pgm", "b.pam"] {
            let written = |saved: Result<()>| saved.map(|()| fs::read(path(name)).unwrap()).unwrap();
            let rows = |n| (0..n).map(|y| Ok(picture.row(y)));
            let whole = written(picture.save(&path(name)));
            let by_rows = written(picture.header().save(&path(name), rows(HEIGHT)));
            // Of PNG, the pixels and all else: it is compressed in another way.
            if name == "b.png" {
                assert_eq!(Picture::load(&path(name)).unwrap(), picture);
            } else {
                assert_eq!(whole, by_rows, "{name}");
            }
            // A picture that breaks off leaves the file as it was.
            let broken = rows(1).chain([Err(Error::data("lost"))]);
            assert_eq!(message(picture.header().save(&path(name), broken)), "lost");
            let short = message(picture.header().save(&path(name), rows(2)));
            assert!(short.contains("cannot be written"), "{name}: {short}");
            assert_eq!(fs::read(path(name)).unwrap(), by_rows, "{name}");
        }
    }
}

#[test]
fn noise_takes_hardly_more_space_in_a_png_than_as_it_is() {
    let folder = folder();
    let path = folder.path().join("a.png");
    for (channels, deep) in (1..=4).flat_map(|c| [(c, false), (c, true)]) {
        let picture = noise(300, 200, channels, deep);
        picture.save(&path).unwrap();
        let (raw, whole) = ((300 * 200 * channels) << usize::from(deep), fs::metadata(&path).unwrap().len() as usize);
        picture.header().save(&path, (0..200).map(|y| Ok(picture.row(y)))).unwrap();
        let rows = fs::metadata(&path).unwrap().len() as usize;
        assert!(whole < raw + raw / 100, "{channels} channels, deep {deep}: {whole} bytes of {raw}");
        // Of 8 bit, bytes as even as these take more in the fast code, which is not known before the last row.
        assert!(rows < raw + raw / if deep { 100 } else { 3 }, "{channels} channels, deep {deep}: {rows} bytes of {raw}");
    }
}

#[test]
fn a_jpeg_of_many_rows_is_the_same_whole_and_row_by_row() {
    let folder = folder();
    for channels in [1, 3] {
        let picture = noise(37, 1000, channels, false);
        let [whole, rows] = ["whole.jpg", "rows.jpg"].map(|name| folder.path().join(name));
        picture.save(&whole).unwrap();
        picture.header().save(&rows, (0..1000).map(|y| Ok(picture.row(y)))).unwrap();
        assert_eq!(fs::read(whole).unwrap(), fs::read(rows).unwrap());
    }
}

#[test]
fn sizes_that_a_format_cannot_have_are_refused_before_the_work() {
    let folder = folder();
    for (name, most) in [("a.jpg", 65_535), ("a.webp", 16_383)] {
        let path = folder.path().join(name);
        noise(1, most, 3, false).header().check_size(&path).unwrap();
        let long = noise(most + 1, 1, 3, false);
        for message in [long.header().check_size(&path), long.save(&path)].map(message) {
            assert!(message.contains(&most.to_string()) && message.contains("such as PNG"), "{message}");
        }
        assert!(!path.exists());
    }
}
