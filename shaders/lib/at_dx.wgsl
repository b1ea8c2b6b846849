// Where vec4 c of pixel p of dx is.
//#runtime
override DX_STRIDE4: u32;
override DX_CHANNEL4: u32;

fn dx_at(p: u32, c: u32) -> u32 {
    return p * DX_STRIDE4 + DX_CHANNEL4 + c;
}
