enable f16;
enable wgpu_cooperative_matrix;
// Gradient of a convolution with respect to its filter on cooperative matrices: rows are (tap, input channel), columns output
// channels, and the inner dimension runs over pixels, split over workgroups as in conv2d_dw.wgsl. An invocation stages always
// the same four pixels, of blocks of four rows and of four columns.
//#import conv
//#import filter_gradient
//#import coop
//#import count

const PB = KB * 4u;         // pixels of a stage
const BLOCKS = LOADS / 4u;

var<private> split: u32;
var<private> origin: vec2u; // first row vec4 and column vec4 of the workgroup
var<private> inner4: u32;   // the invocation's four pixels of a stage, and its first block of rows or columns
var<private> own: u32;
var<private> shifts: array<vec2i, BLOCKS>; // of its rows: from STRIDE times a pixel's place to the tap's, rows and columns of x
var<private> elements: array<u32, BLOCKS>; // and elements
var<private> of_bias: array<bool, BLOCKS>;
var<private> xs: array<x_t, LOADS>; // what was loaded: for each block one of every pixel
var<private> ys: array<dy_t, LOADS>;
var<private> dy_at: u32;    // element of dy at the invocation's first pixel
var<private> dy_last: u32;  // and at the split's last
var<private> left: u32;     // pixels of the split from the stage on

fn x_blocks() -> u32 {
    return loads(tile_rows() / 4u, 1u);
}

fn dy_blocks() -> u32 {
    return loads(tile_columns() / 4u, 1u);
}

fn counted_pixel(number: u32) -> Pixel {
    switch number {
        case 0u: { return p0; }
        case 1u: { return counted1(); }
        case 2u: { return counted2(); }
        default: { return counted3(); }
    }
}

// Columns of x from the first pixel to that one, if all count the same.
fn beside(number: u32) -> u32 {
    return select(0u, number * STRIDE, in_row());
}

fn is_left(number: u32) -> bool {
    return are_whole() || inner4 * 4u + number < left;
}

fn sees(block: u32, number: u32) -> bool {
    let under = vec2i(counted_pixel(number).place * STRIDE) + shifts[block] + vec2i(0, i32(beside(number)));
    return u32(under.x) < H && u32(under.y) < W && is_left(number);
}

fn load_x(block: u32, number: u32) -> x_t {
    let at = counted_pixel(number).element + elements[block] + beside(number) * X_STRIDE4;
    return x[select(0u, at, sees(block, number))];
}

fn load_dy(block: u32, number: u32) -> dy_t {
    let k4 = min(origin.y + own + block * step(1u), K4 - 1u);
    let at = dy_at + number * Y_STRIDE4;
    return dy[select(min(at, dy_last), at, are_whole()) + k4];
}

fn fetch() {
    for (var i = 0u; i < x_blocks(); i++) {
        for (var number = 0u; number < 4u; number++) {
            xs[i * 4u + number] = load_x(i, number);
        }
    }
    for (var i = 0u; i < dy_blocks(); i++) {
        for (var number = 0u; number < 4u; number++) {
            ys[i * 4u + number] = load_dy(i, number);
        }
    }
}

fn seen(block: u32, number: u32) -> operand4 {
    var value = select(operand4(), operand4(xs[block * 4u + number]), sees(block, number));
    if BIAS {
        value.x = select(value.x, operand(1.0), of_bias[block] && is_left(number));
    }
    return value;
}

// There are zeros of x for what is beyond the split: whatever dy is there does not count.
fn put(half: u32) {
    for (var i = 0u; i < x_blocks(); i++) {
        let at = half + line_at(0u, own + i * step(1u), tile_rows(), 4u) + inner4;
        write_block(at, seen(i, 0u), seen(i, 1u), seen(i, 2u), seen(i, 3u));
    }
    for (var i = 0u; i < dy_blocks(); i++) {
        let at = half + line_at(tile_rows(), own + i * step(1u), tile_columns(), 4u) + inner4;
        let y0 = operand4(ys[4u * i]); let y1 = operand4(ys[4u * i + 1u]);
        write_block(at, y0, y1, operand4(ys[4u * i + 2u]), operand4(ys[4u * i + 3u]));
    }
}

fn advance() {
    left -= min(left, PB);
    p0 = further(p0);
    if !in_row() {
        p1 = further(p1);
        p2 = further(p2);
        p3 = further(p3);
    }
    dy_at += select(PB * Y_STRIDE4, 0u, left == 0u);
}

fn store(row: u32, column4: u32, sum: vec4f) {
    let rows = KERNEL * KERNEL * C4 * 4u + select(0u, 1u, BIAS);
    let to = origin.x * 4u + row;
    let k4 = origin.y + column4;
    if to < rows && k4 < K4 {
        partials[(split * rows + to) * K4 + k4] = sum;
    }
}

@compute @workgroup_size(DOWN * ACROSS * SUBGROUP)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    split = group.z;
    origin = vec2u(group.x * tile_rows() / 4u, group.y * tile_columns() / 4u);
    inner4 = index % KB;
    own = index / KB;
    // Of the group and not of a private variable, so that all invocations meet at the barriers.
    let first = group.z * SPLIT_PIXELS;
    let end = min(first + SPLIT_PIXELS, N * OH * OW);
    left = end - first;
    for (var i = 0u; i < x_blocks(); i++) {
        let row4 = origin.x + own + i * step(1u);
        let number = row4 / C4; // of the tap
        let shift = vec2i(vec2u(number / KERNEL, number % KERNEL)) - i32(PADDING);
        elements[i] = u32(shift.x * i32(W) + shift.y) * X_STRIDE4 + row4 % C4;
        shifts[i] = vec2i(select(NOWHERE, shift.x, number < KERNEL * KERNEL), shift.y);
        of_bias[i] = row4 == KERNEL * KERNEL * C4;
    }
    let own_first = first + inner4 * 4u;
    p0 = pixel(own_first);
    p1 = pixel(own_first + 1u);
    p2 = pixel(own_first + 2u);
    p3 = pixel(own_first + 3u);
    dy_at = own_first * Y_STRIDE4 + Y_CHANNEL4;
    dy_last = (end - 1u) * Y_STRIDE4 + Y_CHANNEL4;
    prepare(index);
    multiply_all(end - first, PB);
    store_all(index);
}
