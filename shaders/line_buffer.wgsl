// Rows of a picture that comes strip by strip, for ops that see rows of the strips before as well: y is the LEAD + ROWS rows that
// end DELAY rows before the newest. `retained` holds the last LEAD + DELAY rows from run to run. Rows beyond the picture are
// zeros, as the padding of a convolution is. An invocation walks down one vec4 of a column, so that it alone touches what it
// moves.

//#runtime
override COLUMNS: u32;
override C4: u32;
override FIRST: u32;       // row of x that the new ones begin at
override ROWS: u32;        // new rows
override LEAD: u32;
override DELAY: u32;
override SCALE: u32;       // rows of the picture to a row of x
override LAG: u32;         // rows by which the new ones are behind the strip
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;
override GRID_X: u32;

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;         // (rows, COLUMNS, X_STRIDE4)
@group(0) @binding(1) var<storage, read> control: array<u32>;   // first row of the strip, rows of the picture
@group(0) @binding(2) var<storage, read_write> y: array<y_t>;   // (LEAD + ROWS, COLUMNS, Y_STRIDE4)
@group(0) @binding(3) var<storage, read_write> retained: array<vec4f>; // (LEAD + DELAY, COLUMNS, C4)

// Row r of the retained ones and the new ones after them.
fn row(r: u32, column: u32, c: u32) -> vec4f {
    if r < LEAD + DELAY {
        return retained[(r * COLUMNS + column) * C4 + c];
    }
    return vec4f(x[((FIRST + r - LEAD - DELAY) * COLUMNS + column) * X_STRIDE4 + X_CHANNEL4 + c]);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i >= COLUMNS * C4 {
        return;
    }
    let column = i / C4;
    let c = i % C4;
    let first = i32(control[0] / SCALE) - i32(LAG + LEAD + DELAY);
    let height = i32(control[1] / SCALE);
    for (var r = 0u; r < LEAD + ROWS; r++) {
        let place = first + i32(r);
        var v = vec4f();
        if place >= 0 && place < height {
            v = row(r, column, c);
        }
        y[(r * COLUMNS + column) * Y_STRIDE4 + Y_CHANNEL4 + c] = y_t(v);
    }
    for (var r = 0u; r < LEAD + DELAY; r++) {
        retained[(r * COLUMNS + column) * C4 + c] = row(r + ROWS, column, c);
    }
}
