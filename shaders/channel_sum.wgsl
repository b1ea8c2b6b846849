// Gradient of a bias: sums of dy over all pixels, per channel. One workgroup per range of pixels writes partial sums;
// sum_partials.wgsl adds them in a fixed order. Each invocation owns one vec4 of channels and every ROWS-th pixel.

//#runtime
override PIXELS: u32;
override C4: u32;
override Y_STRIDE4: u32;   // vec4s from a pixel to the next
override Y_CHANNEL4: u32;
override SPLIT_PIXELS: u32; // pixels per workgroup

const COLUMNS = 8u;
const ROWS = 8u;

alias dy_t = vec4f;
@group(0) @binding(0) var<storage, read> dy: array<dy_t>;              // (PIXELS, Y_STRIDE4)
@group(0) @binding(1) var<storage, read_write> partials: array<vec4f>; // (splits, C4)

var<workgroup> sums: array<vec4f, 64>;

@compute @workgroup_size(8, 8)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
    let c4 = group.y * COLUMNS + id.x;
    let first = group.x * SPLIT_PIXELS;
    let last = min(first + SPLIT_PIXELS, PIXELS);
    var sum = vec4f();
    if c4 < C4 {
        for (var p = first + id.y; p < last; p += ROWS) {
            sum += vec4f(dy[p * Y_STRIDE4 + Y_CHANNEL4 + c4]);
        }
    }
    sums[id.y * COLUMNS + id.x] = sum;
    workgroupBarrier();
    if id.y == 0u && c4 < C4 {
        for (var r = 1u; r < ROWS; r++) {
            sum += sums[r * COLUMNS + id.x];
        }
        partials[group.x * C4 + c4] = sum;
    }
}
