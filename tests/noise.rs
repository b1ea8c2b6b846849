//! The noise of training batches follows its law, and is independent in input and target; on the CPU, on every adapter, and in
//! the exposures that validation and evaluation make. All bounds are four standard deviations of the estimate, 1 in 16,000 by
//! chance: numbers that are right pass, once and for all, as seeds are fixed.

mod common;
#[path = "common/noise.rs"]
mod noise;

use common::places;
use n2n_gpu::noise::{LAWS, Noise};
use noise::{Drawn, Exposures, GREY, exposed, exposures, mean};

/// Independent standard normal numbers have a mean product of zero, with variance 1 / n.
fn assert_independent(what: &str, a: &[f64], b: &[f64]) {
    let product = mean(a.iter().zip(b).map(|(a, b)| a * b));
    let bound = 4.0 / (a.len().min(b.len()) as f64).sqrt();
    assert!(product.abs() <= bound, "{what}: a correlation of {product}, more than {bound}");
}

/// The moments of n standard normal numbers: variances 1 / n, 2 / n, 15 / n and 96 / n.
fn assert_standard_normal(what: &str, z: &[f64]) {
    for (power, wanted, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        let moment = mean(z.iter().map(|z| z.powi(power)));
        let bound = 4.0 * (variance / z.len() as f64).sqrt();
        assert!((moment - wanted).abs() <= bound, "{what}: moment {power} is {moment}, not within {bound} of {wanted}");
    }
}

#[test]
fn the_noise_of_batches_is_standard_normal_and_independent() {
    for place in places() {
        let (batch, crop) = if place.is_double() { (6, 64) } else { (3, 32) };
        let sigma = 0.1_f32;
        let mut drawn = Drawn::new(&place, batch, crop, format!("gaussian:{}", 255.0 * sigma).parse().unwrap(), GREY);
        let mut z =
            |step: u32, seed: u32| drawn.noise(step, seed).map(|v| v.iter().map(|v| v / f64::from(sigma)).collect::<Vec<_>>());
        let [x, t] = z(3, 7);
        assert_standard_normal(&format!("x on {}", place.name()), &x);
        assert_standard_normal(&format!("t on {}", place.name()), &t);
        assert_independent("input and target", &x, &t);
        let pixels = crop * crop;
        assert_independent("neighbours in a row", &x, &x[1..]);
        assert_independent("neighbours in a column", &x, &x[crop..]);
        assert_independent("channels", &x, &x[pixels..]);
        assert_independent("first and third channel", &x, &x[2 * pixels..]);
        assert_independent("crops", &x, &x[3 * pixels..]);
        for (step, seed) in [(4, 7), (3, 8)] {
            let [u, v] = z(step, seed);
            assert_independent("steps or seeds, input", &x, &u);
            assert_independent("steps or seeds, target", &t, &v);
            assert_independent("steps or seeds, input and target", &x, &v);
        }
    }
}

/// The standard deviation of 768 numbers is right to 4 / sqrt(2 * 768) = 10 %; one crop's input and target have one sigma.
#[test]
fn every_crop_has_a_sigma_of_its_own_within_the_range_for_input_and_target() {
    for place in places() {
        let mut drawn = Drawn::new(&place, 40, 16, "gaussian:12.75-38.25".parse().unwrap(), GREY);
        let [x, t] = drawn.noise(1, 1);
        let sigma = |crop: &[f64]| mean(crop.iter().map(|v| v * v)).sqrt();
        let sigmas: Vec<_> = x.chunks(768).zip(t.chunks(768)).map(|(x, t)| (sigma(x), sigma(t))).collect();
        for &(a, b) in &sigmas {
            assert!(0.045 < a && a < 0.165 && (a / b - 1.0).abs() < 0.1 * 2.0_f64.sqrt(), "{a} and {b}");
        }
        // Uniform: mean 0.1, standard deviation 0.1 / sqrt(12), of the mean of 40 thus 0.0046.
        let mean = mean(sigmas.iter().map(|s| s.0));
        assert!((mean - 0.1).abs() < 4.0 * 0.0046, "a mean sigma of {mean} on {}", place.name());
        let spread = sigmas.iter().map(|s| s.0).fold(0.0, f64::max) - sigmas.iter().map(|s| s.0).fold(1.0, f64::min);
        assert!(spread > 0.06, "sigmas spread over {spread} only");
    }
}

/// Sample mean and variance against the law's; `fourth` is the fourth central moment, which the variance of a sample variance
/// comes from. Pixels are independent, and so are channels unless `together`.
fn assert_moments(what: &str, z: &[f64], (wanted, variance, fourth): (f64, f64, f64), together: bool) {
    let n = z.len() as f64 / if together { 3.0 } else { 1.0 };
    let m = mean(z.iter().copied());
    let bound = 4.0 * (variance / n).sqrt();
    assert!((m - wanted).abs() <= bound, "{what}: a mean of {m}, not within {bound} of {wanted}");
    let v = mean(z.iter().map(|z| (z - wanted).powi(2)));
    let bound = 4.0 * ((fourth - variance * variance) / n).sqrt();
    assert!((v - variance).abs() <= bound, "{what}: a variance of {v}, not within {bound} of {variance}");
}

/// Mean and mean square of every law's values are those that its record tells. What is drawn for one crop may hang together
/// (text, a blur, a deviation of the picture's own), but crops are independent: the estimates are means of one number of each
/// crop, and their errors are taken from how those spread. Flat cells show no noise at all.
#[test]
fn every_law_has_the_moments_of_its_record() {
    let (batch, crop) = (6, 32);
    for place in places() {
        for noise in LAWS.iter().flat_map(|law| law.examples).map(|text| text.parse::<Noise>().unwrap()) {
            let Some(wanted) = noise.moments(f64::from(GREY) / 255.0) else { continue };
            let mut drawn = Drawn::new(&place, batch, crop, noise, GREY);
            let mut crops: Vec<[f64; 2]> = Vec::new();
            for step in 0..8 {
                // Input and target of a crop share what is drawn of the picture.
                let [x, t] = drawn.noise(step, 5);
                let size = 3 * crop * crop;
                for (x, t) in x.chunks(size).zip(t.chunks(size)) {
                    let values = || x.iter().chain(t).map(|v| v + f64::from(GREY) / 255.0);
                    let square = |v: f64| (v - wanted.mean).powi(2);
                    crops.push([values().sum::<f64>(), values().map(square).sum::<f64>()].map(|sum| sum / (2 * size) as f64));
                }
            }
            for (which, wanted) in [wanted.mean, wanted.variance].into_iter().enumerate() {
                let found = mean(crops.iter().map(|c| c[which]));
                let spread = mean(crops.iter().map(|c| (c[which] - found).powi(2))).sqrt();
                // Student's t of 47 degrees is beyond 5 once in 100,000 times; and kernels round values to 24 bits.
                let bound = 5.0 * spread / (crops.len() as f64).sqrt() + 1e-6;
                let what = ["mean", "variance"][which];
                assert!(
                    (found - wanted).abs() < bound,
                    "{noise} on {}: {what} {found}, not within {bound} of {wanted}",
                    place.name()
                );
            }
        }
    }
}

fn assert_uncorrelated(what: &str, a: &[f64], b: &[f64], (m, variance): (f64, f64)) {
    let normal = |v: &[f64]| v.iter().map(|v| (v - m) / variance.sqrt()).collect::<Vec<_>>();
    // Correlated channels count as one.
    let (a, b) = (normal(a), normal(b));
    let product = mean(a.iter().zip(&b).map(|(a, b)| a * b));
    let bound = 4.0 / (a.len() as f64 / 3.0).sqrt();
    assert!(product.abs() <= bound, "{what}: a correlation of {product}, more than {bound}");
}

/// Counts of mean l have variance l and fourth central moment l + 3 l^2; also where l is far below 1, and where it takes several
/// parts.
#[test]
fn poisson_noise_has_the_variance_of_counts_also_where_they_are_small() {
    for (peak, sigma, grey) in [(30.0_f64, 0.0_f64, 130), (30.0, 0.0, 1), (2.0, 0.0, 200), (300.0, 0.0, 255), (30.0, 20.0, 130)] {
        let text = if sigma == 0.0 { format!("poisson:{peak}") } else { format!("poisson-gaussian:{peak},{sigma}") };
        let noise = text.parse().unwrap();
        let l = peak * f64::from(grey) / 255.0;
        let p2 = peak.powi(2);
        let s2 = (sigma / 255.0).powi(2);
        let variance = l / p2 + s2;
        // Of a sum of independent numbers: both fourth moments and six times the product of the variances.
        let fourth = (l + 3.0 * l * l) / p2.powi(2) + 3.0 * s2 * s2 + 6.0 * s2 * l / p2;
        for Exposures { name, noise: [a, b], .. } in exposures(noise, grey) {
            let what = format!("poisson {peak}, {sigma} of {grey} on {name}");
            assert_moments(&what, &a, (0.0, variance, fourth), false);
            assert_moments(&what, &b, (0.0, variance, fourth), false);
            assert_uncorrelated(&what, &a, &b, (0.0, variance));
            if sigma == 0.0 {
                let counts = a.iter().map(|v| (v + f64::from(grey) / 255.0) * peak);
                assert!(counts.into_iter().all(|k| (k - k.round()).abs() < 1e-4), "{what}: counts are whole");
            }
        }
    }
}

/// A pixel is dropped, all channels together, with probability p: variance p (1 - p) of its value's square.
#[test]
fn bernoulli_noise_drops_the_share_of_pixels() {
    let (share, value) = (0.3_f64, 130.0 / 255.0);
    for Exposures { name, noise: [a, b], .. } in exposures("bernoulli:0.3".parse().unwrap(), 130) {
        let q = share * (1.0 - share);
        let law = (-share * value, q * value.powi(2), q * (1.0 - 3.0 * q) * value.powi(4));
        for z in [&a, &b] {
            assert_moments(&name, z, law, true);
            assert!(z.iter().all(|&v| v.abs() < 1e-6 || (v + value).abs() < 1e-6), "{name}: black or clean");
        }
        assert_uncorrelated(&name, &a, &b, (law.0, law.1));
    }
}

/// A pixel is replaced with probability p by a colour uniform in [0, 1]; moments about the mean of the mixture by integration.
#[test]
fn impulse_noise_replaces_the_share_of_pixels_by_uniform_colours() {
    let (share, value) = (0.7_f64, 51.0 / 255.0);
    let m = share * (0.5 - value);
    let about = |power: i32| {
        let steps = 10_000;
        let uniform = (0..steps).map(|i| ((f64::from(i) + 0.5) / f64::from(steps) - value - m).powi(power)).sum::<f64>();
        share * uniform / f64::from(steps) + (1.0 - share) * m.powi(power)
    };
    for Exposures { name, noise: [a, b], .. } in exposures("impulse:0.7".parse().unwrap(), 51) {
        // Whether a pixel is replaced is common to its channels.
        assert_moments(&name, &a, (m, about(2), about(4)), true);
        assert_moments(&name, &b, (m, about(2), about(4)), true);
        assert_uncorrelated(&name, &a, &b, (m, about(2)));
        let kept = a.iter().filter(|v| v.abs() < 1e-6).count() as f64 / a.len() as f64;
        let bound = 4.0 * (share * (1.0 - share) / (a.len() as f64 / 3.0)).sqrt();
        assert!((kept - (1.0 - share)).abs() < bound, "{name}: {kept} of the pixels are kept");
    }
}

/// Of the same law as the first, and independent of the input and of each other.
#[test]
fn further_targets_are_exposures_of_their_own() {
    let (batch, crop, targets) = (2, 40, 4);
    let all = ["gaussian:25", "poisson-gaussian:30,5", "bernoulli:0.5", "impulse:0.7", "pixelate:3"];
    let all = all.map(|text| text.parse::<Noise>().unwrap());
    for (place, noise) in places().iter().flat_map(|place| all.map(|noise| (place, noise))) {
        // Cells need something to choose from: rows that differ.
        let side = crop * noise.cell() + 4;
        let row = |i: usize| if noise.cell() > 1 { (i / 3 / side % 3 * 90) as u8 } else { GREY };
        let picture: Vec<u8> = (0..side * side * 3).map(row).collect();
        let [x, t] = Drawn::of(place, (batch, crop, targets), noise, &picture, (side, side), 0.0).noise(9, 4);
        let size = 3 * crop * crop;
        let target = |k: usize| t.chunks(size).skip(k).step_by(targets).flatten().copied().collect::<Vec<_>>();
        let exposures: Vec<_> = std::iter::once(x).chain((0..targets).map(target)).collect();
        let m = mean(exposures.concat().into_iter());
        let variance = mean(exposures.concat().into_iter().map(|v| (v - m).powi(2)));
        for (i, a) in exposures.iter().enumerate() {
            let (found, bound) = (mean(a.iter().copied()), 4.0 * (variance / (a.len() as f64 / 3.0)).sqrt());
            assert!((found - m).abs() < bound, "{} {noise}: exposure {i} has a mean of {found}, not {m}", place.name());
            for (j, b) in exposures.iter().enumerate().skip(i + 1) {
                assert_uncorrelated(&format!("{} {noise}, exposures {i} and {j}", place.name()), a, b, (m, variance));
            }
        }
    }
}

/// Pixels of a string are far from independent, but crops are: the share has the bound of the mean of as many crops. What is not
/// written over is clean.
#[test]
fn text_covers_its_share_differently_in_every_exposure() {
    let (batch, crop) = (4, 64);
    let pixels = crop * crop;
    // By pixel: a colour may by chance be that of the picture in one channel.
    let written = |z: &[f64], n: usize, p: usize| (0..3).any(|c| z[(n * 3 + c) * pixels + p].abs() > 1e-6);
    let crops = |z: &[f64]| {
        let share = |n| (0..pixels).filter(|&p| written(z, n, p)).count() as f64 / pixels as f64;
        (0..z.len() / (3 * pixels)).map(share).collect::<Vec<_>>()
    };
    for (place, share) in places().iter().flat_map(|place| [0.1_f32, 0.25, 0.5].map(|share| (place, share))) {
        let mut drawn = Drawn::new(place, batch, crop, format!("text:{share}").parse().unwrap(), GREY);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for step in 0..12 {
            let [x, t] = drawn.noise(step, 5);
            a.extend(crops(&x));
            b.extend(crops(&t));
        }
        let what = format!("text over {share} on {}", place.name());
        let all = [&a[..], &b].concat();
        let m = mean(all.iter().copied());
        let variance = mean(all.iter().map(|v| (v - m).powi(2)));
        let bound = 4.0 * (variance / all.len() as f64).sqrt();
        assert!((m - f64::from(share)).abs() < bound, "{what}: {m}, not within {bound}");
        let normal = |v: &[f64]| v.iter().map(|v| (v - m) / variance.sqrt()).collect::<Vec<_>>();
        assert_independent(&what, &normal(&a), &normal(&b));
    }
    let picture = vec![0.5; 512 * 512 * 3];
    let Exposures { noise: [a, b], .. } = exposed("text:0.25".parse().unwrap(), &picture, 512, 0.5);
    for z in [&a, &b] {
        // One picture is worth 64 crops.
        let (found, pixels) = ((0..512 * 512).filter(|p| (0..3).any(|c| z[c * 512 * 512 + p].abs() > 1e-6)).count(), 512 * 512);
        assert!((found as f64 / f64::from(pixels) - 0.25).abs() < 0.05, "an exposure: {found} of {pixels} pixels");
    }
    assert_ne!(a, b, "two exposures have different text");
}

/// Noise blurred by s = 2 has standard deviation 25/255, correlation exp(-d^2 / (4 s^2)) at distance d, and is worth about one
/// independent number per 4 pi s^2 = 50 pixels.
#[test]
fn brown_noise_has_its_deviation_and_the_correlation_of_its_blur() {
    for Exposures { name, noise: [a, b], width } in exposures("brown:25,2".parse().unwrap(), GREY) {
        let sigma = 25.0 / 255.0;
        let worth = a.len() as f64 / 50.0;
        for z in [&a, &b] {
            let m = mean(z.iter().copied());
            assert!(m.abs() < 4.0 * sigma / worth.sqrt(), "{name}: a mean of {m}");
            let v = mean(z.iter().map(|z| z * z)) / (sigma * sigma);
            assert!((v - 1.0).abs() < 4.0 * (2.0 / worth).sqrt(), "{name}: a variance of {v}");
            for d in [1, 3, 6] {
                let rows = z.chunks(width).flat_map(|row| row.iter().zip(&row[d..]));
                let products: Vec<_> = rows.map(|(a, b)| a * b / (sigma * sigma)).collect();
                let (found, wanted) = (mean(products.iter().copied()), (-(d as f64).powi(2) / 16.0).exp());
                assert!((found - wanted).abs() < 4.0 * (2.0 / worth).sqrt(), "{name}: {found} at {d}, not {wanted}");
            }
        }
        let product = mean(a.iter().zip(&b).map(|(a, b)| a * b / (sigma * sigma)));
        assert!(product.abs() < 4.0 / worth.sqrt(), "{name}: a correlation of {product}");
    }
}

/// A picture whose 4x4 cells all hold the values 0 to 15 times 10: each comes with probability 1/16, and the mean is 75.
#[test]
fn pixelate_gives_a_random_pixel_of_each_cell() {
    let (cell, side) = (4, 256);
    let noise: Noise = format!("pixelate:{cell}").parse().unwrap();
    let value = |p: usize| (p / side % cell * cell + p % side % cell) as u8 * 10;
    let picture: Vec<u8> = (0..side * side).flat_map(|p| [value(p); 3]).collect();
    let middle = 75.0 / 255.0;
    let batches = places().into_iter().map(|place| {
        let noise = Drawn::of(&place, (3, 32, 1), noise, &picture, (side, side), middle).noise(3, 7);
        Exposures { name: place.name(), noise, width: 32 }
    });
    let rgb: Vec<f32> = picture.iter().map(|&v| f32::from(v) / 255.0).collect();
    for Exposures { name, noise: [a, b], .. } in batches.chain([exposed(noise, &rgb, side, middle)]) {
        let values = (0..16).map(|v| f64::from(v) * 10.0 / 255.0 - middle);
        let moment = |power: i32| values.clone().map(|v| v.powi(power)).sum::<f64>() / 16.0;
        for z in [&a, &b] {
            assert_moments(&name, z, (0.0, moment(2), moment(4)), true);
            for wanted in values.clone() {
                let share = z.iter().filter(|&v| (v - wanted).abs() < 1e-5).count() as f64 / z.len() as f64;
                let bound = 4.0 * (1.0 / 16.0 / (z.len() as f64 / 3.0)).sqrt();
                assert!((share - 1.0 / 16.0).abs() < bound, "{name}: {wanted} comes in a share of {share}");
            }
        }
        assert_uncorrelated(&name, &a, &b, (0.0, moment(2)));
    }
}

/// A plan is timed before anybody wrote which pictures there are: crops are then of no picture, but read nothing beyond the
/// memory.
#[test]
fn a_table_that_nobody_wrote_points_at_no_other_memory() {
    for place in places().iter().filter(|place| !place.is_double()).skip(1) {
        let mut drawn = Drawn::new(place, 2, 8, "impulse:1e-9".parse().unwrap(), GREY);
        let empty = vec![0; 4];
        drawn.run.executor().write_ints(drawn.pictures.table, &empty).unwrap();
        let [x, _] = drawn.noise(3, 7);
        let stray = x.iter().filter(|v| v.abs() > 1e-6).count();
        assert_eq!(stray, 0, "values from elsewhere on {}", place.name());
    }
}
