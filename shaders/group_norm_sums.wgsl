// First half of GroupNorm's gradient: per picture, chunk of pixels and channel the sums of dz and of dz * xhat, where
// dz = dy * act'(y) and xhat = (x - mean) * rstd. They make dbeta and dgamma, and the corrections in group_norm_dx.wgsl.

override PIXELS: u32;      // of one picture
override C: u32;
override C4: u32;
override GROUPS: u32;
override SLOPE: f32;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override DY_STRIDE4: u32;
override DY_CHANNEL4: u32;
override CHUNKS: u32;
override CHUNK_PIXELS: u32;

const COLUMNS = 8u;
const ROWS = 8u;

alias x_t = vec4f; alias y_t = vec4f; alias dy_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;              // (N, PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> y: array<y_t>;              // (N, PIXELS, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> dy: array<dy_t>;            // (N, PIXELS, DY_STRIDE4)
@group(0) @binding(3) var<storage, read> stats: array<vec2f>;        // (N, GROUPS): mean, rstd
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;   // (N, CHUNKS, 2, C4)

var<workgroup> shifts: array<vec4f, 64>;
var<workgroup> scales: array<vec4f, 64>;

fn stat(n: u32, c: u32) -> vec2f {
    return stats[n * GROUPS + min(c, C - 1u) / (C / GROUPS)];
}

@compute @workgroup_size(8, 8)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
    let n = group.z;
    let c4 = group.y * COLUMNS + id.x;
    let first = group.x * CHUNK_PIXELS;
    let last = min(first + CHUNK_PIXELS, PIXELS);
    var shift = vec4f();
    var scale = vec4f();
    if c4 < C4 {
        let s0 = stat(n, c4 * 4u);
        let s1 = stat(n, c4 * 4u + 1u);
        let s2 = stat(n, c4 * 4u + 2u);
        let s3 = stat(n, c4 * 4u + 3u);
        let mean = vec4f(s0.x, s1.x, s2.x, s3.x);
        let rstd = vec4f(s0.y, s1.y, s2.y, s3.y);
        for (var p = n * PIXELS + first + id.y; p < n * PIXELS + last; p += ROWS) {
            let positive = vec4f(y[p * Y_STRIDE4 + Y_CHANNEL4 + c4]) > vec4f(0.0);
            let v = vec4f(dy[p * DY_STRIDE4 + DY_CHANNEL4 + c4]);
            let dz = select(v * SLOPE, v, positive);
            shift += dz;
            scale += dz * (vec4f(x[p * X_STRIDE4 + X_CHANNEL4 + c4]) - mean) * rstd;
        }
    }
    shifts[id.y * COLUMNS + id.x] = shift;
    scales[id.y * COLUMNS + id.x] = scale;
    workgroupBarrier();
    if id.y == 0u && c4 < C4 {
        for (var r = 1u; r < ROWS; r++) {
            shift += shifts[r * COLUMNS + id.x];
            scale += scales[r * COLUMNS + id.x];
        }
        let to = (n * CHUNKS + group.x) * 2u * C4 + c4;
        sums[to] = shift;
        sums[to + C4] = scale;
    }
}
