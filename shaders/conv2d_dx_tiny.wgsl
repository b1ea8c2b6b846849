// Input gradient of a convolution, or transposed convolution, of tiny feature maps: dx = finish(w^T * dy).
//
// A workgroup makes two pixels of a phase by TY vec4s of channels; the inner dimension (taps that reach the phase, channels of
// dy) is split over its TX columns of invocations, whose sums are added in a fixed order in the end.
//#import conv
//#import finish
//#import multiply
//#import phase
override TX: u32;
override TY: u32;
//#runtime
override GRID_X: u32;

alias dy_t = vec4f; alias dx_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;        // (N, OH, OW, Y_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> dx: array<dx_t>;  // (N, H, W, X_STRIDE4)

var<workgroup> sums: array<vec4f, TX * 2 * TY>; // [part][pixel][channel vec4]

fn load(at: vec4i, tap: vec2u, k4: u32) -> vec4f {
    if u32(at.y - i32(tap.x)) < OH && u32(at.z - i32(tap.y)) < OW {
        return vec4f(dy[u32(at.x - i32(tap.x * OW + tap.y)) * Y_STRIDE4 + Y_CHANNEL4 + k4]);
    }
    return vec4f();
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let phase = phase_of(group.z % (STRIDE * STRIDE));
    let first_c4 = group.z / (STRIDE * STRIDE) * TY;
    let first_pixel = (group.x + group.y * GRID_X) * 2u;
    if place(first_pixel, phase).x >= N {
        return;
    }
    let c4 = min(first_c4 + id.y, C4 - 1u);
    let first = corner_of(place(first_pixel, phase), phase);
    let second = corner_of(place(first_pixel + 1u, phase), phase);
    var a0 = vec4f();
    var a1 = vec4f();
    var tap = vec2u();
    var k4 = id.x;
    for (var inner = id.x; inner < phase.taps.x * phase.taps.y * K4; inner += TX) {
        while k4 >= K4 {
            k4 -= K4;
            tap.y++;
            if tap.y == phase.taps.y {
                tap = vec2u(tap.x + 1u, 0u);
            }
        }
        let window = phase.first_tap + tap * STRIDE;
        let row = ((window.x * KERNEL + window.y) * C4 + c4) * 4u * K4 + k4;
        let m = transpose(mat4x4f(w[row], w[row + K4], w[row + 2u * K4], w[row + 3u * K4]));
        a0 = multiply(a0, load(first, tap, k4), m);
        a1 = multiply(a1, load(second, tap, k4), m);
        k4 += TX;
    }
    sums[id.x * 2u * TY + id.y] = a0;
    sums[(id.x * 2u + 1u) * TY + id.y] = a1;
    workgroupBarrier();
    for (var i = index; i < 2u * TY; i += TX * TY) {
        var sum = vec4f();
        for (var part = 0u; part < TX; part++) {
            sum += sums[part * 2u * TY + i];
        }
        let at = place(first_pixel + i / TY, phase);
        let channel4 = first_c4 + i % TY;
        if at.x < N && channel4 < C4 {
            let pixel = (at.x * H + at.y) * W + at.z;
            dx[pixel * X_STRIDE4 + X_CHANNEL4 + channel4] = dx_t(finish(sum, pixel, channel4));
        }
    }
}
