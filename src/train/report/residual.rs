//! What a denoiser takes away from held-out pictures: noisy less denoised. Of noise that pixels have on their own, it is white;
//! what else is in it says what went wrong, which this puts into words.

use rustfft::num_complex::Complex32;

use super::chart::{Axis, Line, padded, short, ticks};
use super::curves::figure;
use super::strips::{Strip, embed};
use crate::data::fourier::{Fourier, hann, signed};
use crate::data::picture::Picture;

/// Farthest pixels whose correlation is shown.
const LAGS: usize = 16;
/// Side of the windows whose spectra are averaged (Welch 1967), pixels.
const SIDE: usize = 64;
/// Correlation of neighbours from which on noise is not white. A good result on white noise has less: what is left of details,
/// and of the noise that stays, is a tenth of the residual.
const CORRELATED: f64 = 0.1;
/// How often the power around it a frequency has that stands out. The mean of fifty windows varies by a seventh.
const PEAK: f64 = 6.0;
/// Decibels from the median to white, and to black, in the picture of a spectrum.
const DECIBELS: f64 = 12.0;
/// Standard deviations from grey to white in the picture of a residual.
const DEVIATIONS: f64 = 3.0;

/// A residual as a picture, in which grey is nothing, and by how much differences are multiplied.
pub(super) fn picture(strip: &Strip) -> (Picture, f64) {
    let values: Vec<f32> = differences(strip).collect();
    let square: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
    let deviation = (square / values.len().max(1) as f64).sqrt();
    let gain = (127.0 / (DEVIATIONS * deviation.max(1.0))).clamp(1.0, 16.0).round();
    let shown = |v: &f32| (127.5 + gain * f64::from(*v)).round().clamp(0.0, 255.0) as u8;
    let [w, h] = strip.noisy.header().size();
    (Picture::from_rgb8(w, h, &values.iter().map(shown).collect::<Vec<u8>>()), gain)
}

/// Noisy less denoised (H, W, 3), in grey levels.
fn differences(strip: &Strip) -> impl Iterator<Item = f32> {
    let [noisy, denoised] = [&strip.noisy, &strip.denoised].map(|p| p.to_rgb8().to_vec());
    noisy.into_iter().zip(denoised).map(|(a, b)| f32::from(a) - f32::from(b))
}

/// What residuals have in common, as means over pictures and channels.
struct Residual {
    /// Correlation with the pixel so far to the right, and so far below.
    correlation: [Vec<f64>; 2],
    /// Mean power of the frequencies of windows (SIDE across, SIDE down); none of small pictures.
    power: Option<Vec<f64>>,
}

impl Residual {
    /// Of pictures that are large enough, and changed at all.
    fn of(strips: &[Strip]) -> Option<Self> {
        let (mut correlation, mut count) = ([[0.0; LAGS + 1]; 2], 0.0);
        let (mut power, fourier) = (Spectrum::new(), Fourier::new(SIDE, SIDE));
        for strip in strips {
            let [w, h] = strip.noisy.header().size();
            if w.min(h) < 2 * LAGS {
                continue;
            }
            let values: Vec<f32> = differences(strip).collect();
            for channel in 0..3 {
                let mut plane: Vec<f32> = values.iter().skip(channel).step_by(3).copied().collect();
                let mean = (plane.iter().map(|v| f64::from(*v)).sum::<f64>() / plane.len() as f64) as f32;
                plane.iter_mut().for_each(|v| *v -= mean);
                let variance = product(&plane, w, [0, 0]);
                if variance < 1e-3 {
                    continue;
                }
                for (axis, sums) in correlation.iter_mut().enumerate() {
                    for (lag, sum) in sums.iter_mut().enumerate() {
                        let apart = if axis == 0 { [lag, 0] } else { [0, lag] };
                        *sum += product(&plane, w, apart) / variance;
                    }
                }
                count += 1.0;
                power.add(&plane, w, &fourier);
            }
        }
        let correlation = correlation.map(|sums| sums.map(|sum| sum / count).to_vec());
        (count > 0.0).then(|| Self { correlation, power: power.mean() })
    }

    /// The correlation of direct neighbours that is farther from none.
    fn of_neighbours(&self) -> f64 {
        let [across, down] = [0, 1].map(|axis| self.correlation[axis][1]);
        if across.abs() > down.abs() { across } else { down }
    }

    /// The period, in pixels, of a frequency with far more power than those around it.
    fn period(&self) -> Option<f64> {
        let power = self.power.as_ref()?;
        let at = |x: usize, y: usize| power[x % SIDE * SIDE + y % SIDE];
        let mut found: Option<(f64, f64)> = None;
        for (x, y) in (0..SIDE).flat_map(|x| (0..=SIDE / 2).map(move |y| (x, y))) {
            let frequency = signed(x, SIDE).hypot(signed(y, SIDE));
            if frequency < 3.0 {
                continue;
            }
            // Hann's window spreads a peak to its neighbours.
            let ring = (0..49).map(|i| (i / 7, i % 7)).filter(|(i, j)| !(2..=4).contains(i) || !(2..=4).contains(j));
            let mut around: Vec<f64> = ring.map(|(i, j)| at(x + i + SIDE - 3, y + j + SIDE - 3)).collect();
            let middle = around.len() / 2;
            let ratio = at(x, y) / around.select_nth_unstable_by(middle, f64::total_cmp).1.max(1e-9);
            if ratio > PEAK && found.is_none_or(|(most, _)| ratio > most) {
                found = Some((ratio, SIDE as f64 / frequency));
            }
        }
        found.map(|(_, period)| period)
    }

    /// What is there to see, in words.
    fn verdict(&self) -> String {
        let neighbours = self.of_neighbours();
        let correlation = if neighbours.abs() < CORRELATED {
            format!("Neighbouring pixels of what was taken away are hardly correlated ({neighbours:.2}), as of white noise.")
        } else {
            format!(
                "Neighbouring pixels of what was taken away are correlated by {neighbours:.2}: either the noise is not white, as after \
                 JPEG compression, demosaicking, scaling or a camera's own denoising, and the model suits such noise alone; or details \
                 were taken away as well."
            )
        };
        let pattern = self.period().map_or_else(String::new, |period| {
            format!(
                " A frequency stands out, with a period of {period:.1} pixels: a fixed pattern, such as lines of a sensor, a screen or \
                 blocks of JPEG; or a texture that was lost."
            )
        });
        correlation + &pattern
    }
}

/// Mean product of the values of a plane (H, W) that lie so far apart, right and down.
fn product(plane: &[f32], w: usize, [right, down]: [usize; 2]) -> f64 {
    let rows = plane.chunks_exact(w).zip(plane.chunks_exact(w).skip(down));
    let of_row = |(a, b): (&[f32], &[f32])| a.iter().zip(&b[right..]).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    rows.map(of_row).sum::<f64>() / ((plane.len() / w - down) * (w - right)) as f64
}

/// The sum of the power of windows.
struct Spectrum {
    hann: Vec<f32>,
    sum: Vec<f64>,
    windows: f64,
}

impl Spectrum {
    fn new() -> Self {
        Self { hann: hann(SIDE), sum: vec![0.0; SIDE * SIDE], windows: 0.0 }
    }

    /// Adds the windows of a plane (H, W).
    fn add(&mut self, plane: &[f32], w: usize, fourier: &Fourier) {
        for (top, left) in (0..plane.len() / w / SIDE).flat_map(|i| (0..w / SIDE).map(move |j| (i * SIDE, j * SIDE))) {
            let value = |i: usize| {
                let (y, x) = (i / SIDE, i % SIDE);
                Complex32::new(plane[(top + y) * w + left + x] * self.hann[y] * self.hann[x], 0.0)
            };
            let spectrum = fourier.forward((0..SIDE * SIDE).map(value).collect());
            self.sum.iter_mut().zip(spectrum).for_each(|(sum, v)| *sum += f64::from(v.norm_sqr()));
            self.windows += 1.0;
        }
    }

    fn mean(self) -> Option<Vec<f64>> {
        (self.windows > 0.0).then(|| self.sum.iter().map(|sum| sum / self.windows).collect())
    }
}

/// A spectrum (SIDE across, SIDE down) as a picture in decibels, with slow changes in the middle.
fn spectrum_picture(power: &[f64]) -> Picture {
    let mut sorted = power.to_vec();
    let median = *sorted.select_nth_unstable_by(power.len() / 2, f64::total_cmp).1;
    let shown = |i: usize| {
        let (y, x) = (i / SIDE, i % SIDE);
        let value = power[(x + SIDE / 2) % SIDE * SIDE + (y + SIDE / 2) % SIDE];
        let decibels = 10.0 * (value.max(1e-9) / median.max(1e-9)).log10();
        [(127.5 * (1.0 + decibels / DECIBELS)).round().clamp(0.0, 255.0) as u8; 3]
    };
    Picture::from_rgb8(SIDE, SIDE, (0..SIDE * SIDE).map(shown).collect::<Vec<_>>().as_flattened())
}

const MEANING: &str = "This is the noisy picture less the denoised one, which should look like noise alone. Edges or textures in it are \
    details that were lost: train for longer, or with a larger network. A correlation of pixels that are apart means that the noise is not \
    white, and so do bright parts of the spectrum; its middle is dark, as slow changes of noise cannot be told from the picture, and stay. \
    Bright points or lines are a pattern, which all pictures of a camera may share.";

/// The section of the page about what was taken away; nothing where there is nothing to see.
pub(super) fn section(strips: &[Strip]) -> String {
    let Some(residual) = Residual::of(strips) else { return String::new() };
    let line = |axis: usize, colour, label: &str| Line {
        points: residual.correlation[axis].iter().enumerate().map(|(lag, r)| (lag as f64, *r)).collect(),
        colour,
        label: label.to_owned(),
        width: 2,
        dashed: false,
    };
    let lines = [line(0, "--estimated", "to the right"), line(1, "--true", "below")];
    let (lo, hi) = padded(lines.iter().flat_map(|line| &line.points).map(|p| p.1), 0.05);
    let y = Axis { range: lo..hi, ticks: ticks(lo, hi, 6.0).into_iter().map(|v| (v, short(v))).collect() };
    let caption =
        "Correlation of what was taken away at a pixel and at one so far from it: of white noise, none but with itself.";
    let chart = figure("Autocorrelation of what was taken away", caption, "pixels apart", &lines, &y);
    let spectrum = residual.power.as_ref().map_or_else(String::new, |power| {
        let (_, _, source) = embed(&spectrum_picture(power), None, SIDE);
        format!(
            "<figure>\n<h2>Spectrum of what was taken away</h2>\n<img class=\"spectrum\" src=\"{source}\" alt=\"power of frequencies\">\n\
             <figcaption>Brighter is more, {DECIBELS} dB from grey to white. In the middle are slow changes, at the border those from pixel \
             to pixel; left and right of the middle changes along rows, above and below along columns.</figcaption>\n</figure>\n"
        )
    });
    format!(
        "<h2>What was taken away</h2>\n<p class=\"verdict\">{}</p>\n<p class=\"note\">{MEANING}</p>\n<div class=\"curves\">\n{chart}{spectrum}</div>\n",
        residual.verdict()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::pcg4d;

    /// A grey picture of 128x128 with noise, of which a strip takes everything away; `add` is added to its pixels.
    fn strip(add: impl Fn(usize, usize) -> f64, smooth: bool) -> Strip {
        let (w, h) = (128, 128);
        // Twelve uniform numbers are nearly Gaussian.
        let noise = |i: usize| {
            let sum: f64 = (0..3).flat_map(|j| pcg4d([i as u32, j, 1, 2])).map(|v| f64::from(v) / f64::from(u32::MAX)).sum();
            10.0 * (sum - 6.0)
        };
        let at = |i: usize| {
            let n = if smooth { (noise(i) + noise(i + 1)) / 2.0 } else { noise(i) };
            (128.0 + n + add(i % w, i / w)).round().clamp(0.0, 255.0) as u8
        };
        let noisy: Vec<u8> = (0..w * h).flat_map(|i| [at(i); 3]).collect();
        let (noisy, denoised) = (Picture::from_rgb8(w, h, &noisy), Picture::from_rgb8(w, h, &vec![128; 3 * w * h]));
        Strip { name: "a".into(), noisy, denoised, clean: None, psnr_noisy: None, psnr: None, earlier: vec![] }
    }

    #[test]
    fn white_noise_is_told_from_correlated_noise_and_from_a_pattern() {
        let of = |add: fn(usize, usize) -> f64, smooth| Residual::of(&[strip(add, smooth)]).unwrap();
        let white = of(|_, _| 0.0, false);
        assert!(white.of_neighbours().abs() < 0.03 && white.period().is_none(), "{}", white.verdict());
        assert!((white.correlation[0][0] - 1.0).abs() < 1e-9 && white.verdict().contains("hardly correlated"));
        // Means of two neighbours along rows share half of what they are made of.
        let smooth = of(|_, _| 0.0, true);
        assert!((smooth.correlation[0][1] - 0.5).abs() < 0.03 && smooth.correlation[1][1].abs() < 0.03);
        assert!(smooth.verdict().contains("not white") && smooth.period().is_none(), "{}", smooth.verdict());
        let lines = of(|x, _| if x % 8 < 4 { 4.0 } else { -4.0 }, false);
        assert!(lines.period().is_some_and(|period| (period - 8.0).abs() < 0.2), "{:?}", lines.period());
        assert!(lines.verdict().contains("period of 8.0 pixels"));
    }

    #[test]
    fn a_spectrum_has_slow_changes_in_its_middle_and_those_along_rows_beside_it() {
        let lines = Residual::of(&[strip(|x, _| 20.0 * (x as f64 * std::f64::consts::FRAC_PI_4).sin(), false)]).unwrap();
        let picture = spectrum_picture(lines.power.as_ref().unwrap()).to_rgb8().to_vec();
        let at = |x: usize, y: usize| picture[3 * (y * SIDE + x)];
        // Eight pixels are an eighth of the width.
        let (middle, apart) = (SIDE / 2, SIDE / 8);
        assert_eq!([at(middle - apart, middle), at(middle + apart, middle)], [255; 2]);
        assert!(at(middle, middle - apart) < 200 && at(middle, middle + apart) < 200);
    }

    #[test]
    fn nothing_is_told_of_pictures_that_are_too_small_or_not_changed() {
        let flat = |side: usize| Picture::from_rgb8(side, side, &vec![9; 3 * side * side]);
        for side in [16, 64] {
            let (noisy, denoised) = (flat(side), flat(side));
            let strip = Strip { name: "a".into(), noisy, denoised, clean: None, psnr_noisy: None, psnr: None, earlier: vec![] };
            assert_eq!(picture(&strip).1, 16.0);
            assert!(section(&[strip]).is_empty());
        }
        assert!(section(&[]).is_empty());
    }
}
