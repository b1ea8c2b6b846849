// Convolution forward, y = finish(w * x), as an implicit matrix product: rows are output pixels, columns output channels, and
// the inner dimension runs over window taps and input channels.
//#import conv
//#import finish
//#import registers
//#import tile

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;       // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

var<private> origin: vec2u; // first pixel and channel vec4 of the invocation

fn block(r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f) -> mat4x4f {
    return mat4x4f(r0, r1, r2, r3);
}

fn store(row: u32, column: u32, sum: vec4f) {
    let pixel = origin.x + row * TY;
    let k4 = origin.y + column * TX;
    if pixel < N * OH * OW && k4 < K4 {
        y[pixel * Y_STRIDE4 + Y_CHANNEL4 + k4] = y_t(finish(sum, pixel, k4));
    }
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let first_pixel = (group.x + group.y * GRID_X) * TY * ROWS;
    let first_k4 = group.z * TX * COLS;
    origin = vec2u(first_pixel + id.y, first_k4 + id.x);
    for (var p = index; p < TY * ROWS; p += TX * TY) {
        let pixel = first_pixel + p;
        let n = pixel / (OW * OH);
        let top = i32(pixel / OW % OH * STRIDE) - i32(PADDING);
        let left = i32(pixel % OW * STRIDE) - i32(PADDING);
        corner[p] = vec4i((i32(n * H) + top) * i32(W) + left, select(NOWHERE, top, n < N), left, 0);
    }
    workgroupBarrier();

    let k = index % KB;
    var tap = vec2u();      // row and column in the window of what is staged next
    var c4 = k;
    for (var start = 0u; start < KERNEL * KERNEL * C4; start += KB) {
        while !is_plain() && c4 >= C4 {
            c4 -= C4;
            tap.y++;
            if tap.y == KERNEL {
                tap = vec2u(tap.x + 1u, 0u);
            }
        }
        for (var p = index / KB; p < TY * ROWS; p += TX * TY / KB) {
            var value = vec4f();
            if is_plain() {
                let pixel = first_pixel + p;
                if pixel < N * OH * OW && c4 < C4 {
                    value = vec4f(x[pixel * X_STRIDE4 + X_CHANNEL4 + c4]);
                }
                xs[xs_at(k) + p] = value;
                continue;
            }
            let at = corner[p];
            if tap.x < KERNEL && u32(at.y + i32(tap.x)) < H && u32(at.z + i32(tap.y)) < W {
                value = vec4f(x[u32(at.x + i32(tap.x * W + tap.y)) * X_STRIDE4 + X_CHANNEL4 + c4]);
            }
            xs[xs_at(k) + p] = value;
        }
        c4 += KB;
        for (var r = id.y; r < KB * 4u; r += TY) {
            let inner = start * 4u + r;
            for (var column = id.x; column < TX * COLS; column += TX) {
                var value = vec4f();
                if inner < KERNEL * KERNEL * C4 * 4u && first_k4 + column < K4 {
                    value = w[inner * K4 + first_k4 + column];
                }
                ws[ws_at(r / 4u, r % 4u) + column] = value;
            }
        }
        workgroupBarrier();
        multiply_stage(id.xy);
        workgroupBarrier();
    }
    store_all();
}
