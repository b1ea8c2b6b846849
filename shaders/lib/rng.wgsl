// Counter-based random numbers: pcg4d (Jarzynski and Olano 2020), four integers in, four out, no state. The functions
// below it are polynomials, so that every device draws nearly the same noise whatever its own log and cos are worth.
fn pcg4d(counter: vec4u) -> vec4u {
    var v = counter * 1664525u + 1013904223u;
    v.x += v.y * v.w; v.y += v.z * v.x; v.z += v.x * v.y; v.w += v.y * v.z;
    v ^= v >> vec4u(16u);
    v.x += v.y * v.w; v.y += v.z * v.x; v.z += v.x * v.y; v.w += v.y * v.z;
    return v;
}

// Uniform in (0, 1), exact in f32.
fn uniform4(bits: vec4u) -> vec4f {
    return (vec4f(bits >> vec4u(9u)) + 0.5) / 8388608.0;
}

// Natural logarithm of u in (0, 1], as fdlibm's logf.
fn ln(u: f32) -> f32 {
    let bits = bitcast<u32>(u) + (0x3f800000u - 0x3f3504f3u);
    let e = f32(i32(bits >> 23u) - 127);
    let f = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * (0.66666663 + z * (0.40000972 + z * (0.28498787 + z * 0.24279079)));
    let half = 0.5 * f * f;
    return s * (half + r) + e * 9.0580006e-6 - half + f + e * 0.69313812;
}

// (cos, sin) of 2 pi t, t in [0, 1): Taylor polynomials on an eighth of the circle.
fn turn(t: f32) -> vec2f {
    let quarter = floor(t * 4.0 + 0.5);
    let r = (t - quarter * 0.25) * 6.2831853;
    let z = r * r;
    let c = 1.0 - z * (0.5 - z * (0.041666667 - z * (0.0013888889 - z * 2.4801587e-5)));
    let s = r * (1.0 - z * (0.16666667 - z * (0.0083333333 - z * (1.9841270e-4 - z * 2.7557319e-6))));
    switch u32(quarter) & 3u {
        case 0u: { return vec2f(c, s); }
        case 1u: { return vec2f(-s, c); }
        case 2u: { return vec2f(-c, -s); }
        default: { return vec2f(s, -c); }
    }
}

// Three independent standard normal numbers, and a zero (Box and Muller 1958).
fn normal3(bits: vec4u) -> vec4f {
    let u = uniform4(bits);
    let a = sqrt(-2.0 * ln(u.x)) * turn(u.y);
    return vec4f(a, sqrt(-2.0 * ln(u.z)) * turn(u.w).x, 0.0);
}
