// Workgroup memory that fragments are loaded from and stored to, as scalars: Metal's pointers must be to what fragments consist
// of.
const UNIT = 4u;           // elements of memory that are a vec4

var<workgroup> operands: array<operand, MEMORY>;
var<workgroup> sums: array<f32, SUMS>;

fn write(at: u32, value: operand4) {
    operands[at * 4u] = value.x;
    operands[at * 4u + 1u] = value.y;
    operands[at * 4u + 2u] = value.z;
    operands[at * 4u + 3u] = value.w;
}

fn clear_sum(element: u32) {
    sums[element] = 0.0;
}

fn sum_of(at: u32) -> vec4f {
    return vec4f(sums[at * 4u], sums[at * 4u + 1u], sums[at * 4u + 2u], sums[at * 4u + 3u]);
}
