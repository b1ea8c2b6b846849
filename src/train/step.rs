//! A training step as ops: forward pass, loss, backward pass, optimizer. All that trains or measures training records this one.

use crate::graph::{Graph, StorageId, Tensor};
use crate::nets::{Modules, Network};
use crate::ops::{Accumulated, Loss, Optimizer, Update};

/// Tensors that a step learns from.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// Input of the network (N, H, W, C).
    pub x: Tensor,
    /// Targets of its output, one or several side by side.
    pub t: Tensor,
    /// Which pixels of the targets are known (N, H, W, 1 of each), where some are not.
    pub mask: Option<Tensor>,
}

/// Loss, optimizer and clip norm of a training step.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Loss of the output against the targets.
    pub loss: Loss,
    /// How the gradient changes the parameters.
    pub update: Update,
    /// Norm that the gradient is clipped to; 0: not at all.
    pub clip: f32,
    /// Pieces in which gradients are summed over several batches, see [`Graph::accumulate`]; 0: a step has one batch.
    pub pieces: usize,
}

/// What the host writes and reads of a recorded step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Output of the network.
    pub y: Tensor,
    /// Flat parameters.
    pub params: StorageId,
    /// Their gradients, laid out alike: of a batch, or summed over several.
    pub grads: StorageId,
    /// Sums over several batches, if there are.
    pub sums: Option<Accumulated>,
    /// Learning rate and the like, moments, averages, log.
    pub optimizer: Optimizer,
    /// Exponent of an annealed loss.
    pub exponent: Option<StorageId>,
}

/// Records a training step of a network.
///
/// # Panics
/// If the network has no parameters, or its output and the targets differ in shape.
pub fn record_step(g: &mut Graph, network: &dyn Network, example: Example, rule: Rule) -> Step {
    let Example { x, t, mask } = example;
    let y = network.record(&mut Modules::new(g, true), x);
    let exponent = matches!(rule.loss, Loss::L0 { .. }).then(|| g.host_scalar("exponent", 2.0));
    let loss = g.loss(rule.loss, y, t, mask, exponent);
    let one = g.one();
    g.backward(&[(loss, one)]);
    let sums = (rule.pieces > 0).then(|| g.accumulate(loss, rule.pieces));
    let optimizer = g.optimize(sums.map_or(loss, |sums| sums.loss), rule.update, rule.clip);
    Step {
        y,
        params: g.params_storage().expect("a network has parameters"),
        grads: g.gradients().expect("parameters have gradients"),
        sums,
        optimizer,
        exponent: exponent.map(|t| g.view(t).storage),
    }
}
