// y = x where x > 0, else SLOPE * x, of x = a + B_SCALE * b: sums, differences, and a residual connection with its activation.

override B_SCALE: f32;
override SLOPE: f32;       // of the activation; 1: none
override A_STRIDE4: u32;
override A_CHANNEL4: u32;
override B_STRIDE4: u32;
override B_CHANNEL4: u32;

//#import elementwise
//#import at_y

alias a_t = vec4f; alias b_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> a: array<a_t>;         // (PIXELS, A_STRIDE4)
@group(0) @binding(1) var<storage, read> b: array<b_t>;         // (PIXELS, B_STRIDE4)
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;   // (PIXELS, Y_STRIDE4)

fn element(p: u32, c: u32) {
    let x = vec4f(a[p * A_STRIDE4 + A_CHANNEL4 + c]) + B_SCALE * vec4f(b[p * B_STRIDE4 + B_CHANNEL4 + c]);
    y[y_at(p, c)] = y_t(select(x * SLOPE, x, x > vec4f(0.0)));
}
