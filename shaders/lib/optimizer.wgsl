// What every optimizer does: the squared length of the gradient from its partial sums, clipping, the average of the weights, and
// the log. The file that imports it has `parameter(i, d)`, which changes the moments and returns four parameters after the step.
override LEN4: u32;
override PARTIALS: u32;    // of the squared length
override CLIP: f32;        // longest gradient; 0: any
override GRADIENT_SCALE: f32; // what g is multiplied by first
override GRID_X: u32;

@group(0) @binding(0) var<storage, read> control: array<f32>;           // lr, 1 - beta1^t, 1 - beta2^t, log row, EMA decay
@group(0) @binding(1) var<storage, read> loss: array<f32>;              // (1)
@group(0) @binding(2) var<storage, read> g: array<vec4f>;               // (LEN4)
@group(0) @binding(3) var<storage, read> partials: array<f32>;          // (PARTIALS)
@group(0) @binding(4) var<storage, read_write> params: array<vec4f>;    // (LEN4)
@group(0) @binding(5) var<storage, read_write> moments: array<vec4f>;   // (2, LEN4): first, second
@group(0) @binding(6) var<storage, read_write> ema: array<vec4f>;       // (LEN4)
@group(0) @binding(7) var<storage, read_write> log: array<vec4f>;       // (rows): loss, gradient length, 0, 0

//#import reduce
//#import length

// The gradient, shortened to CLIP.
fn clipped(i: u32, length: f32) -> vec4f {
    let d = g[i] * GRADIENT_SCALE;
    return select(d, d * min(1.0, CLIP / (length + 1e-6)), CLIP > 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let squares = squared_length(index);
    let length = sqrt(squares);
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i == 0u {
        log[u32(control[3])] = vec4f(loss[0], length, 0.0, 0.0);
    }
    if i < LEN4 && finite(squares) {
        let p = parameter(i, clipped(i, length));
        params[i] = p;
        ema[i] = ema[i] * control[4] + p * (1.0 - control[4]);
    }
}
