// An implicit matrix product on cooperative matrices (tensor cores), in the pipeline of lib/stages.wgsl: DOWN by ACROSS
// subgroups of a workgroup make ROWS by COLS fragments of SIDE x SIDE sums each. Operands are rounded to what fragments take,
// sums have 32 bits.
//
// Every stage brings KB vec4s of the inner dimension to one half of workgroup memory: [row][inner vec4] of the first operand,
// then [column][inner vec4] of the second, so that a fragment's values lie in a row, on 16 bytes as drivers ask for. Rows have two
// vec4s to spare, against bank conflicts. The kernel's store(..) takes four columns of a row of sums.
//#import stages
//#import fragments

override SUBGROUP: u32;    // invocations of a subgroup
override DOWN: u32;        // subgroups of a workgroup along the rows
override ACROSS: u32;      // and along the columns
override ROWS: u32;        // fragments of a subgroup along the rows, 1 to 4
override COLS: u32;        // and along the columns

const SIDE = 16u;          // of a fragment; 8 in a variant
const KB = 8u;             // vec4s of the inner dimension in a stage; 4 where they have 32 bits
const LINE = KB + 2u;      // vec4s from a row to the next
const LOADS = 16u;         // most of either operand that an invocation has under way

// Elements of workgroup memory: two halves of operands, with four lines more for what is loaded beyond them, as no load and no
// store of the pipeline is in a branch; and a row of fragments of sums for each subgroup.
override MEMORY: u32 = 2u * (DOWN * ROWS * SIDE + ACROSS * COLS * SIDE + 4u) * LINE * UNIT;
override SUMS: u32 = DOWN * ACROSS * SIDE * COLS * SIDE / 4u * UNIT;

alias operand = f16;       // what fragments take; f32 in a variant
alias operand4 = vec4<operand>;
alias fragment_a = coop_mat16x16<operand, A>;
alias fragment_b = coop_mat16x16<operand, B>;
alias fragment_c = coop_mat16x16<f32, C>;

var<private> rows_from: u32; var<private> columns_from: u32; // where the subgroup multiplies from
var<private> c00: fragment_c; var<private> c01: fragment_c; var<private> c02: fragment_c; var<private> c03: fragment_c;
var<private> c10: fragment_c; var<private> c11: fragment_c; var<private> c12: fragment_c; var<private> c13: fragment_c;
var<private> c20: fragment_c; var<private> c21: fragment_c; var<private> c22: fragment_c; var<private> c23: fragment_c;
var<private> c30: fragment_c; var<private> c31: fragment_c; var<private> c32: fragment_c; var<private> c33: fragment_c;

fn invocations() -> u32 {
    return DOWN * ACROSS * SUBGROUP;
}

fn tile_rows() -> u32 {
    return DOWN * ROWS * SIDE;
}

fn tile_columns() -> u32 {
    return ACROSS * COLS * SIDE;
}

fn half_size() -> u32 {
    return MEMORY / (2u * UNIT);
}

// Where a load's line of an operand's `lines` goes, which are written as blocks of `height`, from line `first` on.
fn line_at(first: u32, number: u32, lines: u32, height: u32) -> u32 {
    return LINE * select(tile_rows() + tile_columns(), first + number * height, number < lines / height);
}

// Vec4s of the inner dimension that an invocation stages at once where a tap has so many: two if pairs of them never part.
fn width(channels4: u32) -> u32 {
    return select(1u, 2u, channels4 % 2u == 0u);
}

// Lines, or blocks of them, from a load to the next where each is so many vec4s wide, and loads of so many.
fn step(width: u32) -> u32 {
    return invocations() * width / KB;
}

fn loads(lines: u32, width: u32) -> u32 {
    return (lines + step(width) - 1u) / step(width);
}

// Writes four inner elements of four lines, which come inner element by inner element.
fn write_block(at: u32, v0: operand4, v1: operand4, v2: operand4, v3: operand4) {
    write(at, operand4(v0.x, v1.x, v2.x, v3.x));
    write(at + LINE, operand4(v0.y, v1.y, v2.y, v3.y));
    write(at + 2u * LINE, operand4(v0.z, v1.z, v2.z, v3.z));
    write(at + 3u * LINE, operand4(v0.w, v1.w, v2.w, v3.w));
}

fn row_of_fragments(at: u32) -> fragment_a {
    return coopLoadT<fragment_a>(&operands[at * UNIT], LINE * UNIT);
}

fn column_of_fragments(at: u32) -> fragment_b {
    return coopLoad<fragment_b>(&operands[at * UNIT], LINE * UNIT);
}

fn multiply_stage(half: u32) {
    for (var k = 0u; k < KB; k += SIDE / 4u) {
        let row = half + rows_from + k;
        let column = half + columns_from + k;
        let b0 = column_of_fragments(column);
        var b1 = b0; var b2 = b0; var b3 = b0;
        if COLS > 1u { b1 = column_of_fragments(column + SIDE * LINE); }
        if COLS > 2u { b2 = column_of_fragments(column + 2u * SIDE * LINE); }
        if COLS > 3u { b3 = column_of_fragments(column + 3u * SIDE * LINE); }
        let a0 = row_of_fragments(row);
        c00 = coopMultiplyAdd(a0, b0, c00);
        if COLS > 1u { c01 = coopMultiplyAdd(a0, b1, c01); }
        if COLS > 2u { c02 = coopMultiplyAdd(a0, b2, c02); }
        if COLS > 3u { c03 = coopMultiplyAdd(a0, b3, c03); }
        if ROWS > 1u {
            let a1 = row_of_fragments(row + SIDE * LINE);
            c10 = coopMultiplyAdd(a1, b0, c10);
            if COLS > 1u { c11 = coopMultiplyAdd(a1, b1, c11); }
            if COLS > 2u { c12 = coopMultiplyAdd(a1, b2, c12); }
            if COLS > 3u { c13 = coopMultiplyAdd(a1, b3, c13); }
        }
        if ROWS > 2u {
            let a2 = row_of_fragments(row + 2u * SIDE * LINE);
            c20 = coopMultiplyAdd(a2, b0, c20);
            if COLS > 1u { c21 = coopMultiplyAdd(a2, b1, c21); }
            if COLS > 2u { c22 = coopMultiplyAdd(a2, b2, c22); }
            if COLS > 3u { c23 = coopMultiplyAdd(a2, b3, c23); }
        }
        if ROWS > 3u {
            let a3 = row_of_fragments(row + 3u * SIDE * LINE);
            c30 = coopMultiplyAdd(a3, b0, c30);
            if COLS > 1u { c31 = coopMultiplyAdd(a3, b1, c31); }
            if COLS > 2u { c32 = coopMultiplyAdd(a3, b2, c32); }
            if COLS > 3u { c33 = coopMultiplyAdd(a3, b3, c33); }
        }
    }
}

// Finds where the subgroup multiplies from, and clears its sums.
fn prepare(index: u32) {
    let subgroup = index / SUBGROUP;
    for (var i = index; i < SUMS; i += invocations()) {
        clear_sum(i);
    }
    workgroupBarrier();
    let zero = coopLoadT<fragment_c>(&sums[0], COLS * SIDE / 4u * UNIT);
    c00 = zero; c01 = zero; c02 = zero; c03 = zero;
    c10 = zero; c11 = zero; c12 = zero; c13 = zero;
    c20 = zero; c21 = zero; c22 = zero; c23 = zero;
    c30 = zero; c31 = zero; c32 = zero; c33 = zero;
    rows_from = subgroup / ACROSS * ROWS * SIDE * LINE;
    columns_from = (tile_rows() + subgroup % ACROSS * COLS * SIDE) * LINE;
}

// Hands the subgroup's fragments of a row to the kernel, by way of workgroup memory.
fn store_row(row: u32, index: u32, f0: fragment_c, f1: fragment_c, f2: fragment_c, f3: fragment_c) {
    let subgroup = index / SUBGROUP;
    let line4 = COLS * SIDE / 4u;
    let from4 = subgroup * SIDE * line4;
    workgroupBarrier();
    coopStoreT(f0, &sums[from4 * UNIT], line4 * UNIT);
    if COLS > 1u { coopStoreT(f1, &sums[(from4 + SIDE / 4u) * UNIT], line4 * UNIT); }
    if COLS > 2u { coopStoreT(f2, &sums[(from4 + SIDE / 2u) * UNIT], line4 * UNIT); }
    if COLS > 3u { coopStoreT(f3, &sums[(from4 + SIDE / 4u * 3u) * UNIT], line4 * UNIT); }
    workgroupBarrier();
    for (var i = index % SUBGROUP; i < SIDE * line4; i += SUBGROUP) {
        store((subgroup / ACROSS * ROWS + row) * SIDE + i / line4, subgroup % ACROSS * line4 + i % line4, sum_of(from4 + i));
    }
}

fn store_all(index: u32) {
    store_row(0u, index, c00, c01, c02, c03);
    if ROWS > 1u { store_row(1u, index, c10, c11, c12, c13); }
    if ROWS > 2u { store_row(2u, index, c20, c21, c22, c23); }
    if ROWS > 3u { store_row(3u, index, c30, c31, c32, c33); }
}
