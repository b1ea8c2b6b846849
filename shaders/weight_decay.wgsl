// Decoupled weight decay of AdamW (Loshchilov and Hutter 2019), p -= lr * DECAY * p, over a range of parameters that are trained;
// before adam.wgsl. A gradient that is not finite changes nothing.

override LEN4: u32;
override PARTIALS: u32;    // of the squared length
override DECAY: f32;       // per step and learning rate
override GRID_X: u32;

//#import reduce
//#import length

@group(0) @binding(0) var<storage, read> control: array<f32>;           // lr, …
@group(0) @binding(1) var<storage, read> partials: array<f32>;          // (PARTIALS)
@group(0) @binding(2) var<storage, read_write> params: array<vec4f>;    // (LEN4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let squares = squared_length(index);
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < LEN4 && finite(squares) {
        params[i] -= control[0] * DECAY * params[i];
    }
}
