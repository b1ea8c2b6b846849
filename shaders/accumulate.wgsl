// Sums over batches, as of gradients: y + share * x, or share * x where y is to begin anew.

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (PIXELS, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> control: array<vec4f>; // share, 1 to begin anew

fn element(p: u32, c: u32) {
    // What a sum that is not begun holds may be no number.
    var before = vec4f();
    if control[0].y == 0.0 {
        before = vec4f(y[y_at(p, c)]);
    }
    y[y_at(p, c)] = y_t(control[0].x * vec4f(x[x_at(p, c)]) + before);
}
