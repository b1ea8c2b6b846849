//! What pictures take in memory, as the headers of their files have it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use exr::meta::MetaData;
use image::{ImageDecoder, ImageReader};

use super::input;
use super::picture::Picture;
use crate::error::Result;

/// Size and depth of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Pixels.
    pub pixels: u64,
    /// Values of a pixel, without alpha: 1 of a grey one, else 3.
    pub colours: u64,
    /// Bytes of a value: 1, 2 or 4.
    pub value_bytes: u64,
}

impl Extent {
    /// That of a file, by its header where that tells, else by all of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let (file, _) = input::open(path)?;
        if let Some(extent) = by_header(file) {
            return Ok(extent);
        }
        if let Ok(metadata) = MetaData::read_from_file(path, false) {
            let pixels = metadata.headers.first().map_or(0, |header| header.layer_size.area() as u64);
            return Ok(Self { pixels, colours: 3, value_bytes: 4 });
        }
        let picture = Picture::load(path)?;
        let [width, height] = picture.header().size();
        let colours = if picture.header().is_grey() { 1 } else { 3 };
        let value_bytes = picture.pixels(1).value_bytes() as u64;
        Ok(Self { pixels: (width * height) as u64, colours, value_bytes })
    }
}

fn by_header(file: File) -> Option<Extent> {
    let decoder = ImageReader::new(BufReader::new(file)).with_guessed_format().ok()?.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let kind = decoder.color_type();
    let value_bytes = u64::from(kind.bytes_per_pixel() / kind.channel_count());
    let colours = if kind.has_color() { 3 } else { 1 };
    Some(Extent { pixels: u64::from(width) * u64::from(height), colours, value_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Pixels;

    #[test]
    fn headers_tell_as_much_as_the_pictures_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let words = |colours: usize| Picture::from_pixels([5, 3], colours, Pixels::Words(vec![9; 15 * colours]));
        let floats = Picture::from_pixels([5, 3], 3, Pixels::Floats(vec![0.5; 45]));
        for (name, picture, [colours, value_bytes]) in [
            ("a.jpg", Picture::from_rgb8(5, 3, &[1; 45]), [3, 1]),
            ("b.png", words(3), [3, 2]),
            ("c.png", words(1), [1, 2]),
            ("d.tif", words(1), [1, 2]),
            ("e.exr", floats.clone(), [3, 4]),
            ("f.pfm", floats, [3, 4]),
        ] {
            let path = folder.path().join(name);
            picture.save(&path).unwrap();
            assert_eq!(Extent::of(&path).unwrap(), Extent { pixels: 15, colours, value_bytes }, "{name}");
        }
        assert!(Extent::of(&folder.path().join("none.png")).is_err());
    }
}
