enable f16;
enable wgpu_cooperative_matrix;
// Convolution forward, y = finish(w * x), on cooperative matrices: rows are output pixels, columns output channels, and the inner
// dimension runs over window taps and input channels.
//#import conv
//#import finish
//#import coop
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;       // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

const A_ROW = INNER / 4u + 1u; // vec4s from a row to the next, one to spare against bank conflicts

var<workgroup> corner: array<vec4i, ROWS>;              // of each pixel's window: index of its first pixel, row, column
var<workgroup> xs: array<half4, ROWS * A_ROW>;          // [pixel][inner vec4]
var<workgroup> ws: array<half4, INNER * (COLS * SIDE / 4 + 1)>; // [inner][channel vec4]

var<private> origin: vec2u; // first pixel and channel vec4 of the workgroup
var<private> tap: vec2u;    // row and column in the window of what is staged next, and its channel vec4
var<private> c4: u32;

fn prepare(index: u32, group: vec3u) -> vec2u {
    origin = vec2u((group.x + group.y * GRID_X) * ROWS, group.z * COLS * SIDE / 4u);
    for (var p = index; p < ROWS; p += 4u * SUBGROUP) {
        let pixel = origin.x + p;
        let n = pixel / (OW * OH);
        let top = i32(pixel / OW % OH * STRIDE) - i32(PADDING);
        let left = i32(pixel % OW * STRIDE) - i32(PADDING);
        corner[p] = vec4i((i32(n * H) + top) * i32(W) + left, select(NOWHERE, top, n < N), left, 0);
    }
    c4 = index % 8u;
    return vec2u(0u, KERNEL * KERNEL * C4 * 4u);
}

fn stage(index: u32, start: u32) {
    while c4 >= C4 {
        c4 -= C4;
        tap.y++;
        if tap.y == KERNEL {
            tap = vec2u(tap.x + 1u, 0u);
        }
    }
    for (var p = index / 8u; p < ROWS; p += SUBGROUP / 2u) {
        let at = corner[p];
        var value = half4();
        if tap.x < KERNEL && u32(at.y + i32(tap.x)) < H && u32(at.z + i32(tap.y)) < W {
            value = half4(x[u32(at.x + i32(tap.x * W + tap.y)) * X_STRIDE4 + X_CHANNEL4 + c4]);
        }
        xs[p * A_ROW + index % 8u] = value;
    }
    c4 += 8u;
    for (var inner = index / 8u; inner < INNER; inner += SUBGROUP / 2u) {
        for (var column = index % 8u; column < COLS * SIDE / 4u; column += 8u) {
            var value = half4();
            if start + inner < KERNEL * KERNEL * C4 * 4u && origin.y + column < K4 {
                value = half4(w[(start + inner) * K4 + origin.y + column]);
            }
            ws[inner * b_row() + column] = value;
        }
    }
}

fn a_of(row: u32, k: u32) -> fragment_a {
    return coopLoadT<fragment_a>(&xs[row * SIDE * A_ROW + k * SIDE / 4u], A_ROW);
}

fn b_of(column: u32, k: u32) -> fragment_b {
    return coopLoadT<fragment_b>(&ws[k * SIDE * b_row() + column * SIDE / 4u], b_row());
}

fn store(row: u32, column4: u32, sum: vec4f) {
    let pixel = origin.x + row;
    let k4 = origin.y + column4;
    if pixel < N * OH * OW && k4 < K4 {
        y[pixel * Y_STRIDE4 + Y_CHANNEL4 + k4] = y_t(finish(sum, pixel, k4));
    }
}
