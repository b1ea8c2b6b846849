// Which loss, of which targets.
override C: u32;           // channels; those that fill up the last vec4 do not count
override KIND: u32;        // 0: d * d; 1: |d|; 2: (|d| + EPS)^exponent; 3: |d| less SHARE of its mean over [LOW, HIGH];
                           // 4: d * d / 2 up to EPS, then linear; 5: sqrt(d * d + EPS * EPS)
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
