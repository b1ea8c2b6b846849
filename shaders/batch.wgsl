// Makes a training batch from pictures that live on the device as bytes: for every element a random picture, crop and
// one of the eight flips and rotations; then two independent Gaussian noises, one for the input x and one for the target t.
// With PAIRS pictures 2i and 2i+1 are two noisy exposures of one scene, and no noise is added.

override COUNT: u32;       // pictures, or pairs
override CROP: u32;
override BATCH: u32;
override PAIRS: bool;
override CLEAN_TARGETS: bool;
override SIGMA_MIN: f32;   // of the noise, in units of the [0, 1] range
override SIGMA_MAX: f32;
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override T_STRIDE4: u32;
override T_CHANNEL4: u32;
override GRID_X: u32;

@group(0) @binding(0) var<storage, read> draw: array<u32>;       // step, seed
@group(0) @binding(1) var<storage, read> table: array<vec4u>;    // (pictures): shard, first byte, width, height
@group(0) @binding(2) var<storage, read> shard0: array<u32>;     // bytes (H, W, 3) of the pictures, one after the other
@group(0) @binding(3) var<storage, read> shard1: array<u32>;
@group(0) @binding(4) var<storage, read> shard2: array<u32>;
@group(0) @binding(5) var<storage, read_write> x: array<vec4f>;  // (BATCH, CROP, CROP, X_STRIDE4)
@group(0) @binding(6) var<storage, read_write> t: array<vec4f>;  // (BATCH, CROP, CROP, T_STRIDE4)

//#import rng

fn value(shard: u32, at: u32) -> f32 {
    var word = 0u;
    switch shard {
        case 0u: { word = shard0[at / 4u]; }
        case 1u: { word = shard1[at / 4u]; }
        default: { word = shard2[at / 4u]; }
    }
    return f32(word >> (at % 4u * 8u) & 255u) / 255.0 - 0.5;
}

fn pixel(picture: vec4u, row: u32, column: u32) -> vec4f {
    let at = picture.y + (row * picture.z + column) * 3u;
    return vec4f(value(picture.x, at), value(picture.x, at + 1u), value(picture.x, at + 2u), 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i >= BATCH * CROP * CROP {
        return;
    }
    let n = i / (CROP * CROP);
    let step = draw[0];
    let seed = draw[1];
    let r = pcg4d(vec4u(n, step, seed, 0u));
    let flips = r.w >> 16u;
    var row = i / CROP % CROP;
    var column = i % CROP;
    if (flips & 1u) != 0u { row = CROP - 1u - row; }
    if (flips & 2u) != 0u { column = CROP - 1u - column; }
    if (flips & 4u) != 0u { let old = row; row = column; column = old; }

    let number = r.x % COUNT * select(1u, 2u, PAIRS);
    let picture = table[number];
    row += r.y % (picture.w - CROP + 1u);
    column += r.z % (picture.z - CROP + 1u);
    var a = pixel(picture, row, column);
    var b = a;
    if PAIRS {
        b = pixel(table[number + 1u], row, column);
        if (flips & 8u) != 0u { let old = a; a = b; b = old; }
    } else {
        let s = uniform4(pcg4d(vec4u(n, step, seed, 1u)));
        let sigma = SIGMA_MIN + (SIGMA_MAX - SIGMA_MIN) * s.x;
        a += sigma * normal3(pcg4d(vec4u(i, step, seed, 2u)));
        if !CLEAN_TARGETS {
            b += sigma * normal3(pcg4d(vec4u(i, step, seed, 3u)));
        }
    }
    x[i * X_STRIDE4 + X_CHANNEL4] = a;
    t[i * T_STRIDE4 + T_CHANNEL4] = b;
}
