// Turns a share of the pictures of a batch to grey, by weights of the three colours that all exposures of a picture share. So the
// noise, too, becomes the same in all colours, as in pictures of one channel.

override SHARE: f32;
override PICTURE: u32;     // pixels of a picture

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;    // (PIXELS, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> draw: array<u32>;       // step, seed, first picture

//#import rng

fn element(p: u32, c: u32) {
    let drawn = uniform4(pcg4d(vec4u(p / PICTURE + draw[2], draw[0], draw[1], 0x6e6e7e00u)));
    var value = vec4f(x[x_at(p, c)]);
    if drawn.w < SHARE {
        // Uniform among weights whose sum is 1.
        let weights = -log(drawn.xyz);
        value = vec4f(vec3f(dot(weights, value.xyz) / (weights.x + weights.y + weights.z)), 0.0);
    }
    y[y_at(p, c)] = y_t(value);
}
