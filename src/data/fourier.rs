//! Fourier transforms of planes of one size, for what is looked at by its frequencies: shifts between pictures, and residuals.

use std::f64::consts::TAU;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

/// Transforms of planes (H, W) along both axes, and their inverse, which multiplies by H W.
pub(crate) struct Fourier {
    width: usize,
    height: usize,
    rows: [Arc<dyn Fft<f32>>; 2],
    columns: [Arc<dyn Fft<f32>>; 2],
}

impl Fourier {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let mut planner = FftPlanner::new();
        let rows = [planner.plan_fft_forward(width), planner.plan_fft_inverse(width)];
        let columns = [planner.plan_fft_forward(height), planner.plan_fft_inverse(height)];
        Self { width, height, rows, columns }
    }

    /// The spectrum (W, H) of a plane (H, W).
    pub(crate) fn forward(&self, mut plane: Vec<Complex32>) -> Vec<Complex32> {
        self.rows[0].process(&mut plane);
        let mut spectrum = transposed(&plane, self.width);
        self.columns[0].process(&mut spectrum);
        spectrum
    }

    /// The plane (H, W) of a spectrum (W, H).
    pub(crate) fn inverse(&self, mut spectrum: Vec<Complex32>) -> Vec<Complex32> {
        self.columns[1].process(&mut spectrum);
        let mut plane = transposed(&spectrum, self.height);
        self.rows[1].process(&mut plane);
        plane
    }
}

/// Rows of a length as columns.
fn transposed(values: &[Complex32], width: usize) -> Vec<Complex32> {
    (0..width).flat_map(|x| values.iter().skip(x).step_by(width).copied()).collect()
}

/// Hann's window, which falls to nothing at both ends.
pub(crate) fn hann(n: usize) -> Vec<f32> {
    (0..n).map(|i| 0.5 - 0.5 * (TAU * (i as f64 + 0.5) / n as f64).cos() as f32).collect()
}

/// Place `i` of `n`, of which those beyond the half are the negative ones.
pub(crate) fn signed(i: usize, n: usize) -> f64 {
    if 2 * i > n { i as f64 - n as f64 } else { i as f64 }
}
