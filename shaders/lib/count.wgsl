// Pixels of dy that an invocation counts through, PB (of the importing file) at a time and without dividing: one for each of its
// loads, or a single one where a stage is a part of a row. The importing file has SPLIT_PIXELS and `left`, the pixels of the
// split from the stage on.
struct Pixel {
    place: vec2u,          // its row and column
    element: u32,          // first of the pixel of x at STRIDE times its place
}

var<private> p0: Pixel; var<private> p1: Pixel; var<private> p2: Pixel; var<private> p3: Pixel;

// Whether a stage never goes beyond a row of dy.
fn in_row() -> bool {
    return OW % PB == 0u && SPLIT_PIXELS % PB == 0u;
}

fn pixel(number: u32) -> Pixel {
    let place = vec2u(number / OW % OH, number % OW);
    return Pixel(place, ((number / (OW * OH) * H + place.x * STRIDE) * W + place.y * STRIDE) * X_STRIDE4 + X_CHANNEL4);
}

// Whether stages have no pixel beyond their split.
fn are_whole() -> bool {
    return SPLIT_PIXELS % PB == 0u && N * OH * OW % PB == 0u;
}

// The pixel PB further; in the stage after the last, which is loaded and not used, one whose row is beyond all pictures.
fn further(p: Pixel) -> Pixel {
    var place = p.place + vec2u(PB / OW % OH, PB % OW);
    let line = place.y >= OW;
    place = vec2u(place.x + u32(line), place.y - select(0u, OW, line));
    let picture = place.x >= OH;
    place.x -= select(0u, OH, picture);
    // Twice as far as NOWHERE is before them, as a row of the filter that is none begins there.
    place.x = select(place.x, 2u * u32(-NOWHERE), left == 0u);
    let step = i32((PB / (OW * OH) * H + PB / OW % OH * STRIDE) * W + PB % OW * STRIDE) * i32(X_STRIDE4);
    let line_step = i32(STRIDE) * (i32(W) - i32(OW)) * i32(X_STRIDE4);
    let picture_step = (i32(H) - i32(OH * STRIDE)) * i32(W) * i32(X_STRIDE4);
    return Pixel(place, p.element + u32(step + select(0, line_step, line) + select(0, picture_step, picture)));
}

// The counted pixel of a load.
fn counted1() -> Pixel {
    if in_row() { return p0; }
    return p1;
}

fn counted2() -> Pixel {
    if in_row() { return p0; }
    return p2;
}

fn counted3() -> Pixel {
    if in_row() { return p0; }
    return p3;
}
