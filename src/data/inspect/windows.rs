//! What is looked at of two shots: windows spread over what they share, so that a photograph of 24 megapixels takes hardly longer
//! than one of two.

use crate::data::picture::Picture;
use crate::data::range::{own_range, spread};

/// Side of a window, pixels.
const SIDE: usize = 256;
/// Most windows beside each other, and below each other.
const MOST: usize = 4;
/// Windows begin where blocks of JPEG and cells of a mosaic do.
const GRID: usize = 8;

/// The rectangles of two pictures of one size that show the same, where what lies at x in A lies at x + shift in B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Left and top in A.
    pub a: [usize; 2],
    /// Left and top in B.
    pub b: [usize; 2],
    /// Width and height; 0 if nothing is shared.
    pub size: [usize; 2],
}

impl Overlap {
    /// Of pictures of a size (width, height).
    pub fn new(size: [usize; 2], shift: [isize; 2]) -> Self {
        let axis = |i: usize| size[i].saturating_sub(shift[i].unsigned_abs());
        Self { a: shift.map(|s| (-s).max(0).unsigned_abs()), b: shift.map(|s| s.max(0).unsigned_abs()), size: [axis(0), axis(1)] }
    }
}

/// The same window of two shots.
pub(super) struct Window {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Each channel's plane (H, W) of A, black being 0 and white 1, and beyond.
    pub(super) a: Vec<Vec<f32>>,
    /// The same of B.
    pub(super) b: Vec<Vec<f32>>,
}

/// Values of a picture that tell its range.
const VALUES: usize = 20_000;

/// Which values of two pictures are black and white.
pub(super) fn black_and_white(pictures: [&Picture; 2]) -> [f32; 2] {
    if pictures.iter().any(|p| p.is_linear() || p.header().color.depth.bytes() == 1) {
        return [0.0, 1.0];
    }
    let sampled = |p: &Picture| spread(p.width() * p.height(), VALUES).map(|i| p.rgb(i)).collect::<Vec<_>>();
    own_range(pictures.into_iter().flat_map(sampled).flatten().collect()).unwrap_or([0.0, 1.0])
}

/// Windows of two pictures of one size: of one channel if both are grey, else of three.
pub(super) fn windows([a, b]: [&Picture; 2], shift: [isize; 2], [black, white]: [f32; 2]) -> Vec<Window> {
    let overlap = Overlap::new(a.header().size(), shift);
    let [width, height] = overlap.size.map(|side| side.min(SIDE));
    let channels = if a.header().color.grey && b.header().color.grey { 1 } else { 3 };
    let tops = starts(overlap.size[1], height, overlap.a[1]);
    let corners = tops.flat_map(|top| starts(overlap.size[0], width, overlap.a[0]).map(move |left| [left, top]));
    let window = |corner: [usize; 2]| {
        let planes = |picture: &Picture, [left, top]: [usize; 2]| {
            let mut planes = vec![Vec::with_capacity(width * height); channels];
            for i in (0..height).flat_map(|y| (0..width).map(move |x| (top + y) * picture.width() + left + x)) {
                planes.iter_mut().zip(picture.rgb(i)).for_each(|(plane, v)| plane.push((v - black) / (white - black)));
            }
            planes
        };
        let in_b = [0, 1].map(|i| corner[i] + overlap.b[i] - overlap.a[i]);
        Window { width, height, a: planes(a, corner), b: planes(b, in_b) }
    };
    if width == 0 || height == 0 { Vec::new() } else { corners.map(window).collect() }
}

/// Where windows of a side begin along an axis of what is shared, which begins at `from`: on the grid where they can.
fn starts(shared: usize, side: usize, from: usize) -> impl Iterator<Item = usize> + Clone {
    let count = (shared / side.max(1)).clamp(1, MOST);
    (0..count).map(move |k| {
        let start = from + (shared - side) * (2 * k + 1) / (2 * count);
        let on_grid = start / GRID * GRID;
        if on_grid >= from { on_grid } else { start }
    })
}

impl Window {
    /// Side of the blocks that statistics of noise are taken over: enough of them for a standard error.
    pub(super) fn block(&self) -> usize {
        if self.width.min(self.height) >= 64 { 8 } else { 4 }
    }

    /// Left and top of its blocks of a side, row by row, and how many are in a row.
    pub(super) fn blocks(&self, side: usize) -> (Vec<[usize; 2]>, usize) {
        let (columns, rows) = (self.width / side, self.height / side);
        let corners = (0..rows).flat_map(|y| (0..columns).map(move |x| [x * side, y * side]));
        (corners.collect(), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_shifted_pictures_show_the_same() {
        let at = |x: usize, y: usize| [x as u8, y as u8, (x + y) as u8];
        let picture = |left: usize, top: usize| {
            let pixels = (0..50 * 70).flat_map(|i| at(left + i % 70, top + i / 70));
            Picture::from_rgb8(70, 50, &pixels.collect::<Vec<_>>())
        };
        for shift in [[0, 0], [3, -5], [-4, 7], [69, 49], [70, 0]] {
            let [x, y] = shift.map(|s: isize| (100 - s).unsigned_abs());
            let found = windows([&picture(100, 100), &picture(x, y)], shift, [0.0, 1.0]);
            assert_eq!(found.is_empty(), shift == [70, 0]);
            assert!(found.iter().all(|w| w.a == w.b && w.a[0].len() == w.width * w.height), "{shift:?}");
        }
    }

    #[test]
    fn windows_are_spread_over_a_large_picture_and_begin_on_the_grid() {
        let found: Vec<_> = starts(6000, 256, 0).collect();
        assert!(found.len() == 4 && found.iter().all(|s| s % 8 == 0) && found[3] > 4500, "{found:?}");
        assert_eq!(starts(255, 255, 3).collect::<Vec<_>>(), [3]);
    }
}
