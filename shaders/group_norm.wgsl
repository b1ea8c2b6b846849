// Second half of GroupNorm (Wu and He 2018): y = act(gamma * (x - mean) * rstd + beta), mean and rstd per picture and
// group. Merges the chunks of group_norm_stats.wgsl and keeps mean and rstd for the gradient.

override EPS: f32;
override SLOPE: f32;       // of the leaky ReLU; 1 leaves values as they are
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override AT_ONCE: u32;     // groups that are merged at once
override PIECE: u32;       // channels of each

//#import columns
//#import groups

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;              // (N, PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> gamma: array<vec4f>;        // (C4)
@group(0) @binding(2) var<storage, read> beta: array<vec4f>;         // (C4)
@group(0) @binding(3) var<storage, read> chunks: array<f32>;         // (N, CHUNKS, 2, 4 * C4)
@group(0) @binding(4) var<storage, read_write> y: array<y_t>;        // (N, PIXELS, Y_STRIDE4)
@group(0) @binding(5) var<storage, read_write> stats: array<vec2f>;  // (N, GROUPS): mean, rstd

// Mean and sum of squared deviations of a channel.
fn channel(n: u32, c: u32) -> vec2f {
    var count = 0.0;
    var merged = vec2f();
    for (var k = 0u; k < CHUNKS; k++) {
        let at = (n * CHUNKS + k) * 8u * C4 + c;
        let more = f32(min(CHUNK_PIXELS, PIXELS - k * CHUNK_PIXELS));
        let d = chunks[at] - merged.x;
        merged += vec2f(d * more / (count + more), chunks[at + 4u * C4] + d * d * count * more / (count + more));
        count += more;
    }
    return merged;
}

// The same of `seen` channels and those from `first` on.
fn merge(before: vec2f, seen: u32, first: u32, count: u32) -> vec2f {
    var mean = 0.0;
    for (var c = first; c < first + count; c++) {
        mean += of_channel[c].x;
    }
    mean /= f32(count);
    var squares = 0.0;
    for (var c = first; c < first + count; c++) {
        let d = of_channel[c].x - mean;
        squares += of_channel[c].y + d * d * f32(PIXELS);
    }
    let d = mean - before.x;
    let share = f32(count) / f32(seen + count);
    let both = vec2f(before.x + d * share, before.y + squares + d * d * f32(PIXELS) * f32(seen) * share);
    return select(both, vec2f(mean, squares), seen == 0u);
}

// mean, rstd.
fn whole(merged: vec2f, count: f32) -> vec2f {
    return vec2f(merged.x, 1.0 / sqrt(merged.y / count + EPS));
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
    let n = group.z;
    let index = id.y * TX + id.x;
    make_groups(n, group.y, index);
    let of_block = group_of(group.y * TX * 4u);
    for (var g = of_block + index; group.x == 0u && g <= group_of(group.y * TX * 4u + TX * 4u - 1u); g += TX * TY) {
        // Written by the workgroup that has the group's first channel.
        if g * (C / GROUPS) >= group.y * TX * 4u {
            stats[n * GROUPS + g] = of_group[g - of_block];
        }
    }
    let c4 = group.y * TX + id.x;
    if c4 >= C4 {
        return;
    }
    let moments = transpose(of_four(c4, group.y));
    let mean = moments[0];
    // Zero in the padding, as gamma and beta are.
    let scale = moments[1] * gamma[c4];
    let shift = beta[c4];
    let first = group.x * CHUNK_PIXELS;
    for (var p = n * PIXELS + first + id.y; p < n * PIXELS + min(first + CHUNK_PIXELS, PIXELS); p += TY) {
        let v = (vec4f(x[p * X_STRIDE4 + X_CHANNEL4 + c4]) - mean) * scale + shift;
        y[p * Y_STRIDE4 + Y_CHANNEL4 + c4] = y_t(select(v * SLOPE, v, v > vec4f(0.0)));
    }
}
