// Second half of GroupNorm (Wu and He 2018): y = act(gamma * (x - mean) * rstd + beta), mean and rstd per picture and
// group. Merges the chunks of group_norm_stats.wgsl and keeps mean and rstd for the gradient.

override PIXELS: u32;      // of one picture
override C: u32;
override C_PADDED: u32;
override GROUPS: u32;
override EPS: f32;
override SLOPE: f32;       // of the leaky ReLU; 1 leaves values as they are
override X_STRIDE: u32;
override X_CHANNEL: u32;
override Y_STRIDE: u32;
override Y_CHANNEL: u32;
override CHUNKS: u32;      // of the statistics
override CHUNK_PIXELS: u32;
override BLOCK_PIXELS: u32; // that a workgroup normalises

alias x_t = f32; alias y_t = f32;
@group(0) @binding(0) var<storage, read> x: array<x_t>;              // (N, PIXELS, X_STRIDE)
@group(0) @binding(1) var<storage, read> gamma: array<f32>;          // (C)
@group(0) @binding(2) var<storage, read> beta: array<f32>;           // (C)
@group(0) @binding(3) var<storage, read> chunks: array<vec2f>;       // (N, GROUPS, CHUNKS)
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;        // (N, PIXELS, Y_STRIDE)
@group(0) @binding(5) var<storage, read_write> stats: array<vec2f>;  // (N, GROUPS): mean, rstd

var<workgroup> merged: array<vec2f, GROUPS>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let n = group.y;
    for (var g = index; g < GROUPS; g += 64u) {
        var count = 0.0;
        var mean = 0.0;
        var squares = 0.0;
        for (var k = 0u; k < CHUNKS; k++) {
            let chunk = chunks[(n * GROUPS + g) * CHUNKS + k];
            let more = f32((min((k + 1u) * CHUNK_PIXELS, PIXELS) - k * CHUNK_PIXELS) * (C / GROUPS));
            let d = chunk.x - mean;
            mean += d * more / (count + more);
            squares += chunk.y + d * d * count * more / (count + more);
            count += more;
        }
        merged[g] = vec2f(mean, 1.0 / sqrt(squares / count + EPS));
        if group.x == 0u {
            stats[n * GROUPS + g] = merged[g];
        }
    }
    workgroupBarrier();
    let first = group.x * BLOCK_PIXELS;
    let count = (min(first + BLOCK_PIXELS, PIXELS) - first) * C_PADDED;
    for (var i = index; i < count; i += 64u) {
        let c = i % C_PADDED;
        let pixel = n * PIXELS + first + i / C_PADDED;
        var v = 0.0;
        if c < C {
            let s = merged[c / (C / GROUPS)];
            v = (f32(x[pixel * X_STRIDE + X_CHANNEL + c]) - s.x) * s.y * gamma[c] + beta[c];
        }
        y[pixel * Y_STRIDE + Y_CHANNEL + c] = y_t(select(v * SLOPE, v, v > 0.0));
    }
}
