// Where vec4 c of pixel p of y is.
//#runtime
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;

fn y_at(p: u32, c: u32) -> u32 {
    return p * Y_STRIDE4 + Y_CHANNEL4 + c;
}
