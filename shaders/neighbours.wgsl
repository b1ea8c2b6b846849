// Of every square of 2 x 2 pixels one pixel, or another one beside or below it: two pictures of half the size (Huang et al. 2021,
// "Neighbor2Neighbor", fig. 3). Which two, is drawn for every square, the same ones for all pictures of one draw.

override H: u32;           // of y
override W: u32;
override SECOND: u32;      // which of the two y is: 0 or 1

//#import elementwise
//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, 2 H, 2 W, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;    // (N, H, W, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> draw: array<u32>;       // step, seed, first picture

//#import rng

fn element(p: u32, c: u32) {
    let drawn = pcg4d(vec4u(p + draw[2] * H * W, draw[0], draw[1], 0x6e326e00u));
    // Bit 1 of a place is its row in the square, bit 0 its column; a neighbour differs in one of them.
    let place = ((drawn.x >> 16u) & 3u) ^ (SECOND << ((drawn.y >> 16u) & 1u));
    let row = 2u * (p / W) + place / 2u;
    let column = 2u * (p % W) + place % 2u;
    y[y_at(p, c)] = y_t(vec4f(x[x_at(row * 2u * W + column, c)]));
}
