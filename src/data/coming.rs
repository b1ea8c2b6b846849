//! A picture that is encoded while its rows come: to an encoder of the `image` crate that asks for pixels, from the top down.

use std::borrow::Cow;
use std::cell::RefCell;
use std::marker::PhantomData;

use image::{GenericImageView, Pixel};

/// Samples that have come, and the bands that are still to come.
pub(super) struct Held<'s, 'b, B> {
    /// Row that the samples begin at.
    pub first: usize,
    pub samples: Cow<'s, [u8]>,
    pub bands: &'b mut B,
    /// Whether there were too few bands; black rows take their place.
    pub missing: bool,
}

/// A picture whose rows come while they are asked for, from the top down. Those far above are let go of.
pub(super) struct Coming<'h, 's, 'b, P, B> {
    pub width: u32,
    pub height: u32,
    pub held: &'h RefCell<Held<'s, 'b, B>>,
    pub pixel: PhantomData<P>,
}

impl<'s, P: Pixel<Subpixel = u8>, B: Iterator<Item = Cow<'s, [u8]>>> GenericImageView for Coming<'_, 's, '_, P, B> {
    type Pixel = P;

    fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn get_pixel(&self, x: u32, y: u32) -> P {
        /// Rows above the one asked for that may be asked for again: an encoder goes through blocks of 8 or 16.
        const BACK: usize = 64;
        let (y, channels) = (y as usize, usize::from(P::CHANNEL_COUNT));
        let row = self.width as usize * channels;
        let held = &mut *self.held.borrow_mut();
        while held.samples.len() < (y + 1 - held.first) * row {
            let band = held.bands.next();
            held.missing |= band.is_none();
            let band = band.unwrap_or_else(|| vec![0; row].into());
            if held.samples.is_empty() {
                held.samples = band;
                continue;
            }
            let samples = held.samples.to_mut();
            // Twice as many before any go, so that rows are not moved again and again.
            if y - held.first > 2 * BACK {
                samples.drain(..(y - BACK - held.first) * row);
                held.first = y - BACK;
            }
            samples.extend_from_slice(&band);
        }
        let at = (y - held.first) * row + x as usize * channels;
        *P::from_slice(&held.samples[at..at + channels])
    }
}
