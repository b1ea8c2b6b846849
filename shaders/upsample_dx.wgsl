// Gradient of nearest upsampling: dx is the sum of dy over each KERNEL x KERNEL square, row by row.

override PIXELS: u32;      // of dx
override C4: u32;
override H: u32;           // of dx
override W: u32;
override OH: u32;          // of dy
override OW: u32;
override KERNEL: u32;      // side of the squares
override DY_STRIDE4: u32;
override DY_CHANNEL4: u32;
override DX_STRIDE4: u32;
override DX_CHANNEL4: u32;
override GRID_X: u32;

alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, DY_STRIDE4)
@group(0) @binding(1) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, DX_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let p = i / C4;
        let corner = (p / (H * W) * OH + p / W % H * KERNEL) * OW + p % W * KERNEL;
        var sum = vec4f();
        for (var t = 0u; t < KERNEL * KERNEL; t++) {
            sum += vec4f(dy[(corner + t / KERNEL * OW + t % KERNEL) * DY_STRIDE4 + DY_CHANNEL4 + i % C4]);
        }
        dx[p * DX_STRIDE4 + DX_CHANNEL4 + i % C4] = dx_t(sum);
    }
}
