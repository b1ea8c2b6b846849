// Gradient of a convolution with respect to its filter: dw = sum over pixels of x (shifted by the tap) times dy.
//
// A matrix product with a small result and a very long inner dimension, the pixels. These are split over SPLITS
// workgroups per tile, each of which writes its own partial filter; sum_partials.wgsl adds them in a fixed order.
// A workgroup makes 8*TY rows (tap, input channel) x 8*TX columns (output channels), eight by eight per invocation.

override N: u32;           // pictures
override H: u32;           // height of x
override W: u32;           // width of x
override OH: u32;          // height of dy
override OW: u32;          // width of dy
override C4: u32;          // channels of x / 4
override K4: u32;          // channels of dy / 4
override X_STRIDE4: u32;   // vec4s from a pixel of x to the next
override X_CHANNEL4: u32;  // first vec4 of a pixel of x
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;
override BIAS: bool;       // whether one more row is the bias's: sums of dy alone
override TX: u32;
override TY: u32;
override SPLIT_PIXELS: u32; // pixels of dy per split

const PB = 16u;            // pixels per stage

@group(0) @binding(0) var<storage, read> x: array<vec4f>;        // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;       // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>; // (splits, KERNEL * KERNEL * C, and the bias, K4)

var<workgroup> xs: array<vec4f, PB * TY * 2>;  // [pixel][row vec4]
var<workgroup> ys: array<vec4f, PB * TX * 2>;  // [pixel][column vec4]

fn store(split: u32, row: u32, k4: u32, sum: vec4f) {
    let rows = KERNEL * KERNEL * C4 * 4u + select(0u, 1u, BIAS);
    if row < rows && k4 < K4 {
        partials[(split * rows + row) * K4 + k4] = sum;
    }
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let first_row4 = group.x * TY * 2u;
    let first_k4 = group.y * TX * 2u;
    let first_pixel = group.z * SPLIT_PIXELS;
    let last_pixel = min(first_pixel + SPLIT_PIXELS, N * OH * OW);

    var a00 = vec4f(); var a01 = vec4f(); var a10 = vec4f(); var a11 = vec4f();
    var a20 = vec4f(); var a21 = vec4f(); var a30 = vec4f(); var a31 = vec4f();
    var a40 = vec4f(); var a41 = vec4f(); var a50 = vec4f(); var a51 = vec4f();
    var a60 = vec4f(); var a61 = vec4f(); var a70 = vec4f(); var a71 = vec4f();

    for (var start = first_pixel; start < last_pixel; start += PB) {
        for (var i = index; i < PB * TY * 2u; i += TX * TY) {
            let pixel = start + i / (TY * 2u);
            let row4 = first_row4 + i % (TY * 2u);
            let tap = row4 / C4;
            let h = i32(pixel / OW % OH * STRIDE + tap / KERNEL) - i32(PADDING);
            let v = i32(pixel % OW * STRIDE + tap % KERNEL) - i32(PADDING);
            var value = vec4f();
            if BIAS && row4 == KERNEL * KERNEL * C4 && pixel < last_pixel {
                value.x = 1.0;
            }
            if pixel < last_pixel && tap < KERNEL * KERNEL && h >= 0 && h < i32(H) && v >= 0 && v < i32(W) {
                value = x[u32((i32(pixel / (OW * OH)) * i32(H) + h) * i32(W) + v) * X_STRIDE4 + X_CHANNEL4 + row4 % C4];
            }
            xs[i] = value;
        }
        for (var i = index; i < PB * TX * 2u; i += TX * TY) {
            let pixel = start + i / (TX * 2u);
            let k4 = first_k4 + i % (TX * 2u);
            var value = vec4f();
            if pixel < last_pixel && k4 < K4 {
                value = dy[pixel * Y_STRIDE4 + Y_CHANNEL4 + k4];
            }
            ys[i] = value;
        }
        workgroupBarrier();

        for (var p = 0u; p < PB; p++) {
            let x0 = xs[p * TY * 2u + id.y];
            let x1 = xs[p * TY * 2u + id.y + TY];
            let y0 = ys[p * TX * 2u + id.x];
            let y1 = ys[p * TX * 2u + id.x + TX];
            a00 = fma(vec4f(x0.x), y0, a00); a01 = fma(vec4f(x0.x), y1, a01);
            a10 = fma(vec4f(x0.y), y0, a10); a11 = fma(vec4f(x0.y), y1, a11);
            a20 = fma(vec4f(x0.z), y0, a20); a21 = fma(vec4f(x0.z), y1, a21);
            a30 = fma(vec4f(x0.w), y0, a30); a31 = fma(vec4f(x0.w), y1, a31);
            a40 = fma(vec4f(x1.x), y0, a40); a41 = fma(vec4f(x1.x), y1, a41);
            a50 = fma(vec4f(x1.y), y0, a50); a51 = fma(vec4f(x1.y), y1, a51);
            a60 = fma(vec4f(x1.z), y0, a60); a61 = fma(vec4f(x1.z), y1, a61);
            a70 = fma(vec4f(x1.w), y0, a70); a71 = fma(vec4f(x1.w), y1, a71);
        }
        workgroupBarrier();
    }

    let r0 = (first_row4 + id.y) * 4u;
    let r1 = r0 + TY * 4u;
    let k4 = first_k4 + id.x;
    store(group.z, r0, k4, a00);      store(group.z, r0, k4 + TX, a01);
    store(group.z, r0 + 1u, k4, a10); store(group.z, r0 + 1u, k4 + TX, a11);
    store(group.z, r0 + 2u, k4, a20); store(group.z, r0 + 2u, k4 + TX, a21);
    store(group.z, r0 + 3u, k4, a30); store(group.z, r0 + 3u, k4 + TX, a31);
    store(group.z, r1, k4, a40);      store(group.z, r1, k4 + TX, a41);
    store(group.z, r1 + 1u, k4, a50); store(group.z, r1 + 1u, k4 + TX, a51);
    store(group.z, r1 + 2u, k4, a60); store(group.z, r1 + 2u, k4 + TX, a61);
    store(group.z, r1 + 3u, k4, a70); store(group.z, r1 + 3u, k4 + TX, a71);
}
