// Convolution forward of tiny feature maps, whose few pixels leave most of a large tile idle: y = finish(w * x).
//
// A workgroup makes two pixels by TX vec4s of channels; the inner dimension (window taps, input channels) is split over its
// TY rows of invocations, whose sums are added in a fixed order in the end.
//#import conv
//#import finish
//#import multiply
override TX: u32;
override TY: u32;
//#runtime
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (N, H, W, X_STRIDE4)
@group(0) @binding(1) var<storage, read> w: array<vec4f>;       // (KERNEL, KERNEL, C, K4)
@group(0) @binding(5) var<storage, read_write> y: array<y_t>;   // (N, OH, OW, Y_STRIDE4)

var<workgroup> sums: array<vec4f, TY * 2 * TX>; // [part][pixel][channel vec4]

fn corner_of(pixel: u32) -> vec4i {
    let n = pixel / (OW * OH);
    let top = i32(pixel / OW % OH * STRIDE) - i32(PADDING);
    let left = i32(pixel % OW * STRIDE) - i32(PADDING);
    return vec4i((i32(n * H) + top) * i32(W) + left, select(NOWHERE, top, n < N), left, 0);
}

fn load(at: vec4i, tap: vec2u, c4: u32) -> vec4f {
    if u32(at.y + i32(tap.x)) < H && u32(at.z + i32(tap.y)) < W {
        return vec4f(x[u32(at.x + i32(tap.x * W + tap.y)) * X_STRIDE4 + X_CHANNEL4 + c4]);
    }
    return vec4f();
}

@compute @workgroup_size(TX, TY)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let first_pixel = (group.x + group.y * GRID_X) * 2u;
    let first_k4 = group.z * TX;
    let k4 = min(first_k4 + id.x, K4 - 1u);
    let corner = array(corner_of(first_pixel), corner_of(first_pixel + 1u));
    var a0 = vec4f();
    var a1 = vec4f();
    var tap = vec2u();
    var c4 = id.y;
    for (var inner = id.y; inner < KERNEL * KERNEL * C4; inner += TY) {
        while c4 >= C4 {
            c4 -= C4;
            tap.y++;
            if tap.y == KERNEL {
                tap = vec2u(tap.x + 1u, 0u);
            }
        }
        let row = inner * 4u * K4 + k4;
        let m = mat4x4f(w[row], w[row + K4], w[row + 2u * K4], w[row + 3u * K4]);
        a0 = multiply(a0, load(corner[0], tap, c4), m);
        a1 = multiply(a1, load(corner[1], tap, c4), m);
        c4 += TY;
    }
    sums[id.y * 2u * TX + id.x] = a0;
    sums[(id.y * 2u + 1u) * TX + id.x] = a1;
    workgroupBarrier();
    for (var i = index; i < 2u * TX; i += TX * TY) {
        var sum = vec4f();
        for (var part = 0u; part < TY; part++) {
            sum += sums[part * 2u * TX + i];
        }
        let pixel = first_pixel + i / TX;
        let channel4 = first_k4 + i % TX;
        if pixel < N * OH * OW && channel4 < K4 {
            y[pixel * Y_STRIDE4 + Y_CHANNEL4 + channel4] = y_t(finish(sum, pixel, channel4));
        }
    }
}
