// First half of GroupNorm: mean and sum of squared deviations of each chunk of pixels of each channel, in two passes over
// the chunk. group_norm.wgsl merges them (Chan, Golub, LeVeque 1979), so that nothing cancels.

override X_STRIDE4: u32;
override X_CHANNEL4: u32;

//#import columns
//#import down

alias x_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;              // (N, PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> chunks: array<vec4f>; // (N, CHUNKS, 2, C4): means, sums of squared deviations

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
    let c4 = group.y * TX + id.x;
    let first = group.x * CHUNK_PIXELS;
    let count = min(CHUNK_PIXELS, PIXELS - first);
    let base = (group.z * PIXELS + first) * X_STRIDE4 + X_CHANNEL4 + c4;
    var sum = vec4f();
    if c4 < C4 {
        for (var p = id.y; p < count; p += TY) {
            sum += vec4f(x[base + p * X_STRIDE4]);
        }
    }
    let mean = down(id.xy, sum) / f32(count);
    sum = vec4f();
    if c4 < C4 {
        for (var p = id.y; p < count; p += TY) {
            let d = vec4f(x[base + p * X_STRIDE4]) - mean;
            sum += d * d;
        }
    }
    let squares = down(id.xy, sum);
    if id.y == 0u && c4 < C4 {
        let to = (group.z * CHUNKS + group.x) * 2u * C4 + c4;
        chunks[to] = mean;
        chunks[to + C4] = squares;
    }
}
