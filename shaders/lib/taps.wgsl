// Window taps as bits, so that an invocation counts its way through those of the inner dimension without dividing, and knows of
// every tap whether a pixel sees it without a branch. A stage brings KB (of the importing file) vec4s of the inner dimension.
var<private> offset: i32;  // from the element under a pixel's first tap to what is staged next
var<private> row_bit: u32; // of the tap of that: 1 << row
var<private> column_bit: u32; // and 0x10000 << column
var<private> w_at: u32;    // element of the filter that is staged next

fn first_tap() {
    row_bit = 1u;
    column_bit = 0x10000u;
}

// How far the inner dimension has advanced within a tap, of `channels4`: k; 0 where whole taps are staged at once, as KB divides
// them.
fn counted(k: u32, channels4: u32) -> u32 {
    return select(k, 0u, channels4 % KB == 0u);
}

// Bits `first` to `end - 1`, as far as they are within 0 to `count - 1`.
fn bits(first: i32, end: i32, count: u32) -> u32 {
    let from_bit = clamp(first, 0, i32(count));
    return (1u << u32(clamp(end, from_bit, i32(count)))) - (1u << u32(from_bit));
}

fn sees(taps: u32) -> bool {
    let tap = row_bit | column_bit;
    return (taps & tap) == tap;
}

// To the next tap of a window with so many columns; says whether it is in the next row. What comes after the last is seen by no
// pixel.
fn next_tap(columns: u32) -> bool {
    column_bit <<= 1u;
    if column_bit < 0x10000u << columns {
        return false;
    }
    column_bit = 0x10000u;
    row_bit = min(row_bit << 1u, 0x8000u);
    return true;
}
