// Gaussian blur along one axis, without a border: y is 2 RADIUS smaller along it. y = SCALE * (the sum over k of
// exp(-(k - RADIUS)^2 / (2 SIGMA^2)) * x(.. + k ..)), plus a where ADD.

override PIXELS: u32;      // of y
override C4: u32;
override H: u32;           // of x
override W: u32;
override OH: u32;          // of y
override OW: u32;
override ROWS: bool;       // whether it blurs along the rows' index
override RADIUS: u32;
override SIGMA: f32;
override SCALE: f32;
override ADD: bool;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override A_STRIDE4: u32;
override A_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override GRID_X: u32;

alias x_t = vec4f; alias a_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> a: array<a_t>;          // (N, OH, OW, A_STRIDE4)
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;    // (N, OH, OW, Y_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let p = i / C4;
        let first = (p / (OH * OW) * H + p / OW % OH) * W + p % OW;
        let step = select(1u, W, ROWS);
        var sum = vec4f();
        for (var k = 0u; k <= 2u * RADIUS; k++) {
            let d = f32(k) - f32(RADIUS);
            sum += exp(-d * d / (2.0 * SIGMA * SIGMA)) * vec4f(x[(first + k * step) * X_STRIDE4 + X_CHANNEL4 + i % C4]);
        }
        let base = select(vec4f(), vec4f(a[p * A_STRIDE4 + A_CHANNEL4 + i % C4]), ADD);
        y[p * Y_STRIDE4 + Y_CHANNEL4 + i % C4] = y_t(base + SCALE * sum);
    }
}
