// What filter gradients bind, and how they are split.
//#runtime
override BIAS: bool;       // whether one more row is the bias's: sums of dy alone
override SPLIT_PIXELS: u32; // pixels of dy per split

alias x_t = vec4f; alias dy_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>; // (splits, KERNEL * KERNEL * C, and the bias, K4)
