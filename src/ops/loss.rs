//! Losses: means over all elements of a function of the difference d = x - t, and their gradients.

use serde::{Deserialize, Serialize};

use super::{Transfer, per_vec4, pu, strides, sums::sum_partials};
use crate::cpu::{self, Io, Real};
use crate::graph::{Graph, Node, Op, Tensor, View, pad4};
use crate::kernel::Shader;
use crate::plan::{Lowering, Range};

/// Function of the difference between prediction and target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Loss {
    /// d^2: for noise that is right on average.
    L2,
    /// |d|: for noise that is right in the median.
    L1,
    /// d^2 / 2 up to `delta`, from there on linear: as L2, but a few pixels that are far off count less (Huber 1964).
    Huber {
        /// Where it becomes linear.
        delta: f32,
    },
    /// sqrt(d^2 + eps^2): |d| that is smooth at 0 (Charbonnier et al. 1994).
    Charbonnier {
        /// How far around 0 it is smooth.
        eps: f32,
    },
    /// |d|, for targets of which a share of the pixels has a random colour (text). Where the network is uncertain, such pixels would pull
    /// its result towards grey; their mean error is therefore subtracted, which leaves (1 - share) |d| of the clean target on
    /// average.
    Outliers {
        /// Probability that a pixel has a random colour.
        share: f32,
        /// Range in which these colours are uniformly distributed.
        range: [f32; 2],
    },
    /// (|d| + eps)^exponent, the exponent falling from 2 to 0 in the course of training (Lehtinen et al. 2018, 3.3): for noise
    /// that is right most often (impulses).
    L0 {
        /// Keeps the derivative finite, and small where prediction and target meet by chance.
        eps: f32,
    },
    /// (d / (x + 0.01))^2 of linear values without an upper end, which the network gives by its curve, [`Transfer::Pu`], and
    /// targets as they are. The denominator counts as a constant, so that the best x is the mean of all targets (Lehtinen et al.
    /// 2018, on Monte Carlo rendering). Of targets on a curve, the mean would be too dark.
    Hdr {
        /// The network's values for 0 and 1 of the curve.
        range: [f32; 2],
    },
}

impl Loss {
    /// The paper's annealed loss, with an eps of one grey level of the [0, 1] range. With the paper's 1e-8, the few targets that
    /// happen to be close to the prediction dominate the gradient.
    pub const ANNEALED: Self = Self::L0 { eps: 1.0 / 255.0 };

    /// That of linear values.
    pub const HDR: Self = Self::Hdr { range: [0.0, 1.0] };

    /// What targets go through for it, of a network that has this curve.
    pub(crate) fn target_transfer(self, of_network: Transfer) -> Transfer {
        if let Self::Hdr { .. } = self { Transfer::None } else { of_network }
    }
    /// Huber's, linear from ten grey levels on.
    pub const HUBER: Self = Self::Huber { delta: 10.0 / 255.0 };
    /// Charbonnier's, with the eps that restoration networks are trained with, of [0, 1].
    pub const CHARBONNIER: Self = Self::Charbonnier { eps: 1e-3 };

    /// The loss of values in [0, 1] for the same values in another range.
    pub(crate) fn in_range(self, range @ [low, high]: [f32; 2]) -> Self {
        match self {
            Self::L0 { eps } => Self::L0 { eps: (high - low) * eps },
            Self::Huber { delta } => Self::Huber { delta: (high - low) * delta },
            Self::Charbonnier { eps } => Self::Charbonnier { eps: (high - low) * eps },
            Self::Outliers { share, .. } => Self::Outliers { share, range },
            Self::Hdr { .. } => Self::Hdr { range },
            other => other,
        }
    }

    /// What takes its place where targets are clean.
    pub fn of_clean_targets(self) -> Self {
        if let Self::Outliers { .. } = self { Self::L1 } else { self }
    }

    /// KIND of the kernels, EPS, SHARE, and LOW and HIGH.
    fn constants(self) -> (u8, f32, f32, [f32; 2]) {
        match self {
            Self::L2 => (0, 0.0, 0.0, [0.0, 1.0]),
            Self::L1 => (1, 0.0, 0.0, [0.0, 1.0]),
            Self::L0 { eps } => (2, eps, 0.0, [0.0, 1.0]),
            Self::Outliers { share, range } => (3, 0.0, share, range),
            Self::Huber { delta } => (4, delta, 0.0, [0.0, 1.0]),
            Self::Charbonnier { eps } => (5, eps, 0.0, [0.0, 1.0]),
            Self::Hdr { range } => (6, DARK, 0.0, range),
        }
    }

    /// Of prediction x and target t.
    fn value<T: Real>(self, x: T, t: T, exponent: T) -> T {
        let d = x - t;
        match self {
            Self::L2 => d * d,
            Self::L1 => d.abs(),
            Self::Huber { delta } => {
                let (delta, half) = (T::of(delta.into()), T::of(0.5));
                let near = d.abs().min(delta);
                near * (d.abs() - half * near)
            }
            Self::Charbonnier { eps } => (d * d + T::of(f64::from(eps).powi(2))).sqrt(),
            Self::L0 { eps } => (d.abs() + T::of(eps.into())).powf(exponent),
            Self::Outliers { share, range } => {
                let [low, high, share, half] = [range[0], range[1], share, 0.5].map(|v| T::of(v.into()));
                let inside = x.max(low).min(high);
                // The mean of |x - u| over u uniform in the range.
                let below = (inside - low) * (inside - low);
                let above = (high - inside) * (high - inside);
                d.abs() - share * (half * (below + above) / (high - low) + (x - inside).abs())
            }
            Self::Hdr { range } => {
                let [error, _] = relative(x, t, range);
                error * error
            }
        }
    }

    /// The derivative of that by x.
    fn derivative<T: Real>(self, x: T, t: T, exponent: T) -> T {
        let d = x - t;
        let sign = if d == T::zero() { T::zero() } else { d.signum() };
        match self {
            Self::L2 => T::of(2.0) * d,
            Self::L1 => sign,
            Self::Huber { delta } => d.max(-T::of(delta.into())).min(T::of(delta.into())),
            Self::Charbonnier { eps } => d / (d * d + T::of(f64::from(eps).powi(2))).sqrt(),
            Self::L0 { eps } => sign * exponent * (d.abs() + T::of(eps.into())).powf(exponent - T::one()),
            Self::Outliers { share, range } => {
                let [low, high, share, two] = [range[0], range[1], share, 2.0].map(|v| T::of(v.into()));
                sign - share * (two * (x.max(low).min(high) - low) / (high - low) - T::one())
            }
            Self::Hdr { range } => {
                let [error, slope] = relative(x, t, range);
                T::of(2.0) * error * slope
            }
        }
    }
}

/// Added to what errors are relative to, so that black does not count above all.
const DARK: f32 = 0.01;

/// The error of a linear value, which a network gives by its curve, relative to that value, and how it changes with x.
fn relative<T: Real>(x: T, t: T, range: [f32; 2]) -> [T; 2] {
    let [low, high, dark] = [range[0], range[1], DARK].map(|v| T::of(v.into()));
    let [y, slope] = pu::inverse_and_slope((x - low) / (high - low));
    let scale = T::one() / (y.max(T::zero()) + dark);
    [(y - t) * scale, slope * scale / (high - low)]
}

/// Inputs: x, t, exponent, and the mask if there is one.
#[derive(Clone, Copy, Debug)]
struct Reduce(Loss);

/// Inputs: x, t, exponent, dy, and the mask if there is one.
#[derive(Clone, Copy, Debug)]
struct ReduceGrad(Loss);

impl Graph {
    /// Mean over all elements of (x - t)^2, as a tensor of one element. Gradients flow to x only.
    pub fn mse(&mut self, x: Tensor, t: Tensor) -> Tensor {
        self.loss(Loss::L2, x, t, None, None)
    }

    /// Mean over all elements of `loss` of x (N, H, W, C) against one target t or several (N, H, W, C of each), as a tensor of
    /// one element. With a mask (N, H, W, 1 of each target) of zeros and ones, pixels whose mask is zero count as zeros.
    /// `exponent`, of one element, is that of [`Loss::L0`]. Gradients flow to x only.
    pub fn loss(&mut self, loss: Loss, x: Tensor, t: Tensor, mask: Option<Tensor>, exponent: Option<Tensor>) -> Tensor {
        let (vx, vt) = (self.view(x), self.view(t));
        let targets = vt.parts.len();
        assert!(vx.shape == vt.shape && vx.parts.repeat(targets) == vt.parts, "loss: prediction and target differ in shape");
        assert!(vx.parts.len() == 1, "loss: of a concatenation {:?}", vx.parts);
        let masks = |m: Tensor| self.view(m).shape == vx.shape && self.view(m).parts.len() == targets;
        assert!(mask.is_none_or(masks), "loss: the mask differs in shape");
        let count = count(vt);
        assert!(exponent.is_some() || !matches!(loss, Loss::L0 { .. }), "loss: {loss:?} needs an exponent");
        // Where there is none, it is not looked at, but something has to be bound.
        let exponent = exponent.unwrap_or(t);
        // A mean over many elements has derivatives too small for 16 bits, which begin at 6e-8; a sum has not.
        self.scale_gradients((count as f32).log2().ceil().exp2());
        let inputs: Vec<_> = [x, t, exponent].into_iter().chain(mask).collect();
        self.record(Reduce(loss), &inputs, [1, 1, 1], &[1])
    }
}

/// Constants and bindings that both kernels share; `mask` is x where there is none.
fn common(l: &Lowering, loss: Loss, [x, t, exponent]: [Tensor; 3], mask: Option<Tensor>) -> Common {
    let (kind, eps, share, [low, high]) = loss.constants();
    let tensors = [("x", x), ("t", t), ("mask", mask.unwrap_or(x))];
    let masked = f64::from(u8::from(mask.is_some()));
    let constants = vec![
        ("KIND", kind.into()),
        ("EPS", eps.into()),
        ("SHARE", share.into()),
        ("LOW", low.into()),
        ("HIGH", high.into()),
        ("MASKED", masked),
        ("TARGETS", l.view(t).parts.len() as f64),
    ];
    Common { constants, tensors, exponent: ("exponent", l.range(exponent)) }
}

struct Common {
    constants: Vec<(&'static str, f64)>,
    tensors: [(&'static str, Tensor); 3],
    exponent: (&'static str, Range),
}

/// Elements of all targets.
fn count(t: &View) -> f64 {
    (t.pixels() * t.channels()) as f64
}

/// Largest gradient that can be written to a view: that of the annealed loss is very steep at 0.
fn most(g: &Graph, view: &View) -> f32 {
    if g.is_half(view.storage) { half::f16::MAX.to_f32() } else { f32::MAX }
}

impl Op for Reduce {
    op_facts!(self, "loss", None);

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let view = g.view(node.inputs[0]).clone();
        let mut inputs = node.inputs.clone();
        inputs.insert(3, dy[0].expect("a loss has one output"));
        vec![Some(g.record(ReduceGrad(self.0), &inputs, view.shape, &view.parts))]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let i = &node.inputs;
        let common = common(l, self.0, [i[0], i[1], i[2]], i.get(3).copied());
        let x = l.view(i[0]).clone();
        let groups = (x.pixels() * x.padded() / 4).div_ceil(64 * 4).clamp(1, 256.min(l.limits.workgroups as usize));
        let sizes = [("PIXELS", x.pixels()), ("C4", x.padded() / 4), ("C", x.channels()), ("GROUPS", groups)];
        let strides = strides(l, &common.tensors);
        let constants = sizes.iter().map(|&(n, v)| (n, v as f64)).chain(common.constants.iter().copied());
        let constants: Vec<_> = constants.chain(strides.iter().map(|(n, v)| (n.as_str(), *v))).collect();
        let partials = l.scratch(groups * 4);
        let bindings = common.tensors.map(|(n, t)| (n, l.range(t))).into_iter();
        let bindings: Vec<_> = bindings.chain([common.exponent, ("partials", partials)]).collect();
        l.dispatch(Shader::Loss, &constants, &bindings, [groups as u32, 1, 1]);
        let to = l.range(node.outputs[0]);
        let scale = 1.0 / count(l.view(i[1]));
        sum_partials(l, partials, groups, scale, &[(to, None)]);
    }
}

/// The targets of pixel `p` that count, of `c` channels each.
fn targets<'a, T: Real>(
    (vt, t): (&View, &'a [T]),
    mask: Option<(&'a View, &'a [T])>,
    p: usize,
    c: usize,
) -> impl Iterator<Item = &'a [T]> {
    let all = t[p * vt.stride + vt.channel..][..vt.padded()].chunks_exact(pad4(c));
    let known = move |k: usize| mask.is_none_or(|(view, mask)| mask[p * view.stride + view.channel + 4 * k] != T::zero());
    all.enumerate().filter(move |(k, _)| known(*k)).map(move |(_, t)| &t[..c])
}

impl Reduce {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, _, y) = io.split(0);
        let ((vx, x), t, exponent) = (inputs.x(0), inputs.x(1), inputs.x(2).1[0]);
        let mask = (inputs.len() == 4).then(|| inputs.x(3));
        let c = vx.channels();
        let of_pixel = |p: usize| {
            let x = &x[p * vx.stride + vx.channel..][..c];
            let of_target = |t: &[T]| x.iter().zip(t).map(|(&x, &t)| self.0.value(x, t, exponent).f64()).sum::<f64>();
            targets(t, mask, p, c).map(of_target).sum::<f64>()
        };
        let sum = cpu::sum_of(vx.pixels(), of_pixel);
        y.fill(T::zero());
        y[0] = T::of(sum / count(t.0));
    }
}

impl Op for ReduceGrad {
    op_facts!(self, "loss_dx", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let i = &node.inputs;
        let common = common(l, self.0, [i[0], i[1], i[2]], i.get(4).copied());
        let scale = ("SCALE", f64::from(l.graph.gradient_scale()) / count(l.view(i[1])));
        let channels = ("C", l.view(i[0]).channels() as f64);
        let most = ("MOST", most(l.graph, l.view(node.outputs[0])).into());
        let constants: Vec<_> = common.constants.into_iter().chain([scale, most, channels]).collect();
        let tensors: Vec<_> = common.tensors.into_iter().chain([("dx", node.outputs[0])]).collect();
        let dy = ("dy", l.range(i[3]));
        per_vec4(l, Shader::LossDx, &constants, &tensors, &[common.exponent, dy]);
    }
}

impl ReduceGrad {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let given = T::of(io.graph.gradient_scale().into());
        let most = T::of(most(io.graph, io.view(0)).into());
        let (inputs, view, dx) = io.split(0);
        let ((vx, x), t, exponent) = (inputs.x(0), inputs.x(1), inputs.x(2).1[0]);
        let scale = inputs.x(3).1[0] * given / T::of(count(t.0));
        let mask = (inputs.len() == 5).then(|| inputs.x(4));
        let c = view.channels();
        cpu::each_pixel((view, dx), |p, dx| {
            dx.fill(T::zero());
            let x = &x[p * vx.stride + vx.channel..][..c];
            for t in targets(t, mask, p, c) {
                for ((dx, &x), &t) in dx.iter_mut().zip(x).zip(t) {
                    *dx += scale * self.0.derivative(x, t, exponent);
                }
            }
            dx.iter_mut().filter(|d| d.abs() > most).for_each(|d| *d = most.copysign(*d));
        });
    }
}
