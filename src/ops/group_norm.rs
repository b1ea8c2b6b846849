//! GroupNorm (Wu and He 2018) with an activation: y = act(gamma * (x - mean) * rstd + beta), mean and variance over the
//! pixels and channels of a group, per picture. The gradient uses the kept mean and rstd, and y for the activation.

use std::array::from_fn;
use std::sync::Arc;

use rayon::prelude::*;

use super::{Activation, Operator, strides, sums::sum_partials};
use crate::cpu::{self, Io, Real, Scratch};
use crate::graph::{Graph, Halo, Node, Op, Role, Tensor, View};
use crate::kernel::Shader;
use crate::plan::{Lowering, Range};

/// Options of a group normalisation.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    /// Groups of channels; divides the channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// What follows.
    pub activation: Activation,
}

/// The op: `merged` means statistics over all pictures at once (BatchNorm).
#[derive(Clone, Copy, Debug)]
struct Normalise {
    norm: GroupNorm,
    merged: bool,
}

/// dx, dgamma, dbeta from x, y, the statistics, gamma and dy.
#[derive(Clone, Copy, Debug)]
struct NormaliseGrad {
    of: Normalise,
    /// Inputs that dgamma and dbeta are added to.
    before: [Option<usize>; 2],
}

impl Normalise {
    /// Pictures that have statistics of their own, and pixels of each.
    fn pictures(&self, x: &View) -> (usize, usize) {
        let n = if self.merged { 1 } else { x.shape[0] };
        (n, x.pixels() / n)
    }
}

impl Graph {
    /// Group normalisation of x (N, H, W, C) with gamma (C) and beta (C).
    pub fn group_norm(&mut self, x: Tensor, gamma: Tensor, beta: Tensor, norm: GroupNorm) -> Tensor {
        self.normalise(x, gamma, beta, norm, false).0
    }

    /// The same, and the mean and 1 / sqrt(variance + eps) per picture and group; `merged`: of all pictures together.
    pub(super) fn normalise(
        &mut self,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        norm: GroupNorm,
        merged: bool,
    ) -> (Tensor, Tensor) {
        let view = self.view(x).clone();
        let c = view.channels();
        assert!(view.parts.len() == 1 && c.is_multiple_of(norm.groups), "group_norm: {c} channels in {} groups", norm.groups);
        let name = format!("group_norm.{}", self.nodes().len());
        let y = self.add_picture(&name, view.shape, &view.parts);
        let op = Normalise { norm, merged };
        let len = op.pictures(&view).0 * norm.groups * 2;
        let stats = self.add_tensor("group_norm.stats", [1, 1, len.div_ceil(4)], &[4], Role::Intermediate);
        if [x, gamma, beta].iter().any(|&t| self.needs_grad(t)) {
            self.require_grad(y);
        }
        self.record_into(op, &[x, gamma, beta], &[y, stats]);
        (y, stats)
    }
}

/// Pixels of a picture in chunks, so many that small batches fill a device: (chunks, pixels of each).
fn chunks(pixels: usize) -> (usize, usize) {
    let chunk = pixels.div_ceil(64).max(64);
    (pixels.div_ceil(chunk), chunk)
}

/// What the kernels that go through a picture by chunks and columns want, and their workgroups.
fn columns(x: &View, op: &Normalise) -> (Vec<(String, f64)>, [u32; 3]) {
    let ((n, pixels), c4) = (op.pictures(x), x.padded() / 4);
    let (count, chunk) = chunks(pixels);
    // Of 64 invocations as few as can be are idle: at most 16 columns, in blocks of one size.
    let blocks = c4.div_ceil(16);
    let tx = c4.div_ceil(blocks);
    let constants = [
        ("PIXELS", pixels),
        ("C", x.channels()),
        ("C4", c4),
        ("GROUPS", op.norm.groups),
        ("CHUNKS", count),
        ("CHUNK_PIXELS", chunk),
        ("TX", tx),
        ("TY", 64 / tx),
    ];
    let constants = constants.map(|(name, value)| (name.to_owned(), value as f64)).to_vec();
    (constants, [count as u32, blocks as u32, n as u32])
}

/// Channels that the kernels which merge groups hold in workgroup memory, at 8 bytes each: half of what WebGPU grants.
const MERGED: usize = 1024;

/// What the kernels that merge the groups of their channels want: groups merged at once, channels of each, and `own`.
fn merging<const N: usize>(x: &View, op: &Normalise, own: [(&'static str, f64); N]) -> Vec<(&'static str, f64)> {
    let of_group = x.channels() / op.norm.groups;
    let piece = of_group.min(MERGED);
    // Of those that 64 channels belong to.
    let touched = (64_usize.div_ceil(of_group) + 1).min(op.norm.groups);
    own.into_iter().chain([("AT_ONCE", touched.min(MERGED / piece) as f64), ("PIECE", piece as f64)]).collect()
}

/// Emits one of those kernels, over these tensors, vectors and scratch memory.
fn dispatch(
    l: &mut Lowering,
    shader: Shader,
    (common, workgroups): &(Vec<(String, f64)>, [u32; 3]),
    own: &[(&str, f64)],
    tensors: &[(&str, Tensor)],
    others: &[(&str, Range)],
) {
    let strides = strides(l, tensors);
    let constants: Vec<_> = common.iter().chain(&strides).map(|(n, v)| (n.as_str(), *v)).chain(own.iter().copied()).collect();
    let bindings: Vec<_> = tensors.iter().map(|&(n, t)| (n, l.range(t))).chain(others.iter().copied()).collect();
    l.dispatch(shader, &constants, &bindings, *workgroups);
}

impl Op for Normalise {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn backward(&self, g: &mut Graph, node: &Node, dy: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
        let (x, gamma) = (node.inputs[0], node.inputs[1]);
        let view = g.view(x).clone();
        let dx = g.add_picture("group_norm_dx", view.shape, &view.parts);
        let dgamma = g.add_tensor("group_norm_dgamma", [1, 1, 1], &view.parts, Role::Intermediate);
        let dbeta = g.add_tensor("group_norm_dbeta", [1, 1, 1], &view.parts, Role::Intermediate);
        let inputs = [x, node.outputs[0], node.outputs[1], gamma, dy[0].expect("group_norm has a gradient")];
        g.record_into(NormaliseGrad { of: *self, before: [None; 2] }, &inputs, &[dx, dgamma, dbeta]);
        vec![Some(dx), Some(dgamma), Some(dbeta)]
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let ([x, gamma, beta], [y, stats]) = ([0, 1, 2].map(|i| node.inputs[i]), [0, 1].map(|i| node.outputs[i]));
        let common = columns(l.view(x), self);
        let [count, _, n] = common.1;
        let len = (n * count) as usize * 2 * l.view(x).padded();
        let chunks = ("chunks", l.scratch(len));
        dispatch(l, Shader::GroupNormStats, &common, &[], &[("x", x)], &[chunks]);
        let own = merging(l.view(x), self, [("EPS", self.norm.eps.into()), ("SLOPE", self.norm.activation.slope.into())]);
        let vectors = [("gamma", gamma), ("beta", beta), ("stats", stats)].map(|(name, t)| (name, l.range(t)));
        let others: Vec<_> = vectors.into_iter().chain([chunks]).collect();
        dispatch(l, Shader::GroupNorm, &common, &own, &[("x", x), ("y", y)], &others);
    }

    /// Two passes over x, where a convolution makes hundreds.
    fn is_cheap(&self) -> bool {
        true
    }

    /// Statistics are of the whole picture.
    fn halo(&self) -> Option<Halo> {
        None
    }

    fn operator(&self) -> Option<Operator> {
        (!self.merged).then_some(Operator::GroupNorm(self.norm))
    }

    crate::cpu_meaning!();
}

/// Makes sums per channel, over so many pixels, the mean of their group, for every channel of it.
fn average(sums: &mut [f64], group: usize, pixels: usize) {
    for sums in sums[..].chunks_exact_mut(group) {
        let mean = sums.iter().sum::<f64>() / (pixels * group) as f64;
        sums.fill(mean);
    }
}

impl Normalise {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (eps, slope) = (f64::from(self.norm.eps), T::of(self.norm.activation.slope.into()));
        let groups = self.norm.groups;
        let (inputs, vy, y) = io.split(0);
        let ((vx, x), gamma, beta) = (inputs.x(0), inputs.x(1).1, inputs.x(2).1);
        let (c, (_, pixels)) = (vx.channels(), self.pictures(vx));
        let cg = c / groups;
        let mut all = Scratch::new(self.pictures(vx).0 * groups * 2);
        y.par_chunks_mut(pixels * vy.stride).zip(all.par_chunks_exact_mut(groups * 2)).enumerate().for_each(|(n, (y, stats))| {
            let pixel = |p: usize| &x[(n * pixels + p) * vx.stride + vx.channel..][..c];
            let mut mean = cpu::sums_of(pixels, c, |p, sums| {
                sums.iter_mut().zip(pixel(p)).for_each(|(sum, v)| *sum += v.f64());
            });
            average(&mut mean, cg, pixels);
            let mut variance = cpu::sums_of(pixels, c, |p, sums| {
                sums.iter_mut().zip(pixel(p)).zip(&*mean).for_each(|((sum, v), mean)| *sum += (v.f64() - mean).powi(2));
            });
            average(&mut variance, cg, pixels);
            for (stats, (&mean, &variance)) in stats.chunks_exact_mut(2).zip(mean.iter().zip(&*variance).step_by(cg)) {
                stats.copy_from_slice(&[T::of(mean), T::of(1.0 / (variance + eps).sqrt())]);
            }
            // For every channel of it.
            let mut channels = Scratch::new(2 * c);
            let (mean, scale) = channels.split_at_mut(c);
            for i in 0..c {
                (mean[i], scale[i]) = (stats[i / cg * 2], stats[i / cg * 2 + 1] * gamma[i]);
            }
            let (mean, scale, beta) = (&*mean, &*scale, &beta[..c]);
            y.par_chunks_mut(cpu::BLOCK * vy.stride).enumerate().for_each(|(block, y)| {
                cpu::wide(|| {
                    for (p, y) in y.chunks_mut(vy.stride).enumerate() {
                        let (y, rest) = y[vy.channel..vy.channel + vy.padded()].split_at_mut(c);
                        rest.fill(T::zero());
                        let x = pixel(block * cpu::BLOCK + p);
                        for i in 0..c {
                            let z = (x[i] - mean[i]) * scale[i] + beta[i];
                            y[i] = cpu::leaky(z, z, slope);
                        }
                    }
                });
            });
        });
        let (_, _, stats) = io.split(1);
        stats[..all.len()].copy_from_slice(&all);
    }
}

impl Op for NormaliseGrad {
    fn name(&self) -> &'static str {
        "group_norm_dx"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let [x, y, stats, gamma, dy] = [0, 1, 2, 3, 4].map(|i| node.inputs[i]);
        let common = columns(l.view(x), &self.of);
        let [count, _, n] = common.1.map(|size| size as usize);
        let sums = l.scratch(n * count * 2 * l.view(x).padded());
        let slope = [("SLOPE", self.of.norm.activation.slope.into())];
        let tensors = [("x", x), ("y", y), ("dy", dy), ("dx", node.outputs[0])];
        let others = [("stats", l.range(stats)), ("sums", sums), ("gamma", l.range(gamma))];
        dispatch(l, Shader::GroupNormSums, &common, &slope, &tensors[..3], &others[..2]);
        let merging = merging(l.view(x), &self.of, slope);
        dispatch(l, Shader::GroupNormDx, &common, &merging, &tensors, &others);

        let before = self.before.map(|i| i.map(|i| l.range(node.inputs[i])));
        let (dgamma, dbeta) = (l.range(node.outputs[1]), l.range(node.outputs[2]));
        sum_partials(l, sums, n * count, 1.0, &[(dbeta, before[1]), (dgamma, before[0])]);
    }

    fn adding(&self, output: usize, input: usize) -> Option<Arc<dyn Op>> {
        let mut op = *self;
        *op.before.get_mut(output.checked_sub(1)?)? = Some(input);
        Some(Arc::new(op))
    }

    fn halo(&self) -> Option<Halo> {
        None
    }

    crate::cpu_meaning!();
}

/// For every channel the mean over the `count` values of its group of `cg` channels, of a gradient whose sums per channel are
/// given.
fn means_of_groups<T: Real>(means: &mut [T], sums: &[T], [gamma, rstd]: [&[T]; 2], cg: usize, count: T) {
    for (g, means) in means.chunks_exact_mut(cg).enumerate() {
        let group = g * cg..(g + 1) * cg;
        let mean = group.clone().map(|i| sums[i] * gamma[i]).sum::<T>() / count;
        means.fill(mean * rstd[group.start]);
    }
}

impl NormaliseGrad {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let slope = T::of(self.of.norm.activation.slope.into());
        let groups = self.of.norm.groups;
        let (inputs, vdx, dx) = io.split(0);
        let ((vx, x), (vy, y), stats) = (inputs.x(0), inputs.x(1), inputs.x(2));
        let (gamma, (vdy, dy)) = (inputs.x(3).1, inputs.x(4));
        let (c, padded, (_, pixels)) = (vx.channels(), vx.padded(), self.of.pictures(vx));
        let cg = c / groups;
        // Per picture the sums over pixels of dz and of dz * xhat, per channel.
        let mut all = Scratch::new(self.of.pictures(vx).0 * 2 * padded);
        dx.par_chunks_mut(pixels * vdx.stride).zip(all.par_chunks_exact_mut(2 * padded)).enumerate().for_each(
            |(n, (dx, sums))| {
                // For every channel: mean, 1 / deviation, that times gamma, and times the means of both gradients.
                let mut channels = Scratch::new(5 * c);
                let mut channels = channels.chunks_exact_mut(c);
                let [mean, rstd, scale, a, b] = from_fn(|_| channels.next().expect("there are five"));
                for i in 0..c {
                    let at = (n * groups + i / cg) * 2;
                    (mean[i], rstd[i]) = (stats.1[at], stats.1[at + 1]);
                    scale[i] = rstd[i] * gamma[i];
                }
                let (mean, rstd, scale) = (&*mean, &*rstd, &*scale);
                let pixel = |p: usize| {
                    let range = |v: &View| (n * pixels + p) * v.stride + v.channel..;
                    (&x[range(vx)][..c], &y[range(vy)][..c], &dy[range(vdy)][..c])
                };
                let double = cpu::sums_of(pixels, 2 * padded, |p, sums| {
                    let (x, y, dy) = pixel(p);
                    let (of_dz, of_product) = sums.split_at_mut(padded);
                    let (of_dz, of_product) = (&mut of_dz[..c], &mut of_product[..c]);
                    for i in 0..c {
                        let dz = cpu::leaky(y[i], dy[i], slope);
                        of_dz[i] += dz.f64();
                        of_product[i] += (dz * ((x[i] - mean[i]) * rstd[i])).f64();
                    }
                });
                sums.iter_mut().zip(&*double).for_each(|(to, &from)| *to = T::of(from));
                let count = T::of((pixels * cg) as f64);
                for (means, sums) in [(&mut *a, &sums[..padded]), (&mut *b, &sums[padded..])] {
                    means_of_groups(means, sums, [gamma, rstd], cg, count);
                }
                let (a, b) = (&*a, &*b);
                dx.par_chunks_mut(cpu::BLOCK * vdx.stride).enumerate().for_each(|(block, dx)| {
                    cpu::wide(|| {
                        for (p, dx) in dx.chunks_mut(vdx.stride).enumerate() {
                            let (dx, rest) = dx[vdx.channel..vdx.channel + padded].split_at_mut(c);
                            rest.fill(T::zero());
                            let (x, y, dy) = pixel(block * cpu::BLOCK + p);
                            for i in 0..c {
                                let dz = cpu::leaky(y[i], dy[i], slope);
                                dx[i] = dz * scale[i] - a[i] - (x[i] - mean[i]) * rstd[i] * b[i];
                            }
                        }
                    });
                });
            },
        );
        self.add_up(io, &all, padded);
    }

    /// Gradients of gamma and beta from the sums of all pictures, of dz and of dz * xhat.
    fn add_up<T: Real>(&self, io: &mut Io<T>, all: &[T], padded: usize) {
        for (output, first) in [(1, padded), (2, 0)] {
            let (inputs, _, to) = io.split(output);
            to.fill(T::zero());
            for sums in all.chunks_exact(2 * padded) {
                cpu::accumulate(to, &sums[first..first + padded]);
            }
            if let Some(before) = self.before[output - 1] {
                cpu::accumulate(to, inputs.x(before).1);
            }
        }
    }
}
