//! TIFF and BigTIFF by the crate `tiff`: pages of whole and floating point numbers, with their tags.

mod palette;
mod read;
mod write;

pub(super) use read::Reader;
pub(super) use write::Writer;

use super::ifd::Entry;

/// How the pixels of a page are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Compression {
    #[default]
    None,
    Lzw,
    Deflate,
    PackBits,
}

impl Compression {
    /// By the number that files have; that of kinds which are not written is Deflate.
    fn of(number: u64) -> Self {
        match number {
            1 => Self::None,
            5 => Self::Lzw,
            32_773 => Self::PackBits,
            _ => Self::Deflate,
        }
    }

    fn number(self) -> u16 {
        match self {
            Self::None => 1,
            Self::Lzw => 5,
            Self::Deflate => 8,
            Self::PackBits => 32_773,
        }
    }
}

/// What of a page only TIFF holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TiffTags {
    /// All tags but those of [`STRUCTURE`] and of metadata that other formats have as well.
    entries: Vec<Entry>,
    compression: Compression,
    /// Whether differences are compressed.
    predictor: bool,
    /// Whether colours are multiplied by alpha.
    associated: bool,
    /// BigTIFF.
    big: bool,
}

/// Tags that EXIF data has as well.
const DESCRIPTIVE: [u16; 11] = [270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 33_432];

impl TiffTags {
    /// What is lost elsewhere: tags that describe a picture in no other format, as calibrations do.
    pub(super) fn name(&self) -> Option<&'static str> {
        let private = |entry: &Entry| entry.tag > 1000 && !DESCRIPTIVE.contains(&entry.tag);
        self.entries.iter().any(private).then_some("the TIFF tags of other programs")
    }
}

mod tag {
    pub(super) const SUBFILE: u16 = 254;
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const DESCRIPTION: u16 = 270;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const ORIENTATION: u16 = 274;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const STRIP_ROWS: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const X_RESOLUTION: u16 = 282;
    pub(super) const Y_RESOLUTION: u16 = 283;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const RESOLUTION_UNIT: u16 = 296;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const PALETTE: u16 = 320;
    pub(super) const SUB_DIRECTORIES: u16 = 330;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const XMP: u16 = 700;
    pub(super) const IPTC: u16 = 33_723;
    pub(super) const ICC: u16 = 34_675;
    pub(super) const PHOTOSHOP_LAYERS: u16 = 37_724;
}

/// Tags that say how the pixels of a file lie in it, and what they are: they are written anew. Among them are ranges of samples
/// and thumbnails of old kinds.
#[rustfmt::skip]
const STRUCTURE: [u16; 50] = [
    255, tag::WIDTH, tag::HEIGHT, tag::BITS, tag::COMPRESSION, tag::PHOTOMETRIC, 263, 264, 265, 266, tag::STRIP_OFFSETS, tag::ORIENTATION,
    tag::SAMPLES, tag::STRIP_ROWS, tag::STRIP_BYTES, 280, 281, tag::PLANAR, 288, 289, 290, 291, 292, 293, tag::PREDICTOR, tag::PALETTE, 321, 322, 323,
    324, 325, tag::SUB_DIRECTORIES, 332, 333, 334, 336, tag::EXTRA_SAMPLES, tag::SAMPLE_FORMAT, 340, 341, 342, 347, 512, 513, 514, 515, 519,
    520, 521, tag::PHOTOSHOP_LAYERS,
];
