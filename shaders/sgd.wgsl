// Stochastic gradient descent with momentum (as in PyTorch: v = MOMENTUM * v + g, p -= lr * v) over all parameters at once; the
// rest as in adam.wgsl.

override MOMENTUM: f32;

//#import optimizer

fn parameter(i: u32, d: vec4f) -> vec4f {
    let v = MOMENTUM * moments[i] + d;
    moments[i] = v;
    return params[i] - control[0] * v;
}
