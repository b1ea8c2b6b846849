// Where vec4 c of pixel p of x is.
//#runtime
override X_STRIDE4: u32;
override X_CHANNEL4: u32;

fn x_at(p: u32, c: u32) -> u32 {
    return p * X_STRIDE4 + X_CHANNEL4 + c;
}
