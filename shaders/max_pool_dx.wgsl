// Gradient of the maximum: dy goes to the first largest value of each square, row by row, and nothing to the others.

//#import sizes
//#import elementwise
//#import at_x
//#import at_dy
//#import at_dx

alias x_t = vec4f; alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, DY_STRIDE4)
@group(0) @binding(2) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, DX_STRIDE4)

fn element(p: u32, c: u32) {
    let n = p / (H * W);
    let row = p / W % H;
    let column = p % W;
    var d = vec4f();
    if row / KERNEL < OH && column / KERNEL < OW {
        let corner = (n * H + row / KERNEL * KERNEL) * W + column / KERNEL * KERNEL;
        let first = x_at(corner, c);
        var best = vec4f(x[first]);
        var place = vec4u(0u);
        for (var t = 1u; t < KERNEL * KERNEL; t++) {
            let v = vec4f(x[first + (t / KERNEL * W + t % KERNEL) * X_STRIDE4]);
            place = select(place, vec4u(t), v > best);
            best = max(best, v);
        }
        let square = (n * OH + row / KERNEL) * OW + column / KERNEL;
        let mine = place == vec4u(row % KERNEL * KERNEL + column % KERNEL);
        d = select(d, vec4f(dy[dy_at(square, c)]), mine);
    }
    dx[dx_at(p, c)] = dx_t(d);
}
