//! PFM: floats as they are in memory, row by row from the bottom up.

use super::decode::{Decoded, check_pixels};
use super::input::DAMAGED;
use super::metadata::Metadata;
use super::samples::{Color, Depth, Rows, Samples};
use super::transfer::Transfer;

/// What is wrong, when something is, as the end of a sentence that the file name begins.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    // Kind, width, height and scale, with single spaces or line breaks behind them.
    let mut parts = bytes.splitn(5, u8::is_ascii_whitespace);
    let mut next = || parts.next().and_then(|part| str::from_utf8(part).ok()).ok_or(DAMAGED);
    let channels = if next()? == "PF" { 3 } else { 1 };
    let [width, height] = [next()?, next()?].map(|number| number.parse::<usize>().map_err(|_| DAMAGED));
    let size = [width?, height?];
    let scale: f32 = next()?.trim().parse().map_err(|_| DAMAGED)?;
    check_pixels(size, 1)?;
    let data = parts.next().ok_or(DAMAGED)?;
    let row = size[0] * channels * 4;
    let data = data.get(..row * size[1]).ok_or(DAMAGED)?;
    // The sign tells the order of bytes; the number, a unit, is left to others.
    let value = |bytes: &[u8; 4]| if scale < 0.0 { f32::from_le_bytes(*bytes) } else { f32::from_be_bytes(*bytes) };
    let samples = data.chunks_exact(row).rev().flat_map(|row| row.as_chunks().0).map(value).collect();
    let color = Color::new(channels, Depth::Float);
    let rows = Rows { color, transfer: Transfer::Linear, samples: Samples::Floats(samples) };
    Ok(Decoded { size, rows, metadata: Metadata::default() })
}
