// A workgroup's tile of an implicit matrix product: ROWS*TY pixels by COLS*TX vec4s of channels. Every stage brings KB vec4s of
// the inner dimension for all of them; an invocation stages always the same one of the KB, so that it can count its
// way through taps and channels without dividing. Rows in workgroup memory have two vec4s to spare, against bank conflicts.
override TX: u32;
override TY: u32;          // a multiple of 4, so that KB divides TX * TY
override GRID_X: u32;

const KB = 4u;

var<workgroup> corner: array<vec4i, TY * ROWS>;             // of each pixel's window: index of its first pixel, row, column
var<workgroup> xs: array<vec4f, KB * (TY * ROWS + 2)>;      // [inner vec4][pixel]
var<workgroup> ws: array<vec4f, KB * (TX * COLS * 4 + 2)>;  // [inner vec4][one of its four][channel vec4]

fn xs_at(k: u32) -> u32 {
    return k * (TY * ROWS + 2u);
}

fn ws_at(k: u32, one: u32) -> u32 {
    return k * (TX * COLS * 4u + 2u) + one * TX * COLS;
}

fn multiply(acc: vec4f, x: vec4f, w: mat4x4f) -> vec4f {
    return fma(vec4f(x.w), w[3], fma(vec4f(x.z), w[2], fma(vec4f(x.y), w[1], fma(vec4f(x.x), w[0], acc))));
}

// Adds a stage to the registers. The kernel's block(..) makes a matrix, inner dimension by channels, of four rows of ws.
fn multiply_stage(id: vec2u) {
    for (var k = 0u; k < KB; k++) {
        let w_at = ws_at(k, 0u) + id.x;
        let down = TX * COLS;
        let w0 = block(ws[w_at], ws[w_at + down], ws[w_at + 2u * down], ws[w_at + 3u * down]);
        var w1 = mat4x4f();
        if COLS == 2u {
            w1 = block(ws[w_at + TX], ws[w_at + TX + down], ws[w_at + TX + 2u * down], ws[w_at + TX + 3u * down]);
        }
        let at = xs_at(k) + id.y;
        let x0 = xs[at];
        let x1 = xs[at + TY];
        let x2 = xs[at + TY * 2u];
        let x3 = xs[at + TY * 3u];
        a00 = multiply(a00, x0, w0);
        a10 = multiply(a10, x1, w0);
        a20 = multiply(a20, x2, w0);
        a30 = multiply(a30, x3, w0);
        if COLS == 2u {
            a01 = multiply(a01, x0, w1);
            a11 = multiply(a11, x1, w1);
            a21 = multiply(a21, x2, w1);
            a31 = multiply(a31, x3, w1);
        }
        if ROWS == 8u {
            let x4 = xs[at + TY * 4u];
            let x5 = xs[at + TY * 5u];
            let x6 = xs[at + TY * 6u];
            let x7 = xs[at + TY * 7u];
            a40 = multiply(a40, x4, w0);
            a50 = multiply(a50, x5, w0);
            a60 = multiply(a60, x6, w0);
            a70 = multiply(a70, x7, w0);
            if COLS == 2u {
                a41 = multiply(a41, x4, w1);
                a51 = multiply(a51, x5, w1);
                a61 = multiply(a61, x6, w1);
                a71 = multiply(a71, x7, w1);
            }
        }
    }
}
