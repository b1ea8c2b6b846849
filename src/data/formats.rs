//! Picture formats by the extensions of file names: what each can hold, and what of a picture it keeps. A format is added by its row
//! in [`FORMATS`]; its function, where the `image` crate's encoder does not do, lies in [`super::encode`].

use std::path::Path;

use image::ExtendedColorType::{self, L1, L8, L16, La8, La16, Rgb8, Rgb16, Rgba8, Rgba16};

use super::encode::{self, Raw};
use crate::error::{Error, Result};

/// The most EXIF data that fits one JPEG segment beside its length and its name.
pub(super) const JPEG_MAX_EXIF: usize = 65_535 - 2 - 6;

/// A format that pictures are written in.
pub(super) struct Format {
    pub(super) name: &'static str,
    extensions: &'static [&'static str],
    /// Grey (L) or colour, with alpha (a) or without, and bits per sample.
    colors: &'static [ExtendedColorType],
    /// Whether it holds colour profiles.
    icc: bool,
    /// Most bytes of EXIF data.
    exif: usize,
    /// Most pixels a side.
    side: usize,
    encode: fn(Raw) -> Result<Vec<u8>, encode::Failure>,
}

const ALL: &[ExtendedColorType] = &[L8, La8, Rgb8, Rgba8, L16, La16, Rgb16, Rgba16];
const ANY: usize = usize::MAX;
const PNM: Format =
    Format { name: "PNM", extensions: &[], colors: &[], icc: false, exif: 0, side: u32::MAX as usize, encode: encode::pnm };

/// TIFF could hold grey with alpha and EXIF data, but the `image` crate's encoder cannot write them.
#[rustfmt::skip]
const FORMATS: [Format; 10] = [
    Format { name: "PNG", extensions: &["png"], colors: ALL, icc: true, exif: ANY, encode: encode::png, ..PNM },
    Format { name: "JPEG", extensions: &["jpg", "jpeg"], colors: &[L8, Rgb8], icc: true, exif: JPEG_MAX_EXIF, side: 65_535, encode: encode::jpeg },
    Format { name: "TIFF", extensions: &["tif", "tiff"], colors: &[L8, Rgb8, Rgba8, L16, Rgb16, Rgba16], icc: true, encode: encode::tiff, ..PNM },
    Format { name: "WebP", extensions: &["webp"], colors: &[Rgb8, Rgba8], icc: true, exif: ANY, side: 16_383, encode: encode::webp },
    Format { name: "BMP", extensions: &["bmp"], colors: &[L8, Rgb8, Rgba8], encode: encode::bmp, ..PNM },
    Format { extensions: &["pbm"], colors: &[L1], encode: encode::pbm, ..PNM },
    Format { extensions: &["pgm"], colors: &[L8, L16], ..PNM },
    Format { extensions: &["ppm"], colors: &[Rgb8, Rgb16], ..PNM },
    Format { extensions: &["pnm"], colors: &[L8, Rgb8, L16, Rgb16], ..PNM },
    Format { extensions: &["pam"], colors: ALL, encode: encode::pam, ..PNM },
];

pub(super) fn is_grey(color: ExtendedColorType) -> bool {
    color.channel_count() < 3
}

fn has_alpha(color: ExtendedColorType) -> bool {
    color.channel_count().is_multiple_of(2)
}

fn depth(color: ExtendedColorType) -> u16 {
    color.bits_per_pixel() / u16::from(color.channel_count())
}

/// What of a picture goes into a file.
#[derive(Clone, Copy)]
pub(super) struct Encoding {
    format: &'static Format,
    pub(super) color: ExtendedColorType,
}

impl Encoding {
    /// The nearest thing to samples of `color` that the format which `path` names can hold: colours matter most, then alpha, then depth.
    pub(super) fn nearest(path: &Path, color: ExtendedColorType) -> Result<Self> {
        let format = format_of(path)?;
        let nearest = format.colors.iter().copied().min_by_key(|&to| (lost(color, to), to.bits_per_pixel()));
        Ok(Self { format, color: nearest.expect("a format holds something") })
    }

    /// Whether encoders get samples of two bytes; of fewer bits than eight they get one.
    pub(super) fn is_deep(self) -> bool {
        depth(self.color) > 8
    }

    /// A colour profile, if the file keeps it.
    pub(super) fn icc(self, icc: Option<&[u8]>) -> Option<&[u8]> {
        icc.filter(|icc| self.format.icc && profile_fits(icc, is_grey(self.color)))
    }

    /// EXIF data, likewise.
    pub(super) fn exif(self, exif: Option<&[u8]>) -> Option<&[u8]> {
        exif.filter(|exif| exif.len() <= self.format.exif)
    }

    /// What is dropped of samples of `color` and of metadata, e.g. `the alpha channel`. Metadata is named only when the pixels are kept.
    pub(super) fn loses(self, color: ExtendedColorType, icc: Option<&[u8]>, exif: Option<&[u8]>) -> Option<String> {
        let [colours, alpha, bits] = lost(color, self.color);
        let bits_lost = if depth(self.color) == 1 { "the shades between black and white" } else { "the 16 bit depth" };
        let pixels = [(colours, "the colours"), (alpha, "the alpha channel"), (bits, bits_lost)];
        let icc = icc.is_some() && self.icc(icc).is_none();
        let exif = exif.is_some() && self.exif(exif).is_none();
        let metadata = [(icc, "the colour profile"), (exif, "the EXIF data")];
        let list = |items: &[(bool, &'static str)]| items.iter().filter(|i| i.0).map(|i| i.1).collect::<Vec<_>>();
        let lost = if colours || alpha || bits { list(&pixels) } else { list(&metadata) };
        let (last, others) = lost.split_last()?;
        Some(if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) })
    }

    /// Whether the format can have pictures of this size (width, height). Fails when it cannot.
    pub(super) fn check_size(self, path: &Path, size: [usize; 2]) -> Result<()> {
        let Format { name, side: most, .. } = self.format;
        if size.iter().all(|side| side <= most) {
            return Ok(());
        }
        Err(Error::file(path, format!("a {name} file holds at most {most} pixels a side: choose another format, such as PNG")))
    }

    /// The bytes of the file.
    pub(super) fn encode(self, path: &Path, raw: Raw) -> Result<Vec<u8>> {
        let encoded = if raw.width == 0 || raw.height == 0 { Err("it has no pixels".into()) } else { (self.format.encode)(raw) };
        encoded.map_err(|e| {
            Error::file(path, format!("cannot be written as {} ({e}): choose another format, such as PNG", self.format.name))
        })
    }
}

/// Whether colours, the alpha channel and bits of samples are lost from one type to another.
fn lost(from: ExtendedColorType, to: ExtendedColorType) -> [bool; 3] {
    [is_grey(to) && !is_grey(from), has_alpha(from) && !has_alpha(to), depth(to) < depth(from)]
}

/// The extension of a file name, in small letters.
pub(super) fn extension(path: &Path) -> Option<String> {
    path.extension().map(|e| e.to_string_lossy().to_lowercase())
}

fn by_extension(extension: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.extensions.contains(&extension))
}

/// The format that a file name ends in. Fails when the extension is missing or unknown.
pub(super) fn format_of(path: &Path) -> Result<&'static Format> {
    let known = || FORMATS.iter().flat_map(|f| f.extensions).copied().collect::<Vec<_>>().join(", ");
    let Some(extension) = extension(path) else {
        return Err(Error::format(path, format!("has no extension: end its name in one of {}", known())));
    };
    by_extension(&extension)
        .ok_or_else(|| Error::format(path, format!("cannot write .{extension} files: end its name in one of {}", known())))
}

/// Bytes 16 to 19 of an ICC profile name the colour space it is for. One for CMYK is wrong once the pixels are RGB.
pub(super) fn profile_fits(icc: &[u8], grey: bool) -> bool {
    icc.get(16..20) == Some(if grey { b"GRAY" } else { b"RGB " })
}

/// Whether a file counts as a picture of its folder: by extension, hidden ones left out.
pub fn is_picture_name(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && extension(path).is_some_and(|e| by_extension(&e).is_some())
}

/// The formats that are read and written, for people: `PNG, JPEG, TIFF, WebP, BMP, PNM`.
pub fn picture_formats() -> String {
    let mut names: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
    names.dedup();
    names.join(", ")
}
