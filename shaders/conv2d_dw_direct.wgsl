// Gradient of a convolution with respect to its filter on software adapters: rows are (tap, input channel), columns output
// channels, and the inner dimension runs over pixels, split over workgroups. An invocation adds up its rows and columns alone.
//#import conv
//#import filter_gradient
//#import direct_sums

var<private> split: u32;
var<private> place: vec2u; // row and column of dy that is at hand
var<private> pixel_of_x: u32; // under the first tap without padding

// Four rows: of a tap and four channels.
struct Row4 {
    shift: vec2i,          // from a pixel's place to the tap's, rows and columns of x
    element: u32,          // and elements
    one: f32,              // what is there of the bias in place of x
}

fn row4(number: u32) -> Row4 {
    let tap = number / C4;
    let shift = vec2i(vec2u(tap / KERNEL, tap % KERNEL)) - i32(PADDING);
    let element = u32(shift.x * i32(W) + shift.y) * X_STRIDE4 + X_CHANNEL4 + number % C4;
    let within = tap < KERNEL * KERNEL;
    let one = select(0.0, 1.0, BIAS && number == KERNEL * KERNEL * C4);
    return Row4(vec2i(select(NOWHERE, shift.x, within), shift.y), element, one);
}

fn load(row: Row4) -> vec4f {
    let under = vec2u(vec2i(place * STRIDE) + row.shift);
    let within = under.x < H && under.y < W;
    return select(vec4f(row.one, 0.0, 0.0, 0.0), vec4f(x[select(0u, pixel_of_x * X_STRIDE4 + row.element, within)]), within);
}

fn multiply(r0: vec4f, r1: vec4f, c0: vec4f, c1: vec4f) {
    sums0[0] = fma(vec4f(r0.x), c0, sums0[0]); sums1[0] = fma(vec4f(r0.x), c1, sums1[0]);
    sums0[1] = fma(vec4f(r0.y), c0, sums0[1]); sums1[1] = fma(vec4f(r0.y), c1, sums1[1]);
    sums0[2] = fma(vec4f(r0.z), c0, sums0[2]); sums1[2] = fma(vec4f(r0.z), c1, sums1[2]);
    sums0[3] = fma(vec4f(r0.w), c0, sums0[3]); sums1[3] = fma(vec4f(r0.w), c1, sums1[3]);
    sums0[4] = fma(vec4f(r1.x), c0, sums0[4]); sums1[4] = fma(vec4f(r1.x), c1, sums1[4]);
    sums0[5] = fma(vec4f(r1.y), c0, sums0[5]); sums1[5] = fma(vec4f(r1.y), c1, sums1[5]);
    sums0[6] = fma(vec4f(r1.z), c0, sums0[6]); sums1[6] = fma(vec4f(r1.z), c1, sums1[6]);
    sums0[7] = fma(vec4f(r1.w), c0, sums0[7]); sums1[7] = fma(vec4f(r1.w), c1, sums1[7]);
}

fn rows() -> u32 {
    return KERNEL * KERNEL * C4 * 4u + select(0u, 1u, BIAS);
}

fn store(row: u32, k4: u32, a: vec4f, b: vec4f) {
    if row < rows() {
        let at = (split * rows() + row) * K4 + k4;
        partials[at] = a;
        if k4 + 1u < K4 {
            partials[at + 1u] = b;
        }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    split = group.z;
    let row = (group.x * INVOCATIONS + index) * 8u;
    let k4 = group.y * 2u;
    if row >= rows() {
        return;
    }
    let first = row4(row / 4u);
    let second = row4(row / 4u + 1u);
    let beside = select(0u, 1u, k4 + 1u < K4);
    let start = split * SPLIT_PIXELS;
    let end = min(start + SPLIT_PIXELS, N * OH * OW);
    place = vec2u(start / OW % OH, start % OW);
    var picture = start / (OW * OH);
    for (var p = start; p < end; p++) {
        pixel_of_x = (picture * H + place.x * STRIDE) * W + place.y * STRIDE;
        let at = p * Y_STRIDE4 + Y_CHANNEL4 + k4;
        multiply(load(first), load(second), vec4f(dy[at]), vec4f(dy[at + beside]));
        place.y++;
        if place.y == OW {
            place = vec2u(place.x + 1u, 0u);
        }
        if place.x == OH {
            place.x = 0u;
            picture++;
        }
    }
    store_all(row, k4);
}
