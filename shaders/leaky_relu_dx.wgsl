// Gradient of the leaky ReLU from its result: dx = dy where y > 0, else SLOPE * dy. SLOPE > 0, so y has the sign of x.

override PIXELS: u32;
override C4: u32;
override SLOPE: f32;
override DY_STRIDE4: u32;
override DY_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override DX_STRIDE4: u32;
override DX_CHANNEL4: u32;
override GRID_X: u32;

alias dy_t = vec4f; alias y_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (PIXELS, DY_STRIDE4)
@group(0) @binding(1) var<storage, read> y: array<y_t>;          // (PIXELS, Y_STRIDE4)
@group(0) @binding(2) var<storage, read_write> dx: array<dx_t>;  // (PIXELS, DX_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let v = vec4f(dy[i / C4 * DY_STRIDE4 + DY_CHANNEL4 + i % C4]);
        let sign = vec4f(y[i / C4 * Y_STRIDE4 + Y_CHANNEL4 + i % C4]);
        dx[i / C4 * DX_STRIDE4 + DX_CHANNEL4 + i % C4] = dx_t(select(v * SLOPE, v, sign > vec4f(0.0)));
    }
}
