// Noise laws on one pixel; src/noise has the CPU twins. Pixel i has its own random numbers for each of several exposures (0 to
// 13): streams 2 + exposure, 18 + exposure and so on.
fn numbers(i: u32, stream: u32) -> vec4u {
    return pcg4d(vec4u(i, draw[0], draw[1], stream));
}

//#import poisson

// What is written over a pixel: rgb, and 1 if anything is. Six sheets of text, the first on top; letters of a sheet are of one
// size, five pixels wide and seven high times 1 to 3, in lines of strings of eight, each in one colour and drawn with that
// probability.
fn text(place: vec2u, n: u32, exposure: u32, probability: f32) -> vec4f {
    for (var sheet = 0u; sheet < 6u; sheet++) {
        let key = n * 8u + sheet;
        let drawn = numbers(key, 34u + exposure);
        let size = 1u + drawn.x % 3u;
        let at = (place + drawn.yz % 256u) / size;
        let line = at.x / 9u;
        let letter = at.y / 6u;
        let h = pcg4d(vec4u(line * 65536u + letter / 8u, key, draw[0], draw[1] ^ (0x9e3779b9u * (1u + exposure))));
        if uniform4(h).x < probability && at.x % 9u < 7u && at.y % 6u < 5u {
            let which = pcg4d(vec4u(h.y, letter % 8u, 0u, 0u)).x % 36u;
            // Columns of seven bits, the first of them the top.
            let bit = at.y % 6u * 7u + at.x % 9u;
            let glyph = table[GLYPHS + which];
            let word = select(glyph.x, glyph.y, bit >= 28u);
            if ((word >> (bit % 28u)) & 1u) != 0u {
                return vec4f(vec3f(vec3u(h.z, h.z >> 8u, h.z >> 16u) & vec3u(255u)) / 255.0, 1.0);
            }
        }
    }
    return vec4f();
}

// An exposure of pixel i, at a place of element n, and 1 if it is known.
fn noisy(original: vec3f, i: u32, n: u32, place: vec2u, sigma: f32, exposure: u32) -> vec4f {
    switch LAW {
        // Gaussian: added with standard deviation sigma.
        case 1u: {
            return vec4f(original + sigma * normal3(numbers(i, 2u + exposure)).xyz, 1.0);
        }
        // Poisson: PARAMETER is the mean count of white; then Gaussian.
        case 2u: {
            let counted = poisson3(PARAMETER * original, PARAMETER, i, exposure) / PARAMETER;
            return vec4f(counted + sigma * normal3(numbers(i, 2u + exposure)).xyz, 1.0);
        }
        // Bernoulli: missing with probability PARAMETER.
        case 3u: {
            let known = uniform4(numbers(i, 2u + exposure)).x >= PARAMETER;
            return select(vec4f(), vec4f(original, 1.0), known);
        }
        // impulse: replaced by a uniform colour with probability PARAMETER.
        case 4u: {
            let u = uniform4(numbers(i, 2u + exposure));
            return vec4f(select(original, u.yzw, u.x < PARAMETER), 1.0);
        }
        // text: PARAMETER is the probability of a string.
        case 5u: {
            let written = text(place, n, exposure, PARAMETER);
            return vec4f(select(original, written.xyz, written.w != 0.0), 1.0);
        }
        default: {
            return vec4f(original, 1.0);
        }
    }
}
