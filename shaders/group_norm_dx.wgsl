// Gradient of GroupNorm with respect to its input, with a = mean over the group of dz * gamma, b = mean of dz * gamma * xhat:
// dx = rstd * (dz * gamma - a - xhat * b). Adds up the chunks of group_norm_sums.wgsl first.

override DX_STRIDE4: u32;
override DX_CHANNEL4: u32;

//#import norm_gradient
//#import columns

alias x_t = vec4f; alias y_t = vec4f; alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> y: array<y_t>;          // (N, PIXELS, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> dy: array<dy_t>;        // (N, PIXELS, DY_STRIDE4)
@group(0) @binding(3) var<storage, read> gamma: array<f32>;      // (C)
@group(0) @binding(4) var<storage, read> stats: array<vec2f>;    // (N, GROUPS): mean, rstd
@group(0) @binding(5) var<storage, read> sums: array<f32>;       // (N, CHUNKS, 2, 4 * C4)
@group(0) @binding(6) var<storage, read_write> dx: array<dx_t>;  // (N, PIXELS, DX_STRIDE4)

var<workgroup> of_channel: array<vec2f, C>;
var<workgroup> of_group: array<vec2f, GROUPS>;

// What channel c takes: gamma, a, b; zeros in the padding.
fn taken(c: u32) -> vec3f {
    return select(vec3f(), vec3f(gamma[min(c, C - 1u)], of_group[group_of(c)]), c < C);
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
    let n = group.z;
    let index = id.y * TX + id.x;
    let cg = C / GROUPS;
    for (var c = index; c < C; c += TX * TY) {
        var sum = vec2f();
        for (var k = 0u; k < CHUNKS; k++) {
            let at = (n * CHUNKS + k) * 8u * C4 + c;
            sum += vec2f(sums[at], sums[at + 4u * C4]);
        }
        of_channel[c] = sum * gamma[c];
    }
    workgroupBarrier();
    for (var g = index; g < GROUPS; g += TX * TY) {
        var sum = vec2f();
        for (var c = g * cg; c < (g + 1u) * cg; c++) {
            sum += of_channel[c];
        }
        of_group[g] = sum / f32(PIXELS * cg);
    }
    workgroupBarrier();
    let c4 = group.y * TX + id.x;
    if c4 >= C4 {
        return;
    }
    let moments = moments_of(n, c4);
    let t0 = taken(c4 * 4u);
    let t1 = taken(c4 * 4u + 1u);
    let t2 = taken(c4 * 4u + 2u);
    let t3 = taken(c4 * 4u + 3u);
    let scale = vec4f(t0.x, t1.x, t2.x, t3.x);
    let a = vec4f(t0.y, t1.y, t2.y, t3.y);
    let b = vec4f(t0.z, t1.z, t2.z, t3.z);
    let first = group.x * CHUNK_PIXELS;
    for (var p = n * PIXELS + first + id.y; p < n * PIXELS + min(first + CHUNK_PIXELS, PIXELS); p += TY) {
        let v = dz_at(p, c4) * scale - a - xhat_at(p, c4, moments) * b;
        dx[p * DX_STRIDE4 + DX_CHANNEL4 + c4] = dx_t(moments.rstd * v);
    }
}
