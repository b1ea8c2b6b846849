// What a pixel of a phase of an input gradient sees of dy, and the way from tap to tap of dy and of the filter.
//#import phase
//#import taps
var<private> phase: Phase;
var<private> k4: u32;      // channel vec4 of what is staged next

// Element of dy under the first tap of a pixel of the phase, and bits of the taps that are within dy: they go up and to the left.
fn see(p: u32) -> vec2u {
    let at = place(p, phase);
    let row = i32((at.y + PADDING - phase.first_tap.x) / STRIDE);
    let column = i32((at.z + PADDING - phase.first_tap.y) / STRIDE);
    let base = u32((i32(at.x * OH) + row) * i32(OW) + column) * Y_STRIDE4 + Y_CHANNEL4;
    let taps = bits(row - i32(OH) + 1, row + 1, phase.taps.x) | (bits(column - i32(OW) + 1, column + 1, phase.taps.y) << 16u);
    return vec2u(base, select(0u, taps, at.x < N));
}

// From channels beyond the last to the taps that they belong to.
fn carry() {
    let per_tap = C4 * 4u * K4; // vec4s of w
    for (var i = 0u; i < (KB + K4 - 1u) / K4; i++) {
        if k4 >= K4 {
            k4 -= K4;
            offset -= i32(Y_STRIDE4 + K4);
            w_at += STRIDE * per_tap - K4;
            if next_tap(phase.taps.y) {
                offset -= (i32(OW) - i32(phase.taps.y)) * i32(Y_STRIDE4);
                w_at += (KERNEL - phase.taps.y) * STRIDE * per_tap;
            }
        }
    }
}
