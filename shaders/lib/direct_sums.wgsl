// What an invocation of lib/direct.wgsl adds up: eight rows by two vec4s of columns.
const INVOCATIONS = 32u;

// Arrays, but addressed by constants where it counts: such an element is as good as a variable, and loops over the others make
// kernels short, which compile in less than half the time.
var<private> sums0: array<vec4f, 8>; // of the first vec4
var<private> sums1: array<vec4f, 8>; // and of the second

// Hands them to the kernel, row by row.
fn store_all(row: u32, column4: u32) {
    for (var i = 0u; i < 8u; i++) {
        store(row + i, column4, sums0[i], sums1[i]);
    }
}
