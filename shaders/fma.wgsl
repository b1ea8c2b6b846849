// Multiply-adds in registers alone: what the arithmetic of a device can do at most. Every invocation runs 8 chains of vec4s,
// a = a * x[0] + x[1], LENGTH long, and writes their sum.

override COUNT: u32;       // invocations
override LENGTH: u32;      // multiple of 4
override GRID_X: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;        // (2)
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // (COUNT)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    let m = x[0];
    let c = x[1];
    let first = vec4f(f32(i % 64u) / 64.0);
    var a0 = first;       var a1 = first + 1.0; var a2 = first + 2.0; var a3 = first + 3.0;
    var a4 = first + 4.0; var a5 = first + 5.0; var a6 = first + 6.0; var a7 = first + 7.0;
    for (var k = 0u; k < LENGTH; k += 4u) {
        a0 = fma(a0, m, c); a1 = fma(a1, m, c); a2 = fma(a2, m, c); a3 = fma(a3, m, c);
        a4 = fma(a4, m, c); a5 = fma(a5, m, c); a6 = fma(a6, m, c); a7 = fma(a7, m, c);
        a0 = fma(a0, m, c); a1 = fma(a1, m, c); a2 = fma(a2, m, c); a3 = fma(a3, m, c);
        a4 = fma(a4, m, c); a5 = fma(a5, m, c); a6 = fma(a6, m, c); a7 = fma(a7, m, c);
        a0 = fma(a0, m, c); a1 = fma(a1, m, c); a2 = fma(a2, m, c); a3 = fma(a3, m, c);
        a4 = fma(a4, m, c); a5 = fma(a5, m, c); a6 = fma(a6, m, c); a7 = fma(a7, m, c);
        a0 = fma(a0, m, c); a1 = fma(a1, m, c); a2 = fma(a2, m, c); a3 = fma(a3, m, c);
        a4 = fma(a4, m, c); a5 = fma(a5, m, c); a6 = fma(a6, m, c); a7 = fma(a7, m, c);
    }
    if i < COUNT {
        y[i] = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
    }
}
