// Linear values on a scale of equal visibility, as src/ops/transfer.rs has it.
const PU_A = 1412.8377;
const PU_B = 1.6459317;
const PU_C = 0.43138498;
const PU_D = -2.941396e-3;
const PU_E = 0.19265325;
const PU_F = 6.260261e-3;
const PU_G = 0.99862015;
const PU_Y0 = 1.5794576e-6;
const PU_Y1 = 3.2208763e-2;
const PU_X0 = 2.231517e-3;
const PU_X1 = 0.37097475;
const PU_LARGEST = 3.135119;   // what 65,504 is
const PU_END = 16.0;           // values above are cut off: exp would overflow

fn pu_forward(value: f32) -> f32 {
    let y = max(value, 0.0);
    if y <= PU_Y0 {
        return PU_A * y / PU_LARGEST;
    }
    if y <= PU_Y1 {
        return (PU_B * pow(y, PU_C) + PU_D) / PU_LARGEST;
    }
    return (PU_E * log(y + PU_F) + PU_G) / PU_LARGEST;
}

// The linear value, and its derivative.
fn pu_inverse(value: f32) -> vec2f {
    let x = min(value * PU_LARGEST, PU_END);
    if x <= PU_X0 {
        return vec2f(x, PU_LARGEST) / PU_A;
    }
    if x <= PU_X1 {
        let y = pow((x - PU_D) / PU_B, 1.0 / PU_C);
        return vec2f(y, y * PU_LARGEST / (PU_C * (x - PU_D)));
    }
    let y = exp((x - PU_G) / PU_E);
    return vec2f(y - PU_F, y * PU_LARGEST / PU_E);
}
