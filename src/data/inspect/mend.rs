//! What can be mended of a pair: a shift by whole pixels, and brightness.

use super::report::Kind;
use super::{Fit, Look, Overlap};
use crate::data::picture::Rgb8;

/// What is to be mended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mends {
    /// Whether shots are cut to what they share.
    pub align: bool,
    /// Whether the second shot gets the brightness of the first.
    pub brightness: bool,
}

impl Mends {
    /// Mends the shots of a pair that was looked at, and takes what is mended from its findings.
    pub fn mend(self, look: &mut Look, [a, mut b]: [Rgb8; 2]) -> [Rgb8; 2] {
        let Some(measured) = &look.measured else { return [a, b] };
        let shift = measured.shift.map(|s| s.round() as isize);
        if self.brightness {
            matched(&mut b, &measured.fits);
            look.findings.retain(|f| f.kind != Kind::Brightness);
        }
        if !self.align || shift == [0, 0] {
            return [a, b];
        }
        look.findings.retain(|f| f.kind != Kind::Shift);
        let overlap = Overlap::new([a.width, a.height], shift);
        [cut(&a, overlap.a, overlap.size), cut(&b, overlap.b, overlap.size)]
    }
}

/// Takes gain and offset back, to the nearest of 256 levels.
fn matched(picture: &mut Rgb8, fits: &[Fit]) {
    let tables: Vec<Vec<u8>> = fits.iter().map(|fit| (0..=255).map(|v| level(fit, v)).collect()).collect();
    for pixel in picture.data.as_chunks_mut::<3>().0 {
        pixel.iter_mut().enumerate().for_each(|(c, v)| *v = tables[c % tables.len()][usize::from(*v)]);
    }
}

fn level(fit: &Fit, value: u8) -> u8 {
    (255.0 * fit.undone(f64::from(value) / 255.0)).round() as u8
}

fn cut(picture: &Rgb8, [left, top]: [usize; 2], [width, height]: [usize; 2]) -> Rgb8 {
    let row = |y: usize| &picture.data[((top + y) * picture.width + left) * 3..][..width * 3];
    Rgb8 { name: picture.name.clone(), width, height, data: (0..height).flat_map(row).copied().collect() }
}
