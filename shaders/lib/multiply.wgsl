// Adds the product of four inner elements of a pixel with a matrix of the filter: inner dimension by channels.
fn multiply(acc: vec4f, x: vec4f, w: mat4x4f) -> vec4f {
    return fma(vec4f(x.w), w[3], fma(vec4f(x.z), w[2], fma(vec4f(x.y), w[1], fma(vec4f(x.x), w[0], acc))));
}
