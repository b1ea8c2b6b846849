//! How close two pictures are: mean squared error, PSNR and SSIM, over one picture each, in f64 whatever the input. Either
//! picture may be of bytes, which takes a quarter of the memory of floats and measures the same as [`round8`] of them. Callers
//! average the per-picture values; `round8` first, for figures that compare with published ones.

use rayon::prelude::*;

/// Side of the SSIM window and its standard deviation, in pixels (Wang et al. 2004, section III.B).
const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;

/// The stabilisers `(K1 L)^2` and `(K2 L)^2` of the same paper, for values in `[0, 1]`.
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// A value of a picture.
pub trait Level: Copy + Sync {
    /// On the range `[0, 1]`.
    fn unit(self) -> f32;
}

impl Level for f32 {
    fn unit(self) -> f32 {
        self
    }
}

impl Level for u8 {
    fn unit(self) -> f32 {
        f32::from(self) / 255.0
    }
}

/// Mean squared error of two pictures of the same shape, in squared units of the values.
///
/// # Panics
/// When the lengths differ or are zero.
pub fn mse<A: Level, B: Level>(a: &[A], b: &[B]) -> f64 {
    assert_eq!(a.len(), b.len(), "mse: a has {} values but b has {}", a.len(), b.len());
    assert!(!a.is_empty(), "mse: the pictures have no values");
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(a.unit()) - f64::from(b.unit())).powi(2)).sum();
    sum / a.len() as f64
}

/// Peak signal-to-noise ratio in dB, `10 log10(1 / mse)`, of values in `[0, 1]`. Infinite for identical pictures, and
/// NaN when a value is NaN.
///
/// # Panics
/// When the lengths differ or are zero.
pub fn psnr<A: Level, B: Level>(a: &[A], b: &[B]) -> f64 {
    -10.0 * mse(a, b).log10()
}

/// Clamps to `[0, 1]` and rounds to multiples of 1/255, as an 8 bit file would. NaN stays NaN, so that a broken network
/// cannot measure well.
pub fn round8(x: &mut [f32]) {
    for x in x {
        *x = (x.clamp(0.0, 1.0) * 255.0).round() / 255.0;
    }
}

/// Structural similarity (Wang et al. 2004) of two `(H, W, 3)` pictures in `[0, 1]`: per channel, with an 11x11 Gaussian
/// window of sigma 1.5 at every position where it lies inside the picture, then the mean. A picture smaller than the
/// window gets one cut to its size, with weights that again add up to 1.
///
/// The value is the same on every run, however many threads there are.
///
/// # Panics
/// When the lengths are not `3 * width * height`, or zero.
pub fn ssim<A: Level, B: Level>(a: &[A], b: &[B], width: usize, height: usize) -> f64 {
    let len = 3 * width * height;
    assert!(a.len() == len && b.len() == len, "ssim: {width}x{height}x3 does not fit {} and {} values", a.len(), b.len());
    assert!(len > 0, "ssim: the pictures have no values");
    let (across, down) = (gaussian(width.min(WINDOW)), gaussian(height.min(WINDOW)));
    let rows = height - down.len() + 1;
    let per_row = 3 * (width - across.len() + 1);
    // Collected and then added in order: a parallel sum would depend on how the rows were split.
    let sums: Vec<f64> = (0..rows)
        .into_par_iter()
        .map_init(
            || Moments::new(3 * width),
            |moments, y| {
                let start = 3 * width * y;
                moments.gather(&a[start..], &b[start..], &down);
                (0..per_row).map(|i| moments.ssim_at(i, &across)).sum()
            },
        )
        .collect();
    sums.iter().sum::<f64>() / (rows * per_row) as f64
}

/// `size` samples of a Gaussian about their middle, with sum 1.
fn gaussian(size: usize) -> Vec<f64> {
    let middle = (size - 1) as f64 / 2.0;
    let raw: Vec<f64> = (0..size).map(|i| (-(i as f64 - middle).powi(2) / (2.0 * SIGMA * SIGMA)).exp()).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|w| w / sum).collect()
}

/// The weighted moments of one row of windows, summed down the columns but not yet across. SSIM needs the two variances
/// only as a sum, so `a^2 + b^2` is one moment.
struct Moments {
    a: Vec<f64>,       // (W, 3)
    b: Vec<f64>,       // (W, 3)
    squares: Vec<f64>, // (W, 3), a^2 + b^2
    product: Vec<f64>, // (W, 3), a b
}

impl Moments {
    fn new(len: usize) -> Self {
        Self { a: vec![0.0; len], b: vec![0.0; len], squares: vec![0.0; len], product: vec![0.0; len] }
    }

    /// `a` and `b` begin at the window's first row.
    fn gather<A: Level, B: Level>(&mut self, a: &[A], b: &[B], down: &[f64]) {
        let len = self.a.len();
        for moment in [&mut self.a, &mut self.b, &mut self.squares, &mut self.product] {
            moment.fill(0.0);
        }
        for ((&w, a), b) in down.iter().zip(a.chunks_exact(len)).zip(b.chunks_exact(len)) {
            let sums = self.a.iter_mut().zip(&mut self.b).zip(&mut self.squares).zip(&mut self.product);
            for ((&a, &b), (((sum_a, sum_b), squares), product)) in a.iter().zip(b).zip(sums) {
                let (a, b) = (f64::from(a.unit()), f64::from(b.unit()));
                *sum_a += w * a;
                *sum_b += w * b;
                *squares += w * (a * a + b * b);
                *product += w * (a * b);
            }
        }
    }

    /// The index of the paper's equation 13 for the window whose left edge, in its channel, is element `i`.
    fn ssim_at(&self, i: usize, across: &[f64]) -> f64 {
        let (mut a, mut b, mut squares, mut product) = (0.0, 0.0, 0.0, 0.0);
        for (k, &w) in across.iter().enumerate() {
            let j = i + 3 * k;
            a += w * self.a[j];
            b += w * self.b[j];
            squares += w * self.squares[j];
            product += w * self.product[j];
        }
        let variances = squares - a * a - b * b;
        let covariance = product - a * b;
        (2.0 * a * b + C1) * (2.0 * covariance + C2) / ((a * a + b * b + C1) * (variances + C2))
    }
}
