// BatchNorm (Ioffe and Szegedy 2015) in evaluation, with running statistics and an activation:
// y = act(gamma * (x - mean) / sqrt(variance + EPS) + beta).

override PIXELS: u32;
override C4: u32;
override EPS: f32;
override SLOPE: f32;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> gamma: array<vec4f>;    // (C4)
@group(0) @binding(2) var<storage, read> beta: array<vec4f>;     // (C4)
@group(0) @binding(3) var<storage, read> mean: array<vec4f>;     // (C4)
@group(0) @binding(4) var<storage, read> variance: array<vec4f>; // (C4)
@group(0) @binding(5) var<storage, read_write> y: array<y_t>;    // (PIXELS, Y_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let c = i % C4;
        let rstd = 1.0 / sqrt(variance[c] + EPS);
        let z = (vec4f(x[i / C4 * X_STRIDE4 + X_CHANNEL4 + c]) - mean[c]) * rstd * gamma[c] + beta[c];
        y[i / C4 * Y_STRIDE4 + Y_CHANNEL4 + c] = y_t(select(z * SLOPE, z, z > vec4f(0.0)));
    }
}
