// sRGB pictures of what a sensor counted: through a Bayer mosaic and demosaicking for exposure 0, white balance, colour matrix,
// curve.

override EXPOSURE: u32;
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

// Which of its three colours a site of the mosaic sees.
fn colour(at: vec2u, phase: vec2u) -> u32 {
    let odd = (at ^ phase) & vec2u(1u);
    return odd.x + odd.y;
}

// What the site at (row, column) by `by` counted; mirrored at the borders, where the parity stays.
fn raw(first: u32, at: vec2u, by: vec2i, phase: vec2u) -> f32 {
    let to = abs(vec2i(at) + by);
    let last = vec2i(i32(H), i32(W)) - 1;
    let site = vec2u(min(to, 2 * last - to));
    return f32(x[x_at(first + site.x * W + site.y, 0u)][colour(site, phase)]);
}

// Bilinear, plus `correction` times the gradients that Malvar, He and Cutler 2004 add.
fn demosaic(first: u32, at: vec2u, phase: vec2u, correction: f32) -> vec3f {
    let own = raw(first, at, vec2i(), phase);
    let beside = raw(first, at, vec2i(0, -1), phase) + raw(first, at, vec2i(0, 1), phase);
    let above = raw(first, at, vec2i(-1, 0), phase) + raw(first, at, vec2i(1, 0), phase);
    let far_beside = raw(first, at, vec2i(0, -2), phase) + raw(first, at, vec2i(0, 2), phase);
    let far_above = raw(first, at, vec2i(-2, 0), phase) + raw(first, at, vec2i(2, 0), phase);
    let diagonal = raw(first, at, vec2i(-1, -1), phase) + raw(first, at, vec2i(-1, 1), phase)
        + raw(first, at, vec2i(1, -1), phase) + raw(first, at, vec2i(1, 1), phase);
    let k = correction / 8.0;
    if colour(at, phase) == 1u {
        let along = 0.5 * beside + k * (5.0 * own - diagonal - far_beside + 0.5 * far_above);
        let across = 0.5 * above + k * (5.0 * own - diagonal - far_above + 0.5 * far_beside);
        let in_red_row = ((at.x ^ phase.x) & 1u) == 0u;
        return select(vec3f(across, own, along), vec3f(along, own, across), in_red_row);
    }
    let far = far_beside + far_above;
    let green = 0.25 * (beside + above) + k * (4.0 * own - far);
    let other = 0.25 * diagonal + k * (6.0 * own - 1.5 * far);
    return select(vec3f(other, green, own), vec3f(own, green, other), colour(at, phase) == 0u);
}

fn encode(v: vec3f) -> vec3f {
    return select(1.055 * pow(max(v, vec3f(0.0031308)), vec3f(1.0 / 2.4)) - 0.055, 12.92 * v, v <= vec3f(0.0031308));
}

fn element(p: u32, c: u32) {
    let n = p / (H * W);
    let s = settings(n);
    var rgb = vec4f(x[x_at(p, c)]).xyz;
    if EXPOSURE == 0u && s.mosaic >= 0.0 {
        rgb = demosaic(n * H * W, vec2u(p / W % H, p % W), s.phase, s.mosaic);
    }
    let balanced = rgb * s.balance;
    var encoded = encode((1.0 + s.saturation) * balanced - s.saturation * mean3(balanced));
    if EXPOSURE == 0u {
        encoded = clamp(encoded, vec3f(), vec3f(1.0));
    }
    y[y_at(p, c)] = y_t(vec4f(Y_LOW + encoded * (Y_HIGH - Y_LOW), 0.0));
}
