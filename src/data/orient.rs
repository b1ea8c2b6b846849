//! Pictures turned upright.

use image::metadata::Orientation;

use super::samples::Samples;

/// Turns samples of a picture (width, height) as an orientation asks for, with the size that it has then.
pub(super) fn turn(samples: Samples, [w, h]: [usize; 2], channels: usize, orientation: Orientation) -> (Samples, [usize; 2]) {
    use Orientation::{
        FlipHorizontal, FlipVertical, NoTransforms, Rotate90, Rotate90FlipH, Rotate180, Rotate270, Rotate270FlipH,
    };
    let [width, height] = match orientation {
        NoTransforms => return (samples, [w, h]),
        Rotate180 | FlipHorizontal | FlipVertical => [w, h],
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => [h, w],
    };
    // Where the pixel at (x, y) of the upright picture is in the other.
    let from = |x: usize, y: usize| match orientation {
        NoTransforms => (x, y),
        FlipHorizontal => (w - 1 - x, y),
        Rotate180 => (w - 1 - x, h - 1 - y),
        FlipVertical => (x, h - 1 - y),
        Rotate90FlipH => (y, x),
        Rotate90 => (y, h - 1 - x),
        Rotate270FlipH => (w - 1 - y, h - 1 - x),
        Rotate270 => (w - 1 - y, x),
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let places = pixels.flat_map(|(x, y)| {
        let (x, y) = from(x, y);
        (0..channels).map(move |c| (y * w + x) * channels + c)
    });
    (samples.gather(places), [width, height])
}

#[cfg(test)]
mod tests {
    use image::DynamicImage;

    use super::*;

    #[test]
    fn pictures_turn_as_those_of_the_image_crate() {
        let bytes: Vec<u8> = (0..3 * 5 * 4).collect();
        for number in 1..=8 {
            let orientation = Orientation::from_exif(number).unwrap();
            let mut image = DynamicImage::ImageRgb8(image::RgbImage::from_raw(5, 4, bytes.clone()).unwrap());
            image.apply_orientation(orientation);
            let (turned, [width, height]) = turn(Samples::Bytes(bytes.clone()), [5, 4], 3, orientation);
            assert_eq!(
                ([width as u32, height as u32], turned.bytes()),
                ([image.width(), image.height()], image.as_bytes()),
                "{number}"
            );
        }
    }
}
