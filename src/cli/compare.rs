//! Before and after, side by side, in a picture of the middle of a photo. It is not scaled down, which would hide the noise.

use std::path::Path;

use n2n_gpu::data::picture::{Picture, Rows};
use n2n_gpu::error::Error;

/// Most pixels a side of what is shown of a photo.
const SIDE: usize = 800;
/// Pixels of the white line in between.
const LINE: usize = 4;

/// A comparison that is being made.
pub(super) struct Comparison {
    /// Pixels per row of the photo.
    photo: usize,
    /// First column and row of the middle, and its size.
    first: [usize; 2],
    size: [usize; 2],
    /// Rows of the photo that were shown so far.
    seen: usize,
    /// Which values are shown as black and white.
    range: [f32; 2],
    /// `(H, W, 3)`.
    rgb: Vec<u8>,
}

impl Comparison {
    /// That of a photo, of which the other half is still to be shown; `range` has the values of black and white.
    pub(super) fn new(photo: &Picture, range: [f32; 2]) -> Self {
        let [width, height] = photo.header().size();
        let size = [width.min(SIDE), height.min(SIDE)];
        let first = [(width - size[0]) / 2, (height - size[1]) / 2];
        let rgb = vec![255; 3 * (2 * size[0] + LINE) * size[1]];
        let mut comparison = Self { photo: width, first, size, seen: 0, range, rgb };
        for y in 0..size[1] {
            comparison.put(y, 0, |x| photo.rgb((first[1] + y) * width + x));
        }
        comparison
    }

    /// Shows the next rows of the result.
    pub(super) fn show(&mut self, rows: &Rows) {
        let photo = self.photo;
        for row in 0..rows.pixels() / photo {
            let y = self.seen.wrapping_sub(self.first[1]);
            if y < self.size[1] {
                self.put(y, self.size[0] + LINE, |x| rows.rgb(row * photo + x));
            }
            self.seen += 1;
        }
    }

    /// Writes row `y` from column `at` on; `colour` is that of a column of the photo.
    fn put(&mut self, y: usize, at: usize, colour: impl Fn(usize) -> [f32; 3]) {
        let start = 3 * (y * (2 * self.size[0] + LINE) + at);
        let [black, white] = self.range;
        let level = |v: f32| (255.0 * (v - black) / (white - black) + 0.5) as u8;
        let pixels = self.rgb[start..].chunks_exact_mut(3).take(self.size[0]);
        pixels.zip(self.first[0]..).for_each(|(to, x)| to.copy_from_slice(&colour(x).map(level)));
    }

    /// Writes the file.
    pub(super) fn save(self, path: &Path) -> Result<(), Error> {
        Picture::from_rgb8(2 * self.size[0] + LINE, self.size[1], &self.rgb).save(path)
    }
}
