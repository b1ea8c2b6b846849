// Workgroup memory that fragments are loaded from and stored to, as vec4s.
const UNIT = 1u;           // elements of memory that are a vec4

var<workgroup> operands: array<operand4, MEMORY>;
var<workgroup> sums: array<vec4f, SUMS>;

fn write(at: u32, value: operand4) {
    operands[at] = value;
}

fn clear_sum(element: u32) {
    sums[element] = vec4f();
}

fn sum_of(at: u32) -> vec4f {
    return sums[at];
}
