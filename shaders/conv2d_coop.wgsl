enable f16;
enable wgpu_cooperative_matrix;
// Convolution forward, y = finish(w * x), on cooperative matrices: rows are output pixels, columns output channels, and the inner
// dimension runs over window taps and input channels. As in conv2d.wgsl, an invocation stages always the same inner vec4s: one
// or two of pixels, and one of the filter.
//#import conv
//#import finish
//#import window
//#import coop
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;       // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

var<private> origin: vec2u; // first pixel and channel vec4 of the workgroup
var<private> x_inner4: u32; // the inner vec4 of pixels that the invocation stages, and its first pixel
var<private> x_own: u32;
var<private> w_inner4: u32; // and of the filter, with its first block of four columns
var<private> w_own: u32;
var<private> bases: array<u32, LOADS>; // of its pixels: elements under the first tap, and bits of taps within the picture
var<private> taps: array<u32, LOADS>;
var<private> xs: array<x_t, LOADS>; // what was loaded
var<private> ws: array<vec4f, LOADS>; // four rows for each block of columns

fn x_loads() -> u32 {
    return loads(tile_rows(), width(C4));
}

fn w_loads() -> u32 {
    return loads(tile_columns() / 4u, 1u);
}

fn load_w(row: u32, block: u32) -> vec4f {
    let k4 = min(origin.y + w_own + block * step(1u), K4 - 1u);
    return w[min(w_at + row * K4, (KERNEL * KERNEL * C4 * 4u - 1u) * K4) + k4];
}

fn fetch() {
    for (var i = 0u; i < x_loads(); i++) {
        let at = select(0u, bases[i] + u32(offset), sees(taps[i]));
        xs[width(C4) * i] = x[at];
        if width(C4) == 2u { xs[2u * i + 1u] = x[at + 1u]; }
    }
    for (var i = 0u; i < w_loads(); i++) {
        for (var row = 0u; row < 4u; row++) {
            ws[i * 4u + row] = load_w(row, i);
        }
    }
}

fn put(half: u32) {
    for (var i = 0u; i < x_loads(); i++) {
        let at = half + line_at(0u, x_own + i * step(width(C4)), tile_rows(), 1u) + x_inner4;
        write(at, select(operand4(), operand4(xs[width(C4) * i]), sees(taps[i])));
        if width(C4) == 2u { write(at + 1u, select(operand4(), operand4(xs[2u * i + 1u]), sees(taps[i]))); }
    }
    for (var i = 0u; i < w_loads(); i++) {
        let at = half + line_at(tile_rows(), w_own + i * step(1u), tile_columns(), 4u) + w_inner4;
        let w0 = operand4(ws[4u * i]); let w1 = operand4(ws[4u * i + 1u]);
        write_block(at, w0, w1, operand4(ws[4u * i + 2u]), operand4(ws[4u * i + 3u]));
    }
}

fn advance() {
    c4 += KB;
    offset += i32(KB);
    w_at += KB * 4u * K4;
    carry();
}

fn store(row: u32, column4: u32, sum: vec4f) {
    let pixel = origin.x + row;
    let k4 = origin.y + column4;
    if pixel < N * OH * OW && k4 < K4 {
        y[pixel * Y_STRIDE4 + Y_CHANNEL4 + k4] = y_t(finish(sum, pixel, k4));
    }
}

@compute @workgroup_size(DOWN * ACROSS * SUBGROUP)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    origin = vec2u((group.x + group.y * GRID_X) * tile_rows(), group.z * tile_columns() / 4u);
    x_inner4 = index * width(C4) % KB;
    x_own = index * width(C4) / KB;
    w_inner4 = index % KB;
    w_own = index / KB;
    c4 = counted(x_inner4, C4);
    offset = i32(c4);
    w_at = w_inner4 * 4u * K4;
    for (var i = 0u; i < x_loads(); i++) {
        let seen = see(origin.x + x_own + i * step(width(C4)));
        bases[i] = seen.x + x_inner4 - c4;
        taps[i] = seen.y;
    }
    first_tap();
    carry();
    prepare(index);
    multiply_all(KERNEL * KERNEL * C4, KB);
    store_all(index);
}
