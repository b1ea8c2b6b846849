// Moves BatchNorm's running statistics towards those of a batch: by MOMENTUM, the variance without bias, as PyTorch does.

override C: u32;
override COUNT: u32;       // elements of a channel in the batch
override EPS: f32;
override MOMENTUM: f32;
override VARIANCE: u32;    // where the variances begin

@group(0) @binding(0) var<storage, read> stats: array<vec2f>;    // (C): mean, 1 / sqrt(variance + EPS)
@group(0) @binding(1) var<storage, read_write> running: array<f32>; // (C) means, and from VARIANCE on (C) variances

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let c = id.x;
    if c < C {
        let biased = 1.0 / (stats[c].y * stats[c].y) - EPS;
        let unbiased = biased * f32(COUNT) / f32(max(COUNT, 2u) - 1u);
        running[c] += MOMENTUM * (stats[c].x - running[c]);
        running[VARIANCE + c] += MOMENTUM * (unbiased - running[VARIANCE + c]);
    }
}
