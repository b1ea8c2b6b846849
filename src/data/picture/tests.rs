//! Tests of writing pictures while their rows are being made. All else that is written and read is in tests/pictures.rs.

use std::fs;

use super::super::samples::word;
use super::*;

/// A picture of so many pixels and channels, of noise.
fn noise(width: usize, height: usize, channels: usize, deep: bool) -> Picture {
    let values = crate::ops::random_normals(3, 0).map(|z| 0.5 + 0.2 * z as f32).take(width * height * channels);
    let (depth, samples) = if deep {
        (Depth::Sixteen, Samples::Words(values.map(word).collect()))
    } else {
        (Depth::Eight, Samples::Bytes(values.map(byte).collect()))
    };
    let rows = Rows { color: Color::new(channels, depth), transfer: Transfer::Display, samples };
    Picture::of_pages(Decoded { size: [width, height], rows, metadata: Metadata::default() }, 1)
}

#[test]
fn rows_that_come_one_by_one_make_the_same_file_as_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (channels, deep) in (1..=4).flat_map(|c| [(c, false), (c, true)]) {
        let picture = noise(5, 3, channels, deep);
        for name in ["b.png", "b.jpg", "b.tif", "b.webp", "b.bmp", "b.pbm", "b.ppm", "b.pgm", "b.pam"] {
            let written = |saved: Result<()>| saved.map(|()| fs::read(path(name)).unwrap()).unwrap();
            let message = |saved: Result<()>| saved.unwrap_err().to_string();
            let rows = |n| (0..n).map(|y| Ok(picture.row(y)));
            let whole = written(picture.save(&path(name)));
            let by_rows = written(picture.header().save(&path(name), rows(3)));
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
    let folder = tempfile::tempdir().unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    for channels in [1, 3] {
        let picture = noise(37, 1000, channels, false);
        let [whole, rows] = ["whole.jpg", "rows.jpg"].map(|name| folder.path().join(name));
        picture.save(&whole).unwrap();
        picture.header().save(&rows, (0..1000).map(|y| Ok(picture.row(y)))).unwrap();
        assert_eq!(fs::read(whole).unwrap(), fs::read(rows).unwrap());
    }
}
