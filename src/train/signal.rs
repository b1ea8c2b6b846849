//! The range of the pictures that a network is trained on.

use super::TrainingPicture;
use crate::data::range::{own_range, spread};
use crate::ops::Pixels;

/// Pictures that are looked at, at most, and values of each.
const PICTURES: usize = 200;
const VALUES: usize = 20_000;

/// Which values of noisy pictures are black and white, where they are others than 0 and 1: pictures of bytes, and renders, have
/// none such.
pub fn signal<'a>(pictures: impl IntoIterator<Item = &'a TrainingPicture>) -> Option<[f32; 2]> {
    let pictures: Vec<&TrainingPicture> = pictures.into_iter().collect();
    let plain = |p: &&TrainingPicture| p.linear || p.channels > 3 || matches!(p.pixels, Pixels::Bytes(_));
    if pictures.iter().any(plain) {
        return None;
    }
    let step = pictures.len().div_ceil(PICTURES).max(1);
    let sampled = |p: &TrainingPicture| spread(p.pixels.count(), VALUES).map(|i| p.pixels.value(i)).collect::<Vec<_>>();
    own_range(pictures.into_iter().step_by(step).flat_map(sampled).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::random_normals;

    fn of(pixels: Pixels) -> Option<[f32; 2]> {
        let side = pixels.count().isqrt();
        let picture = TrainingPicture { name: String::new(), width: side, height: side, pixels, channels: 1, linear: false };
        signal(&[picture.clone(), picture])
    }

    #[test]
    fn counts_that_fill_little_of_their_range_get_one_of_their_own() {
        let noise: Vec<f64> = random_normals(1, 0).take(250_000).collect();
        let words = |low: f64, high: f64| {
            let ramp = |i: usize| low + (high - low) * i as f64 / noise.len() as f64;
            Pixels::Words(noise.iter().enumerate().map(|(i, z)| (ramp(i) + 3.0 * z) as u16).collect())
        };
        let [low, high] = of(words(100.0, 400.0)).unwrap().map(|v| v * 65_535.0);
        assert!((low - 100.0).abs() < 10.0 && (high - 400.0).abs() < 10.0, "{low} {high}");
        assert_eq!(of(words(0.0, 60_000.0)), None);
        assert_eq!(of(Pixels::Bytes(vec![3; 100])), None);
        let floats = |low: f32, high: f32| of(Pixels::Floats((0..10_000).map(|i| low + (high - low) * i as f32 / 1e4).collect()));
        assert_eq!([floats(-0.1, 1.2), floats(0.0, 0.9), floats(3.0, 3.0)], [None; 3]);
        assert!(floats(0.0, 4000.0).is_some() && floats(1000.0, 1001.0).is_some() && floats(0.0, 0.01).is_some());
        // Hot pixels are no signal.
        let hot = (0..100_000).map(|i| if i % 5000 == 0 { 65_535 } else { (i % 300) as u16 });
        assert!(of(Pixels::Words(hot.collect())).is_some_and(|[_, high]| high < 0.01));
    }
}
