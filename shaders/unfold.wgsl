// Unfolds a picture into the windows of a convolution: y(oh, ow) holds, tap by tap, the pixels
// x(oh * STRIDE + kh - PADDING, ow * STRIDE + kw - PADDING), zero outside (im2col).

//#import sizes
override STRIDE: u32;
override PADDING: u32;

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

fn element(p: u32, c: u32) {
    let c4 = C4 / (KERNEL * KERNEL);
    let tap = c / c4;
    // One PADDING too large: pixels left of the picture would be below zero.
    let row = p / OW % OH * STRIDE + tap / KERNEL;
    let column = p % OW * STRIDE + tap % KERNEL;
    var v = vec4f();
    if row >= PADDING && row - PADDING < H && column >= PADDING && column - PADDING < W {
        let source = (p / (OH * OW) * H + row - PADDING) * W + column - PADDING;
        v = vec4f(x[x_at(source, c % c4)]);
    }
    y[y_at(p, c)] = y_t(v);
}
