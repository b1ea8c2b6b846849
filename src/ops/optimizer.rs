//! One optimizer step over all parameters: Adam (Kingma and Ba 2015), `AdamW` (Loshchilov and Hutter 2019) or gradient descent
//! with momentum; gradient clipping by length; and an exponential moving average of the weights.

use serde::{Deserialize, Serialize};

use crate::cpu::{Io, Real};
use crate::graph::{ALIGN, Element, Graph, Node, Op, StorageId, Tensor};
use crate::kernel::Shader;
use crate::plan::{Lowering, Range, grid};

/// Rule by which a gradient changes the parameters, with its constants; what changes from step to step is written to
/// [`Optimizer::control`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Update {
    /// Adam: first moment over the root of the second.
    Adam {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        eps: f32,
        /// Share of a trained parameter that is lost per step and learning rate (`AdamW`); 0: plain Adam.
        decay: f32,
    },
    /// Gradient descent with momentum.
    Sgd {
        /// 0: by the gradient alone.
        momentum: f32,
    },
}

impl Update {
    /// Adam with a second moment that forgets ten times faster than usual: for small batches.
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.99, eps: 1e-8, decay: 0.0 };
}

/// The op.
#[derive(Clone, Copy, Debug)]
struct Optimize {
    update: Update,
    /// Norm that gradients are clipped to; 0: not at all.
    clip: f32,
}

/// Host storages of a recorded optimizer.
#[derive(Clone, Copy, Debug)]
pub struct Optimizer {
    /// lr, 1 - beta1^t, 1 - beta2^t, row of the log, decay of the average.
    pub control: StorageId,
    /// First and second moments.
    pub moments: StorageId,
    /// Average of the weights.
    pub ema: StorageId,
    /// Rows of four: loss, gradient norm, 0, 0.
    pub log: StorageId,
    /// The rule.
    pub update: Update,
}

impl Optimizer {
    /// Rows of the log, which is written round and round.
    pub const ROWS: usize = 256;

    /// Values of `control` for step `t`, counted from 1.
    pub fn control(&self, t: u64, lr: f64, ema_decay: f64) -> [f32; 8] {
        let correction = |beta: f32| (1.0 - f64::from(beta).powf(t as f64)) as f32;
        let (first, second) = match self.update {
            Update::Adam { beta1, beta2, .. } => (correction(beta1), correction(beta2)),
            Update::Sgd { .. } => (1.0, 1.0),
        };
        let row = ((t - 1) % Self::ROWS as u64) as f32;
        [lr as f32, first, second, row, ema_decay as f32, 0.0, 0.0, 0.0]
    }
}

impl Graph {
    /// Updates all parameters from their gradients, clipped to the norm `clip` if that is not 0; call after
    /// [`Graph::backward`]. A gradient that is not finite changes nothing.
    ///
    /// # Panics
    /// If there are no parameters or no gradients yet.
    pub fn optimize(&mut self, loss: Tensor, update: Update, clip: f32) -> Optimizer {
        let params = self.params_storage().expect("optimize: the graph has parameters");
        let grads = self.gradients().expect("optimize: gradients are recorded");
        let len = self.storage(params).len;
        let vectors = [("control", 8), ("moments", 2 * len), ("ema", len), ("log", 4 * Optimizer::ROWS)];
        let [control, moments, ema, log] = vectors.map(|(name, len)| self.host_vector(name, len, Element::F32));
        let (params, grads) = (self.whole(params), self.whole(grads));
        self.record_into(Optimize { update, clip }, &[control, loss, grads], &[params, moments, ema, log]);
        let storage = |t: Tensor| self.view(t).storage;
        Optimizer { control: storage(control), moments: storage(moments), ema: storage(ema), log: storage(log), update }
    }
}

/// Ranges of the flat parameters that are trained: running statistics lie between.
fn trained(g: &Graph) -> Vec<std::ops::Range<usize>> {
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    for param in g.params().iter().filter(|p| p.trained) {
        let range = param.offset..param.offset + g.view(param.tensor).span().next_multiple_of(ALIGN);
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}

/// Emits the weight decay of all that is trained; `bindings` end with all parameters.
fn lower_decay(l: &mut Lowering, decay: f32, partials: usize, bindings: [(&str, Range); 3]) {
    if decay == 0.0 {
        return;
    }
    for range in trained(l.graph) {
        let mut bindings = bindings;
        bindings[2].1 = Range { offset: range.start, len: range.len(), ..bindings[2].1 };
        let len4 = range.len() / 4;
        let [gx, gy] = grid(len4.div_ceil(64), l.limits);
        let constants = [("LEN4", len4 as f64), ("PARTIALS", partials as f64), ("DECAY", decay.into()), ("GRID_X", gx.into())];
        l.dispatch(Shader::WeightDecay, &constants, &bindings, [gx, gy, 1]);
    }
}

impl Op for Optimize {
    op_facts!(self, if let Update::Adam { .. } = self.update { "adam" } else { "sgd" }, None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let [control, loss, g] = [0, 1, 2].map(|i| l.range(node.inputs[i]));
        let [params, moments, ema, log] = [0, 1, 2, 3].map(|i| l.range(node.outputs[i]));
        let len4 = g.len / 4;
        let groups = len4.div_ceil(64 * 4).clamp(1, 256.min(l.limits.workgroups as usize));
        let partials = l.scratch(groups.next_multiple_of(4));
        let scale = 1.0 / f64::from(l.graph.gradient_scale());
        let constants = [("LEN4", len4 as f64), ("GROUPS", groups as f64), ("GRADIENT_SCALE", scale)];
        l.dispatch(Shader::SumSquares, &constants, &[("g", g), ("partials", partials)], [groups as u32, 1, 1]);
        let [gx, gy] = grid(len4.div_ceil(64), l.limits);
        let mut constants =
            vec![("LEN4", len4 as f64), ("PARTIALS", groups as f64), ("CLIP", self.clip.into()), ("GRID_X", gx.into())];
        constants.push(("GRADIENT_SCALE", scale));
        let shader = match self.update {
            Update::Adam { beta1, beta2, eps, decay } => {
                lower_decay(l, decay, groups, [("control", control), ("partials", partials), ("params", params)]);
                let own = [("BETA1", beta1), ("BETA2", beta2), ("EPS", eps)];
                constants.extend(own.map(|(n, v)| (n, v.into())));
                Shader::Adam
            }
            Update::Sgd { momentum } => {
                constants.push(("MOMENTUM", momentum.into()));
                Shader::Sgd
            }
        };
        let bindings = [
            ("control", control),
            ("loss", loss),
            ("g", g),
            ("partials", partials),
            ("params", params),
            ("moments", moments),
            ("ema", ema),
            ("log", log),
        ];
        l.dispatch(shader, &constants, &bindings, [gx, gy, 1]);
    }
}

impl Optimize {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let [mut params, mut moments, mut ema, mut log] = [0, 1, 2, 3].map(|i| io.take(i));
        let (control, loss, g) = (io.x(0).1, io.x(1).1[0], io.x(2).1);
        let given = T::one() / T::of(io.graph.gradient_scale().into());
        let squares = g.iter().map(|&v| (v * given).f64().powi(2)).sum::<f64>();
        let length = T::of(squares.sqrt());
        let row = 4 * control[3].f32() as usize;
        log[row..row + 4].copy_from_slice(&[loss, length, T::zero(), T::zero()]);
        if squares.is_finite() {
            let clip = T::of(self.clip.into());
            let scale = given * if clip > T::zero() { T::one().min(clip / (length + T::of(1e-6))) } else { T::one() };
            let (first, second) = moments.split_at_mut(g.len());
            let step = Step { update: self.update, lr: control[0], first: control[1], second: control[2] };
            if let Update::Adam { decay, .. } = self.update
                && decay > 0.0
            {
                let share = control[0] * T::of(decay.into());
                for range in trained(io.graph) {
                    params[range].iter_mut().for_each(|p| *p -= share * *p);
                }
            }
            // Zipped, so that no bound is checked and the loop is vectorised.
            let moments = first.iter_mut().zip(second);
            for (((p, average), &d), (m, v)) in params.iter_mut().zip(&mut ema).zip(g).zip(moments) {
                *p = step.parameter(*p, d * scale, m, v);
                *average = *average * control[4] + *p * (T::one() - control[4]);
            }
        }
        for (i, data) in [params, moments, ema, log].into_iter().enumerate() {
            io.give(i, data);
        }
    }
}

/// An update with its rate and the corrections of both moments.
struct Step<T> {
    update: Update,
    lr: T,
    first: T,
    second: T,
}

impl<T: Real> Step<T> {
    /// A parameter after the step; `d` is its gradient, `m` and `v` are its moments.
    #[inline(always)]
    fn parameter(&self, p: T, d: T, m: &mut T, v: &mut T) -> T {
        match self.update {
            Update::Adam { beta1, beta2, eps, .. } => {
                let [beta1, beta2, eps] = [beta1, beta2, eps].map(|v| T::of(v.into()));
                *m = *m * beta1 + d * (T::one() - beta1);
                *v = *v * beta2 + d * d * (T::one() - beta2);
                p - self.lr / self.first * *m / ((*v / self.second).sqrt() + eps)
            }
            Update::Sgd { momentum } => {
                *m = T::of(momentum.into()) * *m + d;
                p - self.lr * *m
            }
        }
    }
}
