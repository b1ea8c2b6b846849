// Gradient of the sigmoid from its result: dx = dy * y * (1 - y).

//#import elementwise
//#import at_dy
//#import at_y
//#import at_dx

alias dy_t = vec4f; alias y_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (PIXELS, DY_STRIDE4)
@group(0) @binding(1) var<storage, read> y: array<y_t>;          // (PIXELS, Y_STRIDE4)
@group(0) @binding(2) var<storage, read_write> dx: array<dx_t>;  // (PIXELS, DX_STRIDE4)

fn element(p: u32, c: u32) {
    let s = vec4f(y[y_at(p, c)]);
    dx[dx_at(p, c)] = dx_t(vec4f(dy[dy_at(p, c)]) * s * (1.0 - s));
}
