//! Whether two shots show the same scene, by details of some pixels: differences between blocks beside each other.

use super::brightness::{Block, side};
use super::statistics::Measured;
use super::windows::Window;
use crate::data::picture::Picture;

/// Share of details in common, 1 of one scene and about 0 of two, from which on shots count as of one.
pub(super) const SAME: f64 = 0.5;
/// Side of a thumbnail.
const SIDE: usize = 32;
/// Most pixels that a place of a thumbnail is the mean of, on each axis.
const SAMPLES: usize = 16;

/// Products of differences between a block and the next: of A, of B, and of A with B, each of halves with noise of their own.
struct Products {
    a: f64,
    b: f64,
    both: f64,
}

/// Whether two shots lack details of each other, most of them and beyond doubt. `blocks` are those of each window.
pub(super) fn differ(windows: &[Window], blocks: &[Vec<Block>]) -> bool {
    let products = windows.iter().zip(blocks).flat_map(|(window, blocks)| {
        let (_, columns) = window.blocks(side(window));
        let pairs = (0..blocks.len()).flat_map(move |i| {
            let right = (!(i + 1).is_multiple_of(columns)).then_some((i, i + 1));
            let down = (i + columns < blocks.len()).then_some((i, i + columns));
            right.into_iter().chain(down)
        });
        pairs.map(|(i, j)| products(&blocks[i], &blocks[j]))
    });
    let products: Vec<Products> = products.collect();
    let measured = |of: fn(&Products) -> f64| Measured::mean(&products.iter().map(of).collect::<Vec<_>>());
    let details = measured(|p| 0.5 * (p.a + p.b));
    // Of one scene, shots have all details in common, but for those that move.
    let lacking = measured(|p| 0.5 * (p.a + p.b) - p.both);
    details.exceeds(0.0) && lacking.exceeds(0.0) && lacking.value > SAME * details.value
}

fn products(block: &Block, next: &Block) -> Products {
    let [a0, a1, b0, b1] = [next.a[0] - block.a[0], next.a[1] - block.a[1], next.b[0] - block.b[0], next.b[1] - block.b[1]];
    Products { a: a0 * a1, b: b0 * b1, both: 0.5 * (a0 * b1 + a1 * b0) }
}

/// A picture's details in 32x32 places, of length 1, to find others of the same scene.
pub(super) struct Thumbnail(Vec<f32>);

impl Thumbnail {
    pub(super) fn new(picture: &Picture) -> Self {
        let [width, height] = picture.header().size();
        let bounds = |k: usize, n: usize| (k * n / SIDE, ((k + 1) * n / SIDE).max(k * n / SIDE + 1));
        let samples = |(from, to): (usize, usize)| (from..to).step_by((to - from).div_ceil(SAMPLES));
        let mean = |i: usize| {
            let (rows, columns) = (samples(bounds(i / SIDE, height)), samples(bounds(i % SIDE, width)));
            let pixels = rows.flat_map(|y| columns.clone().map(move |x| y * width + x));
            let (count, sum) = pixels.fold((0.0, 0.0), |(n, sum), i| (n + 1.0, sum + picture.rgb(i).iter().sum::<f32>()));
            sum / count
        };
        let places: Vec<f32> = (0..SIDE * SIDE).map(mean).collect();
        // Differences to the neighbours' mean: what brightens the sky of most photographs is no detail.
        let near = |i: usize| {
            let (x, y) = (i % SIDE, i / SIDE);
            let beside = [
                (x > 0).then(|| i - 1),
                (x + 1 < SIDE).then(|| i + 1),
                (y > 0).then(|| i - SIDE),
                (y + 1 < SIDE).then(|| i + SIDE),
            ];
            let beside: Vec<f32> = beside.into_iter().flatten().map(|j| places[j]).collect();
            beside.iter().sum::<f32>() / beside.len() as f32
        };
        let details: Vec<f32> = (0..SIDE * SIDE).map(|i| places[i] - near(i)).collect();
        let length = details.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        Self(details.into_iter().map(|v| v / length).collect())
    }

    /// Whether there are no details at all.
    pub(super) fn is_flat(&self) -> bool {
        self.0.iter().all(|v| *v == 0.0)
    }

    /// Correlation with another, which for other scenes is 0 with a standard error of about 1/32.
    pub(super) fn correlation(&self, other: &Self) -> f64 {
        f64::from(self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum::<f32>())
    }
}
