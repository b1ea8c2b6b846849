//! BatchNorm (Ioffe and Szegedy 2015) with an activation. In training it normalises by the statistics of the batch, as a group
//! normalisation does with one channel to a group and all pictures taken together, and moves the running statistics; in
//! evaluation it normalises by those.

use super::{Activation, GroupNorm, Operator, per_vec4};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Halo, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::plan::{Lowering, Range};

/// Options of a batch normalisation.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
    /// How far the running statistics move towards those of a batch.
    pub momentum: f32,
    /// What follows.
    pub activation: Activation,
}

/// Normalisation by the running statistics.
#[derive(Clone, Copy, Debug)]
struct Evaluate(BatchNorm);

/// Moves the running statistics.
#[derive(Clone, Copy, Debug)]
struct UpdateStatistics {
    norm: BatchNorm,
    /// Elements of a channel in a batch.
    count: usize,
}

impl Graph {
    /// Batch normalisation of x (N, H, W, C) with gamma (C) and beta (C) in training. The statistics `running`, mean and variance
    /// (C) each, change.
    pub fn batch_norm(&mut self, x: Tensor, gamma: Tensor, beta: Tensor, running: [Tensor; 2], norm: BatchNorm) -> Tensor {
        let view = self.view(x).clone();
        let options = GroupNorm { groups: view.channels(), eps: norm.eps, activation: norm.activation };
        let (y, stats) = self.normalise(x, gamma, beta, options, true);
        self.record_into(UpdateStatistics { norm, count: view.pixels() }, &[stats], &running);
        y
    }

    /// The same in evaluation: by the running mean and variance. It has no gradient.
    pub fn batch_norm_eval(&mut self, x: Tensor, gamma: Tensor, beta: Tensor, running: [Tensor; 2], norm: BatchNorm) -> Tensor {
        let view = self.view(x).clone();
        assert!(view.parts.len() == 1, "batch_norm: of a concatenation {:?}", view.parts);
        let y = self.record(Evaluate(norm), &[x, gamma, beta, running[0], running[1]], view.shape, &view.parts);
        self.detach(y);
        y
    }
}

impl Op for Evaluate {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let constants = [("EPS", self.0.eps.into()), ("SLOPE", self.0.activation.slope.into())];
        let vectors = ["gamma", "beta", "mean", "variance"];
        let vectors: Vec<_> = vectors.iter().zip(&node.inputs[1..]).map(|(&n, &t)| (n, l.range(t))).collect();
        per_vec4(l, Shader::BatchNorm, &constants, &[("x", node.inputs[0]), ("y", node.outputs[0])], &vectors);
    }

    fn halo(&self) -> Option<Halo> {
        Some(Halo::POINT)
    }

    fn operator(&self) -> Option<Operator> {
        Some(Operator::BatchNorm(self.0))
    }

    crate::cpu_meaning!();
}

impl Evaluate {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (eps, slope) = (T::of(self.0.eps.into()), T::of(self.0.activation.slope.into()));
        let (inputs, view, y) = io.split(0);
        let (vx, x) = inputs.x(0);
        let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| inputs.x(i).1);
        cpu::each_pixel((view, y), |p, y| {
            let x = &x[p * vx.stride + vx.channel..][..y.len()];
            for (c, (y, &x)) in y.iter_mut().zip(x).enumerate() {
                let z = (x - mean[c]) / (variance[c] + eps).sqrt() * gamma[c] + beta[c];
                *y = cpu::leaky(z, z, slope);
            }
        });
    }
}

impl Op for UpdateStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_running"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let c = l.view(node.outputs[0]).channels();
        // Both lie in the storage of the parameters, which a kernel can bind to write only once.
        let [mean, variance] = [0, 1].map(|i| l.range(node.outputs[i]));
        assert!(mean.buffer == variance.buffer && mean.offset < variance.offset, "batch_norm: mean and variance in that order");
        let first = variance.offset - mean.offset;
        let running = Range { len: first + variance.len, ..mean };
        let constants = [
            ("VARIANCE", first as f64),
            ("C", c as f64),
            ("COUNT", self.count as f64),
            ("EPS", self.norm.eps.into()),
            ("MOMENTUM", self.norm.momentum.into()),
        ];
        let bindings = [("stats", l.range(node.inputs[0])), ("running", running)];
        l.dispatch(Shader::BatchNormRunning, &constants, &bindings, [c.div_ceil(64) as u32, 1, 1]);
    }

    fn halo(&self) -> Option<Halo> {
        None
    }

    crate::cpu_meaning!();
}

impl UpdateStatistics {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (eps, momentum) = (T::of(self.norm.eps.into()), T::of(self.norm.momentum.into()));
        let correction = T::of(self.count as f64 / (self.count.max(2) - 1) as f64);
        for output in 0..2 {
            let (inputs, view, running) = io.split(output);
            let stats = inputs.x(0).1;
            for (running, stats) in running.iter_mut().take(view.channels()).zip(stats.chunks(2)) {
                let variance = (T::one() / (stats[1] * stats[1]) - eps) * correction;
                let batch = if output == 0 { stats[0] } else { variance };
                *running += momentum * (batch - *running);
            }
        }
    }
}
