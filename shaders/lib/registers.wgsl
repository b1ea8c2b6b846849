// Registers of an invocation: ROWS (8 or 4) rows by COLS (2 or 1) vec4s of columns of its workgroup's tile.
override ROWS: u32;
override COLS: u32;

var<private> a00: vec4f; var<private> a01: vec4f; var<private> a10: vec4f; var<private> a11: vec4f;
var<private> a20: vec4f; var<private> a21: vec4f; var<private> a30: vec4f; var<private> a31: vec4f;
var<private> a40: vec4f; var<private> a41: vec4f; var<private> a50: vec4f; var<private> a51: vec4f;
var<private> a60: vec4f; var<private> a61: vec4f; var<private> a70: vec4f; var<private> a71: vec4f;

// Hands every register to the kernel's store(row, column, sum).
fn store_all() {
    store(0u, 0u, a00); store(1u, 0u, a10); store(2u, 0u, a20); store(3u, 0u, a30);
    if ROWS == 8u {
        store(4u, 0u, a40); store(5u, 0u, a50); store(6u, 0u, a60); store(7u, 0u, a70);
    }
    if COLS == 2u {
        store(0u, 1u, a01); store(1u, 1u, a11); store(2u, 1u, a21); store(3u, 1u, a31);
        if ROWS == 8u {
            store(4u, 1u, a41); store(5u, 1u, a51); store(6u, 1u, a61); store(7u, 1u, a71);
        }
    }
}
