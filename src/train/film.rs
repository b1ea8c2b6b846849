//! What a network made of one held-out picture on the way: a few frames, evenly spread over the validations so far.

use super::report::{Frame, Strip};

/// Most frames.
const MOST: usize = 8;

/// The frames of a training, since it began or went on.
#[derive(Default)]
pub(super) struct Film {
    frames: Vec<Frame>,
    /// Validations so far.
    seen: usize,
    /// How many lie between frames, as a power of two.
    halved: u32,
}

impl Film {
    /// Takes in the held-out pictures of a validation; the first of them gets the frames before it.
    pub(super) fn take(&mut self, step: u64, strips: &mut [Strip]) {
        let Some(strip) = strips.first_mut() else { return };
        strip.earlier.clone_from(&self.frames);
        if self.seen.is_multiple_of(1 << self.halved) {
            self.frames.push(Frame { step, denoised: strip.denoised.clone(), psnr: strip.psnr });
        }
        self.seen += 1;
        if self.frames.len() > MOST {
            let mut even = [true, false].into_iter().cycle();
            self.frames.retain(|_| even.next().unwrap_or(true));
            self.halved += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::picture::Picture;

    #[test]
    fn frames_are_few_and_evenly_spread() {
        let mut film = Film::default();
        for step in 1..=20 {
            let black = Picture::from_rgb8(1, 1, &[0; 3]);
            let (noisy, denoised) = (black.clone(), black);
            let strip = Strip { name: "a".into(), noisy, denoised, clean: None, psnr_noisy: None, psnr: None, earlier: vec![] };
            let mut strips = [strip];
            film.take(step, &mut strips);
            let steps: Vec<u64> = strips[0].earlier.iter().map(|frame| frame.step).collect();
            match step {
                1 => assert!(steps.is_empty()),
                9 => assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7, 8]),
                20 => assert_eq!(steps, [1, 5, 9, 13, 17]),
                _ => assert!(steps.len() <= MOST && steps.is_sorted() && steps[0] == 1, "{steps:?}"),
            }
        }
    }
}
