//! Noise that stays: a sensor's hot pixels, rows and columns, dust. Both shots of a scene have it, so that no difference shows it
//! and a network learns to keep it. But other scenes have it, too, at the same place.

use super::statistics::Measured;
use super::windows::Window;

/// Side of the blocks whose sums are independent of each other, pixels.
const SIDE: usize = 16;
/// Details of a scene count up to this many typical sizes, so that its edges do not drown its noise.
const CLIP: f32 = 3.0;
/// Variance of a value less the mean of its four neighbours, of that of independent values.
const LAPLACIAN: f64 = 1.25;

/// The finest details of a pair: each value less the mean of its neighbours, in the mean of both shots.
pub(super) struct Details(Vec<Plane>);

struct Plane {
    width: usize,
    values: Vec<f32>,
}

impl Details {
    pub(super) fn new(windows: &[Window]) -> Self {
        let planes = windows.iter().flat_map(|window| {
            window.a.iter().zip(&window.b).map(|(a, b)| {
                let mean: Vec<f32> = a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect();
                Plane { width: window.width, values: clipped(laplacian(&mean, window.width)) }
            })
        });
        Self(planes.collect())
    }
}

/// Zero at the borders.
fn laplacian(values: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    let height = values.len() / width;
    for y in 1..height.saturating_sub(1) {
        for i in y * width + 1..(y + 1) * width - 1 {
            out[i] = values[i] - 0.25 * (values[i - 1] + values[i + 1] + values[i - width] + values[i + width]);
        }
    }
    out
}

fn clipped(mut values: Vec<f32>) -> Vec<f32> {
    let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    let middle = sizes.len() / 2;
    let most = CLIP * *sizes.select_nth_unstable_by(middle, f32::total_cmp).1 / 0.674_5;
    values.iter_mut().for_each(|v| *v = v.clamp(-most, most));
    values
}

/// What scenes of one size share.
#[derive(Default)]
pub(super) struct Pattern {
    /// Details of all scenes, added up.
    sums: Vec<Plane>,
    /// Products of the details of each two scenes, added up over blocks and pairs.
    products: Vec<f64>,
    scenes: usize,
    pairs: usize,
}

impl Pattern {
    pub(super) fn add(&mut self, Details(planes): Details) {
        self.scenes += 1;
        if self.sums.is_empty() {
            self.products = vec![0.0; planes.iter().map(blocks_of).sum()];
            self.sums = planes;
            return;
        }
        self.pairs += self.scenes - 1;
        let mut products = &mut self.products[..];
        for (sum, plane) in self.sums.iter_mut().zip(&planes) {
            let columns = plane.width.div_ceil(SIDE);
            let (blocks, rest) = products.split_at_mut(blocks_of(plane));
            for (i, (sum, value)) in sum.values.iter_mut().zip(&plane.values).enumerate() {
                blocks[i / plane.width / SIDE * columns + i % plane.width / SIDE] += f64::from(*sum * value);
                *sum += value;
            }
            products = rest;
        }
    }

    /// Standard deviation of what stays, of 1, if it is there beyond doubt.
    pub(super) fn deviation(&self) -> Option<f64> {
        if self.pairs == 0 {
            return None;
        }
        let pixels: usize = self.sums.iter().map(|plane| plane.values.len()).sum();
        let product = Measured::mean(&self.products);
        let variance = product.value * self.products.len() as f64 / (pixels * self.pairs) as f64 / LAPLACIAN;
        product.exceeds(0.0).then(|| variance.sqrt())
    }
}

fn blocks_of(plane: &Plane) -> usize {
    plane.width.div_ceil(SIDE) * (plane.values.len() / plane.width).div_ceil(SIDE)
}
