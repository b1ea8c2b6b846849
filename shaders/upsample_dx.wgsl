// Gradient of nearest upsampling: dx is the sum of dy over each KERNEL x KERNEL square, row by row.

//#import sizes
//#import elementwise
//#import at_dy
//#import at_dx

alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, DY_STRIDE4)
@group(0) @binding(1) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, DX_STRIDE4)

fn element(p: u32, c: u32) {
    let corner = (p / (H * W) * OH + p / W % H * KERNEL) * OW + p % W * KERNEL;
    var sum = vec4f();
    for (var t = 0u; t < KERNEL * KERNEL; t++) {
        sum += vec4f(dy[dy_at(corner + t / KERNEL * OW + t % KERNEL, c)]);
    }
    dx[dx_at(p, c)] = dx_t(sum);
}
