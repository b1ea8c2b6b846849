// y = x where x > 0, else SLOPE * x, of x = a + B_SCALE * b: sums, differences, and a residual connection with its activation.

override PIXELS: u32;
override C4: u32;
override B_SCALE: f32;
override SLOPE: f32;       // of the activation; 1: none
override A_STRIDE4: u32;
override A_CHANNEL4: u32;
override B_STRIDE4: u32;
override B_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override GRID_X: u32;

alias a_t = vec4f; alias b_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> a: array<a_t>;         // (PIXELS, A_STRIDE4)
@group(0) @binding(1) var<storage, read> b: array<b_t>;         // (PIXELS, B_STRIDE4)
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;   // (PIXELS, Y_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let x = vec4f(a[i / C4 * A_STRIDE4 + A_CHANNEL4 + i % C4]) + B_SCALE * vec4f(b[i / C4 * B_STRIDE4 + B_CHANNEL4 + i % C4]);
        y[i / C4 * Y_STRIDE4 + Y_CHANNEL4 + i % C4] = y_t(select(x * SLOPE, x, x > vec4f(0.0)));
    }
}
