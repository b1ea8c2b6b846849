// Logistic sigmoid: y = 1 / (1 + exp(-x)).

override C: u32;           // channels; those that fill up the last vec4 stay zero

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (PIXELS, Y_STRIDE4)

fn element(p: u32, c: u32) {
    let v = vec4f(x[x_at(p, c)]);
    // exp of more than 80 would overflow; the sigmoid is 0 there.
    let s = 1.0 / (1.0 + exp(min(-v, vec4f(80.0))));
    let channel = c * 4u + vec4u(0u, 1u, 2u, 3u);
    y[y_at(p, c)] = y_t(select(vec4f(), s, channel < vec4u(C)));
}
