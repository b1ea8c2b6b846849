// Pictures as a file holds them, by the picture's quality: sRGB as it is, sRGB of 8 bits, or the brightness and colours of a JPEG
// (ITU-T T.81, JFIF). A workgroup quantises 16x16 pixels: four blocks of 8x8 of each component, or one of a colour that is
// halved. What is missing at the right and at the bottom repeats the last pixels.

override N: u32;
override GRID_X: u32;

//#import at_x
//#import at_y

alias x_t = vec4f; alias y_t = vec4f;
@group(0) @binding(0) var<storage, read> x: array<x_t>;          // (N, H, W, X_STRIDE4), [0, 1]
@group(0) @binding(1) var<storage, read_write> y: array<y_t>;    // (N, H, W, Y_STRIDE4)
@group(0) @binding(2) var<storage, read> draw: array<u32>;       // step, seed, first picture

//#import rng
//#import camera

// T.81, annex K: brightness, and colours.
const TABLES = array<u32, 128>(
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
);
// cos(i pi / 16) / 2.
const COS = array<f32, 9>(0.5, 0.49039264, 0.46193977, 0.41573481, 0.35355339, 0.27778512, 0.19134172, 0.097545161, 0.0);

// Blocks of 8x8: 0 to 3 brightness, 4 to 7 and 8 to 11 the colours. Those that are halved are in 4 and 8.
var<workgroup> blocks: array<f32, 768>;
var<workgroup> rows: array<f32, 768>;

// The cosine transform's entry for frequency u and place k, orthonormal.
fn basis(u: u32, k: u32) -> f32 {
    let turn = (2u * k + 1u) * u % 32u;
    let half = min(turn, 32u - turn);
    return select(select(COS[min(half, 8u)], -COS[min(16u - half, 8u)], half > 8u), 0.35355339, u == 0u);
}

// One pass of the transform of block b, forward or back, along its rows into `rows`, or along its columns from there.
fn along_rows(b: u32, i: u32, forward: bool) {
    var sum = 0.0;
    for (var k = 0u; k < 8u; k++) {
        sum += blocks[b * 64u + i / 8u * 8u + k] * select(basis(k, i % 8u), basis(i % 8u, k), forward);
    }
    rows[b * 64u + i] = sum;
}

fn along_columns(b: u32, i: u32, forward: bool) -> f32 {
    var sum = 0.0;
    for (var k = 0u; k < 8u; k++) {
        sum += rows[b * 64u + k * 8u + i % 8u] * select(basis(k, i / 8u), basis(i / 8u, k), forward);
    }
    return sum;
}

// The pixel that value i of block b of brightness belongs to.
fn place(b: u32, i: u32) -> vec2u {
    return vec2u(b / 2u * 8u + i / 8u, b % 2u * 8u + i % 8u);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) group: vec3u) {
    let across = (W + 15u) / 16u;
    let down = (H + 15u) / 16u;
    let number = group.x + group.y * GRID_X;
    let n = number / (across * down);
    if n >= N {
        return;
    }
    let corner = vec2u(number / across % down, number % across) * 16u;
    let first = n * H * W;
    let s = settings(n);
    var pixels: array<vec3f, 4>;
    for (var b = 0u; b < 4u; b++) {
        let at = min(corner + place(b, i), vec2u(H, W) - 1u);
        pixels[b] = vec4f(x[x_at(first + at.x * W + at.y, 0u)]).xyz;
        let v = 255.0 * pixels[b];
        if s.quality == 100u {
            pixels[b] = level(v);
        }
        blocks[b * 64u + i] = dot(v, vec3f(0.299, 0.587, 0.114)) - 128.0;
        blocks[256u + b * 64u + i] = dot(v, vec3f(-0.16873589, -0.33126411, 0.5));
        blocks[512u + b * 64u + i] = dot(v, vec3f(0.5, -0.41868759, -0.08131241));
    }
    workgroupBarrier();
    if is_jpeg(s) {
        // Value i of a colour that is halved: the mean of four pixels, which are in one block.
        let b = i / 32u * 2u + i % 8u / 4u;
        let least = b * 64u + i / 8u % 4u * 16u + i % 4u * 2u;
        var means: array<f32, 2>;
        for (var c = 0u; c < 2u; c++) {
            let at = 256u * (c + 1u) + least;
            means[c] = (blocks[at] + blocks[at + 1u] + blocks[at + 8u] + blocks[at + 9u]) / 4.0;
        }
        workgroupBarrier();
        if s.halved {
            blocks[256u + i] = means[0];
            blocks[512u + i] = means[1];
        }
        workgroupBarrier();
        for (var b = 0u; b < 12u; b++) {
            along_rows(b, i, true);
        }
        workgroupBarrier();
        let scale = select(200u - 2u * s.quality, 5000u / max(s.quality, 1u), s.quality < 50u);
        for (var b = 0u; b < 12u; b++) {
            let q = f32(clamp((TABLES[select(0u, 64u, b > 3u) + i] * scale + 50u) / 100u, 1u, 255u));
            blocks[b * 64u + i] = floor(along_columns(b, i, true) / q + 0.5) * q;
        }
        workgroupBarrier();
        for (var b = 0u; b < 12u; b++) {
            along_rows(b, i, false);
        }
        workgroupBarrier();
        for (var b = 0u; b < 12u; b++) {
            blocks[b * 64u + i] = along_columns(b, i, false);
        }
        workgroupBarrier();
        for (var b = 0u; b < 4u; b++) {
            let at = place(b, i) / 2u;
            let of_colour = 256u + select(b * 64u + i, at.x * 8u + at.y, s.halved);
            pixels[b] = vec3f(blocks[b * 64u + i] + 128.0, blocks[of_colour], blocks[256u + of_colour]);
        }
    }
    for (var b = 0u; b < 4u; b++) {
        let at = corner + place(b, i);
        if at.x < H && at.y < W {
            y[y_at(first + at.x * W + at.y, 0u)] = y_t(vec4f(pixels[b], 0.0));
        }
    }
}
