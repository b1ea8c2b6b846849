//! A picture of which an encoder of the `image` crate reads pixels from the top down, while its rows are still being made.

use std::cell::RefCell;
use std::marker::PhantomData;

use image::{GenericImageView, Pixel};

use super::encode::Band;

/// A picture of 8 bit samples whose rows are taken from an iterator as they are asked for. Only the last of them are in memory.
pub(super) struct Streamed<'s, P> {
    size: [u32; 2],
    rows: RefCell<Rows<'s>>,
    pixel: PhantomData<P>,
}

/// Rows that have been taken, and the bands that are still to be taken.
struct Rows<'s> {
    /// Row that the samples begin at.
    first: usize,
    samples: Band<'s>,
    bands: Box<dyn Iterator<Item = Band<'s>> + 's>,
    ended_early: bool,
}

impl<'s, P> Streamed<'s, P> {
    /// `size` is width and height.
    pub(super) fn new(size: [u32; 2], bands: Box<dyn Iterator<Item = Band<'s>> + 's>) -> Self {
        let rows = Rows { first: 0, samples: Band::default(), bands, ended_early: false };
        Self { size, rows: RefCell::new(rows), pixel: PhantomData }
    }

    /// Whether there were too few bands; black rows took their place.
    pub(super) fn ended_early(self) -> bool {
        self.rows.into_inner().ended_early
    }
}

impl Rows<'_> {
    /// Takes bands up to row `y`; `row` is the bytes of one.
    fn take_to(&mut self, y: usize, row: usize) {
        /// Rows above the one asked for that may be asked for again: an encoder goes through blocks of 8 or 16.
        const BACK: usize = 64;
        while self.samples.len() < (y + 1 - self.first) * row {
            let band = self.bands.next();
            self.ended_early |= band.is_none();
            let band = band.unwrap_or_else(|| vec![0; row].into());
            if self.samples.is_empty() {
                self.samples = band;
                continue;
            }
            let samples = self.samples.to_mut();
            // Twice as many before any go, so that rows are not moved again and again.
            if y - self.first > 2 * BACK {
                samples.drain(..(y - BACK - self.first) * row);
                self.first = y - BACK;
            }
            samples.extend_from_slice(&band);
        }
    }
}

impl<P: Pixel<Subpixel = u8>> GenericImageView for Streamed<'_, P> {
    type Pixel = P;

    fn dimensions(&self) -> (u32, u32) {
        self.size.into()
    }

    fn get_pixel(&self, x: u32, y: u32) -> P {
        let (x, y, channels) = (x as usize, y as usize, usize::from(P::CHANNEL_COUNT));
        let row = self.size[0] as usize * channels;
        let mut rows = self.rows.borrow_mut();
        rows.take_to(y, row);
        let at = (y - rows.first) * row + x * channels;
        *P::from_slice(&rows.samples[at..at + channels])
    }
}
