//! The noise of batches and of evaluation fits the whole of its law, not only the moments that noise.rs looks at: tests of
//! Kolmogorov and Smirnov, and of Pearson, by their p-values. Below 1e-4 they refuse; seeds are fixed.

mod common;
#[path = "common/noise.rs"]
mod noise;

use std::collections::BTreeSet;

use common::places;
use noise::{Drawn, Exposures, GREY, exposures};
use statrs::distribution::{ChiSquared, ContinuousCDF, Discrete, Normal, Poisson, Uniform};
use statrs::stats_tests::{NaNPolicy, chisquare::chisquare, ks_test};

const LEAST: f64 = 1e-4;

/// Numbers of a continuous law.
fn assert_fits(what: &str, values: Vec<f64>, law: &impl ContinuousCDF<f64, f64>) {
    let method = ks_test::KSOneSampleAlternativeMethod::TwoSidedAsymptotic;
    let (count, (distance, p)) = (values.len(), ks_test::ks_onesample(values, law, method, NaNPolicy::Error).unwrap());
    assert!(p > LEAST, "{what}: p = {p:e}, {count} numbers are up to {distance} from their law");
}

#[test]
fn gaussian_noise_is_normal() {
    let sigma = 25.0_f64;
    let law = Normal::new(0.0, sigma / 255.0).unwrap();
    for Exposures { name, noise, .. } in exposures(format!("gaussian:{sigma}").parse().unwrap(), GREY) {
        for (i, z) in noise.into_iter().enumerate() {
            assert_fits(&format!("exposure {i}, {name}"), z, &law);
        }
    }
}

#[test]
fn impulses_are_of_uniform_colours() {
    let grey = 51.0 / 255.0;
    for Exposures { name, noise, .. } in exposures("impulse:0.7".parse().unwrap(), 51) {
        for (i, z) in noise.into_iter().enumerate() {
            let replaced = z.into_iter().filter(|v| v.abs() > 1e-6).map(|v| v + grey);
            assert_fits(&format!("exposure {i}, {name}"), replaced.collect(), &Uniform::new(0.0, 1.0).unwrap());
        }
    }
}

/// Every string is of a colour of its own: of the colours met, each once, every channel is uniform over the grey levels.
#[test]
fn strings_are_of_uniform_colours() {
    let (crop, batch) = (64, 4);
    for place in places() {
        let mut drawn = Drawn::new(&place, batch, crop, "text:0.25".parse().unwrap(), 0);
        let mut colours = BTreeSet::new();
        for step in 0..12 {
            for z in drawn.noise(step, 5) {
                let level = |n: usize, p: usize, c: usize| (z[(n * 3 + c) * crop * crop + p] * 255.0).round() as usize;
                colours
                    .extend((0..batch * crop * crop).map(|i| [0, 1, 2].map(|c| level(i / (crop * crop), i % (crop * crop), c))));
            }
        }
        colours.remove(&[0; 3]);
        for c in 0..3 {
            let mut counts = [0; 16];
            colours.iter().for_each(|colour| counts[colour[c] / 16] += 1);
            let (_, p) = chisquare(&counts, None, None).unwrap();
            assert!(colours.len() > 500 && p > LEAST, "channel {c} on {}: p = {p:e}, {counts:?}", place.name());
        }
    }
}

/// Counts from a mean of 15 on, where the sampler draws in several parts, down to one of 0.1; those too rare for the test of
/// Pearson, expected less than ten times, as one.
#[test]
fn poisson_noise_counts_as_poisson_does() {
    for (peak, grey) in [(30.0, 130), (30.0, 1), (2.0, 200), (60.0, 255)] {
        let mean = peak * f64::from(grey) / 255.0;
        let law = Poisson::new(mean).unwrap();
        for Exposures { name, noise, .. } in exposures(format!("poisson:{peak}").parse().unwrap(), grey) {
            for z in noise {
                let n = z.len() as f64;
                let count = |v: f64| ((v + f64::from(grey) / 255.0) * peak).round() as u64;
                let common: Vec<u64> = (0..300).filter(|&k| n * law.pmf(k) >= 10.0).collect();
                let mut seen: Vec<usize> = common.iter().map(|&k| z.iter().filter(|&&v| count(v) == k).count()).collect();
                let mut wanted: Vec<f64> = common.iter().map(|&k| n * law.pmf(k)).collect();
                seen.push(z.len() - seen.iter().sum::<usize>());
                wanted.push(n - wanted.iter().sum::<f64>());
                let terms = seen.iter().zip(&wanted).map(|(&o, e)| (o as f64 - e).powi(2) / e);
                let law = ChiSquared::new(common.len() as f64).unwrap();
                let p = law.sf(terms.sum());
                assert!(p > LEAST, "counts of mean {mean} on {name}: p = {p:e}");
            }
        }
    }
}
