// Unfolds a picture into the windows of a convolution: y(oh, ow) holds, tap by tap, the pixels
// x(oh * STRIDE + kh - PADDING, ow * STRIDE + kw - PADDING), zero outside (im2col).

override PIXELS: u32;      // of y
override C4: u32;          // of y: KERNEL * KERNEL times those of x
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
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let p = i / C4;
        let c4 = C4 / (KERNEL * KERNEL);
        let tap = i % C4 / c4;
        // One PADDING too large: pixels left of the picture would be below zero.
        let row = p / OW % OH * STRIDE + tap / KERNEL;
        let column = p % OW * STRIDE + tap % KERNEL;
        var v = vec4f();
        if row >= PADDING && row - PADDING < H && column >= PADDING && column - PADDING < W {
            let source = (p / (OH * OW) * H + row - PADDING) * W + column - PADDING;
            v = vec4f(x[source * X_STRIDE4 + X_CHANNEL4 + i % c4]);
        }
        y[p * Y_STRIDE4 + Y_CHANNEL4 + i % C4] = y_t(v);
    }
}
