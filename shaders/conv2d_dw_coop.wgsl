enable f16;
enable wgpu_cooperative_matrix;
// Gradient of a convolution with respect to its filter on cooperative matrices: rows are (tap, input channel), columns output
// channels, and the inner dimension runs over pixels, split over workgroups as in conv2d_dw.wgsl.
//#import conv
//#import coop
override BIAS: bool;       // whether one more row is the bias's: sums of dy alone
override SPLIT_PIXELS: u32; // pixels of dy per split

alias x_t = vec4f; alias dy_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>; // (splits, KERNEL * KERNEL * C, and the bias, K4)

const A_ROW = ROWS / 4u + 1u; // vec4s from a pixel to the next, one to spare against bank conflicts

var<workgroup> corner: array<vec4i, INNER>;             // of each staged pixel's window: index of its first pixel, row, column
var<workgroup> xs: array<half4, INNER * A_ROW>;         // [pixel][row vec4]
var<workgroup> ys: array<half4, INNER * (COLS * SIDE / 4 + 1)>; // [pixel][column vec4]

var<private> split: u32;
var<private> origin: vec2u; // first row vec4 and column vec4 of the workgroup
var<private> last_pixel: u32;
var<private> place: vec3u;  // n, row and column of the pixel whose corner the invocation finds
var<private> row4: u32;     // the row vec4 that it stages
var<private> shift: vec3i;  // row and column in the window, and channel vec4, of that row

fn prepare(index: u32, group: vec3u) -> vec2u {
    split = group.z;
    origin = vec2u(group.x * ROWS / 4u, group.y * COLS * SIDE / 4u);
    let first_pixel = split * SPLIT_PIXELS;
    last_pixel = min(first_pixel + SPLIT_PIXELS, N * OH * OW);
    let pixel = first_pixel + index;
    place = vec3u(pixel / (OW * OH), pixel / OW % OH, pixel % OW);
    // There are as many invocations as row vec4s, or a multiple.
    row4 = origin.x + index % (ROWS / 4u);
    let tap = row4 / C4;
    shift = vec3i(i32(tap / KERNEL), i32(tap % KERNEL), i32(row4 % C4));
    return vec2u(first_pixel, last_pixel);
}

fn stage(index: u32, start: u32) {
    if index < INNER {
        let top = i32(place.y * STRIDE) - i32(PADDING);
        let left = i32(place.z * STRIDE) - i32(PADDING);
        let first = (i32(place.x * H) + top) * i32(W) + left;
        corner[index] = vec4i(first, select(NOWHERE, top, start + index < last_pixel), left, 0);
    }
    place.z += INNER;
    while place.z >= OW {
        place.z -= OW;
        place.y++;
        if place.y == OH {
            place = vec3u(place.x + 1u, 0u, place.z);
        }
    }
    workgroupBarrier();
    for (var p = index / (ROWS / 4u); p < INNER; p += 16u * SUBGROUP / ROWS) {
        let at = corner[p];
        var value = half4();
        if BIAS && row4 == KERNEL * KERNEL * C4 && at.y != NOWHERE {
            value.x = 1.0h;
        }
        if row4 < KERNEL * KERNEL * C4 && u32(at.y + shift.x) < H && u32(at.z + shift.y) < W {
            value = half4(x[u32(at.x + shift.x * i32(W) + shift.y) * X_STRIDE4 + X_CHANNEL4 + u32(shift.z)]);
        }
        xs[p * A_ROW + index % (ROWS / 4u)] = value;
    }
    for (var p = index / 8u; p < INNER; p += SUBGROUP / 2u) {
        for (var column = index % 8u; column < COLS * SIDE / 4u; column += 8u) {
            var value = half4();
            if start + p < last_pixel && origin.y + column < K4 {
                value = half4(dy[(start + p) * Y_STRIDE4 + Y_CHANNEL4 + origin.y + column]);
            }
            ys[p * b_row() + column] = value;
        }
    }
}

// The rows lie along memory: column by column, a column being a pixel.
fn a_of(row: u32, k: u32) -> fragment_a {
    return coopLoad<fragment_a>(&xs[k * SIDE * A_ROW + row * SIDE / 4u], A_ROW);
}

fn b_of(column: u32, k: u32) -> fragment_b {
    return coopLoadT<fragment_b>(&ys[k * SIDE * b_row() + column * SIDE / 4u], b_row());
}

fn store(row: u32, column4: u32, sum: vec4f) {
    let rows = KERNEL * KERNEL * C4 * 4u + select(0u, 1u, BIAS);
    let to = origin.x * 4u + row;
    let k4 = origin.y + column4;
    if to < rows && k4 < K4 {
        partials[(split * rows + to) * K4 + k4] = sum;
    }
}
