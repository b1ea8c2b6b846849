// What a pixel of a convolution's result sees of x, and the way from tap to tap.
//#import taps
var<private> c4: u32;      // channel vec4 of what is staged next

// Element of x under a pixel's first tap, and bits of the taps that are within x.
fn see(pixel: u32) -> vec2u {
    let n = pixel / (OW * OH);
    let top = i32(pixel / OW % OH * STRIDE) - i32(PADDING);
    let left = i32(pixel % OW * STRIDE) - i32(PADDING);
    let base = u32((i32(n * H) + top) * i32(W) + left) * X_STRIDE4 + X_CHANNEL4;
    let taps = bits(-top, i32(H) - top, KERNEL) | (bits(-left, i32(W) - left, KERNEL) << 16u);
    return vec2u(base, select(0u, taps, n < N));
}

// From channels beyond the last to the taps that they belong to.
fn carry() {
    for (var i = 0u; i < (KB + C4 - 1u) / C4; i++) {
        if c4 >= C4 {
            c4 -= C4;
            offset += i32(X_STRIDE4 - C4);
            if next_tap(KERNEL) {
                offset += (i32(W) - i32(KERNEL)) * i32(X_STRIDE4);
            }
        }
    }
}
