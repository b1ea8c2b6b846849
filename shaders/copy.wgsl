// Copies a tensor into a channel range of another storage, times a number: y = SCALE * x. Concatenation where a producer
// cannot write in place, and the gradient of a difference.

override PIXELS: u32;
override C4: u32;
override SCALE: f32;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (PIXELS, Y_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        y[i / C4 * Y_STRIDE4 + Y_CHANNEL4 + i % C4] = y_t(SCALE * vec4f(x[i / C4 * X_STRIDE4 + X_CHANNEL4 + i % C4]));
    }
}
