//! Where tiles and strips lie, along one axis at a time. A window is what the network is given; the middle of it is kept, so that
//! kept pixels see all they depend on:
//!
//! ```text
//! picture  |-----------------------------------------------|
//! window 0 |=================|~~~~~|            = kept
//! window 1            |~~~~~~|==========|~~~~~| ~ overlap, seen but not kept
//! window 2                        |~~~~~|==================|
//! ```
//!
//! Windows begin at multiples of what the network divides sizes by, so that an overlap may be larger than it needs to be.

use std::ops::Range;

/// Mirror image of a place beyond the end of `size` pixels (… c b a | a is the edge, not doubled; 1 pixel repeats).
pub(super) fn reflect(at: usize, size: usize) -> usize {
    let period = (2 * size).saturating_sub(2).max(1);
    let at = at % period;
    if at < size { at } else { period - at }
}

/// Shape of tiles of at most `area` pixels and sides of at most `side` for a picture: the whole of it if it fits, else about
/// square. All sizes are multiples of `multiple`, and large enough to keep some of a tile where the picture is larger.
pub(super) fn tile_shape([h, w]: [usize; 2], side: usize, area: usize, overlap: usize, multiple: usize) -> [usize; 2] {
    let least = 2 * overlap + multiple;
    let most = |size: usize, limit: usize| size.min((limit / multiple * multiple).max(least));
    let largest = {
        let (h, w) = (most(h, side), most(w, side));
        let square = area.isqrt();
        if h * w <= area {
            [h, w]
        } else if h <= square {
            [h, most(w, area / h)]
        } else if w <= square {
            [most(h, area / w), w]
        } else {
            [most(h, square), most(w, square)]
        }
    };
    [fitted(h, largest[0], overlap, multiple), fitted(w, largest[1], overlap, multiple)]
}

/// The smallest tiles that cover `size` pixels in no larger number than those of `tile` pixels: by sixteenths, so that pictures
/// of many sizes share few shapes.
pub(super) fn fitted(size: usize, tile: usize, overlap: usize, multiple: usize) -> usize {
    let count = |tile| Axis { size, tile, overlap, multiple }.windows().len();
    let least = 2 * overlap + multiple;
    let mut sizes = (1..16).map(|i| (tile * i / 16).next_multiple_of(multiple)).filter(|&smaller| smaller >= least);
    if size <= tile { size } else { sizes.find(|&smaller| count(smaller) == count(tile)).unwrap_or(tile) }
}

/// How an axis is cut into windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Pixels of the padded picture.
    pub size: usize,
    /// Pixels of a window.
    pub tile: usize,
    /// Pixels next to an inner edge of a window that are not kept.
    pub overlap: usize,
    /// What windows begin at multiples of.
    pub multiple: usize,
}

/// One window along an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// First pixel that the network sees.
    pub start: usize,
    /// Pixels that are kept.
    pub keep: Range<usize>,
}

impl Axis {
    /// Windows whose kept parts make up the axis without gap or overlap.
    pub(super) fn windows(self) -> Vec<Window> {
        let mut windows = Vec::new();
        let (mut start, mut kept) = (0, 0);
        loop {
            let end = start + self.tile;
            let keep = kept..if end >= self.size { self.size } else { end - self.overlap };
            kept = keep.end;
            windows.push(Window { start, keep });
            if kept == self.size {
                return windows;
            }
            start = ((kept - self.overlap) / self.multiple * self.multiple).min(self.size - self.tile);
        }
    }
}

/// Strips of `rows` rows down a picture of `height`. They need no overlap, as line buffers hold the rows above; but a result
/// needs rows below it, so that results are `lag` rows behind, and the first strips give none, and some come after the last row:
///
/// ```text
/// strip 0 | rows 0..8   | keeps nothing       lag = 11
/// strip 1 | rows 8..16  | keeps rows 0..5
/// strip 2 | rows 16..24 | keeps rows 5..13
/// strip 3 | (below)     | keeps rows 13..21, and so on to the last row
/// ```
pub(super) fn strips(height: usize, rows: usize, lag: usize) -> Vec<Window> {
    let behind = |row: usize| row.saturating_sub(lag).min(height);
    (0..height + lag).step_by(rows).map(|start| Window { start, keep: behind(start)..behind(start + rows) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_parts_make_up_the_axis() {
        for (size, tile, overlap, multiple) in [(64, 64, 16, 8), (320, 96, 24, 8), (1000, 72, 32, 8), (104, 96, 40, 8)] {
            let windows = Axis { size, tile, overlap, multiple }.windows();
            let mut kept = 0;
            for w in &windows {
                assert_eq!(w.keep.start, kept);
                assert!(w.keep.end > kept && w.start % multiple == 0 && w.start + tile <= size);
                assert!(w.start == 0 || w.keep.start >= w.start + overlap);
                assert!(w.start + tile == size || w.keep.end + overlap <= w.start + tile);
                kept = w.keep.end;
            }
            assert_eq!(kept, size);
        }
    }

    #[test]
    fn tiles_are_no_larger_than_asked_for() {
        assert_eq!(tile_shape([400, 600], usize::MAX, 1 << 20, 32, 8), [400, 600]);
        assert_eq!(tile_shape([400, 600], 96, 1 << 20, 32, 8), [96, 96]);
        assert_eq!(tile_shape([96, 10_000], 256, 1 << 20, 32, 8), [96, 256]);
        for size in [[4000, 6000], [4000, 304], [80, 100_000]] {
            let [h, w] = tile_shape(size, usize::MAX, 500_000, 32, 8);
            assert!(h * w <= 500_000 && h * w > 300_000 && h % 8 == 0 && w % 8 == 0, "{h}x{w}");
        }
    }

    #[test]
    fn tiles_see_little_more_than_the_picture() {
        // Two tiles of 736 pixels would see 1472 of 1024.
        assert_eq!(tile_shape([1024, 736], usize::MAX, 736 * 736, 80, 8), [600, 736]);
        let shapes: std::collections::BTreeSet<_> =
            (2000..9000).step_by(8).map(|size| tile_shape([size, size], usize::MAX, 736 * 736, 80, 8)).collect();
        assert!(shapes.len() <= 6, "{shapes:?}");
    }

    #[test]
    fn strips_keep_every_row_once_and_behind_by_the_lag() {
        let kept: Vec<_> = strips(21, 8, 11).into_iter().map(|w| (w.start, w.keep)).collect();
        assert_eq!(kept, [(0, 0..0), (8, 0..5), (16, 5..13), (24, 13..21)]);
        assert_eq!(strips(16, 8, 0).len(), 2);
    }

    #[test]
    fn reflection_mirrors_without_doubling_the_edge() {
        assert_eq!((0..9).map(|i| reflect(i, 3)).collect::<Vec<_>>(), [0, 1, 2, 1, 0, 1, 2, 1, 0]);
        assert_eq!((0..3).map(|i| reflect(i, 1)).collect::<Vec<_>>(), [0, 0, 0]);
    }
}
