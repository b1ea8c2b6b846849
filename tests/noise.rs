//! The noise of training batches is standard normal, and independent in input and target. All bounds are four standard
//! deviations of the estimate: numbers that are right pass, once and for all, as seeds are fixed.

mod common;

use common::{Place, Run, places};
use n2n_gpu::graph::{Graph, Tensor};
use n2n_gpu::ops::{Batch, Pictures, Shards};

const GREY: u8 = 130;

/// A recorded batch of a constant grey picture.
struct Drawn {
    run: Run,
    x: Tensor,
    t: Tensor,
    pictures: Pictures,
}

impl Drawn {
    fn new(place: &Place, batch: usize, crop: usize, sigma: (f32, f32)) -> Self {
        let picture = vec![GREY; (crop + 9) * (crop + 4) * 3];
        let shards = Shards::new(std::iter::once(vec![((crop + 9, crop + 4), &picture[..])]), 1 << 20);
        let mut g = Graph::new();
        let (x, t, pictures) = g.batch(Batch { count: 1, crop, batch, pairs: false, clean_targets: false, sigma }, &shards);
        let [x, t] = [("input", x), ("target", t)].map(|(name, t)| g.output(name, t));
        let mut run = place.start(&g);
        run.executor().write_ints(pictures.table, &shards.table).unwrap();
        run.executor().write_ints(pictures.shards[0], &shards.words(0)).unwrap();
        Self { run, x, t, pictures }
    }

    /// Noise of input and target, (N, C, H, W).
    fn noise(&mut self, step: u32, seed: u32) -> [Vec<f64>; 2] {
        self.run.executor().write_ints(self.pictures.draw, &[step, seed]).unwrap();
        self.run.run();
        [self.x, self.t].map(|t| self.run.get(t).iter().map(|v| v - (f64::from(GREY) / 255.0 - 0.5)).collect())
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

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
        let mut drawn = Drawn::new(&place, batch, crop, (sigma, sigma));
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
        let mut drawn = Drawn::new(&place, 40, 16, (0.05, 0.15));
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
