// BatchNorm (Ioffe and Szegedy 2015) in evaluation, with running statistics and an activation:
// y = act(gamma * (x - mean) / sqrt(variance + EPS) + beta).

override EPS: f32;
override SLOPE: f32;

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> gamma: array<vec4f>;    // (C4)
@group(0) @binding(2) var<storage, read> beta: array<vec4f>;     // (C4)
@group(0) @binding(3) var<storage, read> mean: array<vec4f>;     // (C4)
@group(0) @binding(4) var<storage, read> variance: array<vec4f>; // (C4)
@group(0) @binding(5) var<storage, read_write> y: array<y_t>;    // (PIXELS, Y_STRIDE4)

fn element(p: u32, c: u32) {
    let rstd = 1.0 / sqrt(variance[c] + EPS);
    let z = (vec4f(x[x_at(p, c)]) - mean[c]) * rstd * gamma[c] + beta[c];
    y[y_at(p, c)] = y_t(select(z * SLOPE, z, z > vec4f(0.0)));
}
