//! By how much the second shot of a pair is shifted: phase correlation (Kuglin and Hines 1975) finds whole pixels, and a
//! least-squares fit of the phases the rest.
//!
//! Where B(x) = A(x - d), the spectra have B(k) = A(k) exp(-i k d), and conj(A) B has the phase -k d wherever it stands above the
//! noise.

use std::f64::consts::TAU;

use rayon::prelude::*;
use rustfft::num_complex::{Complex32, Complex64};

use super::statistics::FOUND;
use super::windows::Window;
use crate::data::fourier::{Fourier, hann, signed};

/// Frequencies count from this multiple of the median of |conj(A) B|, which is mostly noise: what is larger is mostly picture.
const ABOVE: f32 = 7.0;
/// By how much sums over frequencies vary more than if these were independent, at most. A Hann window correlates the spectrum of
/// noise with its neighbours by 2/3 and 1/6 on each axis, that of a product by the squares: 1 + 2 (4/9 + 1/36) = 1.94 on each of
/// two axes.
const INFLATION: f64 = 1.94 * 1.94;
/// Standard errors that the highest of the 65,536 places of a window stands above zero by chance in 1 of 10⁷ cases.
const PEAK: f64 = 7.0;
/// Shortest shift that is told, pixels. A blur by half of it keeps 0.98 of the amplitude of details of four pixels.
pub(super) const LEAST: f64 = 0.25;
/// How far phases are followed from the highest place of whole pixels.
const REACH: f64 = 2.0;

/// A shift and what it is known by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    /// Right and down, pixels.
    pub(super) pixels: [f64; 2],
    /// Whether it is there, beyond doubt.
    pub(super) found: bool,
}

impl Shift {
    /// Rounded to whole pixels.
    pub(super) fn whole(self) -> [isize; 2] {
        self.pixels.map(|p| p.round() as isize)
    }
}

/// A frequency in radians per pixel, and the phase of conj(A) B.
struct Phase {
    k: [f64; 2],
    phase: Complex64,
}

/// The shift that all windows of a pair share; zero where nothing tells.
pub(super) fn shift(windows: &[Window]) -> Shift {
    let none = Shift { pixels: [0.0; 2], found: false };
    let Some(first) = windows.first().filter(|w| w.width.min(w.height) >= 16) else { return none };
    let transform = Transform::new(first.width, first.height);
    let spectra: Vec<Vec<Complex32>> = windows.par_iter().map(|window| transform.phases(window)).collect();
    let phases: Vec<Phase> = spectra.iter().flat_map(|spectrum| transform.listed(spectrum)).collect();
    let sums: Vec<Complex32> = (0..spectra[0].len()).map(|i| spectra.iter().map(|s| s[i]).sum()).collect();
    let peak = transform.peak(sums);
    let pixels = refined(&phases, peak).unwrap_or(peak);
    // A sum of cosines of random phases.
    let significance = height_at(&phases, pixels) / (phases.len() as f64 * INFLATION).sqrt();
    let found = significance > PEAK && is_higher(&phases, pixels) && pixels[0].hypot(pixels[1]) >= LEAST;
    if found { Shift { pixels, found } } else { none }
}

/// Whether the correlation is higher at a place than at zero, beyond doubt. Without a shift, and with phases of e by noise alone,
/// the sum of cos(e + k d) - cos(e) has a mean below zero, and an error from sin(e) sin(k d). Opposite frequencies say the same,
/// which doubles its square.
fn is_higher(phases: &[Phase], at: [f64; 2]) -> bool {
    let spread = |p: &Phase| (turned(p.k, at).im * (p.phase * turned(p.k, at)).im).powi(2);
    let error = (2.0 * INFLATION * phases.iter().map(spread).sum::<f64>()).sqrt();
    height_at(phases, at) - height_at(phases, [0.0; 2]) > FOUND * error
}

/// Height of the correlation at a place, of one per frequency at most.
fn height_at(phases: &[Phase], at: [f64; 2]) -> f64 {
    phases.iter().map(|p| (p.phase * turned(p.k, at)).re).sum()
}

/// exp(i k d).
fn turned(k: [f64; 2], d: [f64; 2]) -> Complex64 {
    Complex64::cis(k[0] * d[0] + k[1] * d[1])
}

/// The shift near `from` that fits all phases best, by Newton's method; `None` if it leads elsewhere.
fn refined(phases: &[Phase], from: [f64; 2]) -> Option<[f64; 2]> {
    let mut at = from;
    for _ in 0..8 {
        let (mut slope, mut curve) = ([0.0; 2], [0.0; 3]);
        for p in phases {
            let rest = p.phase * turned(p.k, at);
            let products = [p.k[0] * p.k[0], p.k[0] * p.k[1], p.k[1] * p.k[1]];
            slope = [0, 1].map(|i| slope[i] - p.k[i] * rest.im);
            curve = [0, 1, 2].map(|i| curve[i] + products[i] * rest.re);
        }
        let [xx, xy, yy] = curve;
        let determinant = xx * yy - xy * xy;
        if xx <= 0.0 || determinant <= 1e-6 * xx * yy {
            return None;
        }
        let step = [(yy * slope[0] - xy * slope[1]) / determinant, (xx * slope[1] - xy * slope[0]) / determinant];
        at = [at[0] + step[0], at[1] + step[1]];
        if (at[0] - from[0]).hypot(at[1] - from[1]) > REACH {
            return None;
        }
        if step[0].hypot(step[1]) < 1e-3 {
            break;
        }
    }
    Some(at)
}

/// Fourier transforms of windows of one size, and their inverse.
struct Transform {
    width: usize,
    height: usize,
    fourier: Fourier,
    /// Hann's window along rows and columns.
    hann: [Vec<f32>; 2],
}

impl Transform {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, fourier: Fourier::new(width, height), hann: [hann(width), hann(height)] }
    }

    /// The phases of conj(A) B where they count, else 0: (W, H), as transforms along both axes leave it. Channels are added up.
    fn phases(&self, window: &Window) -> Vec<Complex32> {
        let (w, h) = (self.width, self.height);
        let grey = |planes: &[Vec<f32>]| {
            let sum: Vec<f32> = (0..w * h).map(|i| planes.iter().map(|plane| plane[i]).sum()).collect();
            let mean = (sum.iter().map(|&v| f64::from(v)).sum::<f64>() / sum.len() as f64) as f32;
            sum.into_iter().map(move |v| v - mean)
        };
        // Both in one transform, as its real and its imaginary part.
        let both = grey(&window.a).zip(grey(&window.b)).enumerate();
        let both = both.map(|(i, (a, b))| Complex32::new(a, b) * self.hann[0][i % w] * self.hann[1][i / w]);
        let both = self.fourier.forward(both.collect());
        let cross = |i: usize| {
            let (z, opposite) = (both[i], both[(w - i / h) % w * h + (h - i % h) % h].conj());
            // A is (z + opposite) / 2 and B (z - opposite) / 2i.
            (z + opposite).conj() * (z - opposite) * Complex32::new(0.0, -0.25)
        };
        let mut cross: Vec<Complex32> = (0..w * h).map(cross).collect();
        let mut sizes: Vec<f32> = cross.iter().map(|c| c.norm()).collect();
        let least = ABOVE * *sizes.select_nth_unstable_by(w * h / 2, f32::total_cmp).1;
        for (i, c) in cross.iter_mut().enumerate() {
            // The lowest are of the light, and of what is left of the mean under Hann's window.
            let low = signed(i / h, w).abs().max(signed(i % h, h).abs()) < 2.0;
            let size = c.norm();
            *c = if size > least && !low { *c / size } else { Complex32::ZERO };
        }
        cross
    }

    /// The phases of a spectrum that count, with their frequencies.
    fn listed<'a>(&'a self, spectrum: &'a [Complex32]) -> impl Iterator<Item = Phase> + 'a {
        let (w, h) = (self.width, self.height);
        let k = move |i: usize| [TAU * signed(i / h, w) / w as f64, TAU * signed(i % h, h) / h as f64];
        let counting = spectrum.iter().enumerate().filter(|(_, c)| **c != Complex32::ZERO);
        counting.map(move |(i, c)| Phase { k: k(i), phase: Complex64::new(c.re.into(), c.im.into()) })
    }

    /// Where the correlation of phases (W, H) is highest.
    fn peak(&self, sums: Vec<Complex32>) -> [f64; 2] {
        let surface = self.fourier.inverse(sums);
        let highest = surface.iter().enumerate().max_by(|(_, a), (_, b)| a.re.total_cmp(&b.re));
        let i = highest.map_or(0, |(i, _)| i);
        [signed(i % self.width, self.width), signed(i / self.width, self.height)]
    }
}
