// Nearest upsampling: every pixel becomes a KERNEL x KERNEL square, y(h, w) = x(h / KERNEL, w / KERNEL).

//#import sizes
//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

fn element(p: u32, c: u32) {
    let source = (p / (OH * OW) * H + p / OW % OH / KERNEL) * W + p % OW / KERNEL;
    y[y_at(p, c)] = y_t(vec4f(x[x_at(source, c)]));
}
