//! Pages with a palette. The crate `tiff` reads none: it is shown files in which they are grey, and their numbers are colours
//! afterwards.

use std::io::{self, Read, Seek, SeekFrom};

use super::tag;
use crate::data::ifd::{Entry, TiffLayout};
use crate::data::samples::{Depth, Samples};

/// Photometric interpretations.
const GREY: u16 = 1;
const PALETTE: u64 = 3;

/// A file of which some bytes are read otherwise than they are.
pub(super) struct Shown<R> {
    file: R,
    at: u64,
    /// Places and what is there.
    bytes: Vec<(u64, u8)>,
}

impl<R: Read + Seek> Shown<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, at: 0, bytes: Vec::new() }
    }

    /// Makes a page grey if it has a palette of 8 bit, and says whether it has.
    pub(super) fn make_grey(&mut self, layout: TiffLayout, directory: u64) -> bool {
        let (entries, _) =
            layout.directory(self, directory, |tag| [tag::BITS, tag::PHOTOMETRIC].contains(&tag)).unwrap_or_default();
        let is = |tag, value| entries.iter().any(|entry| entry.tag == tag && entry.first() == Some(value));
        let place = layout.place(self, directory, tag::PHOTOMETRIC);
        let Some(place) = place.filter(|_| is(tag::PHOTOMETRIC, PALETTE) && is(tag::BITS, 8)) else { return false };
        self.bytes.extend((place..).zip(layout.short(GREY)));
        true
    }
}

impl<R: Read + Seek> Read for Shown<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        for (place, byte) in &self.bytes {
            if let Some(at) = place.checked_sub(self.at).filter(|at| *at < read as u64) {
                buffer[at as usize] = *byte;
            }
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for Shown<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

/// The colours of numbers. A palette has 256 words of red, then of green, then of blue; of 8 bit, as most are, if their low bytes
/// repeat the high ones or are zero.
pub(super) fn colours(numbers: &Samples, entries: &[Entry]) -> Result<(Samples, Depth), String> {
    let palette = entries.iter().find(|entry| entry.tag == tag::PALETTE).map(|entry| entry.bytes.as_chunks::<2>().0);
    let (Some(palette), Samples::Bytes(numbers)) = (palette.filter(|words| words.len() == 768), numbers) else {
        return Err("is damaged: its palette is no whole one".to_owned());
    };
    let words: Vec<u16> = palette.iter().map(|word| u16::from_ne_bytes(*word)).collect();
    let eight = words.iter().all(|word| word & 0xFF == 0) || words.iter().all(|word| word & 0xFF == word >> 8);
    let all = numbers.iter().flat_map(|number| [0, 256, 512].map(|plane| words[plane + usize::from(*number)]));
    Ok(if eight {
        (Samples::Bytes(all.map(|word| (word >> 8) as u8).collect()), Depth::Eight)
    } else {
        (Samples::Words(all.collect()), Depth::Sixteen)
    })
}
