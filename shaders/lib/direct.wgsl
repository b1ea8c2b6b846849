// A product for software adapters: every invocation makes eight pixels of a convolution's result by two vec4s of channels from
// what it reads itself. Processors have caches in place of workgroup memory, and barriers cost them more than the reads that are
// saved; what counts is how much is made of every read, as each invocation's is one of its own. The kernel's load_x(at) reads a
// vec4 of a picture, store(..) takes sums.
//#import direct_sums
//#import multiply
const KB = 1u;             // vec4s of the inner dimension at once
const PIXELS = 8u;         // of an invocation

var<private> s: array<vec2u, 8>; // what its pixels see

// What a pixel has under the tap, or zeros.
fn load(seen: vec2u) -> vec4f {
    let within = sees(seen.y);
    return select(vec4f(), load_x(select(0u, seen.x + u32(offset), within)), within);
}

// Of pixel p and those after it.
fn see_all(p: u32) {
    for (var i = 0u; i < PIXELS; i++) {
        s[i] = see(p + i);
    }
}

// Adds the products with an inner vec4 of the filter: a matrix, inner dimension by channels, for each vec4 of these.
fn multiply_all(m0: mat4x4f, m1: mat4x4f) {
    let v0 = load(s[0]); sums0[0] = multiply(sums0[0], v0, m0); sums1[0] = multiply(sums1[0], v0, m1);
    let v1 = load(s[1]); sums0[1] = multiply(sums0[1], v1, m0); sums1[1] = multiply(sums1[1], v1, m1);
    let v2 = load(s[2]); sums0[2] = multiply(sums0[2], v2, m0); sums1[2] = multiply(sums1[2], v2, m1);
    let v3 = load(s[3]); sums0[3] = multiply(sums0[3], v3, m0); sums1[3] = multiply(sums1[3], v3, m1);
    let v4 = load(s[4]); sums0[4] = multiply(sums0[4], v4, m0); sums1[4] = multiply(sums1[4], v4, m1);
    let v5 = load(s[5]); sums0[5] = multiply(sums0[5], v5, m0); sums1[5] = multiply(sums1[5], v5, m1);
    let v6 = load(s[6]); sums0[6] = multiply(sums0[6], v6, m0); sums1[6] = multiply(sums1[6], v6, m1);
    let v7 = load(s[7]); sums0[7] = multiply(sums0[7], v7, m0); sums1[7] = multiply(sums1[7], v7, m1);
}
