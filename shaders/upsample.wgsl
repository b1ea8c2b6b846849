// Nearest upsampling: every pixel becomes a KERNEL x KERNEL square, y(h, w) = x(h / KERNEL, w / KERNEL).

override PIXELS: u32;      // of y
override C4: u32;
override H: u32;           // of x
override W: u32;
override OH: u32;          // of y
override OW: u32;
override KERNEL: u32;      // side of the squares
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let p = i / C4;
        let source = (p / (OH * OW) * H + p / OW % OH / KERNEL) * W + p % OW / KERNEL;
        y[p * Y_STRIDE4 + Y_CHANNEL4 + i % C4] = y_t(vec4f(x[source * X_STRIDE4 + X_CHANNEL4 + i % C4]));
    }
}
