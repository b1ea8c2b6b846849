// Gradient of a convolution with respect to its input, and so the transposed convolution: dx = act(w^T * dy + b)
// (+ addend, * derivative at gate).
//
// Decomposed by phase: the pixels of dx whose row and column leave the same remainders modulo STRIDE see the same taps
// of the window, so that each phase is a small convolution of dy without stride and no tap is tested for divisibility.
// Tiles and registers as in conv2d.wgsl; rows are the pixels of one phase, columns the channels of dx.

override N: u32;           // pictures
override H: u32;           // height of dx
override W: u32;           // width of dx
override OH: u32;          // height of dy
override OW: u32;          // width of dy
override C4: u32;          // channels of dx / 4
override K4: u32;          // channels of dy / 4
override X_STRIDE4: u32;   // vec4s from a pixel of dx to the next
override X_CHANNEL4: u32;  // first vec4 of a pixel of dx
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

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;       // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // (KERNEL, KERNEL, C, K4)
@group(0) @binding(2) var<storage, read> b: array<vec4f>;        // (C4)
@group(0) @binding(3) var<storage, read> addend: array<vec4f>;   // (N, H, W, ADDEND_STRIDE4)
@group(0) @binding(4) var<storage, read> gate: array<vec4f>;     // (N, H, W, GATE_STRIDE4)
@group(0) @binding(5) var<storage, read_write> dx: array<vec4f>; // (N, H, W, X_STRIDE4)

var<workgroup> corner: array<vec4i, TY * 8>;      // of each pixel: n, row and column of dy under the phase's first tap, whether it exists
var<workgroup> ys: array<vec4f, KB * TY * 8>;     // [inner vec4][pixel]
var<workgroup> ws: array<vec4f, KB * 4 * TX * 2>; // [inner][channel vec4]

fn multiply(acc: vec4f, x: vec4f, w: mat4x4f) -> vec4f {
    return fma(vec4f(x.w), w[3], fma(vec4f(x.z), w[2], fma(vec4f(x.y), w[1], fma(vec4f(x.x), w[0], acc))));
}

// Pixel number p of a phase whose first row and column are phase.x, phase.y: its n, row and column in dx.
fn place(p: u32, phase: vec2u) -> vec3u {
    let rows = (H - phase.x + STRIDE - 1u) / STRIDE;
    let columns = (W - phase.y + STRIDE - 1u) / STRIDE;
    return vec3u(p / (rows * columns), p / columns % rows * STRIDE + phase.x, p % columns * STRIDE + phase.y);
}

fn store(p: u32, phase: vec2u, c4: u32, sum: vec4f) {
    let at = place(p, phase);
    if at.x < N && c4 < C4 {
        var v = sum;
        if BIAS {
            v += b[c4];
        }
        v = select(v * SLOPE, v, v > vec4f(0.0));
        let pixel = (at.x * H + at.y) * W + at.z;
        if ADD {
            v += addend[pixel * ADDEND_STRIDE4 + ADDEND_CHANNEL4 + c4];
        }
        if GATE {
            v = select(v * GATE_SLOPE, v, gate[pixel * GATE_STRIDE4 + GATE_CHANNEL4 + c4] > vec4f(0.0));
        }
        dx[pixel * X_STRIDE4 + X_CHANNEL4 + c4] = v;
    }
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let phase = vec2u(group.z % (STRIDE * STRIDE) / STRIDE, group.z % STRIDE);
    let first_c4 = group.z / (STRIDE * STRIDE) * TX * 2u;
    let first_pixel = (group.x + group.y * GRID_X) * TY * 8u;
    if phase.x >= H || phase.y >= W || place(first_pixel, phase).x >= N {
        return;
    }
    // Taps that reach this phase: kh = first.x, first.x + STRIDE, … below KERNEL, and likewise kw.
    let first = vec2u((phase.x + PADDING) % STRIDE, (phase.y + PADDING) % STRIDE);
    let taps = (vec2u(KERNEL + STRIDE - 1u) - min(first, vec2u(KERNEL + STRIDE - 1u))) / STRIDE;
    let inners = taps.x * taps.y * K4;

    for (var p = index; p < TY * 8u; p += TX * TY) {
        let at = place(first_pixel + p, phase);
        let row = (at.y + PADDING - first.x) / STRIDE;
        let column = (at.z + PADDING - first.y) / STRIDE;
        corner[p] = vec4i(i32(at.x), i32(row), i32(column), select(0, 1, at.x < N));
    }
    workgroupBarrier();

    var a00 = vec4f(); var a01 = vec4f(); var a10 = vec4f(); var a11 = vec4f();
    var a20 = vec4f(); var a21 = vec4f(); var a30 = vec4f(); var a31 = vec4f();
    var a40 = vec4f(); var a41 = vec4f(); var a50 = vec4f(); var a51 = vec4f();
    var a60 = vec4f(); var a61 = vec4f(); var a70 = vec4f(); var a71 = vec4f();

    for (var start = 0u; start < inners; start += KB) {
        for (var i = index; i < KB * TY * 8u; i += TX * TY) {
            let inner = start + i / (TY * 8u);
            let tap = inner / K4;
            let at = corner[i % (TY * 8u)];
            let h = at.y - i32(tap / taps.y);
            let v = at.z - i32(tap % taps.y);
            var value = vec4f();
            if at.w == 1 && inner < inners && h >= 0 && h < i32(OH) && v >= 0 && v < i32(OW) {
                value = dy[u32((at.x * i32(OH) + h) * i32(OW) + v) * Y_STRIDE4 + Y_CHANNEL4 + inner % K4];
            }
            ys[i] = value;
        }
        // Blocks of 4 x 4 weights are transposed on the way: w has the channels of dy innermost, ws those of dx.
        for (var i = index; i < KB * TX * 2u; i += TX * TY) {
            let inner = start + i / (TX * 2u);
            let tap = inner / K4;
            let c4 = first_c4 + i % (TX * 2u);
            var m = mat4x4f();
            if inner < inners && c4 < C4 {
                let kh = first.x + tap / taps.y * STRIDE;
                let kw = first.y + tap % taps.y * STRIDE;
                let at = ((kh * KERNEL + kw) * C4 + c4) * 4u * K4 + inner % K4;
                m = transpose(mat4x4f(w[at], w[at + K4], w[at + 2u * K4], w[at + 3u * K4]));
            }
            let to = i / (TX * 2u) * 4u * TX * 2u + i % (TX * 2u);
            ws[to] = m[0];
            ws[to + TX * 2u] = m[1];
            ws[to + TX * 4u] = m[2];
            ws[to + TX * 6u] = m[3];
        }
        workgroupBarrier();

        for (var k = 0u; k < KB; k++) {
            let row = k * 4u * TX * 2u + id.x;
            let w0 = mat4x4f(ws[row], ws[row + TX * 2u], ws[row + TX * 4u], ws[row + TX * 6u]);
            let w1 = mat4x4f(ws[row + TX], ws[row + TX * 3u], ws[row + TX * 5u], ws[row + TX * 7u]);
            let at = k * TY * 8u + id.y;
            let x0 = ys[at];
            a00 = multiply(a00, x0, w0); a01 = multiply(a01, x0, w1);
            let x1 = ys[at + TY];
            a10 = multiply(a10, x1, w0); a11 = multiply(a11, x1, w1);
            let x2 = ys[at + TY * 2u];
            a20 = multiply(a20, x2, w0); a21 = multiply(a21, x2, w1);
            let x3 = ys[at + TY * 3u];
            a30 = multiply(a30, x3, w0); a31 = multiply(a31, x3, w1);
            let x4 = ys[at + TY * 4u];
            a40 = multiply(a40, x4, w0); a41 = multiply(a41, x4, w1);
            let x5 = ys[at + TY * 5u];
            a50 = multiply(a50, x5, w0); a51 = multiply(a51, x5, w1);
            let x6 = ys[at + TY * 6u];
            a60 = multiply(a60, x6, w0); a61 = multiply(a61, x6, w1);
            let x7 = ys[at + TY * 7u];
            a70 = multiply(a70, x7, w0); a71 = multiply(a71, x7, w1);
        }
        workgroupBarrier();
    }

    let p = first_pixel + id.y;
    let c4 = first_c4 + id.x;
    store(p, phase, c4, a00);           store(p, phase, c4 + TX, a01);
    store(p + TY, phase, c4, a10);      store(p + TY, phase, c4 + TX, a11);
    store(p + TY * 2u, phase, c4, a20); store(p + TY * 2u, phase, c4 + TX, a21);
    store(p + TY * 3u, phase, c4, a30); store(p + TY * 3u, phase, c4 + TX, a31);
    store(p + TY * 4u, phase, c4, a40); store(p + TY * 4u, phase, c4 + TX, a41);
    store(p + TY * 5u, phase, c4, a50); store(p + TY * 5u, phase, c4 + TX, a51);
    store(p + TY * 6u, phase, c4, a60); store(p + TY * 6u, phase, c4 + TX, a61);
    store(p + TY * 7u, phase, c4, a70); store(p + TY * 7u, phase, c4 + TX, a71);
}
