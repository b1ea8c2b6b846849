// Squared error of x against the target t, summed per workgroup; sum_partials.wgsl makes the mean of them.

override PIXELS: u32;
override C4: u32;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override T_STRIDE4: u32;
override T_CHANNEL4: u32;
override GROUPS: u32;      // workgroups

@group(0) @binding(0) var<storage, read> x: array<vec4f>;              // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> t: array<vec4f>;              // (PIXELS, T_STRIDE4)
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>; // (GROUPS): sum, 0, 0, 0

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    var sum = 0.0;
    for (var i = group.x * 64u + index; i < PIXELS * C4; i += GROUPS * 64u) {
        let d = x[i / C4 * X_STRIDE4 + X_CHANNEL4 + i % C4] - t[i / C4 * T_STRIDE4 + T_CHANNEL4 + i % C4];
        sum += dot(d, d);
    }
    sums[index] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if index < half {
            sums[index] += sums[index + half];
        }
    }
    if index == 0u {
        partials[group.x] = vec4f(sums[0], 0.0, 0.0, 0.0);
    }
}
