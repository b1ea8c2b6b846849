// An implicit matrix product by tiles of ROWS*TY pixels by COLS*TX vec4s of channels. Every stage brings KB vec4s of the inner
// dimension for all of them to one half of workgroup memory; while it is multiplied, what the next stage needs is on its way to
// registers. No load is in a branch, so that all of them are under way at once: what no tap sees is read somewhere else and
// replaced by zeros.
//
// An invocation stages always the same one of the KB vec4s, so that it can count its way through taps and channels without
// dividing (lib/taps.wgsl). Where KB divides the channels, all invocations are at the same tap, and the count is one of the
// workgroup's. Rows in workgroup memory have two vec4s to spare, against bank conflicts.
//#import stages
//#import multiply
//#import registers
override KB: u32;          // 4 or 8, one or two for each slice; such that an invocation has at most four loads of either operand
//#runtime
override GRID_X: u32;

// Two halves of: [inner vec4][pixel], then [inner vec4][one of its four][channel vec4].
var<workgroup> memory: array<vec4f, MEMORY>;

var<private> base0: u32; var<private> base1: u32; var<private> base2: u32; var<private> base3: u32; // elements under first taps
var<private> taps0: u32; var<private> taps1: u32; var<private> taps2: u32; var<private> taps3: u32; // bits of taps within the picture
var<private> x_to0: u32; var<private> x_to1: u32; var<private> x_to2: u32; var<private> x_to3: u32; // where loads of x go
var<private> x0: in_t; var<private> x1: in_t; var<private> x2: in_t; var<private> x3: in_t; // what was loaded
var<private> w_row0: u32; var<private> w_row1: u32; var<private> w_row2: u32; var<private> w_row3: u32; // from there to those of its loads
var<private> w_to0: u32; var<private> w_to1: u32; var<private> w_to2: u32; var<private> w_to3: u32; // where they go
var<private> x_from: u32; var<private> w_from: u32; // where the invocation multiplies from
var<private> w0: vec4f; var<private> w1: vec4f; var<private> w2: vec4f; var<private> w3: vec4f;

fn invocations() -> u32 {
    return TX * TY * SLICES;
}

fn x_loads() -> u32 {
    return (KB * TY * ROWS + invocations() - 1u) / invocations();
}

fn w_loads() -> u32 {
    return (KB * TX * COLS * 4u + invocations() - 1u) / invocations();
}

fn xs_at(k: u32) -> u32 {
    return k * (TY * ROWS + 2u);
}

fn ws_at(k: u32, one: u32) -> u32 {
    return KB * (TY * ROWS + 2u) + k * (TX * COLS * 4u + 2u) + one * TX * COLS;
}

// Beside the rows of the filter.
fn nowhere() -> u32 {
    return half_size() - 1u;
}

fn half_size() -> u32 {
    return KB * (TY * ROWS + TX * COLS * 4u + 4u);
}

// Starts all loads of a stage. The kernel's load_x and load_w read an element.
fn fetch() {
    x0 = load_x(select(0u, base0 + u32(offset), sees(taps0)));
    if x_loads() > 1u { x1 = load_x(select(0u, base1 + u32(offset), sees(taps1))); }
    if x_loads() > 2u { x2 = load_x(select(0u, base2 + u32(offset), sees(taps2))); }
    if x_loads() > 3u { x3 = load_x(select(0u, base3 + u32(offset), sees(taps3))); }
    w0 = load_w(w_at + w_row0);
    if w_loads() > 1u { w1 = load_w(w_at + w_row1); }
    if w_loads() > 2u { w2 = load_w(w_at + w_row2); }
    if w_loads() > 3u { w3 = load_w(w_at + w_row3); }
}

// Writes what was loaded to workgroup memory: in no branch either, beside the rows if it is too much.
fn put(half: u32) {
    memory[half + x_to0] = select(vec4f(), vec4f(x0), sees(taps0));
    if x_loads() > 1u { memory[half + x_to1] = select(vec4f(), vec4f(x1), sees(taps1)); }
    if x_loads() > 2u { memory[half + x_to2] = select(vec4f(), vec4f(x2), sees(taps2)); }
    if x_loads() > 3u { memory[half + x_to3] = select(vec4f(), vec4f(x3), sees(taps3)); }
    memory[half + w_to0] = w0;
    if w_loads() > 1u { memory[half + w_to1] = w1; }
    if w_loads() > 2u { memory[half + w_to2] = w2; }
    if w_loads() > 3u { memory[half + w_to3] = w3; }
}

// Adds the slice's part of a stage to the registers. The kernel's block(..) makes a matrix, inner dimension by channels, of four
// rows.
fn multiply_stage(half: u32) {
    for (var i = 0u; i < KB / SLICES; i++) {
        let at_w = half + w_from + i * (ws_at(SLICES, 0u) - ws_at(0u, 0u));
        let down = TX * COLS;
        let m0 = block(memory[at_w], memory[at_w + down], memory[at_w + 2u * down], memory[at_w + 3u * down]);
        var m1 = mat4x4f();
        if COLS == 2u {
            let next = at_w + TX;
            m1 = block(memory[next], memory[next + down], memory[next + 2u * down], memory[next + 3u * down]);
        }
        let at = half + x_from + i * xs_at(SLICES);
        let p0 = memory[at];
        let p1 = memory[at + TY];
        let p2 = memory[at + TY * 2u];
        let p3 = memory[at + TY * 3u];
        a00 = multiply(a00, p0, m0);
        a10 = multiply(a10, p1, m0);
        a20 = multiply(a20, p2, m0);
        a30 = multiply(a30, p3, m0);
        if COLS == 2u {
            a01 = multiply(a01, p0, m1);
            a11 = multiply(a11, p1, m1);
            a21 = multiply(a21, p2, m1);
            a31 = multiply(a31, p3, m1);
        }
        if ROWS == 8u {
            let p4 = memory[at + TY * 4u];
            let p5 = memory[at + TY * 5u];
            let p6 = memory[at + TY * 6u];
            let p7 = memory[at + TY * 7u];
            a40 = multiply(a40, p4, m0);
            a50 = multiply(a50, p5, m0);
            a60 = multiply(a60, p6, m0);
            a70 = multiply(a70, p7, m0);
            if COLS == 2u {
                a41 = multiply(a41, p4, m1);
                a51 = multiply(a51, p5, m1);
                a61 = multiply(a61, p6, m1);
                a71 = multiply(a71, p7, m1);
            }
        }
    }
}

// What all invocations have in common: what they read and write of workgroup memory, and the first tap. The kernel's
// w_place(index, number) says where a load of the filter goes.
fn prepare(id: vec3u, index: u32) {
    x_from = xs_at(id.z) + id.y;
    w_from = ws_at(id.z, 0u) + id.x;
    let row = xs_at(index % KB);
    let p = index / KB;
    let step = invocations() / KB;
    x_to0 = row + min(p, TY * ROWS);
    x_to1 = row + min(p + step, TY * ROWS);
    x_to2 = row + min(p + 2u * step, TY * ROWS);
    x_to3 = row + min(p + 3u * step, TY * ROWS);
    w_to0 = w_place(index, 0u);
    w_to1 = w_place(index, 1u);
    w_to2 = w_place(index, 2u);
    w_to3 = w_place(index, 3u);
    first_tap();
    carry();
}
