// An implicit matrix product on cooperative matrices (tensor cores): a workgroup of four subgroups makes ROWS rows by COLS * SIDE
// columns, each subgroup two rows of fragments of SIDE x SIDE. Operands are rounded to 16 bits, sums have 32. The kernel's
// prepare(..) gives the range of the inner dimension, stage(..) brings INNER of it to workgroup memory, a_of(..) and b_of(..)
// make fragments of that, and store(..) takes four columns of a row of sums.
override SUBGROUP: u32;    // invocations of a subgroup
override COLS: u32;        // fragments along the columns, 1 to 6

const SIDE = 16u;          // of a fragment; 8 in a variant
const INNER = 32u;         // of the inner dimension in a stage
const ROWS = 8u * SIDE;

// vec4s from a row of the second operand to the next where its columns lie along memory, one to spare against bank conflicts.
fn b_row() -> u32 {
    return COLS * SIDE / 4u + 1u;
}

alias half4 = vec4<f16>;
alias fragment_a = coop_mat16x16<f16, A>;
alias fragment_b = coop_mat16x16<f16, B>;
alias fragment_c = coop_mat16x16<f32, C>;

var<workgroup> fragments: array<f32, 4 * SIDE * SIDE>; // one of every subgroup

// Hands a fragment of sums to the kernel, by way of workgroup memory.
fn finish_fragment(sums: fragment_c, row: u32, column: u32, index: u32) {
    let subgroup = index / SUBGROUP;
    workgroupBarrier();
    coopStoreT(sums, &fragments[subgroup * SIDE * SIDE], SIDE);
    workgroupBarrier();
    for (var i = index % SUBGROUP; i < SIDE * SIDE / 4u; i += SUBGROUP) {
        let at = subgroup * SIDE * SIDE + i * 4u;
        let sum = vec4f(fragments[at], fragments[at + 1u], fragments[at + 2u], fragments[at + 3u]);
        store((subgroup * 2u + row) * SIDE + i / (SIDE / 4u), column * SIDE / 4u + i % (SIDE / 4u), sum);
    }
}

@compute @workgroup_size(4 * SUBGROUP)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let inners = prepare(index, group);
    for (var i = index; i < 4u * SIDE * SIDE; i += 4u * SUBGROUP) {
        fragments[i] = 0.0;
    }
    workgroupBarrier();
    let zero = coopLoadT<fragment_c>(&fragments[0], SIDE);
    var c00 = zero; var c01 = zero; var c02 = zero; var c03 = zero; var c04 = zero; var c05 = zero;
    var c10 = zero; var c11 = zero; var c12 = zero; var c13 = zero; var c14 = zero; var c15 = zero;
    for (var start = inners.x; start < inners.y; start += INNER) {
        stage(index, start);
        workgroupBarrier();
        for (var k = 0u; k < INNER / SIDE; k++) {
            let a0 = a_of(index / SUBGROUP * 2u, k);
            let a1 = a_of(index / SUBGROUP * 2u + 1u, k);
            let b0 = b_of(0u, k);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c10 = coopMultiplyAdd(a1, b0, c10);
            if COLS > 1u {
                let b1 = b_of(1u, k);
                c01 = coopMultiplyAdd(a0, b1, c01);
                c11 = coopMultiplyAdd(a1, b1, c11);
            }
            if COLS > 2u {
                let b2 = b_of(2u, k);
                c02 = coopMultiplyAdd(a0, b2, c02);
                c12 = coopMultiplyAdd(a1, b2, c12);
            }
            if COLS > 3u {
                let b3 = b_of(3u, k);
                c03 = coopMultiplyAdd(a0, b3, c03);
                c13 = coopMultiplyAdd(a1, b3, c13);
            }
            if COLS > 4u {
                let b4 = b_of(4u, k);
                c04 = coopMultiplyAdd(a0, b4, c04);
                c14 = coopMultiplyAdd(a1, b4, c14);
            }
            if COLS > 5u {
                let b5 = b_of(5u, k);
                c05 = coopMultiplyAdd(a0, b5, c05);
                c15 = coopMultiplyAdd(a1, b5, c15);
            }
        }
        workgroupBarrier();
    }
    finish_fragment(c00, 0u, 0u, index);
    finish_fragment(c10, 1u, 0u, index);
    if COLS > 1u { finish_fragment(c01, 0u, 1u, index); finish_fragment(c11, 1u, 1u, index); }
    if COLS > 2u { finish_fragment(c02, 0u, 2u, index); finish_fragment(c12, 1u, 2u, index); }
    if COLS > 3u { finish_fragment(c03, 0u, 3u, index); finish_fragment(c13, 1u, 3u, index); }
    if COLS > 4u { finish_fragment(c04, 0u, 4u, index); finish_fragment(c14, 1u, 4u, index); }
    if COLS > 5u { finish_fragment(c05, 0u, 5u, index); finish_fragment(c15, 1u, 5u, index); }
}
