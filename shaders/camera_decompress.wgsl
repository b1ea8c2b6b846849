// sRGB pictures as they are read from files. Colours of a JPEG that are halved are interpolated, as decoders do: three quarters
// of the nearer of two, along both axes.

override Y_LOW: f32;       // what 0 and 1 are in y
override Y_HIGH: f32;

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;    // (N, H, W, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> draw: array<u32>;       // step, seed, first picture

//#import rng
//#import camera

fn rgb_of(ycc: vec3f) -> vec3f {
    return vec3f(ycc.x + 1.402 * ycc.z, ycc.x - 0.34413629 * ycc.y - 0.71413629 * ycc.z, ycc.x + 1.772 * ycc.y);
}

fn element(p: u32, c: u32) {
    let n = p / (H * W);
    let s = settings(n);
    let own = vec4f(x[x_at(p, c)]).xyz;
    var rgb = own;
    if is_jpeg(s) {
        var ycc = own;
        if s.halved {
            let row = p / W % H;
            let column = p % W;
            // The next four pixels of one colour. Those outside repeat what is inside.
            let above = min(select(row + 1u, max(row, 1u) - 1u, row % 2u == 0u), H - 1u);
            let beside = min(select(column + 1u, max(column, 1u) - 1u, column % 2u == 0u), W - 1u);
            let first = n * H * W;
            let others = 3.0 * (vec4f(x[x_at(first + above * W + column, c)]) + vec4f(x[x_at(first + row * W + beside, c)]))
                + vec4f(x[x_at(first + above * W + beside, c)]);
            ycc = vec3f(own.x, (9.0 * own.yz + others.yz) / 16.0);
        }
        rgb = level(rgb_of(ycc));
    }
    y[y_at(p, c)] = y_t(vec4f(Y_LOW + rgb * (Y_HIGH - Y_LOW), 0.0));
}
