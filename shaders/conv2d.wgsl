// Convolution forward, y = finish(w * x), as an implicit matrix product: rows are output pixels, columns output channels, and
// the inner dimension runs over window taps and input channels.
//#import conv
//#import finish
//#import tile
//#import window

alias x_t = vec4f; alias y_t = vec4f;
alias in_t = x_t;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;       // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

var<private> origin: vec2u; // first pixel and channel vec4 of the invocation
var<private> w_last: u32;   // last element of the filter that the invocation may read

fn load_x(at: u32) -> x_t {
    return x[at];
}

fn load_w(at: u32) -> vec4f {
    return w[min(at, w_last)];
}

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

fn advance() {
    c4 += KB;
    offset += i32(KB);
    w_at += KB * 4u * K4;
    carry();
}

// Rows of the filter's stage are inner ones; an invocation has one column of several.
fn w_place(index: u32, number: u32) -> u32 {
    let row = index / (TX * COLS) + number * (invocations() / (TX * COLS));
    return select(nowhere(), ws_at(row / 4u, row % 4u) + index % (TX * COLS), row < KB * 4u);
}

@compute @workgroup_size(TX, TY, SLICES)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let first_pixel = (group.x + group.y * GRID_X) * TY * ROWS;
    let first_k4 = group.z * TX * COLS;
    origin = vec2u(first_pixel + id.y, first_k4 + id.x);

    let p = first_pixel + index / KB;
    let k = index % KB;
    c4 = counted(k, C4);
    offset = i32(c4);
    let seen0 = see(p); base0 = seen0.x + k - c4; taps0 = seen0.y;
    let seen1 = see(p + invocations() / KB); base1 = seen1.x + k - c4; taps1 = seen1.y;
    let seen2 = see(p + 2u * (invocations() / KB)); base2 = seen2.x + k - c4; taps2 = seen2.y;
    let seen3 = see(p + 3u * (invocations() / KB)); base3 = seen3.x + k - c4; taps3 = seen3.y;

    let k4 = min(first_k4 + index % (TX * COLS), K4 - 1u);
    let rows = invocations() / (TX * COLS) * K4;
    w_row0 = index / (TX * COLS) * K4 + k4;
    w_row1 = w_row0 + rows; w_row2 = w_row1 + rows; w_row3 = w_row2 + rows;
    w_last = (KERNEL * KERNEL * C4 * 4u - 1u) * K4 + k4;

    prepare(id, index);
    multiply_all(KERNEL * KERNEL * C4, KB);
    store_all(id);
}
