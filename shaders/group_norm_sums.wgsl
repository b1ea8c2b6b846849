// First half of GroupNorm's gradient: per picture, chunk of pixels and channel the sums of dz and of dz * xhat, where
// dz = dy * act'(y) and xhat = (x - mean) * rstd. They make dbeta and dgamma, and the corrections in group_norm_dx.wgsl.

override SLOPE: f32;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override DY_STRIDE4: u32;
override DY_CHANNEL4: u32;

//#import columns

alias x_t = vec4f; alias y_t = vec4f; alias dy_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;              // (N, PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> y: array<y_t>;              // (N, PIXELS, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> dy: array<dy_t>;            // (N, PIXELS, DY_STRIDE4)
@group(0) @binding(3) var<storage, read> stats: array<vec2f>;        // (N, GROUPS): mean, rstd
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;   // (N, CHUNKS, 2, C4)

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
    let n = group.z;
    let c4 = group.y * TX + id.x;
    let first = group.x * CHUNK_PIXELS;
    var shift = vec4f();
    var scale = vec4f();
    if c4 < C4 {
        let s0 = stats[n * GROUPS + group_of(c4 * 4u)];
        let s1 = stats[n * GROUPS + group_of(c4 * 4u + 1u)];
        let s2 = stats[n * GROUPS + group_of(c4 * 4u + 2u)];
        let s3 = stats[n * GROUPS + group_of(c4 * 4u + 3u)];
        let mean = vec4f(s0.x, s1.x, s2.x, s3.x);
        let rstd = vec4f(s0.y, s1.y, s2.y, s3.y);
        for (var p = n * PIXELS + first + id.y; p < n * PIXELS + min(first + CHUNK_PIXELS, PIXELS); p += TY) {
            let positive = vec4f(y[p * Y_STRIDE4 + Y_CHANNEL4 + c4]) > vec4f(0.0);
            let v = vec4f(dy[p * DY_STRIDE4 + DY_CHANNEL4 + c4]);
            let dz = select(v * SLOPE, v, positive);
            shift += dz;
            scale += dz * (vec4f(x[p * X_STRIDE4 + X_CHANNEL4 + c4]) - mean) * rstd;
        }
    }
    shift = down(id.xy, shift);
    scale = down(id.xy, scale);
    if id.y == 0u && c4 < C4 {
        let to = (n * CHUNKS + group.x) * 2u * C4 + c4;
        sums[to] = shift;
        sums[to + C4] = scale;
    }
}
