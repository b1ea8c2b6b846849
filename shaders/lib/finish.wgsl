// What becomes of a convolution's sum before it is written: bias, leaky ReLU, addend, derivative of a leaky ReLU.
//#runtime
override BIAS: bool;
override ADD: bool;        // whether `addend` is added then
override GATE: bool;       // whether the derivative of the leaky ReLU whose result is `gate` is multiplied by in the end
override SLOPE: f32;       // of the leaky ReLU; 1 leaves values as they are
override ADDEND_STRIDE4: u32;
override ADDEND_CHANNEL4: u32;
override GATE_SLOPE: f32;
override GATE_STRIDE4: u32;
override GATE_CHANNEL4: u32;

alias addend_t = vec4f; alias gate_t = vec4f;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;       // (channels of the result / 4)
@group(0) @binding(3) var<storage, read> addend: array<addend_t>; // (pixels of the result, ADDEND_STRIDE4)
@group(0) @binding(4) var<storage, read> gate: array<gate_t>;   // (pixels of the result, GATE_STRIDE4)

fn finish(sum: vec4f, pixel: u32, channel4: u32) -> vec4f {
    var v = sum;
    if BIAS {
        v += b[channel4];
    }
    v = select(v * SLOPE, v, v > vec4f(0.0));
    if ADD {
        v += vec4f(addend[pixel * ADDEND_STRIDE4 + ADDEND_CHANNEL4 + channel4]);
    }
    if GATE {
        v = select(v * GATE_SLOPE, v, vec4f(gate[pixel * GATE_STRIDE4 + GATE_CHANNEL4 + channel4]) > vec4f(0.0));
    }
    return v;
}
