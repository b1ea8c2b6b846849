// The gradient's squared length from its PARTIALS partial sums, the same in all invocations.
fn squared_length(index: u32) -> f32 {
    var sum = 0.0;
    for (var p = index; p < PARTIALS; p += 64u) {
        sum += partials[p];
    }
    return sum_of_workgroup(index, sum);
}

// Whether a number is neither infinite nor NaN, by its bits: compilers may assume that neither occurs.
fn finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
