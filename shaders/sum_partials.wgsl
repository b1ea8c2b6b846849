// Second half of every split sum: y = SCALE * (partials[0] + partials[1] + …), in that order.

override COUNT: u32;       // partial results
override STRIDE4: u32;     // vec4s from a partial result to the next
override FIRST4: u32;      // vec4s before the summed part of each
override LEN4: u32;        // vec4s that are summed
override SCALE: f32;
override GRID_X: u32;

@group(0) @binding(0) var<storage, read> partials: array<vec4f>;  // (COUNT, STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;   // (LEN4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < LEN4 {
        var sum = vec4f();
        for (var p = 0u; p < COUNT; p++) {
            sum += partials[p * STRIDE4 + FIRST4 + i];
        }
        y[i] = sum * SCALE;
    }
}
