// Gradient of a loss by the prediction x: dx = dy / count * the sum over targets of the derivative by d = x - t, which is 2 d,
// the sign of d, exponent * (|d| + EPS)^(exponent - 1) with the sign of d, the sign of d less SHARE of its mean, d within EPS,
// d / sqrt(d * d + EPS * EPS), or that of an error relative to the linear value, whose denominator counts as constant.

override SCALE: f32;       // 1 / count, and what gradients are multiplied by
override MOST: f32;        // largest value of dx that can be written

//#import loss
//#import elementwise
//#import at_x
//#import at_dx

alias x_t = vec4f; alias t_t = vec4f; alias mask_t = vec4f; alias dx_t = vec4f;
alias exponent_t = f32;   // or what a target has, where it is not looked at
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (PIXELS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> t: array<t_t>;          // (PIXELS, T_STRIDE4)
@group(0) @binding(2) var<storage, read> mask: array<mask_t>;    // (PIXELS, MASK_STRIDE4): 0 or 1 in the first channel
@group(0) @binding(3) var<storage, read> exponent: array<exponent_t>; // (1)
@group(0) @binding(4) var<storage, read> dy: array<f32>;         // (1)
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;  // (PIXELS, DX_STRIDE4)

fn element(p: u32, c: u32) {
    let prediction = vec4f(x[x_at(p, c)]);
    var sum = vec4f();
    for (var k = 0u; k < TARGETS; k++) {
        let wanted = vec4f(t[p * T_STRIDE4 + T_CHANNEL4 + k * C4 + c]);
        let d = prediction - wanted;
        var e = sign(d);
        switch KIND {
            case 0u: { e = 2.0 * d; }
            case 1u: {}
            case 3u: { e -= SHARE * ((clamp(prediction, vec4f(LOW), vec4f(HIGH)) - LOW) * (2.0 / (HIGH - LOW)) - 1.0); }
            case 4u: { e = clamp(d, vec4f(-EPS), vec4f(EPS)); }
            case 5u: { e = d / sqrt(d * d + EPS * EPS); }
            case 6u: {
                for (var lane = 0u; lane < 4u; lane++) {
                    let error = relative(prediction[lane], wanted[lane]);
                    e[lane] = 2.0 * error.x * error.y;
                }
            }
            default: { e *= f32(exponent[0]) * pow(abs(d) + EPS, vec4f(f32(exponent[0]) - 1.0)); }
        }
        if MASKED {
            e *= f32(mask[p * MASK_STRIDE4 + MASK_CHANNEL4 + k].x);
        }
        sum += e;
    }
    sum = select(vec4f(), sum, c * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(C));
    dx[dx_at(p, c)] = dx_t(clamp(sum * (SCALE * dy[0]), vec4f(-MOST), vec4f(MOST)));
}
