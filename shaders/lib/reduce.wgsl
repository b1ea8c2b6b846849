// Adds up a number of each of a workgroup's 64 invocations, as a tree: the same order always. All of them get the sum.
var<workgroup> tree: array<f32, 64>;

fn sum_of_workgroup(index: u32, value: f32) -> f32 {
    tree[index] = value;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if index < half {
            tree[index] += tree[index + half];
        }
    }
    workgroupBarrier();
    return tree[0];
}
