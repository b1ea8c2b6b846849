// Gradient of a convolution with respect to its input, and so the transposed convolution: dx = finish(w^T * dy), as an implicit
// matrix product for every phase: rows are the phase's pixels, columns the channels of dx, and the inner dimension
// runs over the taps that reach the phase and the channels of dy.
//#import conv
//#import finish
//#import phase_window
//#import tile

alias dy_t = vec4f; alias dx_t = vec4f;
alias in_t = dy_t;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, X_STRIDE4)

var<private> origin: vec2u; // first pixel of the phase and channel vec4 of the invocation

fn load_x(at: u32) -> dy_t {
    return dy[at];
}

fn load_w(at: u32) -> vec4f {
    return w[min(at, KERNEL * KERNEL * C4 * 4u * K4 - 1u)];
}

// w has the channels of dy innermost, so that a row is one channel of dx.
fn block(r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f) -> mat4x4f {
    return transpose(mat4x4f(r0, r1, r2, r3));
}

fn store(row: u32, column: u32, sum: vec4f) {
    let c4 = origin.y + column * TX;
    // Without a stride the phase has all pixels in their order: nothing to divide.
    var pixel = origin.x + row * TY;
    var inside = pixel < N * H * W;
    if STRIDE > 1u {
        let at = place(pixel, phase);
        pixel = (at.x * H + at.y) * W + at.z;
        inside = at.x < N;
    }
    if inside && c4 < C4 {
        dx[pixel * X_STRIDE4 + X_CHANNEL4 + c4] = dx_t(finish(sum, pixel, c4));
    }
}

fn advance() {
    k4 += KB;
    offset += i32(KB);
    w_at += KB;
    carry();
}

// Rows of the filter's stage are channels of dx; an invocation has one inner vec4 of several.
fn w_place(index: u32, number: u32) -> u32 {
    let c = index / KB + number * (invocations() / KB);
    return select(nowhere(), ws_at(index % KB, c % 4u) + c / 4u, c < TX * COLS * 4u);
}

@compute @workgroup_size(TX, TY, SLICES)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    // The workgroup's: what branches with barriers depend on must not be private.
    let group_phase = phase_of(group.z % (STRIDE * STRIDE));
    phase = group_phase;
    let first_c4 = group.z / (STRIDE * STRIDE) * TX * COLS;
    let first_pixel = (group.x + group.y * GRID_X) * TY * ROWS;
    if place(first_pixel, group_phase).x >= N {
        return;
    }
    origin = vec2u(first_pixel + id.y, first_c4 + id.x);

    let p = first_pixel + index / KB;
    let k = index % KB;
    k4 = counted(k, K4);
    offset = i32(k4);
    let seen0 = see(p); base0 = seen0.x + k - k4; taps0 = seen0.y;
    let seen1 = see(p + invocations() / KB); base1 = seen1.x + k - k4; taps1 = seen1.y;
    let seen2 = see(p + 2u * (invocations() / KB)); base2 = seen2.x + k - k4; taps2 = seen2.y;
    let seen3 = see(p + 3u * (invocations() / KB)); base3 = seen3.x + k - k4; taps3 = seen3.y;

    let c = first_c4 * 4u + index / KB;
    let last_c = C4 * 4u - 1u;
    w_row0 = min(c, last_c) * K4 + k - k4;
    w_row1 = min(c + invocations() / KB, last_c) * K4 + k - k4;
    w_row2 = min(c + 2u * (invocations() / KB), last_c) * K4 + k - k4;
    w_row3 = min(c + 3u * (invocations() / KB), last_c) * K4 + k - k4;
    w_at = (phase.first_tap.x * KERNEL + phase.first_tap.y) * C4 * 4u * K4 + k4;

    prepare(id, index);
    multiply_all(group_phase.taps.x * group_phase.taps.y * K4, KB);
    store_all(id);
}
