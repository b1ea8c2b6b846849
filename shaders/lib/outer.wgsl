// Outer products: of a row vec4 or two with a column vec4 or two for every pixel of a stage, which lie in workgroup memory as
// [pixel][row vec4] and [pixel][column vec4]; `memory` and PB, the pixels of a stage, are the importing file's.
var<private> x_from: u32; var<private> dy_from: u32; // where the invocation multiplies from

fn row_vec4s() -> u32 {
    return TY * ROWS / 4u;
}

// Adds the products of two row vec4s and two column vec4s of a pixel.
fn multiply(r0: vec4f, r1: vec4f, c0: vec4f, c1: vec4f) {
    a00 = fma(vec4f(r0.x), c0, a00);
    a10 = fma(vec4f(r0.y), c0, a10);
    a20 = fma(vec4f(r0.z), c0, a20);
    a30 = fma(vec4f(r0.w), c0, a30);
    if ROWS == 8u {
        a40 = fma(vec4f(r1.x), c0, a40);
        a50 = fma(vec4f(r1.y), c0, a50);
        a60 = fma(vec4f(r1.z), c0, a60);
        a70 = fma(vec4f(r1.w), c0, a70);
    }
    if COLS == 2u {
        a01 = fma(vec4f(r0.x), c1, a01);
        a11 = fma(vec4f(r0.y), c1, a11);
        a21 = fma(vec4f(r0.z), c1, a21);
        a31 = fma(vec4f(r0.w), c1, a31);
        if ROWS == 8u {
            a41 = fma(vec4f(r1.x), c1, a41);
            a51 = fma(vec4f(r1.y), c1, a51);
            a61 = fma(vec4f(r1.z), c1, a61);
            a71 = fma(vec4f(r1.w), c1, a71);
        }
    }
}

// Adds the slice's part of a stage to the registers, two pixels at a time.
fn multiply_stage(half: u32) {
    for (var p = 0u; p < PB; p += 2u * SLICES) {
        let x_at = half + x_from + p * row_vec4s();
        let dy_at = half + dy_from + p * TX * COLS;
        let next_x = x_at + SLICES * row_vec4s();
        let next_dy = dy_at + SLICES * TX * COLS;
        let r0 = memory[x_at];
        let c0 = memory[dy_at];
        let s0 = memory[next_x];
        let d0 = memory[next_dy];
        var r1 = vec4f(); var s1 = vec4f(); var c1 = vec4f(); var d1 = vec4f();
        if ROWS == 8u {
            r1 = memory[x_at + TY];
            s1 = memory[next_x + TY];
        }
        if COLS == 2u {
            c1 = memory[dy_at + TX];
            d1 = memory[next_dy + TX];
        }
        multiply(r0, r1, c0, c1);
        multiply(s0, s1, d0, d1);
    }
}
