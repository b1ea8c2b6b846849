// Gradient of a convolution with respect to its input, and so the transposed convolution: dx = finish(w^T * dy), as an implicit
// matrix product for every phase: rows are the phase's pixels, columns the channels of dx, and the inner dimension
// runs over the taps that reach the phase and the channels of dy.
//#import conv
//#import finish
//#import phase
//#import registers
//#import tile

alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, X_STRIDE4)

var<private> phase: Phase;
var<private> origin: vec2u; // first pixel of the phase and channel vec4 of the invocation

// w has the channels of dy innermost, so that a row is one channel of dx.
fn block(r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f) -> mat4x4f {
    return transpose(mat4x4f(r0, r1, r2, r3));
}

fn store(row: u32, column: u32, sum: vec4f) {
    let at = place(origin.x + row * TY, phase);
    let c4 = origin.y + column * TX;
    if at.x < N && c4 < C4 {
        let pixel = (at.x * H + at.y) * W + at.z;
        dx[pixel * X_STRIDE4 + X_CHANNEL4 + c4] = dx_t(finish(sum, pixel, c4));
    }
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    phase = phase_of(group.z % (STRIDE * STRIDE));
    let first_c4 = group.z / (STRIDE * STRIDE) * TX * COLS;
    let first_pixel = (group.x + group.y * GRID_X) * TY * ROWS;
    if place(first_pixel, phase).x >= N {
        return;
    }
    origin = vec2u(first_pixel + id.y, first_c4 + id.x);
    for (var p = index; p < TY * ROWS; p += TX * TY) {
        corner[p] = corner_of(place(first_pixel + p, phase), phase);
    }
    workgroupBarrier();

    let k = index % KB;
    var tap = vec2u();      // row and column among the phase's taps of what is staged next
    var k4 = k;
    let inners = phase.taps.x * phase.taps.y * K4;
    for (var start = 0u; start < inners; start += KB) {
        while k4 >= K4 {
            k4 -= K4;
            tap.y++;
            if tap.y == phase.taps.y {
                tap = vec2u(tap.x + 1u, 0u);
            }
        }
        for (var p = index / KB; p < TY * ROWS; p += TX * TY / KB) {
            let at = corner[p];
            var value = vec4f();
            if tap.x < phase.taps.x && u32(at.y - i32(tap.x)) < OH && u32(at.z - i32(tap.y)) < OW {
                value = vec4f(dy[u32(at.x - i32(tap.x * OW + tap.y)) * Y_STRIDE4 + Y_CHANNEL4 + k4]);
            }
            xs[xs_at(k) + p] = value;
        }
        let window = phase.first_tap + tap * STRIDE;
        for (var c = index / KB; c < TX * COLS * 4u; c += TX * TY / KB) {
            var value = vec4f();
            if tap.x < phase.taps.x && first_c4 * 4u + c < C4 * 4u {
                value = w[((window.x * KERNEL + window.y) * C4 * 4u + first_c4 * 4u + c) * K4 + k4];
            }
            ws[ws_at(k, c % 4u) + c / 4u] = value;
        }
        k4 += KB;
        workgroupBarrier();
        multiply_stage(id.xy);
        workgroupBarrier();
    }
    store_all();
}
