// Folds windows back into a picture: the sum of all that a pixel is in (col2im), tap by tap. What unfold.wgsl transposes to.

//#import sizes
override STRIDE: u32;
override PADDING: u32;

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, OH, OW, X_STRIDE4): KERNEL * KERNEL times C4
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (N, H, W, Y_STRIDE4)

fn element(p: u32, c: u32) {
    var sum = vec4f();
    for (var tap = 0u; tap < KERNEL * KERNEL; tap++) {
        // Places in steps of a stride; what is before the first window wraps around to a large number.
        let row = p / W % H + PADDING - tap / KERNEL;
        let column = p % W + PADDING - tap % KERNEL;
        if row % STRIDE == 0u && row / STRIDE < OH && column % STRIDE == 0u && column / STRIDE < OW {
            let window = (p / (H * W) * OH + row / STRIDE) * OW + column / STRIDE;
            sum += vec4f(x[x_at(window, tap * C4 + c)]);
        }
    }
    y[y_at(p, c)] = y_t(sum);
}
