// Where vec4 c of pixel p of dy is.
//#runtime
override DY_STRIDE4: u32;
override DY_CHANNEL4: u32;

fn dy_at(p: u32, c: u32) -> u32 {
    return p * DY_STRIDE4 + DY_CHANNEL4 + c;
}
