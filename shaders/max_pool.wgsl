// Largest value of every KERNEL x KERNEL square: y(h, w) = max x(h * KERNEL + i, w * KERNEL + j). What is left over at the right
// and at the bottom is not seen.

//#import sizes
//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

fn element(p: u32, c: u32) {
    let corner = (p / (OH * OW) * H + p / OW % OH * KERNEL) * W + p % OW * KERNEL;
    let first = x_at(corner, c);
    var best = vec4f(x[first]);
    for (var t = 1u; t < KERNEL * KERNEL; t++) {
        best = max(best, vec4f(x[first + (t / KERNEL * W + t % KERNEL) * X_STRIDE4]));
    }
    y[y_at(p, c)] = y_t(best);
}
