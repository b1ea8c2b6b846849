//! Counter-based random numbers: the CPU twin of `shaders/lib/rng.wgsl`, in double precision.

use crate::cpu::Real;

/// Four random integers from a counter (Jarzynski and Olano 2020).
pub fn pcg4d(counter: [u32; 4]) -> [u32; 4] {
    let mut v = counter.map(|c| c.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mix = |v: &mut [u32; 4]| {
        v[0] = v[0].wrapping_add(v[1].wrapping_mul(v[3]));
        v[1] = v[1].wrapping_add(v[2].wrapping_mul(v[0]));
        v[2] = v[2].wrapping_add(v[0].wrapping_mul(v[1]));
        v[3] = v[3].wrapping_add(v[1].wrapping_mul(v[2]));
    };
    mix(&mut v);
    v = v.map(|x| x ^ x >> 16);
    mix(&mut v);
    v
}

/// Uniform in (0, 1).
pub(crate) fn uniform(bits: u32) -> f64 {
    (f64::from(bits >> 9) + 0.5) / 8_388_608.0
}

/// Three independent standard normal numbers (Box and Muller 1958).
pub(crate) fn normal3<T: Real>(bits: [u32; 4]) -> [T; 3] {
    let [a, b, c, d] = bits.map(|bits| T::of(uniform(bits)));
    let tau = T::of(std::f64::consts::TAU);
    let [r, s] = [a, c].map(|u| (T::of(-2.0) * u.ln()).sqrt());
    [r * (tau * b).cos(), r * (tau * b).sin(), s * (tau * d).cos()]
}

/// An endless sequence of standard normal numbers, another one for every `seed` and `stream`.
pub fn random_normals(seed: u32, stream: u32) -> impl Iterator<Item = f64> {
    // The last integer keeps them apart from the streams that batches are drawn from, which are small numbers.
    (0u32..).flat_map(move |i| normal3(pcg4d([i, stream, seed, 0x6e32_6e67])))
}
