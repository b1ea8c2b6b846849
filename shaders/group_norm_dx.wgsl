// Gradient of GroupNorm with respect to its input, with a = mean over the group of dz * gamma, b = mean of dz * gamma * xhat:
// dx = rstd * (dz * gamma - a - xhat * b). Adds up the chunks of group_norm_sums.wgsl first.

override PIXELS: u32;      // of one picture
override C: u32;
override C_PADDED: u32;
override GROUPS: u32;
override SLOPE: f32;
override X_STRIDE: u32;
override X_CHANNEL: u32;
override Y_STRIDE: u32;
override Y_CHANNEL: u32;
override DY_STRIDE: u32;
override DY_CHANNEL: u32;
override DX_STRIDE: u32;
override DX_CHANNEL: u32;
override CHUNKS: u32;      // of the sums
override BLOCK_PIXELS: u32; // that a workgroup works on

alias x_t = f32; alias y_t = f32; alias dy_t = f32; alias dx_t = f32;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, PIXELS, X_STRIDE)
@group(0) @binding(1) var<storage, read> y: array<y_t>;          // (N, PIXELS, Y_STRIDE)
@group(0) @binding(2) var<storage, read> dy: array<dy_t>;        // (N, PIXELS, DY_STRIDE)
@group(0) @binding(3) var<storage, read> gamma: array<f32>;      // (C)
@group(0) @binding(4) var<storage, read> stats: array<vec2f>;    // (N, GROUPS): mean, rstd
@group(0) @binding(5) var<storage, read> sums: array<f32>;       // (N, CHUNKS, 2, C_PADDED)
@group(0) @binding(6) var<storage, read_write> dx: array<dx_t>;  // (N, PIXELS, DX_STRIDE)

var<workgroup> of_channel: array<vec2f, C>;
var<workgroup> of_group: array<vec2f, GROUPS>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let n = group.y;
    let cg = C / GROUPS;
    for (var c = index; c < C; c += 64u) {
        var sum = vec2f();
        for (var k = 0u; k < CHUNKS; k++) {
            let at = (n * CHUNKS + k) * 2u * C_PADDED + c;
            sum += vec2f(sums[at], sums[at + C_PADDED]);
        }
        of_channel[c] = sum * gamma[c];
    }
    workgroupBarrier();
    for (var g = index; g < GROUPS; g += 64u) {
        var sum = vec2f();
        for (var c = g * cg; c < (g + 1u) * cg; c++) {
            sum += of_channel[c];
        }
        of_group[g] = sum / f32(PIXELS * cg);
    }
    workgroupBarrier();
    let first = group.x * BLOCK_PIXELS;
    let count = (min(first + BLOCK_PIXELS, PIXELS) - first) * C_PADDED;
    for (var i = index; i < count; i += 64u) {
        let c = i % C_PADDED;
        let pixel = n * PIXELS + first + i / C_PADDED;
        var v = 0.0;
        if c < C {
            let s = stats[n * GROUPS + c / cg];
            let correction = of_group[c / cg];
            let up = f32(dy[pixel * DY_STRIDE + DY_CHANNEL + c]);
            let dz = select(up * SLOPE, up, f32(y[pixel * Y_STRIDE + Y_CHANNEL + c]) > 0.0);
            let xhat = (f32(x[pixel * X_STRIDE + X_CHANNEL + c]) - s.x) * s.y;
            v = s.y * (dz * gamma[c] - correction.x - xhat * correction.y);
        }
        dx[pixel * DX_STRIDE + DX_CHANNEL + c] = dx_t(v);
    }
}
