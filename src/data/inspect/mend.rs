//! What can be mended of a pair: a shift by whole pixels, and brightness.

use super::report::Kind;
use super::{Look, Overlap};
use crate::data::picture::Picture;

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
    pub fn mend(self, look: &mut Look, [a, mut b]: [Picture; 2]) -> [Picture; 2] {
        let Some(measured) = &look.measured else { return [a, b] };
        let shift = measured.shift.map(|s| s.round() as isize);
        if self.brightness {
            let fits = &measured.fits;
            b = b.mapped(|c, v| fits[c % fits.len()].undone(v.into()) as f32);
            look.findings.retain(|f| f.kind != Kind::Brightness);
        }
        if !self.align || shift == [0, 0] {
            return [a, b];
        }
        look.findings.retain(|f| f.kind != Kind::Shift);
        let overlap = Overlap::new(a.header().size(), shift);
        [a.cut(overlap.a, overlap.size), b.cut(overlap.b, overlap.size)]
    }
}
