//! Chains of multiply-adds that touch no memory: the yardstick of arithmetic for `n2n-gpu bench`.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::{Io, Real, Scratch};
use crate::graph::{Graph, Halo, Node, Op, Tensor};
use crate::kernel::Shader;
use crate::plan::{Lowering, grid};

/// Chains of vec4s per result.
const CHAINS: usize = 8;
/// Results that the CPU works on at once.
const BLOCK: usize = 64;

/// y = sum of chains a = a * x\[0\] + x\[1\].
#[derive(Clone, Copy, Debug)]
struct Fma {
    length: usize,
}

impl Graph {
    /// `count` sums (1, 1, `count`, 4) of eight chains of `length` multiply-adds each, with the vec4s x (1, 1, 2, 4).
    pub(crate) fn fma_chains(&mut self, x: Tensor, count: usize, length: usize) -> Tensor {
        assert!(length.is_multiple_of(4) && self.view(x).shape == [1, 1, 2], "fma: a length of {length}");
        self.record(Fma { length }, &[x], [1, 1, count], &[4])
    }
}

impl Op for Fma {
    fn name(&self) -> &'static str {
        "fma"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let count = l.view(node.outputs[0]).pixels();
        let [gx, gy] = grid(count.div_ceil(64), l.limits);
        let constants = [("COUNT", count as f64), ("LENGTH", self.length as f64), ("GRID_X", gx.into())];
        l.dispatch(Shader::Fma, &constants, &[("x", l.range(node.inputs[0])), ("y", l.range(node.outputs[0]))], [gx, gy, 1])
            .flops = self.flops(l.graph, node);
    }

    fn flops(&self, g: &Graph, node: &Node) -> f64 {
        (g.view(node.outputs[0]).pixels() * CHAINS * 4 * self.length * 2) as f64
    }

    fn halo(&self) -> Option<Halo> {
        None
    }

    fn run_f32(&self, io: &mut Io<f32>) {
        let arch = Arch::new();
        self.run(io, |x, length, values| arch.dispatch(Chains { x, length, values }));
    }

    fn run_f64(&self, io: &mut Io<f64>) {
        self.run(io, |x, length, values| {
            for (i, v) in values.iter_mut().enumerate() {
                for _ in 0..length {
                    *v = v.mul_add(x[i % 4], x[4 + i % 4]);
                }
            }
        });
    }
}

impl Fma {
    /// `run` takes x, the length, and the chains' values, four by four.
    fn run<T: Real>(&self, io: &mut Io<T>, run: impl Fn(&[T], usize, &mut [T]) + Sync) {
        let (inputs, _, y) = io.split(0);
        let x = inputs.x(0).1;
        y.par_chunks_mut(BLOCK * 4).enumerate().for_each(|(block, y)| {
            let first = |i: usize| ((block * BLOCK + i) % 64) as f64 / 64.0;
            let value = |at: usize| T::of(first(at / (CHAINS * 4)) + (at / 4 % CHAINS) as f64);
            let mut values = Scratch::new(y.len() * CHAINS);
            values.iter_mut().enumerate().for_each(|(at, v)| *v = value(at));
            run(x, self.length, &mut values);
            for (y, chains) in y.chunks_exact_mut(4).zip(values.chunks_exact(CHAINS * 4)) {
                y.fill(T::zero());
                chains.chunks_exact(4).for_each(|chain| crate::cpu::accumulate(y, chain));
            }
        });
    }
}

/// The chains in registers, sixteen at once: enough to hide the latency of a multiply-add.
struct Chains<'a> {
    x: &'a [f32],
    length: usize,
    values: &'a mut [f32],
}

impl WithSimd for Chains<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const AT_ONCE: usize = 16;
        let repeated = |from: usize| -> [f32; 16] { std::array::from_fn(|i| self.x[from + i % 4]) };
        let (m, c) = (repeated(0), repeated(4));
        let lanes = |v: &[f32]| S::as_simd_f32s(v).0[0];
        let (m, c) = (lanes(&m), lanes(&c));
        for sums in S::as_mut_simd_f32s(self.values).0.chunks_mut(AT_ONCE) {
            let mut a = [simd.splat_f32s(0.0); AT_ONCE];
            a[..sums.len()].copy_from_slice(sums);
            for _ in 0..self.length {
                for a in &mut a {
                    *a = simd.mul_add_e_f32s(*a, m, c);
                }
            }
            sums.copy_from_slice(&a[..sums.len()]);
        }
    }
}
