// First half of GroupNorm: mean and sum of squared deviations of each chunk of pixels of each group, in two passes over
// the chunk. group_norm.wgsl merges the chunks (Chan, Golub, LeVeque 1979), so that nothing cancels.

override N: u32;
override PIXELS: u32;      // of one picture
override GROUPS: u32;
override CG: u32;          // channels per group
override X_STRIDE: u32;
override X_CHANNEL: u32;
override CHUNKS: u32;
override CHUNK_PIXELS: u32;
override GRID_X: u32;

alias x_t = f32;
@group(0) @binding(0) var<storage, read> x: array<x_t>;              // (N, PIXELS, X_STRIDE)
@group(0) @binding(1) var<storage, read_write> chunks: array<vec2f>; // (N, GROUPS, CHUNKS): mean, sum of squared deviations

var<workgroup> sums: array<f32, 64>;

fn total(index: u32, value: f32) -> f32 {
    workgroupBarrier();
    sums[index] = value;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if index < half {
            sums[index] += sums[index + half];
        }
    }
    workgroupBarrier();
    return sums[0];
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let id = group.x + group.y * GRID_X;
    if id >= N * GROUPS * CHUNKS {
        return;
    }
    let n = id / (GROUPS * CHUNKS);
    let g = id / CHUNKS % GROUPS;
    let first = id % CHUNKS * CHUNK_PIXELS;
    let count = (min(first + CHUNK_PIXELS, PIXELS) - first) * CG;
    let base = (n * PIXELS + first) * X_STRIDE + X_CHANNEL + g * CG;
    var sum = 0.0;
    for (var i = index; i < count; i += 64u) {
        sum += f32(x[base + i / CG * X_STRIDE + i % CG]);
    }
    let mean = total(index, sum) / f32(count);
    sum = 0.0;
    for (var i = index; i < count; i += 64u) {
        let d = f32(x[base + i / CG * X_STRIDE + i % CG]) - mean;
        sum += d * d;
    }
    let squares = total(index, sum);
    if index == 0u {
        chunks[id] = vec2f(mean, squares);
    }
}
