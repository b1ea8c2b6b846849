// Squared length of the flat gradient, summed per workgroup; adam.wgsl adds up the partial sums.

override LEN4: u32;
override GROUPS: u32;      // workgroups
override GRADIENT_SCALE: f32; // what g is multiplied by first

@group(0) @binding(0) var<storage, read> g: array<vec4f>;              // (LEN4)
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;   // (GROUPS)

//#import reduce

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    var sum = 0.0;
    for (var i = group.x * 64u + index; i < LEN4; i += GROUPS * 64u) {
        let d = g[i] * GRADIENT_SCALE;
        sum += dot(d, d);
    }
    sum = sum_of_workgroup(index, sum);
    if index == 0u {
        partials[group.x] = sum;
    }
}
