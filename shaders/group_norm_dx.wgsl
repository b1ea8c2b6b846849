// Gradient of GroupNorm with respect to its input, with a = mean over the group of dz * gamma, b = mean of dz * gamma * xhat:
// dx = rstd * (dz * gamma - a - xhat * b). Adds up the chunks of group_norm_sums.wgsl first.

override DX_STRIDE4: u32;
override DX_CHANNEL4: u32;
override AT_ONCE: u32;     // groups that are merged at once
override PIECE: u32;       // channels of each

//#import norm_gradient
//#import columns
//#import groups

alias x_t = vec4f; alias y_t = vec4f; alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> y: array<y_t>;          // (N, PIXELS, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> dy: array<dy_t>;        // (N, PIXELS, DY_STRIDE4)
@group(0) @binding(3) var<storage, read> gamma: array<vec4f>;    // (C4)
@group(0) @binding(4) var<storage, read> stats: array<vec2f>;    // (N, GROUPS): mean, rstd
@group(0) @binding(5) var<storage, read> sums: array<f32>;       // (N, CHUNKS, 2, 4 * C4)
@group(0) @binding(6) var<storage, read_write> dx: array<dx_t>;  // (N, PIXELS, DX_STRIDE4)

// Sums of dz * gamma and of dz * gamma * xhat over the pixels of a channel.
fn channel(n: u32, c: u32) -> vec2f {
    var sum = vec2f();
    for (var k = 0u; k < CHUNKS; k++) {
        let at = (n * CHUNKS + k) * 8u * C4 + c;
        sum += vec2f(sums[at], sums[at + 4u * C4]);
    }
    return sum * gamma[c / 4u][c % 4u];
}

fn merge(before: vec2f, seen: u32, first: u32, count: u32) -> vec2f {
    var sum = before;
    for (var c = first; c < first + count; c++) {
        sum += of_channel[c];
    }
    return sum;
}

// a, b.
fn whole(sum: vec2f, count: f32) -> vec2f {
    return sum / count;
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
    let n = group.z;
    make_groups(n, group.y, id.y * TX + id.x);
    let c4 = group.y * TX + id.x;
    if c4 >= C4 {
        return;
    }
    let moments = moments_of(n, c4);
    let means = transpose(of_four(c4, group.y));
    // Channels of the padding have no part in the means of the last group; gamma is zero there.
    let real = c4 * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(C);
    let scale = gamma[c4];
    let a = select(vec4f(), means[0], real);
    let b = select(vec4f(), means[1], real);
    let first = group.x * CHUNK_PIXELS;
    for (var p = n * PIXELS + first + id.y; p < n * PIXELS + min(first + CHUNK_PIXELS, PIXELS); p += TY) {
        let v = dz_at(p, c4) * scale - a - xhat_at(p, c4, moments) * b;
        dx[p * DX_STRIDE4 + DX_CHANNEL4 + c4] = dx_t(moments.rstd * v);
    }
}
