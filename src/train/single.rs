//! Learning from single noisy pictures: Huang et al. 2021, `Neighbor2Neighbor`, "self-supervised denoising from single noisy
//! images".

use super::step::Example;
use crate::graph::Graph;
use crate::nets::{Modules, Network};
use crate::ops::Drawn;

/// How much more the regulariser counts than the loss: gamma of equation 6.
const GAMMA: f32 = 2.0;

/// Two halves of pictures that were drawn whole, of pixels beside each other, as input and target of a step.
///
/// With g1 and g2 for the halves of a picture y, f for the network, and the gradient stopped in f(y), the paper's loss is
/// |f(g1 y) - g2 y|^2 + gamma |f(g1 y) - g2 y - (g1 f(y) - g2 f(y))|^2: the second term, the regulariser, allows for what the pixels differ
/// in without noise, which otherwise would come out smoothed. Both are squares of f(g1 y) minus something that stands fast, so
/// their sum is, but for a constant, 1 + gamma times the square of f(g1 y) minus the mean of both: one target, g2 y + gamma / (1
/// + gamma) (g1 f(y) - g2 f(y)).
pub(super) fn record_single(g: &mut Graph, network: &dyn Network, drawn: &Drawn) -> Example {
    let draw = g.whole(drawn.pictures.draw);
    let whole = network.record(&mut Modules::new(g, true), drawn.x);
    let [near, beside] = g.neighbours(whole, draw);
    let difference = g.subtract(near, beside);
    let allowed = g.scale(difference, GAMMA / (1.0 + GAMMA));
    let [x, _] = g.neighbours(drawn.x, draw);
    let [_, t] = g.neighbours(drawn.t, draw);
    Example { x, t: g.add(t, allowed), mask: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Executor as Cpu;
    use crate::graph::StorageId;
    use crate::nets::{Norm, Unet, initial};
    use crate::ops::{Batch, Pixels, Shards, Transfer, random_normals};
    use crate::plan::{Executor, Plan};

    const SIDE: usize = 24;

    /// Gradients of the parameters, in double precision, of what `record` makes of a batch, up to a common factor.
    fn gradients(pixels: &Pixels, record: impl Fn(&mut Graph, &Unet, &Drawn)) -> Vec<f64> {
        let shards = Shards::new([vec![((SIDE, SIDE), pixels)]], 1 << 20).of_singles();
        let (range, transfers) = ([-0.5, 0.5], [Transfer::None; 2]);
        let batch = Batch {
            count: 1,
            crop: 16,
            batch: 2,
            noise: None,
            clean_targets: false,
            input: range,
            target: range,
            flips: 7,
            given: false,
            targets: 1,
            grey: 0.0,
            channels: 3,
            transfers,
        };
        let network = Unet::new(8, 1, Norm::None);
        let mut g = Graph::new();
        let drawn = g.batch(batch, &shards);
        record(&mut g, &network, &drawn);
        let [params, grads] = [g.params_storage(), g.gradients()].map(Option::unwrap);
        let values = initial(&g, crate::nets::Init::Xavier, 1).unwrap();
        let mut executor = Cpu::<f64>::new(Plan::new(g, None).unwrap());
        executor.write(params, &values).unwrap();
        let mut write = |id: StorageId, words: &[u32]| executor.write_ints(id, words).unwrap();
        write(drawn.pictures.draw, &[3, 1, 0, 0]);
        write(drawn.pictures.table, &shards.rows());
        drawn.pictures.shards.iter().enumerate().for_each(|(i, &id)| write(id, &shards.words(i)));
        executor.run().unwrap();
        let found = executor.reals(grads).to_vec();
        let norm = found.iter().map(|v| v * v).sum::<f64>().sqrt();
        found.into_iter().map(|v| v / norm).collect()
    }

    /// The paper's two squares, as they are written there.
    #[test]
    fn one_target_has_the_gradient_of_loss_and_regulariser() {
        let noise = random_normals(5, 0).take(SIDE * SIDE * 3);
        let pixels = Pixels::Floats(noise.map(|z| (0.5 + 0.2 * z) as f32).collect());
        let ours = gradients(&pixels, |g, network, drawn| {
            let Example { x, t, .. } = record_single(g, network, drawn);
            let y = network.record(&mut Modules::new(g, true), x);
            let (loss, one) = (g.mse(y, t), g.one());
            g.backward(&[(loss, one)]);
        });
        let of_paper = gradients(&pixels, |g, network, drawn| {
            let draw = g.whole(drawn.pictures.draw);
            let [x, _] = g.neighbours(drawn.x, draw);
            let [_, t] = g.neighbours(drawn.t, draw);
            let whole = network.record(&mut Modules::new(g, true), drawn.x);
            let [near, beside] = g.neighbours(whole, draw);
            let y = network.record(&mut Modules::new(g, true), x);
            let difference = g.subtract(near, beside);
            let regularised = g.add(t, difference);
            let seeds = [(g.mse(y, t), g.one()), (g.mse(y, regularised), g.host_scalar("gamma", GAMMA))];
            g.backward(&seeds);
        });
        let worst = ours.iter().zip(&of_paper).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // Both are sums of the same numbers in another order, but for gamma, which is rounded to 24 bits in both.
        assert!(worst < 1e-6, "{worst}");
        assert!(ours.iter().any(|v| v.abs() > 1e-3));
    }
}
