//! Noise as training batches and evaluation draw it, everywhere.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use n2n_gpu::graph::{Graph, Tensor};
use n2n_gpu::noise::{Clean, Noise};
use n2n_gpu::ops::{Batch, Pictures, Pixels, Shards, Transfer};

use super::common::{Place, Run, places};

pub(crate) const GREY: u8 = 130;

/// A recorded batch of a constant grey picture.
pub(crate) struct Drawn {
    pub(crate) run: Run,
    x: Tensor,
    t: Tensor,
    pub(crate) pictures: Pictures,
    grey: f64,
}

impl Drawn {
    pub(crate) fn new(place: &Place, batch: usize, crop: usize, noise: Noise, grey: u8) -> Self {
        let side = crop * noise.cell();
        let picture = vec![grey; (side + 9) * (side + 4) * 3];
        Self::of(place, (batch, crop, 1), noise, &picture, (side + 9, side + 4), f64::from(grey) / 255.0)
    }

    /// Batches of (pictures, pixels a side, targets).
    pub(crate) fn of(
        place: &Place,
        (batch, crop, targets): (usize, usize, usize),
        noise: Noise,
        picture: &[u8],
        size: (usize, usize),
        grey: f64,
    ) -> Self {
        let shards = Shards::new([vec![(size, &Pixels::Bytes(picture.to_vec()))]], 1 << 20);
        let mut g = Graph::new();
        let (noise, range) = (Some(noise), [0.0, 1.0]);
        let options = Batch {
            count: 1,
            crop,
            batch,
            noise,
            clean_targets: false,
            input: range,
            target: range,
            flips: 0,
            given: false,
            targets,
            grey: 0.0,
            channels: 3,
            transfers: [Transfer::None; 2],
        };
        let drawn = g.batch(options, &shards);
        let [x, t] = [("input", drawn.x), ("target", drawn.t)].map(|(name, t)| g.output(name, t));
        let mut run = place.start(&g);
        run.executor().write_ints(drawn.pictures.table, &shards.rows()).unwrap();
        run.executor().write_ints(drawn.pictures.shards[0], &shards.words(0)).unwrap();
        Self { run, x, t, pictures: drawn.pictures, grey }
    }

    /// Noise of input and target, (N, C, H, W).
    pub(crate) fn noise(&mut self, step: u32, seed: u32) -> [Vec<f64>; 2] {
        self.run.executor().write_ints(self.pictures.draw, &[step, seed]).unwrap();
        self.run.run();
        [self.x, self.t].map(|t| self.run.get(t).iter().map(|v| v - self.grey).collect())
    }
}

/// Two exposures of a picture.
pub(crate) struct Exposures {
    /// What drew them.
    pub(crate) name: String,
    /// What each differs by from a grey level: (N, 3, H, W).
    pub(crate) noise: [Vec<f64>; 2],
    /// Pixels of a row.
    pub(crate) width: usize,
}

/// Two exposures of a constant grey picture, of every place that draws batches, and those of evaluation, which are drawn in
/// another loop.
pub(crate) fn exposures(noise: Noise, grey: u8) -> Vec<Exposures> {
    let batches = places().into_iter().map(|place| {
        let (batch, crop) = if place.is_double() { (4, 48) } else { (3, 32) };
        let noise = Drawn::new(&place, batch, crop, noise, grey).noise(3, 7);
        Exposures { name: place.name(), noise, width: crop }
    });
    let side = 64 * noise.cell();
    let picture = vec![f32::from(grey) / 255.0; side * side * 3];
    batches.chain([exposed(noise, &picture, side, f64::from(grey) / 255.0)]).collect()
}

/// Exposures of a square picture (H, W, 3), less `grey`.
pub(crate) fn exposed(noise: Noise, rgb: &[f32], side: usize, grey: f64) -> Exposures {
    let picture = Clean { rgb, width: side, height: side };
    let noise = [0, 1].map(|exposure| {
        let values = noise.expose(picture, 7, 3, exposure).values;
        (0..3).flat_map(|c| values.iter().skip(c).step_by(3)).map(|&v| f64::from(v) - grey).collect::<Vec<_>>()
    });
    Exposures { name: "an exposure".into(), width: noise[0].len().div_euclid(3).isqrt(), noise }
}

pub(crate) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}
