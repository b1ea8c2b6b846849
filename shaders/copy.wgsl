// Copies a tensor into a channel range of another storage, times a number: y = SCALE * x. Concatenation where a producer
// cannot write in place, and the gradient of a difference.

override SCALE: f32;

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (PIXELS, Y_STRIDE4)

fn element(p: u32, c: u32) {
    y[y_at(p, c)] = y_t(SCALE * vec4f(x[x_at(p, c)]));
}
