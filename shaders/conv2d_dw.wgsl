// Gradient of a convolution with respect to its filter: dw = sum over pixels of x (shifted by the tap) times dy.
//
// A matrix product with a small result and a very long inner dimension, the pixels. These are split over SPLITS
// workgroups per tile, each of which writes its own partial filter; sum_partials.wgsl adds them in a fixed order.
// A workgroup makes ROWS*TY rows (tap, input channel) by COLS*TX vec4s of columns (output channels).
//#import conv
//#import registers
override BIAS: bool;       // whether one more row is the bias's: sums of dy alone
override TX: u32;
override TY: u32;
override SPLIT_PIXELS: u32; // pixels of dy per split

const PB = 16u;            // pixels per stage

alias x_t = vec4f; alias dy_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>; // (splits, KERNEL * KERNEL * C, and the bias, K4)

var<workgroup> corner: array<vec4i, PB>;              // of each staged pixel's window: index of its first pixel, row, column
var<workgroup> xs: array<vec4f, PB * TY * (ROWS / 4)>;  // [pixel][row vec4]
var<workgroup> ys: array<vec4f, PB * TX * COLS>;        // [pixel][column vec4]

var<private> split: u32;
var<private> origin: vec2u; // first row vec4 and column vec4 of the invocation

fn store(number: u32, column: u32, sum: vec4f) {
    let rows = KERNEL * KERNEL * C4 * 4u + select(0u, 1u, BIAS);
    let row = (origin.x + number / 4u * TY) * 4u + number % 4u;
    let k4 = origin.y + column * TX;
    if row < rows && k4 < K4 {
        partials[(split * rows + row) * K4 + k4] = sum;
    }
}

fn find_corners(index: u32, start: u32, last_pixel: u32) {
    for (var p = index; p < PB; p += TX * TY) {
        let pixel = start + p;
        let top = i32(pixel / OW % OH * STRIDE) - i32(PADDING);
        let left = i32(pixel % OW * STRIDE) - i32(PADDING);
        let first = (i32(pixel / (OW * OH) * H) + top) * i32(W) + left;
        corner[p] = vec4i(first, select(NOWHERE, top, pixel < last_pixel), left, 0);
    }
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let first_row4 = group.x * TY * (ROWS / 4u);
    let first_k4 = group.y * TX * COLS;
    let first_pixel = group.z * SPLIT_PIXELS;
    let last_pixel = min(first_pixel + SPLIT_PIXELS, N * OH * OW);
    split = group.z;
    origin = vec2u(first_row4 + id.y, first_k4 + id.x);
    find_corners(index, first_pixel, last_pixel);
    workgroupBarrier();

    for (var start = first_pixel; start < last_pixel; start += PB) {
        for (var r = id.y; r < TY * (ROWS / 4u); r += TY) {
            // The compiler moves these out of the loop over pixels.
            let row4 = first_row4 + r;
            let tap = row4 / C4;
            let shift = vec2i(i32(tap / KERNEL), i32(tap % KERNEL));
            for (var p = id.x; p < PB; p += TX) {
                let at = corner[p];
                var value = vec4f();
                if BIAS && row4 == KERNEL * KERNEL * C4 && at.y != NOWHERE {
                    value.x = 1.0;
                }
                if tap < KERNEL * KERNEL && u32(at.y + shift.x) < H && u32(at.z + shift.y) < W {
                    value = vec4f(x[u32(at.x + shift.x * i32(W) + shift.y) * X_STRIDE4 + X_CHANNEL4 + row4 % C4]);
                }
                xs[p * TY * (ROWS / 4u) + r] = value;
            }
        }
        for (var p = id.y; p < PB; p += TY) {
            for (var column = id.x; column < TX * COLS; column += TX) {
                var value = vec4f();
                if start + p < last_pixel && first_k4 + column < K4 {
                    value = vec4f(dy[(start + p) * Y_STRIDE4 + Y_CHANNEL4 + first_k4 + column]);
                }
                ys[p * TX * COLS + column] = value;
            }
        }
        workgroupBarrier();

        find_corners(index, start + PB, last_pixel);
        for (var p = 0u; p < PB; p++) {
            let x_at = p * TY * (ROWS / 4u) + id.y;
            let y_at = p * TX * COLS + id.x;
            let x0 = xs[x_at];
            let y0 = ys[y_at];
            a00 = fma(vec4f(x0.x), y0, a00);
            a10 = fma(vec4f(x0.y), y0, a10);
            a20 = fma(vec4f(x0.z), y0, a20);
            a30 = fma(vec4f(x0.w), y0, a30);
            var x1 = vec4f();
            if ROWS == 8u {
                x1 = xs[x_at + TY];
                a40 = fma(vec4f(x1.x), y0, a40);
                a50 = fma(vec4f(x1.y), y0, a50);
                a60 = fma(vec4f(x1.z), y0, a60);
                a70 = fma(vec4f(x1.w), y0, a70);
            }
            if COLS == 2u {
                let y1 = ys[y_at + TX];
                a01 = fma(vec4f(x0.x), y1, a01);
                a11 = fma(vec4f(x0.y), y1, a11);
                a21 = fma(vec4f(x0.z), y1, a21);
                a31 = fma(vec4f(x0.w), y1, a31);
                if ROWS == 8u {
                    a41 = fma(vec4f(x1.x), y1, a41);
                    a51 = fma(vec4f(x1.y), y1, a51);
                    a61 = fma(vec4f(x1.z), y1, a61);
                    a71 = fma(vec4f(x1.w), y1, a71);
                }
            }
        }
        workgroupBarrier();
    }
    store_all();
}
