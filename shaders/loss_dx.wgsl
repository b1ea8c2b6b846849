// Gradient of a loss by the prediction x: dx = dy / count * the sum over targets of the derivative by d = x - t, which is 2 d,
// the sign of d, exponent * (|d| + EPS)^(exponent - 1) with the sign of d, or the sign of d less SHARE of its mean.

override PIXELS: u32;
override C4: u32;
override C: u32;           // channels; those that fill up the last vec4 have no gradient
override SCALE: f32;       // 1 / count, and what gradients are multiplied by
override MOST: f32;        // largest value of dx that can be written
override KIND: u32;        // 0: d * d; 1: |d|; 2: (|d| + EPS)^exponent; 3: |d| less SHARE of its mean over [LOW, HIGH]
override EPS: f32;
override SHARE: f32;       // of the targets' pixels that are of any colour between LOW and HIGH
override LOW: f32;
override HIGH: f32;
override MASKED: bool;     // whether only pixels whose mask is 1 count
override TARGETS: u32;     // in t, and masks, side by side
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override T_STRIDE4: u32;
override T_CHANNEL4: u32;
override MASK_STRIDE4: u32;
override MASK_CHANNEL4: u32;
override DX_STRIDE4: u32;
override DX_CHANNEL4: u32;
override GRID_X: u32;

alias x_t = vec4f; alias t_t = vec4f; alias mask_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> t: array<t_t>;          // (PIXELS, T_STRIDE4)
@group(0) @binding(2) var<storage, read> mask: array<mask_t>;    // (PIXELS, MASK_STRIDE4): 0 or 1 in the first channel
@group(0) @binding(3) var<storage, read> exponent: array<f32>;      // (1)
@group(0) @binding(4) var<storage, read> dy: array<f32>;         // (1)
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;  // (PIXELS, DX_STRIDE4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        let prediction = vec4f(x[i / C4 * X_STRIDE4 + X_CHANNEL4 + i % C4]);
        var sum = vec4f();
        for (var k = 0u; k < TARGETS; k++) {
            let d = prediction - vec4f(t[i / C4 * T_STRIDE4 + T_CHANNEL4 + k * C4 + i % C4]);
            var e = sign(d);
            switch KIND {
                case 0u: { e = 2.0 * d; }
                case 1u: {}
                case 3u: { e -= SHARE * ((clamp(prediction, vec4f(LOW), vec4f(HIGH)) - LOW) * (2.0 / (HIGH - LOW)) - 1.0); }
                default: { e *= exponent[0] * pow(abs(d) + EPS, vec4f(exponent[0] - 1.0)); }
            }
            if MASKED {
                e *= f32(mask[i / C4 * MASK_STRIDE4 + MASK_CHANNEL4 + k].x);
            }
            sum += e;
        }
        sum = select(vec4f(), sum, i % C4 * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(C));
        dx[i / C4 * DX_STRIDE4 + DX_CHANNEL4 + i % C4] = dx_t(clamp(sum * (SCALE * dy[0]), vec4f(-MOST), vec4f(MOST)));
    }
}
