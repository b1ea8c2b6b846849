// White Gaussian noise of variance 1 in three channels, to be blurred.

override PIXELS: u32;
override C4: u32;
override EXPOSURE: u32;    // 0 or 1: independent ones
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override GRID_X: u32;

alias y_t = vec4f;
@group(0) @binding(0) var<storage, read_write> y: array<y_t>;   // (PIXELS, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> draw: array<u32>;      // step, seed

//#import rng

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        y[i * Y_STRIDE4 + Y_CHANNEL4] = y_t(normal3(pcg4d(vec4u(i, draw[0], draw[1], 2u + EXPOSURE))));
    }
}
