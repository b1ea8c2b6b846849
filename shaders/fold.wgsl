// Folds windows back into a picture: the sum of all that a pixel is in (col2im), tap by tap. What unfold.wgsl transposes to.

override PIXELS: u32;      // of y
override C4: u32;          // of y
override H: u32;           // of the picture
override W: u32;
override OH: u32;          // of the windows
override OW: u32;
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, OH, OW, X_STRIDE4): KERNEL * KERNEL times C4
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (N, H, W, Y_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let p = i / C4;
        var sum = vec4f();
        for (var tap = 0u; tap < KERNEL * KERNEL; tap++) {
            // Places in steps of a stride; what is before the first window wraps around to a large number.
            let row = p / W % H + PADDING - tap / KERNEL;
            let column = p % W + PADDING - tap % KERNEL;
            if row % STRIDE == 0u && row / STRIDE < OH && column % STRIDE == 0u && column / STRIDE < OW {
                let window = (p / (H * W) * OH + row / STRIDE) * OW + column / STRIDE;
                sum += vec4f(x[window * X_STRIDE4 + X_CHANNEL4 + tap * C4 + i % C4]);
            }
        }
        y[p * Y_STRIDE4 + Y_CHANNEL4 + i % C4] = y_t(sum);
    }
}
