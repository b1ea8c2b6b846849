// Gradient of a convolution with respect to its filter: dw = sum over pixels of x (shifted by the tap) times dy.
//
// A matrix product with a small result and a very long inner dimension, the pixels. These are split over workgroups, SPLIT_PIXELS
// for each, which write partial filters; sum_several.wgsl and sum_partials.wgsl add them in a fixed order. A workgroup makes
// ROWS*TY rows (tap, input channel) by COLS*TX vec4s of columns (output channels). As in lib/tile.wgsl, a stage is loaded while
// the one before it is multiplied, and no load is in a branch. An invocation stages the same row vec4 of at most four pixels, and
// counts its way through these without dividing; where a stage is a part of a row of dy, all invocations count one pixel.
//#import conv
//#import filter_gradient
//#import count
//#import outer
//#import registers
//#import stages
override PB: u32;          // pixels per stage, a multiple of 8

// Two halves of: [pixel][row vec4], then [pixel][column vec4], and one more for what is too much.
var<workgroup> memory: array<vec4f, MEMORY>;

var<private> split: u32;
var<private> origin: vec2u; // first row vec4 and column vec4 of the invocation
var<private> own: vec2i;    // from STRIDE times a counted pixel's place to what the invocation loads for it: rows and columns of x
var<private> own_element: u32; // and elements
var<private> own_pixel: u32; // first of its pixels in the stage
var<private> left: u32;     // pixels of the split from the stage on
var<private> in_bias: bool;
var<private> x_to0: u32; var<private> x_to1: u32; var<private> x_to2: u32; var<private> x_to3: u32; // where loads of x go
var<private> x0: x_t; var<private> x1: x_t; var<private> x2: x_t; var<private> x3: x_t; // what was loaded
var<private> dy_at: u32;    // element of dy at the stage's first pixel
var<private> dy_own: u32;   // from there to that of the invocation's first load
var<private> dy_last: u32;  // last element that it may read
var<private> dy_to0: u32; var<private> dy_to1: u32; var<private> dy_to2: u32; var<private> dy_to3: u32;
var<private> dy0: dy_t; var<private> dy1: dy_t; var<private> dy2: dy_t; var<private> dy3: dy_t;

fn invocations() -> u32 {
    return TX * TY * SLICES;
}

// Pixels from a load of x to the next, and from one of dy to the next.
fn x_pixels() -> u32 {
    return invocations() / row_vec4s();
}

fn dy_pixels() -> u32 {
    return invocations() / (TX * COLS);
}

fn x_loads() -> u32 {
    return (PB + x_pixels() - 1u) / x_pixels();
}

fn dy_loads() -> u32 {
    return (PB + dy_pixels() - 1u) / dy_pixels();
}

fn half_size() -> u32 {
    return PB * (row_vec4s() + TX * COLS) + 1u;
}

fn store(number: u32, column: u32, sum: vec4f) {
    let rows = KERNEL * KERNEL * C4 * 4u + select(0u, 1u, BIAS);
    let row = (origin.x + number / 4u * TY) * 4u + number % 4u;
    let k4 = origin.y + column * TX;
    if row < rows && k4 < K4 {
        partials[(split * rows + row) * K4 + k4] = sum;
    }
}

// Whether a load's pixel is one of the split.
fn is_left(number: u32) -> bool {
    return are_whole() || own_pixel + number * x_pixels() < left;
}

// Columns of x from the first load to that one, if all count the same pixel.
fn beside(number: u32) -> u32 {
    return select(0u, number * x_pixels() * STRIDE, in_row());
}

fn sees(p: Pixel, number: u32) -> bool {
    let under = vec2i(p.place * STRIDE) + own + vec2i(0, i32(beside(number)));
    return u32(under.x) < H && u32(under.y) < W && is_left(number);
}

fn load_x(p: Pixel, number: u32) -> x_t {
    return x[select(0u, p.element + own_element + beside(number) * X_STRIDE4, sees(p, number))];
}

fn load_dy(number: u32) -> dy_t {
    let at = dy_at + dy_own + number * dy_pixels() * Y_STRIDE4;
    return dy[select(min(at, dy_last), at, are_whole())];
}

// Starts all loads of a stage.
fn fetch() {
    x0 = load_x(p0, 0u);
    if x_loads() > 1u { x1 = load_x(counted1(), 1u); }
    if x_loads() > 2u { x2 = load_x(counted2(), 2u); }
    if x_loads() > 3u { x3 = load_x(counted3(), 3u); }
    dy0 = load_dy(0u);
    if dy_loads() > 1u { dy1 = load_dy(1u); }
    if dy_loads() > 2u { dy2 = load_dy(2u); }
    if dy_loads() > 3u { dy3 = load_dy(3u); }
}

fn seen(loaded: x_t, p: Pixel, number: u32) -> vec4f {
    var value = select(vec4f(), vec4f(loaded), sees(p, number));
    if BIAS {
        value.x = select(value.x, 1.0, in_bias && is_left(number));
    }
    return value;
}

// Writes what was loaded to workgroup memory. There are zeros of x for what is beyond the split: whatever dy is there does not
// count.
fn put(half: u32) {
    memory[half + x_to0] = seen(x0, p0, 0u);
    if x_loads() > 1u { memory[half + x_to1] = seen(x1, counted1(), 1u); }
    if x_loads() > 2u { memory[half + x_to2] = seen(x2, counted2(), 2u); }
    if x_loads() > 3u { memory[half + x_to3] = seen(x3, counted3(), 3u); }
    memory[half + dy_to0] = vec4f(dy0);
    if dy_loads() > 1u { memory[half + dy_to1] = vec4f(dy1); }
    if dy_loads() > 2u { memory[half + dy_to2] = vec4f(dy2); }
    if dy_loads() > 3u { memory[half + dy_to3] = vec4f(dy3); }
}

fn advance() {
    left -= min(left, PB);
    p0 = further(p0);
    if !in_row() {
        if x_loads() > 1u { p1 = further(p1); }
        if x_loads() > 2u { p2 = further(p2); }
        if x_loads() > 3u { p3 = further(p3); }
    }
    dy_at += select(PB * Y_STRIDE4, 0u, left == 0u);
}

// What the invocation stages of x: a row vec4 of its pixels, the first of which is that number.
fn prepare_x(row4: u32, first: u32, index: u32) {
    let number = row4 / C4; // of the tap
    let tap = vec2i(vec2u(number / KERNEL, number % KERNEL)) - i32(PADDING);
    own_pixel = index / row_vec4s();
    let counted = select(own_pixel, 0u, in_row());
    own = tap + vec2i(0, i32((own_pixel - counted) * STRIDE));
    own_element = u32(own.x * i32(W) + own.y) * X_STRIDE4 + row4 % C4;
    own.x = select(NOWHERE, own.x, number < KERNEL * KERNEL);
    in_bias = row4 == KERNEL * KERNEL * C4;
    p0 = pixel(first + counted);
    p1 = pixel(first + counted + x_pixels());
    p2 = pixel(first + counted + 2u * x_pixels());
    p3 = pixel(first + counted + 3u * x_pixels());
    let all = PB * row_vec4s();
    x_to0 = select(half_size() - 1u, index, index < all);
    x_to1 = select(half_size() - 1u, index + invocations(), index + invocations() < all);
    x_to2 = select(half_size() - 1u, index + 2u * invocations(), index + 2u * invocations() < all);
    x_to3 = select(half_size() - 1u, index + 3u * invocations(), index + 3u * invocations() < all);
}

// And of dy: a column vec4.
fn prepare_dy(k4: u32, first: u32, end: u32, index: u32) {
    dy_at = first * Y_STRIDE4;
    dy_own = index / (TX * COLS) * Y_STRIDE4 + Y_CHANNEL4 + min(k4, K4 - 1u);
    dy_last = (end - 1u) * Y_STRIDE4 + Y_CHANNEL4 + min(k4, K4 - 1u);
    let to = PB * row_vec4s() + index;
    dy_to0 = min(to, half_size() - 1u);
    dy_to1 = min(to + invocations(), half_size() - 1u);
    dy_to2 = min(to + 2u * invocations(), half_size() - 1u);
    dy_to3 = min(to + 3u * invocations(), half_size() - 1u);
}

@compute @workgroup_size(TX, TY, SLICES)
fn main(@builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let first_row4 = group.x * row_vec4s();
    let first_k4 = group.y * TX * COLS;
    split = group.z;
    origin = vec2u(first_row4 + id.y, first_k4 + id.x);
    // Of the group and not of a private variable, so that all invocations meet at the barriers.
    let first = group.z * SPLIT_PIXELS;
    let end = min(first + SPLIT_PIXELS, N * OH * OW);
    left = end - first;
    x_from = id.z * row_vec4s() + id.y;
    dy_from = PB * row_vec4s() + id.z * TX * COLS + id.x;
    prepare_x(first_row4 + index % row_vec4s(), first, index);
    prepare_dy(first_k4 + index % (TX * COLS), first, end, index);
    multiply_all(end - first, PB);
    store_all(id);
}
