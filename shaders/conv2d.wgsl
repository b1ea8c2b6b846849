// Convolution forward, y = act(w * x + b) (+ addend, * derivative at gate), as an implicit matrix product: rows are output pixels, columns output
// channels, and the inner dimension runs over window taps and input channels.
//
// A workgroup of TX x TY invocations makes a tile of 8*TY pixels x 8*TX channels; each invocation keeps 8 pixels x 8
// channels in registers. Every stage brings KB vec4s of the inner dimension for all pixels and channels of the tile.

override N: u32;           // pictures
override H: u32;           // input height
override W: u32;           // input width
override OH: u32;          // output height
override OW: u32;          // output width
override C4: u32;          // input channels / 4
override K4: u32;          // output channels / 4
override X_STRIDE4: u32;   // vec4s from an input pixel to the next
override X_CHANNEL4: u32;  // first vec4 of an input pixel
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;
override BIAS: bool;
override SLOPE: f32;       // of the leaky ReLU; 1 leaves values as they are
override ADD: bool;        // whether `addend` is added then
override ADDEND_STRIDE4: u32;
override ADDEND_CHANNEL4: u32;
override GATE: bool;       // whether the derivative of the leaky ReLU whose result is `gate` is multiplied by in the end
override GATE_SLOPE: f32;
override GATE_STRIDE4: u32;
override GATE_CHANNEL4: u32;
override TX: u32;
override TY: u32;
override GRID_X: u32;

const KB = 4u;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;       // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;       // (KERNEL, KERNEL, C, K4)
@group(0) @binding(2) var<storage, read> b: array<vec4f>;       // (K4)
@group(0) @binding(3) var<storage, read> addend: array<vec4f>;  // (N, OH, OW, ADDEND_STRIDE4)
@group(0) @binding(4) var<storage, read> gate: array<vec4f>;    // (N, OH, OW, GATE_STRIDE4)
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>; // (N, OH, OW, Y_STRIDE4)

var<workgroup> corner: array<vec4i, TY * 8>;     // of each pixel's window: n, top row, left column, whether it exists
var<workgroup> xs: array<vec4f, KB * TY * 8>;    // [inner vec4][pixel]
var<workgroup> ws: array<vec4f, KB * 4 * TX * 2>; // [inner][channel vec4]

fn multiply(acc: vec4f, x: vec4f, w: mat4x4f) -> vec4f {
    return fma(vec4f(x.w), w[3], fma(vec4f(x.z), w[2], fma(vec4f(x.y), w[1], fma(vec4f(x.x), w[0], acc))));
}

fn store(pixel: u32, k4: u32, sum: vec4f) {
    if pixel < N * OH * OW && k4 < K4 {
        var v = sum;
        if BIAS {
            v += b[k4];
        }
        v = select(v * SLOPE, v, v > vec4f(0.0));
        if ADD {
            v += addend[pixel * ADDEND_STRIDE4 + ADDEND_CHANNEL4 + k4];
        }
        if GATE {
            v = select(v * GATE_SLOPE, v, gate[pixel * GATE_STRIDE4 + GATE_CHANNEL4 + k4] > vec4f(0.0));
        }
        y[pixel * Y_STRIDE4 + Y_CHANNEL4 + k4] = v;
    }
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let first_pixel = (group.x + group.y * GRID_X) * TY * 8u;
    let first_k4 = group.z * TX * 2u;
    for (var p = index; p < TY * 8u; p += TX * TY) {
        let pixel = first_pixel + p;
        let ow = pixel % OW;
        let oh = pixel / OW % OH;
        let n = pixel / (OW * OH);
        corner[p] = vec4i(i32(n), i32(oh * STRIDE) - i32(PADDING), i32(ow * STRIDE) - i32(PADDING), select(0, 1, n < N));
    }
    workgroupBarrier();

    var a00 = vec4f(); var a01 = vec4f(); var a10 = vec4f(); var a11 = vec4f();
    var a20 = vec4f(); var a21 = vec4f(); var a30 = vec4f(); var a31 = vec4f();
    var a40 = vec4f(); var a41 = vec4f(); var a50 = vec4f(); var a51 = vec4f();
    var a60 = vec4f(); var a61 = vec4f(); var a70 = vec4f(); var a71 = vec4f();

    for (var start = 0u; start < KERNEL * KERNEL * C4; start += KB) {
        for (var i = index; i < KB * TY * 8u; i += TX * TY) {
            let inner = start + i / (TY * 8u);
            let tap = inner / C4;
            let at = corner[i % (TY * 8u)];
            let h = at.y + i32(tap / KERNEL);
            let v = at.z + i32(tap % KERNEL);
            var value = vec4f();
            if at.w == 1 && tap < KERNEL * KERNEL && h >= 0 && h < i32(H) && v >= 0 && v < i32(W) {
                value = x[u32((at.x * i32(H) + h) * i32(W) + v) * X_STRIDE4 + X_CHANNEL4 + inner % C4];
            }
            xs[i] = value;
        }
        for (var i = index; i < KB * 4u * TX * 2u; i += TX * TY) {
            let inner = start * 4u + i / (TX * 2u);
            let k4 = first_k4 + i % (TX * 2u);
            var value = vec4f();
            if inner < KERNEL * KERNEL * C4 * 4u && k4 < K4 {
                value = w[inner * K4 + k4];
            }
            ws[i] = value;
        }
        workgroupBarrier();

        for (var k = 0u; k < KB; k++) {
            let row = k * 4u * TX * 2u + id.x;
            let w0 = mat4x4f(ws[row], ws[row + TX * 2u], ws[row + TX * 4u], ws[row + TX * 6u]);
            let w1 = mat4x4f(ws[row + TX], ws[row + TX * 3u], ws[row + TX * 5u], ws[row + TX * 7u]);
            let at = k * TY * 8u + id.y;
            let x0 = xs[at];
            a00 = multiply(a00, x0, w0); a01 = multiply(a01, x0, w1);
            let x1 = xs[at + TY];
            a10 = multiply(a10, x1, w0); a11 = multiply(a11, x1, w1);
            let x2 = xs[at + TY * 2u];
            a20 = multiply(a20, x2, w0); a21 = multiply(a21, x2, w1);
            let x3 = xs[at + TY * 3u];
            a30 = multiply(a30, x3, w0); a31 = multiply(a31, x3, w1);
            let x4 = xs[at + TY * 4u];
            a40 = multiply(a40, x4, w0); a41 = multiply(a41, x4, w1);
            let x5 = xs[at + TY * 5u];
            a50 = multiply(a50, x5, w0); a51 = multiply(a51, x5, w1);
            let x6 = xs[at + TY * 6u];
            a60 = multiply(a60, x6, w0); a61 = multiply(a61, x6, w1);
            let x7 = xs[at + TY * 7u];
            a70 = multiply(a70, x7, w0); a71 = multiply(a71, x7, w1);
        }
        workgroupBarrier();
    }

    let pixel = first_pixel + id.y;
    let k4 = first_k4 + id.x;
    store(pixel, k4, a00);           store(pixel, k4 + TX, a01);
    store(pixel + TY, k4, a10);      store(pixel + TY, k4 + TX, a11);
    store(pixel + TY * 2u, k4, a20); store(pixel + TY * 2u, k4 + TX, a21);
    store(pixel + TY * 3u, k4, a30); store(pixel + TY * 3u, k4 + TX, a31);
    store(pixel + TY * 4u, k4, a40); store(pixel + TY * 4u, k4 + TX, a41);
    store(pixel + TY * 5u, k4, a50); store(pixel + TY * 5u, k4 + TX, a51);
    store(pixel + TY * 6u, k4, a60); store(pixel + TY * 6u, k4 + TX, a61);
    store(pixel + TY * 7u, k4, a70); store(pixel + TY * 7u, k4 + TX, a71);
}
