enable f16;
enable wgpu_cooperative_matrix;
// Gradient of a convolution with respect to its input, and so the transposed convolution, on cooperative matrices: for every
// phase rows are its pixels, columns the channels of dx, and the inner dimension runs over the taps that reach it and the
// channels of dy.
//#import conv
//#import finish
//#import phase
//#import coop
override GRID_X: u32;

alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, X_STRIDE4)

const LINE = INNER / 4u + 1u; // vec4s from a row of either operand to the next, one to spare against bank conflicts

var<workgroup> corner: array<vec4i, ROWS>;              // of each pixel: that of dy under the first tap, its row and column
var<workgroup> ys: array<half4, ROWS * LINE>;           // [pixel][inner vec4]
var<workgroup> ws: array<half4, COLS * SIDE * (INNER / 4 + 1)>; // [channel][inner vec4]

var<private> phase: Phase;
var<private> origin: vec2u; // first pixel of the phase and channel of the workgroup
var<private> tap: vec2u;    // row and column among the phase's taps of what is staged next, and its channel vec4
var<private> k4: u32;

fn prepare(index: u32, group: vec3u) -> vec2u {
    phase = phase_of(group.z % (STRIDE * STRIDE));
    origin = vec2u((group.x + group.y * GRID_X) * ROWS, group.z / (STRIDE * STRIDE) * COLS * SIDE);
    for (var p = index; p < ROWS; p += 4u * SUBGROUP) {
        corner[p] = corner_of(place(origin.x + p, phase), phase);
    }
    k4 = index % 8u;
    // A phase that no tap reaches has sums of nothing, but has them.
    return vec2u(0u, max(phase.taps.x * phase.taps.y * K4 * 4u, 1u));
}

fn stage(index: u32, start: u32) {
    while k4 >= K4 {
        k4 -= K4;
        tap.y++;
        if tap.y >= phase.taps.y {
            tap = vec2u(tap.x + 1u, 0u);
        }
    }
    let window = phase.first_tap + tap * STRIDE;
    let there = tap.x < phase.taps.x && tap.y < phase.taps.y;
    for (var p = index / 8u; p < ROWS; p += SUBGROUP / 2u) {
        let at = corner[p];
        var value = half4();
        if there && u32(at.y - i32(tap.x)) < OH && u32(at.z - i32(tap.y)) < OW {
            value = half4(dy[u32(at.x - i32(tap.x * OW + tap.y)) * Y_STRIDE4 + Y_CHANNEL4 + k4]);
        }
        ys[p * LINE + index % 8u] = value;
    }
    for (var c = index / 8u; c < COLS * SIDE; c += SUBGROUP / 2u) {
        var value = half4();
        if there && origin.y + c < C4 * 4u {
            value = half4(w[((window.x * KERNEL + window.y) * C4 * 4u + origin.y + c) * K4 + k4]);
        }
        ws[c * LINE + index % 8u] = value;
    }
    k4 += 8u;
}

fn a_of(row: u32, k: u32) -> fragment_a {
    return coopLoadT<fragment_a>(&ys[row * SIDE * LINE + k * SIDE / 4u], LINE);
}

// The filter lies with its inner dimension along memory: column by column.
fn b_of(column: u32, k: u32) -> fragment_b {
    return coopLoad<fragment_b>(&ws[column * SIDE * LINE + k * SIDE / 4u], LINE);
}

fn store(row: u32, column4: u32, sum: vec4f) {
    let at = place(origin.x + row, phase);
    let c4 = origin.y / 4u + column4;
    if at.x < N && c4 < C4 {
        let pixel = (at.x * H + at.y) * W + at.z;
        dx[pixel * X_STRIDE4 + X_CHANNEL4 + c4] = dx_t(finish(sum, pixel, c4));
    }
}
