// White Gaussian noise of variance 1 in three channels, to be blurred.

override EXPOSURE: u32;    // 0 or 1: independent ones
override PICTURE: u32;     // pixels of a picture

//#import elementwise
//#import at_y

alias y_t = vec4f;
@group(0) @binding(0) var<storage, read_write> y: array<y_t>;   // (PIXELS, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> draw: array<u32>;      // step, seed, first picture

//#import rng

fn element(p: u32, c: u32) {
    y[y_at(p, c)] = y_t(normal3(pcg4d(vec4u(p + draw[2] * PICTURE, draw[0], draw[1], 2u + EXPOSURE))));
}
