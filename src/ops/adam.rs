//! One optimizer step over all parameters: Adam (Kingma and Ba 2015), gradient clipping by length, and an exponential
//! moving average of the weights.

use crate::graph::{Element, Graph, Io, Lowering, Node, Op, Real, StorageId, Tensor, grid};

/// Constants of the optimizer; what changes from step to step is written to [`Optimizer::control`].
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Longest gradient; 0: any.
    pub clip: f32,
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
    /// Rows of four: loss, length of the gradient, 0, 0.
    pub log: StorageId,
    /// Constants.
    pub adam: Adam,
}

impl Optimizer {
    /// Rows of the log, which is written round and round.
    pub const ROWS: usize = 256;

    /// Values of `control` for step `t`, counted from 1.
    pub fn control(&self, t: u64, lr: f64, ema_decay: f64) -> [f32; 8] {
        let correction = |beta: f32| (1.0 - f64::from(beta).powf(t as f64)) as f32;
        let row = ((t - 1) % Self::ROWS as u64) as f32;
        [lr as f32, correction(self.adam.beta1), correction(self.adam.beta2), row, ema_decay as f32, 0.0, 0.0, 0.0]
    }
}

impl Graph {
    /// Updates all parameters from the storage `grads`; call after [`Graph::backward`]. A gradient that is not finite
    /// changes nothing.
    ///
    /// # Panics
    /// If there are no parameters or no gradients yet.
    pub fn adam(&mut self, loss: Tensor, adam: Adam) -> Optimizer {
        let params = self.params_storage().expect("adam: the graph has parameters");
        let grads = self.host("grads").expect("adam: gradients are recorded");
        let len = self.storage(params).len;
        let vectors = [("control", 8), ("moments", 2 * len), ("ema", len), ("log", 4 * Optimizer::ROWS)];
        let [control, moments, ema, log] = vectors.map(|(name, len)| self.host_vector(name, len, Element::F32));
        let (params, grads) = (self.whole(params), self.whole(grads));
        self.record_into(adam, &[control, loss, grads], &[params, moments, ema, log]);
        let storage = |t: Tensor| self.view(t).storage;
        Optimizer { control: storage(control), moments: storage(moments), ema: storage(ema), log: storage(log), adam }
    }
}

impl Op for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let [control, loss, g] = [0, 1, 2].map(|i| l.range(node.inputs[i]));
        let [params, moments, ema, log] = [0, 1, 2, 3].map(|i| l.range(node.outputs[i]));
        let len4 = g.len / 4;
        let groups = len4.div_ceil(64 * 4).clamp(1, 256.min(l.limits.workgroups as usize));
        let partials = l.scratch(groups.next_multiple_of(4));
        let constants = [("LEN4", len4 as f64), ("GROUPS", groups as f64)];
        l.dispatch("sum_squares", &constants, &[("g", g), ("partials", partials)], [groups as u32, 1, 1]);
        let [gx, gy] = grid(len4.div_ceil(64), l.limits);
        let constants = [
            ("LEN4", len4 as f64),
            ("PARTIALS", groups as f64),
            ("BETA1", self.beta1.into()),
            ("BETA2", self.beta2.into()),
            ("EPS", self.eps.into()),
            ("CLIP", self.clip.into()),
            ("GRID_X", gx.into()),
        ];
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
        l.dispatch("adam", &constants, &bindings, [gx, gy, 1]);
    }

    crate::cpu_meaning!();
}

impl Adam {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let [beta1, beta2, eps, clip] = [self.beta1, self.beta2, self.eps, self.clip].map(|v| T::of(v.into()));
        let [mut params, mut moments, mut ema, mut log] = [0, 1, 2, 3].map(|i| io.take(i));
        let (control, loss, g) = (io.x(0).1, io.x(1).1[0], io.x(2).1);
        let squares = g.iter().map(|v| v.f64().powi(2)).sum::<f64>();
        let length = T::of(squares.sqrt());
        let row = 4 * control[3].f32() as usize;
        log[row..row + 4].copy_from_slice(&[loss, length, T::zero(), T::zero()]);
        if squares.is_finite() {
            let scale = if clip > T::zero() { T::one().min(clip / (length + T::of(1e-6))) } else { T::one() };
            let (first, second) = moments.split_at_mut(g.len());
            let rate = control[0] / control[1];
            for i in 0..g.len() {
                let d = g[i] * scale;
                first[i] = first[i] * beta1 + d * (T::one() - beta1);
                second[i] = second[i] * beta2 + d * d * (T::one() - beta2);
                params[i] -= rate * first[i] / ((second[i] / control[2]).sqrt() + eps);
                ema[i] = ema[i] * control[4] + params[i] * (T::one() - control[4]);
            }
        }
        for (i, data) in [params, moments, ema, log].into_iter().enumerate() {
            io.give(i, data);
        }
    }
}
