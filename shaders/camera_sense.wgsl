// What a sensor counts of sRGB pictures, over what white does: back to light, through colour matrix and white balance, photons
// and read noise. All three colours of every pixel; the mosaic is laid over them later.

override EXPOSURE: u32;
override LIGHT: f32;       // of this exposure, over that of exposure 0
override READ: f32;        // electrons

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4), [0, 1]
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;    // (N, H, W, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> draw: array<u32>;       // step, seed, first picture

//#import rng

fn numbers(i: u32, stream: u32) -> vec4u {
    return pcg4d(vec4u(i + draw[2] * H * W, draw[0], draw[1], stream));
}

//#import poisson
//#import camera

fn decode(v: vec3f) -> vec3f {
    return select(pow((v + 0.055) / 1.055, vec3f(2.4)), v / 12.92, v <= vec3f(0.04045));
}

fn element(p: u32, c: u32) {
    let s = settings(p / (H * W));
    let white = s.white * LIGHT;
    let linear = decode(max(vec4f(x[x_at(p, c)]).xyz, vec3f()));
    let means = white * (linear + s.saturation * mean3(linear)) / (1.0 + s.saturation) / s.balance;
    let z = normal3(numbers(p, 2u + EXPOSURE)).xyz;
    // Beyond a few counts, a normal number with the third moment of a Poisson number (Cornish and Fisher 1938).
    let few = poisson3(min(means, vec3f(16.0)), 16.0, p, EXPOSURE) + READ * z;
    let variance = max(means + READ * READ, vec3f(1e-9));
    let many = means + sqrt(variance) * z + (z * z - 1.0) / 6.0 * means / variance;
    y[y_at(p, c)] = y_t(vec4f(select(many, few, means < vec3f(16.0)) / white, 0.0));
}
