// Sums down the columns of columns.wgsl. To be imported below all overrides: naga 30 wants those before an array that is sized by
// a product of them.
var<workgroup> rows: array<vec4f, TX * TY>;

// The sum over the pixels of a workgroup, in each of its columns.
fn down(id: vec2u, value: vec4f) -> vec4f {
    workgroupBarrier();
    rows[id.y * TX + id.x] = value;
    workgroupBarrier();
    var sum = vec4f();
    for (var r = 0u; r < TY; r++) {
        sum += rows[r * TX + id.x];
    }
    return sum;
}
