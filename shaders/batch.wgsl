// Makes a training batch from pictures that live on the device: for every element a picture, a crop and one of the eight flips
// and rotations, drawn or given; then independent noises, one for the input x and one for every target in t. With PAIRS pictures
// are noisy shots, of which two of a scene are drawn, and no noise is added; features behind the colours go to the input. The
// laws are in src/noise.

override VALUE_BYTES: u32; // of a value of the pictures: 1 or 2 of a whole number, 4 of a float
override COUNT: u32;       // pictures, or scenes
override CROP: u32;
override BATCH: u32;
override CHANNELS: u32;    // values of a pixel: its colour, and features behind it; 1 of a grey one, where no noise is added
override PAIRS: bool;
override SCENES: u32;      // row of the table where scenes begin
override X_PU: bool;       // whether colours of a pair are linear, and go on their scale in x, and in t
override T_PU: bool;
override GIVEN: bool;      // whether picture and flips are given in draw
override FLIPS: u32;       // which are drawn: 1 rows, 2 columns, 4 transposed, 8 (of pairs) exchanged
override CLEAN_TARGETS: bool;
override TARGETS: u32;     // in t, side by side
override X_LOW: f32;       // black and white in x, and in t
override X_HIGH: f32;
override T_LOW: f32;
override T_HIGH: f32;
override LAW: u32;         // branch of lib/noise.wgsl; 0: none
override LEAST: f32;       // smallest and largest standard deviation of Gaussian noise, in units of the [0, 1] range
override MOST: f32;
override PARAMETER: f32;   // of the law: see its branch
override CELL: u32;        // side of the cells of which one pixel is shown; 1: all are
override GLYPHS: u32;      // row of the table where the letters begin
override X_STRIDE4: u32;
override X_CHANNEL4: u32;
override T_STRIDE4: u32;
override T_CHANNEL4: u32;
override MASK_STRIDE4: u32;
override MASK_CHANNEL4: u32;
override GRID_X: u32;

alias x_t = vec4f;
@group(0) @binding(0) var<storage, read> draw: array<u32>;         // step, seed, first element, 0, then per element picture and flips
@group(0) @binding(1) var<storage, read> table: array<vec4u>;      // pictures: shard, first value, width, height; scenes; letters
@group(0) @binding(2) var<storage, read> shard0: array<u32>;       // values (H, W, CHANNELS) of the pictures, one after the other
@group(0) @binding(3) var<storage, read> shard1: array<u32>;
@group(0) @binding(4) var<storage, read> shard2: array<u32>;
@group(0) @binding(5) var<storage, read_write> x: array<x_t>;      // (BATCH, CROP, CROP, X_STRIDE4)
@group(0) @binding(6) var<storage, read_write> t: array<vec4f>;    // (BATCH, CROP, CROP, T_STRIDE4)
@group(0) @binding(7) var<storage, read_write> mask: array<vec4f>; // (BATCH, CROP, CROP, MASK_STRIDE4): which of t are known

//#import pu
//#import rng
//#import noise

fn word(shard: u32, at: u32) -> u32 {
    switch shard {
        case 0u: { return shard0[at]; }
        case 1u: { return shard1[at]; }
        default: { return shard2[at]; }
    }
}

fn value(shard: u32, at: u32) -> f32 {
    if VALUE_BYTES == 4u {
        return bitcast<f32>(word(shard, at));
    }
    if VALUE_BYTES == 2u {
        return f32((word(shard, at / 2u) >> (at % 2u * 16u)) & 65535u) / 65535.0;
    }
    return f32((word(shard, at / 4u) >> (at % 4u * 8u)) & 255u) / 255.0;
}

fn pixel(picture: vec4u, row: u32, column: u32) -> vec3f {
    let at = picture.y + (row * picture.z + column) * CHANNELS;
    if CHANNELS == 1u {
        return vec3f(value(picture.x, at));
    }
    return vec3f(value(picture.x, at), value(picture.x, at + 1u), value(picture.x, at + 2u));
}

// The clean value of a pixel: of the picture, or the mean of a cell, row by row.
fn clean(picture: vec4u, row: u32, column: u32) -> vec3f {
    var sum = vec3f();
    for (var p = 0u; p < CELL * CELL; p++) {
        sum += pixel(picture, row * CELL + p / CELL, column * CELL + p % CELL);
    }
    return sum / f32(CELL * CELL);
}

// All values of a pixel of a pair's picture.
fn write_shot(i: u32, picture: vec4u, row: u32, column: u32) {
    let at = picture.y + (row * picture.z + column) * CHANNELS;
    for (var first = 0u; first < CHANNELS; first += 4u) {
        var values = vec4f();
        for (var c = first; c < min(first + 4u, CHANNELS); c++) {
            var v = value(picture.x, at + c);
            if X_PU && c < 3u {
                v = pu_forward(v);
            }
            values[c - first] = X_LOW + v * (X_HIGH - X_LOW);
        }
        x[i * X_STRIDE4 + X_CHANNEL4 + first / 4u] = x_t(values);
    }
}

fn write_input(i: u32, value: vec3f) {
    x[i * X_STRIDE4 + X_CHANNEL4] = x_t(vec4f(X_LOW + value * (X_HIGH - X_LOW), 0.0));
}

// Target number `which`, and whether it is known.
fn write_target(i: u32, which: u32, value: vec4f) {
    let colour = T_LOW + value.xyz * (T_HIGH - T_LOW);
    t[i * T_STRIDE4 + T_CHANNEL4 + which] = select(vec4f(colour, 0.0), vec4f(colour.x, 0.0, 0.0, 0.0), CHANNELS == 1u);
    mask[i * MASK_STRIDE4 + MASK_CHANNEL4 + which] = vec4f(value.w, 0.0, 0.0, 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i >= BATCH * CROP * CROP {
        return;
    }
    // Elements are counted on from those of other batches of the step.
    let n = i / (CROP * CROP) + draw[2];
    let drawn_at = i + draw[2] * CROP * CROP;
    let place = vec2u(i / CROP % CROP, i % CROP);
    let r = pcg4d(vec4u(n, draw[0], draw[1], 0u));
    var element = r.x % COUNT;
    var flips = (r.w >> 16u) & FLIPS;
    if GIVEN {
        element = draw[4u + 2u * (n - draw[2])];
        flips = draw[5u + 2u * (n - draw[2])];
    }
    var row = place.x;
    var column = place.y;
    if (flips & 1u) != 0u { row = CROP - 1u - row; }
    if (flips & 2u) != 0u { column = CROP - 1u - column; }
    if (flips & 4u) != 0u { let old = row; row = column; column = old; }

    var pictures = vec2u(element);
    if PAIRS {
        // First picture and number of shots, of which any two are taken, in their order unless flips exchange them; a single one
        // twice.
        let scene = table[SCENES + element];
        let shots = max(scene.y, 2u);
        let drawn = pcg4d(vec4u(n, draw[0], draw[1], 1u));
        let a = drawn.x % shots;
        let b = (a + 1u + drawn.y % (shots - 1u)) % shots;
        let pair = select(vec2u(min(a, b), max(a, b)), vec2u(max(a, b), min(a, b)), (flips & 8u) != 0u);
        pictures = scene.x + min(pair, vec2u(max(scene.y, 1u) - 1u));
    }
    var picture = table[pictures.x];
    // The corner of the crop is any pixel, not only that of a cell of the picture. A table that nobody has written yet, as where
    // a plan is only timed, has pictures of no size.
    let corner = vec2u(r.y, r.z) % (max(picture.wz, vec2u(CROP * CELL)) - CROP * CELL + 1u);
    picture.y += (corner.x * picture.z + corner.y) * CHANNELS;
    if PAIRS {
        var other = table[pictures.y];
        other.y += (corner.x * other.z + corner.y) * CHANNELS;
        write_shot(i, picture, row, column);
        var wanted = pixel(other, row, column);
        if T_PU {
            wanted = vec3f(pu_forward(wanted.x), pu_forward(wanted.y), pu_forward(wanted.z));
        }
        write_target(i, 0u, vec4f(wanted, 1.0));
        return;
    }
    let original = clean(picture, row, column);
    let s = uniform4(pcg4d(vec4u(n, draw[0], draw[1], 1u)));
    let sigma = LEAST + (MOST - LEAST) * s.x;
    for (var exposure = 0u; exposure <= TARGETS; exposure++) {
        var seen = vec4f(original, 1.0);
        if exposure == 0u || !CLEAN_TARGETS {
            if CELL > 1u {
                // One pixel of the cell, at random; two exposures share the four integers of one draw.
                let drawn = pcg4d(vec4u(drawn_at, draw[0], draw[1], 2u + exposure / 2u)) % CELL;
                let p = select(drawn.xy, drawn.zw, exposure % 2u == 1u);
                seen = vec4f(pixel(picture, row * CELL + p.x, column * CELL + p.y), 1.0);
            } else {
                seen = noisy(original, drawn_at, n, place, sigma, exposure);
            }
        }
        if exposure == 0u {
            write_input(i, seen.xyz);
        } else {
            write_target(i, exposure - 1u, seen);
        }
    }
}
