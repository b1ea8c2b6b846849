// Stochastic gradient descent with momentum (as in PyTorch: v = MOMENTUM * v + g, p -= lr * v) over all parameters at once; the
// rest as in adam.wgsl.

override MOMENTUM: f32;

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
        let v = MOMENTUM * moments[i] + d;
        let p = params[i] - control[0] * v;
        moments[i] = v;
        params[i] = p;
        ema[i] = ema[i] * control[4] + p * (1.0 - control[4]);
    }
}
