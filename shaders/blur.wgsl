// Gaussian blur along one axis, without a border: y is 2 RADIUS smaller along it. y = SCALE * (the sum over k of
// exp(-(k - RADIUS)^2 / (2 SIGMA^2)) * x(.. + k ..)), plus a where ADD.

override H: u32;           // of x
override W: u32;
override OH: u32;          // of y
override OW: u32;
override ROWS: bool;       // whether it blurs along the rows' index
override RADIUS: u32;
override SIGMA: f32;
override SCALE: f32;
override ADD: bool;
override A_STRIDE4: u32;
override A_CHANNEL4: u32;

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias a_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> a: array<a_t>;          // (N, OH, OW, A_STRIDE4)
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;    // (N, OH, OW, Y_STRIDE4)

fn element(p: u32, c: u32) {
    let first = (p / (OH * OW) * H + p / OW % OH) * W + p % OW;
    let step = select(1u, W, ROWS);
    var sum = vec4f();
    for (var k = 0u; k <= 2u * RADIUS; k++) {
        let d = f32(k) - f32(RADIUS);
        sum += exp(-d * d / (2.0 * SIGMA * SIGMA)) * vec4f(x[x_at(first + k * step, c)]);
    }
    let base = select(vec4f(), vec4f(a[p * A_STRIDE4 + A_CHANNEL4 + c]), ADD);
    y[y_at(p, c)] = y_t(base + SCALE * sum);
}
