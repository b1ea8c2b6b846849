// Convolution forward on software adapters, y = finish(w * x): an invocation makes its sums alone, over window taps and input
// channels.
//#import conv
//#import finish
//#import window
//#import direct
//#runtime
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;       // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

fn load_x(at: u32) -> vec4f {
    return vec4f(x[at]);
}

fn block(at: u32) -> mat4x4f {
    return mat4x4f(w[at], w[at + K4], w[at + 2u * K4], w[at + 3u * K4]);
}

fn store(pixel: u32, k4: u32, a: vec4f, b: vec4f) {
    if pixel < N * OH * OW {
        let at = pixel * Y_STRIDE4 + Y_CHANNEL4 + k4;
        y[at] = y_t(finish(a, pixel, k4));
        if k4 + 1u < K4 {
            y[at + 1u] = y_t(finish(b, pixel, k4 + 1u));
        }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let p = ((group.x + group.y * GRID_X) * INVOCATIONS + index) * PIXELS;
    let k4 = group.z * 2u;
    let second = min(k4 + 1u, K4 - 1u);
    see_all(p);
    first_tap();
    for (var inner = 0u; inner < KERNEL * KERNEL * C4; inner++) {
        multiply_all(block(w_at + k4), block(w_at + second));
        c4++;
        offset++;
        w_at += 4u * K4;
        carry();
    }
    store_all(p, k4);
}
