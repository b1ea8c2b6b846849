enable f16;
enable wgpu_cooperative_matrix;
// Gradient of a convolution with respect to its input, and so the transposed convolution, on cooperative matrices: for every
// phase rows are its pixels, columns the channels of dx, and the inner dimension runs over the taps that reach it and the
// channels of dy. As in conv2d_dx.wgsl, an invocation stages always the same inner vec4, or two of them.
//#import conv
//#import finish
//#import phase_window
//#import coop
override GRID_X: u32;

alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, X_STRIDE4)

var<private> origin: vec2u; // first pixel of the phase and channel of the workgroup
var<private> inner4: u32;   // the inner vec4 that the invocation stages, and its first row or column
var<private> own: u32;
var<private> bases: array<u32, LOADS>; // of its pixels: elements under the first tap, and bits of taps within the picture
var<private> taps: array<u32, LOADS>;
var<private> ys: array<dy_t, LOADS>; // what was loaded
var<private> ws: array<vec4f, LOADS>;

fn dy_loads() -> u32 {
    return loads(tile_rows(), width(K4));
}

fn w_loads() -> u32 {
    return loads(tile_columns(), width(K4));
}

// The filter lies with its inner dimension along memory, too.
fn fetch() {
    for (var i = 0u; i < dy_loads(); i++) {
        let at = select(0u, bases[i] + u32(offset), sees(taps[i]));
        ys[width(K4) * i] = dy[at];
        if width(K4) == 2u { ys[2u * i + 1u] = dy[at + 1u]; }
    }
    for (var i = 0u; i < w_loads(); i++) {
        let c = min(origin.y + own + i * step(width(K4)), C4 * 4u - 1u);
        let at = min(w_at + c * K4, KERNEL * KERNEL * C4 * 4u * K4 - width(K4));
        ws[width(K4) * i] = w[at];
        if width(K4) == 2u { ws[2u * i + 1u] = w[at + 1u]; }
    }
}

fn put(half: u32) {
    for (var i = 0u; i < dy_loads(); i++) {
        let at = half + line_at(0u, own + i * step(width(K4)), tile_rows(), 1u) + inner4;
        write(at, select(operand4(), operand4(ys[width(K4) * i]), sees(taps[i])));
        if width(K4) == 2u { write(at + 1u, select(operand4(), operand4(ys[2u * i + 1u]), sees(taps[i]))); }
    }
    for (var i = 0u; i < w_loads(); i++) {
        let at = half + line_at(tile_rows(), own + i * step(width(K4)), tile_columns(), 1u) + inner4;
        write(at, operand4(ws[width(K4) * i]));
        if width(K4) == 2u { write(at + 1u, operand4(ws[2u * i + 1u])); }
    }
}

fn advance() {
    k4 += KB;
    offset += i32(KB);
    w_at += KB;
    carry();
}

fn store(row: u32, column4: u32, sum: vec4f) {
    let at = place(origin.x + row, phase);
    let c4 = origin.y / 4u + column4;
    if at.x < N && c4 < C4 {
        let pixel = (at.x * H + at.y) * W + at.z;
        dx[pixel * X_STRIDE4 + X_CHANNEL4 + c4] = dx_t(finish(sum, pixel, c4));
    }
}

@compute @workgroup_size(DOWN * ACROSS * SUBGROUP)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    // The workgroup's: what branches with barriers depend on must not be private.
    let group_phase = phase_of(group.z % (STRIDE * STRIDE));
    phase = group_phase;
    let first_pixel = (group.x + group.y * GRID_X) * tile_rows();
    if place(first_pixel, group_phase).x >= N {
        return;
    }
    origin = vec2u(first_pixel, group.z / (STRIDE * STRIDE) * tile_columns());
    inner4 = index * width(K4) % KB;
    own = index * width(K4) / KB;
    k4 = counted(inner4, K4);
    offset = i32(k4);
    w_at = (phase.first_tap.x * KERNEL + phase.first_tap.y) * C4 * 4u * K4 + inner4;
    for (var i = 0u; i < dy_loads(); i++) {
        let seen = see(origin.x + own + i * step(width(K4)));
        bases[i] = seen.x + inner4 - k4;
        taps[i] = seen.y;
    }
    first_tap();
    carry();
    prepare(index);
    multiply_all(group_phase.taps.x * group_phase.taps.y * K4, KB);
    store_all(index);
}
