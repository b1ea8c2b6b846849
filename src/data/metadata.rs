//! What pictures carry beside their pixels.

use std::sync::Arc;

use super::exr::Layers;
use super::frames::Like;
use super::png::PngChunks;
use super::tiff::TiffTags;

/// The unit that a resolution is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// None: pixels of that shape.
    Shape,
    Inch,
    Centimetre,
    Metre,
}

impl Unit {
    fn in_metres(self) -> Option<f64> {
        match self {
            Self::Shape => None,
            Self::Inch => Some(0.0254),
            Self::Centimetre => Some(0.01),
            Self::Metre => Some(1.0),
        }
    }
}

/// Pixels per unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Density {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) unit: Unit,
}

impl Density {
    /// The same for another unit, except where there is none.
    pub(super) fn per(self, unit: Unit) -> Self {
        match (self.unit.in_metres(), unit.in_metres()) {
            (Some(from), Some(to)) if self.unit != unit => Self { x: self.x / from * to, y: self.y / from * to, unit },
            _ => self,
        }
    }
}

/// What only the format that a picture came in can hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Own {
    #[default]
    None,
    Png(Box<PngChunks>),
    Tiff(Box<TiffTags>),
    Exr(Arc<Layers>),
    /// Lines of a header.
    Hdr(Vec<String>),
    Npy(Box<Like>),
}

/// All that a picture carries beside its pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metadata {
    /// The ICC colour profile, where it is one for grey or RGB as the picture is.
    pub(super) icc: Option<Vec<u8>>,
    /// The EXIF data, a TIFF structure without a prefix, its orientation reset: the pixels are upright already.
    pub(super) exif: Option<Vec<u8>>,
    /// A packet of XMP.
    pub(super) xmp: Option<Vec<u8>>,
    /// Records of IPTC-IIM.
    pub(super) iptc: Option<Vec<u8>>,
    pub(super) density: Option<Density>,
    pub(super) own: Own,
    /// What of the file is not kept, whatever it is written to.
    pub(super) dropped: Vec<&'static str>,
}

impl Metadata {
    /// Makes XMP data say of an upright picture that it is upright.
    pub(super) fn reset_orientation(&mut self) {
        let Some(xmp) = &mut self.xmp else { return };
        for before in [&b"tiff:Orientation=\""[..], b"tiff:Orientation='", b"<tiff:Orientation>"] {
            let found = xmp.windows(before.len()).position(|window| window == before);
            if let Some(digit) = found.and_then(|at| xmp.get_mut(at + before.len())).filter(|digit| digit.is_ascii_digit()) {
                *digit = b'1';
            }
        }
    }
}

/// A list in a sentence: `a, b and c`. Nothing of nothing.
pub(super) fn in_words(list: &[&str]) -> Option<String> {
    let (last, others) = list.split_last()?;
    Some(if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) })
}
