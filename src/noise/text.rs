//! `text:0.25`: random strings are written over the picture, in letters of 1 to 3 times 5x7 pixels, each string in its colour.

use std::ops::Bound::{Excluded, Included};

use super::{Law, Moments, Parameter, Place, Sampler, Shot};
use crate::ops::Loss;
use crate::ops::rng::{pcg4d, uniform};

pub(super) const LAW: Law = Law {
    name: "text",
    examples: &["text:0.25"],
    help: "random strings over that share of the picture",
    parameters: &[Parameter::new("share of pixels written over", Excluded(0.0), Included(0.8))],
    unbiased: false,
    // What is written over says nothing of the clean value, as with impulses.
    targets: 8,
    // A smaller picture has hardly a letter.
    least_side: 32,
    branch: 5,
    loss: |[share, ..]| Loss::Outliers { share, range: [0.0, 1.0] },
    // Colours are uniform over the 256 grey levels.
    moments: Some(|[share, ..], clean| Moments::of_replaced(share, 0.25 + (256.0 * 256.0 - 1.0) / 12.0 / (255.0 * 255.0), clean)),
    parameter: |[share, ..]| of_string(share),
    sampler,
    ..Law::PIXELWISE
};

/// Sheets of text, one over the other.
const SHEETS: usize = 6;

/// Share of a letter's place, nine pixels high and six wide, that is ink, on average.
const INK: f64 = 538.0 / (36.0 * 54.0);

/// Probability of a string to be written, for a share of pixels to be written over: a pixel stays free of six sheets with
/// probability (1 - q INK)^6.
fn of_string(share: f32) -> f32 {
    ((1.0 - (1.0 - f64::from(share)).powf(1.0 / SHEETS as f64)) / INK) as f32
}

/// Digits and letters: five columns of seven bits each, the first bit of a column at the top; 28 bits and the other seven.
#[rustfmt::skip]
pub(crate) const GLYPHS: [[u32; 2]; 36] = [
    [0x8b268be, 0x3e], [0x81fe100, 0x00], [0x93470c2, 0x46], [0x97160a1, 0x31], [0xfe48a18, 0x10], [0x8b162a7, 0x39],
    [0x932653c, 0x30], [0x0a27881, 0x03], [0x93264b6, 0x36], [0x5326486, 0x1e], [0x22448fe, 0x7e], [0x93264ff, 0x36],
    [0x83060be, 0x22], [0x45060ff, 0x1c], [0x93264ff, 0x41], [0x12244ff, 0x01], [0x93260be, 0x7a], [0x102047f, 0x7f],
    [0x83fe080, 0x00], [0x7f06020, 0x01], [0x445047f, 0x41], [0x810207f, 0x40], [0x043017f, 0x7f], [0x202027f, 0x7f],
    [0x83060be, 0x3e], [0x12244ff, 0x06], [0x43460be, 0x5e], [0x52644ff, 0x46], [0x93264c6, 0x31], [0x03fc081, 0x01],
    [0x810203f, 0x3f], [0x410101f, 0x1f], [0x80e203f, 0x3f], [0x2820a63, 0x63], [0x11c0407, 0x07], [0x8b268e1, 0x43],
];

fn sampler(probability: f32, shot: Shot) -> Sampler {
    // Size and place of the letters of each sheet.
    let sheets: [[u32; 4]; SHEETS] = std::array::from_fn(|sheet| shot.stream.numbers(shot.picture * 8 + sheet as u32, 2));
    let probability = f64::from(probability);
    Box::new(move |at, clean| (written(shot, &sheets, probability, at).unwrap_or(clean), true))
}

/// The colour of what is written over a pixel, if anything is.
fn written(shot: Shot, sheets: &[[u32; 4]; SHEETS], probability: f64, at: Place) -> Option<[f64; 3]> {
    let Shot { stream, picture, .. } = shot;
    sheets.iter().zip(picture * 8..).find_map(|(layout, key)| {
        let size = 1 + layout[0] % 3;
        let (row, column) = ((at.row + layout[1] % 256) / size, (at.column + layout[2] % 256) / size);
        if row % 9 >= 7 || column % 6 >= 5 {
            return None;
        }
        let (line, letter) = (row / 9, column / 6);
        let exposure = 0x9e37_79b9_u32.wrapping_mul(1 + stream.exposure);
        let h = pcg4d([line * 65536 + letter / 8, key, stream.step, stream.seed ^ exposure]);
        if uniform(h[0]) >= probability {
            return None;
        }
        let which = pcg4d([h[1], letter % 8, 0, 0])[0] % 36;
        let bit = column % 6 * 7 + row % 9;
        let word = GLYPHS[which as usize][usize::from(bit >= 28)];
        let colour = [h[2], h[2] >> 8, h[2] >> 16].map(|v| f64::from(v & 255) / 255.0);
        (word >> (bit % 28) & 1 != 0).then_some(colour)
    })
}
