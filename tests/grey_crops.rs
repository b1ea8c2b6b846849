//! Crops that are learned from in grey: `Batch::grey`.

mod common;

use common::{draw, places};
use n2n_gpu::nets::Transfer;
use n2n_gpu::ops::{Batch, Pixels, Shards};

const SIDE: usize = 8;
const CROPS: usize = 400;

/// A pair of pictures of one colour each: red and green.
fn batch(share: f32) -> (Batch, Shards) {
    let flat = |rgb: [f32; 3]| Pixels::Floats(rgb.repeat(SIDE * SIDE));
    let pair = [flat([1.0, 0.0, 0.0]), flat([0.0, 1.0, 0.0])];
    let range = [0.0, 1.0];
    let batch = Batch {
        count: 1,
        crop: SIDE,
        batch: CROPS,
        noise: None,
        clean_targets: false,
        input: range,
        target: range,
        flips: 0,
        given: false,
        targets: 1,
        grey: share,
        channels: 3,
        transfers: [Transfer::None; 2],
    };
    (batch, Shards::new([pair.iter().map(|p| ((SIDE, SIDE), p)).collect()], 1 << 20))
}

/// First pixels of all crops of the input and of the target.
fn drawn(place: &common::Place, share: f32) -> [Vec<[f64; 3]>; 2] {
    let (batch, shards) = batch(share);
    let pixels = SIDE * SIDE;
    draw(place, batch, &shards, [3, 1, 0])
        .map(|drawn| drawn.chunks(3 * pixels).map(|crop| [0, 1, 2].map(|c| crop[c * pixels])).collect())
}

/// A grey crop is what its weights make of red in one exposure and of green in the other. Weights that are uniform on the
/// triangle of sum 1 have a mean of 1/3 and a variance of 1/18, and red and green have a covariance of -1/36.
#[test]
fn a_share_of_the_crops_is_grey_by_the_same_weights_in_both_exposures() {
    let share = 0.25;
    for place in places() {
        let [x, t] = drawn(&place, share);
        let is_grey = |[r, g, b]: [f64; 3]| r == g && g == b;
        let grey: Vec<(f64, f64)> = x.iter().zip(&t).filter(|(x, _)| is_grey(**x)).map(|(x, t)| (x[0], t[0])).collect();
        for (x, t) in x.iter().zip(&t) {
            assert_eq!(is_grey(*x), is_grey(*t), "both exposures are grey, or neither");
            assert!(is_grey(*x) || (*x == [1.0, 0.0, 0.0] && *t == [0.0, 1.0, 0.0]), "{x:?} {t:?} on {}", place.name());
        }
        let n = CROPS as f64;
        // Four standard deviations of a binomial number.
        assert!((grey.len() as f64 - f64::from(share) * n).abs() < 4.0 * (n * 0.25 * 0.75).sqrt(), "{} are grey", grey.len());
        let m = grey.len() as f64;
        let [red, green] = [grey.iter().map(|v| v.0).sum::<f64>() / m, grey.iter().map(|v| v.1).sum::<f64>() / m];
        let error = (1.0 / 18.0 / m).sqrt();
        assert!((red - 1.0 / 3.0).abs() < 4.0 * error && (green - 1.0 / 3.0).abs() < 4.0 * error, "{red} {green}");
        let covariance = grey.iter().map(|v| (v.0 - red) * (v.1 - green)).sum::<f64>() / m;
        assert!((covariance + 1.0 / 36.0).abs() < 4.0 / 18.0 / m.sqrt() && grey.iter().all(|v| v.0 + v.1 <= 1.0 + 1e-6));
    }
}

#[test]
fn without_a_share_no_crop_is_grey_and_with_all_of_it_every_one() {
    for place in places() {
        let [x, _] = drawn(&place, 0.0);
        assert!(x.iter().all(|v| *v == [1.0, 0.0, 0.0]));
        let [x, t] = drawn(&place, 1.0);
        assert!(x.iter().chain(&t).all(|v| v[0] == v[1] && v[1] == v[2]), "on {}", place.name());
    }
}
