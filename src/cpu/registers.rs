//! Registers of floats, however wide they are, and the panels of channels that fill them.

use pulp::{Arch, Simd, WithSimd};

use super::conv::Epilogue;
use crate::graph::View;

/// Which registers are worked with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Isa {
    /// The widest of this processor.
    Native,
    /// Those of 4 (NEON), 8 (AVX2) or 16 floats (AVX-512), emulated where the processor has others.
    #[cfg(test)]
    Emulated(usize),
}

impl Isa {
    /// Runs an op with these registers.
    pub(super) fn dispatch<O: WithSimd>(self, op: O) -> O::Output {
        match self {
            Self::Native => Arch::new().dispatch(op),
            #[cfg(test)]
            Self::Emulated(4) => pulp::Scalar128b.vectorize(op),
            #[cfg(test)]
            Self::Emulated(8) => pulp::Scalar256b.vectorize(op),
            #[cfg(test)]
            Self::Emulated(_) => pulp::Scalar512b.vectorize(op),
        }
    }

    /// Floats in a register.
    pub(super) fn lanes(self) -> usize {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;
            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        self.dispatch(Lanes)
    }

    /// Divides `k` channels into panels of three registers, and of one or two where that would leave a single one over.
    pub(super) fn panels(self, k: usize) -> impl Iterator<Item = Panel> + Clone {
        let lanes = self.lanes();
        let mut first = 0;
        std::iter::from_fn(move || {
            let registers = match (k - first).div_ceil(lanes) {
                0 => return None,
                1 => 1,
                2 | 4 => 2,
                _ => 3,
            };
            let panel = Panel { first, channels: (registers * lanes).min(k - first), registers, lanes };
            first += panel.channels;
            Some(panel)
        })
    }

    /// Channels of `k` with those that fill up the last register.
    pub(super) fn width(self, k: usize) -> usize {
        k.next_multiple_of(self.lanes())
    }
}

/// Whether a processor with registers of so many floats has 32 of them (AVX-512, NEON), not 16: then more sums fit.
pub(super) const fn many_registers(lanes: usize) -> bool {
    lanes != 8
}

/// Channels that are worked on at once: the first one, how many there are, and their registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    pub(super) first: usize,
    pub(super) channels: usize,
    pub(super) registers: usize,
    lanes: usize,
}

impl Panel {
    /// Channels with those that fill up the last register.
    pub(super) fn width(self) -> usize {
        self.registers * self.lanes
    }

    /// The panel's columns of rows, filled up with zeros.
    pub(super) fn pack<'a>(self, rows: impl Iterator<Item = &'a [f32]>, to: &mut [f32]) {
        for (row, to) in rows.zip(to.chunks_exact_mut(self.width())) {
            let (to, rest) = to.split_at_mut(self.channels);
            to.copy_from_slice(&row[self.first..][..self.channels]);
            rest.fill(0.0);
        }
    }
}

/// Adds a stretch of the inner dimension to the sums, which go in and out by value so that they stay in registers. Values are as
/// many as weights: then nothing is left to check in the loop.
#[inline(always)]
pub(super) fn stretch<S: Simd, const M: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; M],
    values: [&[f32]; M],
    weights: &[[S::f32s; V]],
) -> [[S::f32s; V]; M] {
    for (i, w) in weights.iter().enumerate() {
        for m in 0..M {
            let x = simd.splat_f32s(values[m][i]);
            for v in 0..V {
                sums[m][v] = simd.mul_add_e_f32s(x, w[v], sums[m][v]);
            }
        }
    }
    sums
}

/// What becomes of the sums of pixel `p`, a register from channel `first` on, of which `channels` count; the bias is in them.
#[inline(always)]
pub(super) fn finish<S: Simd>(
    simd: S,
    epilogue: &Epilogue<f32>,
    sum: S::f32s,
    p: usize,
    first: usize,
    channels: usize,
) -> S::f32s {
    let at = |view: &View| p * view.stride + view.channel + first;
    let mut y = leaky(simd, sum, sum, epilogue.slope);
    if let Some((view, addend)) = epilogue.addend {
        y = simd.add_f32s(y, load(simd, &addend[at(view)..][..channels]));
    }
    if let Some(((view, gate), slope)) = epilogue.gate {
        y = leaky(simd, load(simd, &gate[at(view)..][..channels]), y, slope);
    }
    y
}

/// y, times the slope where `of` is not positive.
#[inline(always)]
fn leaky<S: Simd>(simd: S, of: S::f32s, y: S::f32s, slope: f32) -> S::f32s {
    let small = simd.mul_f32s(simd.splat_f32s(slope), y);
    simd.select_f32s(simd.greater_than_f32s(of, simd.splat_f32s(0.0)), y, small)
}

/// A register, not necessarily full: the full ones are not left to pulp's call through a table.
#[inline(always)]
pub(super) fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    S::as_simd_f32s(from).0.first().copied().unwrap_or_else(|| simd.partial_load_f32s(from))
}

#[inline(always)]
pub(super) fn store<S: Simd>(simd: S, to: &mut [f32], y: S::f32s) {
    match S::as_mut_simd_f32s(to).0 {
        [to] => *to = y,
        _ => simd.partial_store_f32s(to, y),
    }
}

/// Has the cache fetch the line of an address, whatever it is, before it is asked for. On other processors than x86-64 nothing.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn prefetch(at: *const f32) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: it reads nothing, and does nothing where there is no memory. There is no safe way to ask for it, and it takes a tenth
    // off a forward pass at 512 px (BENCHMARKS.md).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn prefetch(_: *const f32) {}
