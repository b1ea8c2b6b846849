// An input gradient by phase: the pixels of dx whose row and column leave the same remainders modulo STRIDE see the same taps
// of the window, so that each phase is a small convolution of dy without stride and no tap is tested for divisibility.
struct Phase {
    first_pixel: vec2u,    // row and column of its first pixel of dx
    first_tap: vec2u,      // taps that reach it: kh = first_tap.x, first_tap.x + STRIDE, … below KERNEL, and likewise kw
    taps: vec2u,
}

fn phase_of(number: u32) -> Phase {
    let pixel = vec2u(number / STRIDE, number % STRIDE);
    let tap = vec2u((pixel.x + PADDING) % STRIDE, (pixel.y + PADDING) % STRIDE);
    let beyond = vec2u(KERNEL + STRIDE - 1u);
    return Phase(pixel, tap, (beyond - min(tap, beyond)) / STRIDE);
}

// Pixel number p of a phase: its n, row and column in dx. n is N or more if there is none.
fn place(p: u32, phase: Phase) -> vec3u {
    if phase.first_pixel.x >= H || phase.first_pixel.y >= W {
        return vec3u(N, 0u, 0u);
    }
    let rows = (H - phase.first_pixel.x + STRIDE - 1u) / STRIDE;
    let columns = (W - phase.first_pixel.y + STRIDE - 1u) / STRIDE;
    let row = p / columns % rows * STRIDE + phase.first_pixel.x;
    return vec3u(p / (rows * columns), row, p % columns * STRIDE + phase.first_pixel.y);
}

// Index of the pixel of dy under the phase's first tap, its row and column; a row beyond all pictures if there is no such pixel.
fn corner_of(at: vec3u, phase: Phase) -> vec4i {
    let row = i32((at.y + PADDING - phase.first_tap.x) / STRIDE);
    let column = i32((at.z + PADDING - phase.first_tap.y) / STRIDE);
    return vec4i((i32(at.x * OH) + row) * i32(OW) + column, select(NOWHERE, row, at.x < N), column, 0);
}
