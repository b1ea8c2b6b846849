// Which loss, of which targets.
override C: u32;           // channels; those that fill up the last vec4 do not count
override KIND: u32;        // 0: d * d; 1: |d|; 2: (|d| + EPS)^exponent; 3: |d| less SHARE of its mean over [LOW, HIGH];
                           // 4: d * d / 2 up to EPS, then linear; 5: sqrt(d * d + EPS * EPS); 6: (d / (x + EPS))^2 of linear
                           // values, whose curve is from LOW to HIGH
override EPS: f32;
override SHARE: f32;       // of the targets' pixels that are of any colour between LOW and HIGH
override LOW: f32;
override HIGH: f32;
override MASKED: bool;     // whether only pixels whose mask is 1 count
override TARGETS: u32;     // in t, and masks, side by side
override T_STRIDE4: u32;
override T_CHANNEL4: u32;
override MASK_STRIDE4: u32;
override MASK_CHANNEL4: u32;

//#import pu

// The error of a linear value relative to it, and how it changes with x.
fn relative(x: f32, wanted: f32) -> vec2f {
    let y = pu_inverse((x - LOW) / (HIGH - LOW));
    let scale = 1.0 / (max(y.x, 0.0) + EPS);
    return vec2f(y.x - wanted, y.y / (HIGH - LOW)) * scale;
}
