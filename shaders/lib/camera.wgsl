// What pictures are taken with, as src/noise/camera.rs tells.
override H: u32;
override W: u32;
override LOW_WHITE: f32;   // electrons of white at the lowest gain
override GAINS: f32;       // highest over lowest gain
override QUALITY: f32;     // of a JPEG; 100: 8 bits, 0: nothing is rounded, -1: drawn

struct Settings {
    white: f32,            // electrons
    saturation: f32,       // of the colour matrix (1 + s) v - s mean(v)
    balance: vec3f,        // factors of white balance
    mosaic: f32,           // share of the correction in demosaicking; negative: there is no mosaic
    quality: u32,
    phase: vec2u,          // parities of the rows and columns with red
    halved: bool,          // whether a JPEG has one colour to four pixels
}

fn settings(n: u32) -> Settings {
    let picture = n + draw[2];
    let a = uniform4(pcg4d(vec4u(picture, draw[0], draw[1], 0xca3e7a00u)));
    let bits = pcg4d(vec4u(picture, draw[0], draw[1], 0xca3e7a01u));
    let b = uniform4(bits);
    var s: Settings;
    s.white = LOW_WHITE * pow(GAINS, -a.x);
    s.saturation = a.w;
    s.balance = vec3f(1.2 + 1.2 * a.y, 1.0, 1.2 + a.z);
    s.mosaic = select((b.y - 0.25) / 0.75, -1.0, b.y < 0.25);
    s.quality = u32(max(QUALITY, 0.0));
    if QUALITY < 0.0 {
        s.quality = select(select(70u + u32(29.0 * b.w), 100u, b.z < 2.0 / 6.0), 0u, b.z < 1.0 / 6.0);
    }
    s.phase = vec2u(bits.x >> 31u, (bits.x >> 30u) & 1u);
    s.halved = ((bits.x >> 28u) & 3u) != 0u;
    return s;
}

fn mean3(v: vec3f) -> f32 {
    return (v.x + v.y + v.z) / 3.0;
}

// The nearest of 256 levels, in [0, 1].
fn level(v: vec3f) -> vec3f {
    return clamp(floor(v + 0.5), vec3f(), vec3f(255.0)) / 255.0;
}

fn is_jpeg(s: Settings) -> bool {
    return s.quality != 0u && s.quality != 100u;
}
