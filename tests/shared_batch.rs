//! A batch in parts, as accumulated gradients and several processes draw it.

mod common;

use common::{draw, places};
use n2n_gpu::nets::Transfer;
use n2n_gpu::noise::LAWS;
use n2n_gpu::ops::{Batch, Pixels, Shards};

#[test]
fn parts_of_a_batch_are_those_of_the_whole() {
    let side = 130;
    let photo = Pixels::Bytes((0..3 * side * side).map(|i| (i * 7 % 251) as u8).collect());
    for law in LAWS {
        let noise = law.examples[0].parse().unwrap();
        let batch = |count: usize| Batch {
            count: 1,
            crop: 16,
            batch: count,
            noise: Some(noise),
            clean_targets: false,
            input: [0.0, 1.0],
            target: [0.0, 1.0],
            flips: 7,
            given: false,
            targets: 1,
            grey: 0.5,
            channels: 3,
            transfers: [Transfer::None; 2],
        };
        let shards = Shards::new(vec![vec![((side, side), &photo)]], 1 << 20);
        for place in places() {
            let whole = draw(&place, batch(3), &shards, [5, 9, 0]);
            let parts = [(2, 0), (1, 2)].map(|(count, first)| draw(&place, batch(count), &shards, [5, 9, first]));
            for (exposure, whole) in whole.iter().enumerate() {
                let joined = [&parts[0][exposure][..], &parts[1][exposure]].concat();
                assert!(*whole == joined, "{} on {}", law.name, place.name());
            }
        }
    }
}
