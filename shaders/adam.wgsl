// Adam (Kingma and Ba 2015) over all parameters at once, with the gradient clipped to a length (Pascanu 2013) and an
// exponential moving average of the weights. A gradient that is not finite changes nothing. Notes loss and length.

override LEN4: u32;
override PARTIALS: u32;    // of the squared length
override BETA1: f32;
override BETA2: f32;
override EPS: f32;
override CLIP: f32;        // longest gradient; 0: any
override GRID_X: u32;

@group(0) @binding(0) var<storage, read> control: array<f32>;           // lr, 1 - beta1^t, 1 - beta2^t, log row, EMA decay
@group(0) @binding(1) var<storage, read> loss: array<f32>;              // (1)
@group(0) @binding(2) var<storage, read> g: array<vec4f>;               // (LEN4)
@group(0) @binding(3) var<storage, read> partials: array<f32>;          // (PARTIALS)
@group(0) @binding(4) var<storage, read_write> params: array<vec4f>;    // (LEN4)
@group(0) @binding(5) var<storage, read_write> moments: array<vec4f>;   // (2, LEN4): first, second
@group(0) @binding(6) var<storage, read_write> ema: array<vec4f>;       // (LEN4)
@group(0) @binding(7) var<storage, read_write> log: array<vec4f>;       // (rows): loss, gradient length, 0, 0

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    var sum = 0.0;
    for (var p = index; p < PARTIALS; p += 64u) {
        sum += partials[p];
    }
    sums[index] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if index < half {
            sums[index] += sums[index + half];
        }
    }
    workgroupBarrier();
    let i = (group.x + group.y * GRID_X) * 64u + index;
    let length = sqrt(sums[0]);
    if i == 0u {
        log[u32(control[3])] = vec4f(loss[0], length, 0.0, 0.0);
    }
    // Infinity and NaN by their bits: compilers may assume that neither occurs.
    let finite = (bitcast<u32>(sums[0]) & 0x7f800000u) != 0x7f800000u;
    if i < LEN4 && finite {
        var d = g[i];
        if CLIP > 0.0 {
            d *= min(1.0, CLIP / (length + 1e-6));
        }
        let m = moments[i] * BETA1 + d * (1.0 - BETA1);
        let v = moments[LEN4 + i] * BETA2 + d * d * (1.0 - BETA2);
        let p = params[i] - control[0] / control[1] * m / (sqrt(v / control[2]) + EPS);
        moments[i] = m;
        moments[LEN4 + i] = v;
        params[i] = p;
        ema[i] = ema[i] * control[4] + p * (1.0 - control[4]);
    }
}
