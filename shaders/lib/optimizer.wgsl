// What every optimizer does: the squared length of the gradient from its partial sums, clipping, and the log.
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
