// First half of GroupNorm's gradient: per picture, chunk of pixels and channel the sums of dz and of dz * xhat, where
// dz = dy * act'(y) and xhat = (x - mean) * rstd. They make dbeta and dgamma, and the corrections in group_norm_dx.wgsl.

//#import norm_gradient
//#import columns
//#import down

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
        let moments = moments_of(n, c4);
        for (var p = n * PIXELS + first + id.y; p < n * PIXELS + min(first + CHUNK_PIXELS, PIXELS); p += TY) {
            let dz = dz_at(p, c4);
            shift += dz;
            scale += dz * xhat_at(p, c4, moments);
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
