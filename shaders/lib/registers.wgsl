// How a workgroup makes its tile of a matrix product: SLICES times TX x TY invocations, each of which has registers for
// ROWS (8 or 4) rows by COLS (2 or 1) vec4s of columns. The slices share the tile and split its inner dimension; in the end they
// are added up.
override TX: u32;
override TY: u32;
override ROWS: u32;
override COLS: u32;
override MEMORY: u32;      // vec4s of the kernel's workgroup memory: for two stages, and at least four for every invocation

const SLICES = 4u;

var<private> a00: vec4f; var<private> a01: vec4f; var<private> a10: vec4f; var<private> a11: vec4f;
var<private> a20: vec4f; var<private> a21: vec4f; var<private> a30: vec4f; var<private> a31: vec4f;
var<private> a40: vec4f; var<private> a41: vec4f; var<private> a50: vec4f; var<private> a51: vec4f;
var<private> a60: vec4f; var<private> a61: vec4f; var<private> a70: vec4f; var<private> a71: vec4f;

// Adds up four registers of all slices, in the slices' order, and hands each slice one of them for the kernel's store(row,
// column, sum). The kernel's memory has room for four vec4s of every invocation.
fn combine(id: vec3u, number: u32, v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f) {
    let lanes = TX * TY;
    let lane = id.y * TX + id.x;
    let to = id.z * SLICES * lanes + lane;
    workgroupBarrier();
    memory[to] = v0;
    memory[to + lanes] = v1;
    memory[to + 2u * lanes] = v2;
    memory[to + 3u * lanes] = v3;
    workgroupBarrier();
    let at = id.z * lanes + lane;
    let sum = memory[at] + memory[at + SLICES * lanes] + memory[at + 2u * SLICES * lanes] + memory[at + 3u * SLICES * lanes];
    store((number + id.z) / COLS, (number + id.z) % COLS, sum);
}

fn store_all(id: vec3u) {
    if COLS == 2u {
        combine(id, 0u, a00, a01, a10, a11);
        combine(id, 4u, a20, a21, a30, a31);
        if ROWS == 8u {
            combine(id, 8u, a40, a41, a50, a51);
            combine(id, 12u, a60, a61, a70, a71);
        }
    } else {
        combine(id, 0u, a00, a10, a20, a30);
        if ROWS == 8u {
            combine(id, 4u, a40, a50, a60, a70);
        }
    }
}
