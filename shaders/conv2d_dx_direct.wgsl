// Gradient of a convolution with respect to its input, and so the transposed convolution, on software adapters: for every phase
// an invocation makes its sums alone, over the taps that reach the phase and the channels of dy.
//#import conv
//#import finish
//#import phase_window
//#import direct
//#runtime
override GRID_X: u32;

alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, X_STRIDE4)

fn load_x(at: u32) -> vec4f {
    return vec4f(dy[at]);
}

// The filter has the channels of dy innermost, so that a row is one channel of dx.
fn block(at: u32) -> mat4x4f {
    return transpose(mat4x4f(w[at], w[at + K4], w[at + 2u * K4], w[at + 3u * K4]));
}

fn store(p: u32, c4: u32, a: vec4f, b: vec4f) {
    let at = place(p, phase);
    if at.x < N {
        let pixel = (at.x * H + at.y) * W + at.z;
        let to = pixel * X_STRIDE4 + X_CHANNEL4 + c4;
        dx[to] = dx_t(finish(a, pixel, c4));
        if c4 + 1u < C4 {
            dx[to + 1u] = dx_t(finish(b, pixel, c4 + 1u));
        }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    phase = phase_of(group.z % (STRIDE * STRIDE));
    let p = ((group.x + group.y * GRID_X) * INVOCATIONS + index) * PIXELS;
    let c4 = group.z / (STRIDE * STRIDE) * 2u;
    let second = min(c4 + 1u, C4 - 1u);
    w_at = (phase.first_tap.x * KERNEL + phase.first_tap.y) * C4 * 4u * K4;
    see_all(p);
    first_tap();
    for (var inner = 0u; inner < phase.taps.x * phase.taps.y * K4; inner++) {
        multiply_all(block(w_at + c4 * 4u * K4), block(w_at + second * 4u * K4));
        k4++;
        offset++;
        w_at++;
        carry();
    }
    store_all(p, c4);
}
