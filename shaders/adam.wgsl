// Adam (Kingma and Ba 2015) over all parameters at once, after weight_decay.wgsl of what AdamW decays, with the gradient clipped
// to a length (Pascanu 2013) and an exponential moving average of the weights. A gradient that is not finite changes nothing.
// Notes loss and length.

override BETA1: f32;
override BETA2: f32;
override EPS: f32;

//#import optimizer

fn parameter(i: u32, d: vec4f) -> vec4f {
    let m = moments[i] * BETA1 + d * (1.0 - BETA1);
    let v = moments[LEN4 + i] * BETA2 + d * d * (1.0 - BETA2);
    moments[i] = m;
    moments[LEN4 + i] = v;
    return params[i] - control[0] / control[1] * m / (sqrt(v / control[2]) + EPS);
}
