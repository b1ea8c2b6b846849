// Loss of x against every target in t, of their differences d, summed per workgroup; sum_partials.wgsl makes the mean of them.

override PIXELS: u32;
override C4: u32;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override GROUPS: u32;      // workgroups

//#import loss

alias x_t = vec4f; alias t_t = vec4f; alias mask_t = vec4f;
alias exponent_t = f32;   // or what a target has, where it is not looked at
@group(0) @binding(0) var<storage, read> x: array<x_t>;                // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> t: array<t_t>;                // (PIXELS, T_STRIDE4)
@group(0) @binding(2) var<storage, read> mask: array<mask_t>;          // (PIXELS, MASK_STRIDE4): 0 or 1 in the first channel
@group(0) @binding(3) var<storage, read> exponent: array<exponent_t>;  // (1)
@group(0) @binding(4) var<storage, read_write> partials: array<vec4f>; // (GROUPS): sum, 0, 0, 0

//#import reduce

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    var sum = 0.0;
    for (var i = group.x * 64u + index; i < PIXELS * C4; i += GROUPS * 64u) {
        let prediction = vec4f(x[i / C4 * X_STRIDE4 + X_CHANNEL4 + i % C4]);
        let channel = i % C4 * 4u + vec4u(0u, 1u, 2u, 3u);
        for (var k = 0u; k < TARGETS; k++) {
            let wanted = vec4f(t[i / C4 * T_STRIDE4 + T_CHANNEL4 + k * C4 + i % C4]);
            let d = abs(prediction - wanted);
            var e = d;
            switch KIND {
                case 0u: { e = d * d; }
                case 1u: {}
                case 3u: {
                    let inside = clamp(prediction, vec4f(LOW), vec4f(HIGH));
                    let mean = ((inside - LOW) * (inside - LOW) + (HIGH - inside) * (HIGH - inside)) * (0.5 / (HIGH - LOW));
                    e = d - SHARE * (mean + abs(prediction - inside));
                }
                case 4u: { e = min(d, vec4f(EPS)) * (d - 0.5 * min(d, vec4f(EPS))); }
                case 5u: { e = sqrt(d * d + EPS * EPS); }
                case 6u: {
                    for (var lane = 0u; lane < 4u; lane++) {
                        e[lane] = relative(prediction[lane], wanted[lane]).x;
                    }
                    e *= e;
                }
                default: { e = pow(d + EPS, vec4f(f32(exponent[0]))); }
            }
            var weight = 1.0;
            if MASKED {
                weight = f32(mask[i / C4 * MASK_STRIDE4 + MASK_CHANNEL4 + k].x);
            }
            sum += weight * dot(e, select(vec4f(), vec4f(1.0), channel < vec4u(C)));
        }
    }
    sum = sum_of_workgroup(index, sum);
    if index == 0u {
        partials[group.x] = vec4f(sum, 0.0, 0.0, 0.0);
    }
}
