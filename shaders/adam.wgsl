// Adam (Kingma and Ba 2015) over all parameters at once, after weight_decay.wgsl of what AdamW decays, with the gradient clipped to a
// length (Pascanu 2013) and an exponential moving average of the weights. A gradient that is not finite changes nothing. Notes loss and
// length.

override BETA1: f32;
override BETA2: f32;
override EPS: f32;

//#import optimizer

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let squares = squared_length(index);
    let length = sqrt(squares);
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i == 0u {
        log[u32(control[3])] = vec4f(loss[0], length, 0.0, 0.0);
    }
    if i < LEN4 && finite(squares) {
        let d = clipped(i, length);
        let m = moments[i] * BETA1 + d * (1.0 - BETA1);
        let v = moments[LEN4 + i] * BETA2 + d * d * (1.0 - BETA2);
        let p = params[i] - control[0] / control[1] * m / (sqrt(v / control[2]) + EPS);
        moments[i] = m;
        moments[LEN4 + i] = v;
        params[i] = p;
        ema[i] = ema[i] * control[4] + p * (1.0 - control[4]);
    }
}
