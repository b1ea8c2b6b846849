// Gradient of the mean squared error: dx = dy * 2 (x - t) / count.

override PIXELS: u32;
override C4: u32;
override SCALE: f32;       // 2 / count
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override T_STRIDE4: u32;
override T_CHANNEL4: u32;
override DX_STRIDE4: u32;
override DX_CHANNEL4: u32;
override GRID_X: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;        // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> t: array<vec4f>;        // (PIXELS, T_STRIDE4)
@group(0) @binding(2) var<storage, read> dy: array<f32>;         // (1)
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>; // (PIXELS, DX_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let d = x[i / C4 * X_STRIDE4 + X_CHANNEL4 + i % C4] - t[i / C4 * T_STRIDE4 + T_CHANNEL4 + i % C4];
        dx[i / C4 * DX_STRIDE4 + DX_CHANNEL4 + i % C4] = d * (SCALE * dy[0]);
    }
}
