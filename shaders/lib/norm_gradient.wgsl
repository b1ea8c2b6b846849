// What both halves of GroupNorm's gradient read of a pixel. The kernel binds x, y, dy and stats.
override SLOPE: f32;       // of the leaky ReLU
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override DY_STRIDE4: u32;
override DY_CHANNEL4: u32;

struct Moments {
    mean: vec4f,
    rstd: vec4f,
}

// Of the groups of four channels of picture n.
fn moments_of(n: u32, c4: u32) -> Moments {
    let s0 = stats[n * GROUPS + group_of(c4 * 4u)];
    let s1 = stats[n * GROUPS + group_of(c4 * 4u + 1u)];
    let s2 = stats[n * GROUPS + group_of(c4 * 4u + 2u)];
    let s3 = stats[n * GROUPS + group_of(c4 * 4u + 3u)];
    return Moments(vec4f(s0.x, s1.x, s2.x, s3.x), vec4f(s0.y, s1.y, s2.y, s3.y));
}

// dz = dy * act'(y) at pixel p.
fn dz_at(p: u32, c4: u32) -> vec4f {
    let v = vec4f(dy[p * DY_STRIDE4 + DY_CHANNEL4 + c4]);
    return select(v * SLOPE, v, vec4f(y[p * Y_STRIDE4 + Y_CHANNEL4 + c4]) > vec4f(0.0));
}

// xhat = (x - mean) * rstd at pixel p.
fn xhat_at(p: u32, c4: u32, moments: Moments) -> vec4f {
    return (vec4f(x[p * X_STRIDE4 + X_CHANNEL4 + c4]) - moments.mean) * moments.rstd;
}
