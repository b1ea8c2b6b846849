// Second half of GroupNorm (Wu and He 2018): y = act(gamma * (x - mean) * rstd + beta), mean and rstd per picture and
// group. Merges the chunks of group_norm_stats.wgsl and keeps mean and rstd for the gradient.

override EPS: f32;
override SLOPE: f32;       // of the leaky ReLU; 1 leaves values as they are
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;

//#import columns

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;              // (N, PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> gamma: array<vec4f>;        // (C4)
@group(0) @binding(2) var<storage, read> beta: array<vec4f>;         // (C4)
@group(0) @binding(3) var<storage, read> chunks: array<f32>;         // (N, CHUNKS, 2, 4 * C4)
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;        // (N, PIXELS, Y_STRIDE4)
@group(0) @binding(5) var<storage, read_write> stats: array<vec2f>;  // (N, GROUPS): mean, rstd

var<workgroup> of_channel: array<vec2f, C>;    // mean, sum of squared deviations
var<workgroup> of_group: array<vec2f, GROUPS>; // mean, rstd

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
    let n = group.z;
    let index = id.y * TX + id.x;
    for (var c = index; c < C; c += TX * TY) {
        var count = 0.0;
        var merged = vec2f();
        for (var k = 0u; k < CHUNKS; k++) {
            let at = (n * CHUNKS + k) * 8u * C4 + c;
            let more = f32(min(CHUNK_PIXELS, PIXELS - k * CHUNK_PIXELS));
            let d = chunks[at] - merged.x;
            merged += vec2f(d * more / (count + more), chunks[at + 4u * C4] + d * d * count * more / (count + more));
            count += more;
        }
        of_channel[c] = merged;
    }
    workgroupBarrier();
    for (var g = index; g < GROUPS; g += TX * TY) {
        let first = g * (C / GROUPS);
        var mean = 0.0;
        for (var c = first; c < first + C / GROUPS; c++) {
            mean += of_channel[c].x;
        }
        mean /= f32(C / GROUPS);
        var squares = 0.0;
        for (var c = first; c < first + C / GROUPS; c++) {
            let d = of_channel[c].x - mean;
            squares += of_channel[c].y + d * d * f32(PIXELS);
        }
        of_group[g] = vec2f(mean, 1.0 / sqrt(squares / f32(PIXELS * (C / GROUPS)) + EPS));
        if group.x == 0u && group.y == 0u {
            stats[n * GROUPS + g] = of_group[g];
        }
    }
    workgroupBarrier();
    let c4 = group.y * TX + id.x;
    if c4 >= C4 {
        return;
    }
    let s0 = of_group[group_of(c4 * 4u)];
    let s1 = of_group[group_of(c4 * 4u + 1u)];
    let s2 = of_group[group_of(c4 * 4u + 2u)];
    let s3 = of_group[group_of(c4 * 4u + 3u)];
    let mean = vec4f(s0.x, s1.x, s2.x, s3.x);
    // Zero in the padding, as gamma and beta are.
    let scale = vec4f(s0.y, s1.y, s2.y, s3.y) * gamma[c4];
    let shift = beta[c4];
    let first = group.x * CHUNK_PIXELS;
    for (var p = n * PIXELS + first + id.y; p < n * PIXELS + min(first + CHUNK_PIXELS, PIXELS); p += TY) {
        let v = (vec4f(x[p * X_STRIDE4 + X_CHANNEL4 + c4]) - mean) * scale + shift;
        y[p * Y_STRIDE4 + Y_CHANNEL4 + c4] = y_t(select(v * SLOPE, v, v > vec4f(0.0)));
    }
}
