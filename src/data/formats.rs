//! Picture formats by the extensions of file names: what each can hold, and what of a picture it keeps. A format that the `image`
//! crate reads and writes is added by its row in [`FORMATS`], with `encode::by_image` for an encoder; others have functions of
//! their own.

use std::path::Path;

use image::ImageFormat;

use super::encode::{self, Beside, Raw};
use super::jpeg::{self, IPTC_AROUND, MAX_SEGMENT, XMP_NAME};
use super::metadata::{Metadata, Own, in_words};
use super::npy::MAGIC;
use super::samples::{Color, Depth};
use super::transfer::Transfer;
use super::{exr, ifd, png};
use crate::error::{Error, Result};

/// Which pictures of a format have alpha.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alpha {
    None,
    Coloured,
    All,
}

/// What writes a format.
#[derive(Clone, Copy)]
pub(super) enum Encoder {
    /// One picture at once, in memory.
    Whole(fn(Raw) -> Result<Vec<u8>, encode::Failure>),
    /// Pages one after the other: TIFF.
    Pages,
    /// Pages of one size, one after the other: an array.
    Array,
}

/// A format that pictures are written in.
pub(super) struct Format {
    pub(super) name: &'static str,
    extensions: &'static [&'static str],
    grey: bool,
    colour: bool,
    alpha: Alpha,
    depths: &'static [Depth],
    /// Whether values are linear light. Nothing where a file may hold both.
    transfer: Option<Transfer>,
    /// Whether it holds colour profiles, resolutions.
    icc: bool,
    density: bool,
    /// Most bytes of EXIF, XMP and IPTC data.
    exif: usize,
    xmp: usize,
    iptc: usize,
    /// Most pixels a side.
    side: usize,
    pub(super) encoder: Encoder,
}

const ANY: usize = usize::MAX;
const WHOLE: &[Depth] = &[Depth::Eight, Depth::Sixteen];
const EIGHT: &[Depth] = &[Depth::Eight];
/// What holds nothing but grey and colour.
const PNM: Format = Format {
    name: "PNM",
    extensions: &["pnm"],
    grey: true,
    colour: true,
    alpha: Alpha::None,
    depths: WHOLE,
    transfer: Some(Transfer::Display),
    icc: false,
    density: false,
    exif: 0,
    xmp: 0,
    iptc: 0,
    side: u32::MAX as usize,
    encoder: Encoder::Whole(encode::pnm),
};
const LINEAR: Format = Format { transfer: Some(Transfer::Linear), depths: &[Depth::Float], ..PNM };

static FORMATS: &[Format] = &[
    Format {
        name: "PNG",
        extensions: &["png"],
        alpha: Alpha::All,
        icc: true,
        density: true,
        exif: ANY,
        xmp: ANY,
        encoder: Encoder::Whole(png::encode),
        ..PNM
    },
    Format {
        name: "JPEG",
        extensions: &["jpg", "jpeg"],
        depths: EIGHT,
        icc: true,
        density: true,
        exif: MAX_SEGMENT - 6,
        xmp: MAX_SEGMENT - XMP_NAME.len(),
        iptc: MAX_SEGMENT - IPTC_AROUND - 1,
        side: 65_535,
        encoder: Encoder::Whole(jpeg::encode),
        ..PNM
    },
    Format {
        name: "TIFF",
        extensions: &["tif", "tiff"],
        alpha: Alpha::All,
        depths: &[Depth::Eight, Depth::Sixteen, Depth::Half, Depth::Float],
        transfer: None,
        icc: true,
        density: true,
        exif: ANY,
        xmp: ANY,
        iptc: ANY,
        encoder: Encoder::Pages,
        ..PNM
    },
    Format {
        name: "WebP",
        extensions: &["webp"],
        grey: false,
        alpha: Alpha::Coloured,
        depths: EIGHT,
        icc: true,
        exif: ANY,
        xmp: ANY,
        side: 16_383,
        encoder: Encoder::Whole(encode::webp),
        ..PNM
    },
    Format {
        name: "BMP",
        extensions: &["bmp"],
        alpha: Alpha::Coloured,
        depths: EIGHT,
        density: true,
        encoder: Encoder::Whole(encode::bmp),
        ..PNM
    },
    Format { extensions: &["pbm"], colour: false, depths: &[Depth::One], encoder: Encoder::Whole(encode::pbm), ..PNM },
    Format { extensions: &["pgm"], colour: false, ..PNM },
    Format { extensions: &["ppm"], grey: false, ..PNM },
    PNM,
    Format { extensions: &["pam"], alpha: Alpha::All, encoder: Encoder::Whole(encode::pam), ..PNM },
    Format { extensions: &["pfm"], encoder: Encoder::Whole(encode::pfm), ..LINEAR },
    Format {
        name: "OpenEXR",
        extensions: &["exr"],
        alpha: Alpha::All,
        depths: &[Depth::Half, Depth::Float],
        encoder: Encoder::Whole(exr::encode),
        ..LINEAR
    },
    Format {
        name: "Radiance HDR",
        extensions: &["hdr"],
        grey: false,
        depths: &[Depth::SharedExponent],
        encoder: Encoder::Whole(encode::hdr),
        ..LINEAR
    },
    Format {
        name: "NumPy",
        extensions: &["npy"],
        alpha: Alpha::All,
        depths: &[Depth::Eight, Depth::Sixteen, Depth::Half, Depth::Float],
        transfer: None,
        encoder: Encoder::Array,
        ..PNM
    },
];

impl Format {
    pub(super) fn has_pages(&self) -> bool {
        matches!(self.encoder, Encoder::Pages | Encoder::Array)
    }

    fn holds(&self, color: Color) -> bool {
        let colours = if color.grey { self.grey } else { self.colour };
        let alpha = match self.alpha {
            Alpha::None => !color.alpha,
            Alpha::Coloured => !(color.alpha && color.grey),
            Alpha::All => true,
        };
        colours && alpha && self.depths.contains(&color.depth)
    }

    /// The nearest thing to a colour that it holds: colours matter most, then alpha, then depth; then, the smallest thing that
    /// loses nothing, or the largest where something is lost.
    fn nearest(&self, color: Color) -> Color {
        let channels = (1..=4).flat_map(|channels| self.depths.iter().map(move |depth| Color::new(channels, *depth)));
        let held = channels.filter(|to| self.holds(*to));
        let key = |to: &Color| {
            let [colours, alpha, depth] = lost(color, *to);
            let bytes = to.depth.bytes();
            (colours, alpha, depth, to.channels(), if depth { ANY - bytes } else { bytes })
        };
        held.min_by_key(key).expect("a format holds something")
    }
}

/// What of a picture goes into a file.
#[derive(Clone, Copy)]
pub(super) struct Encoding {
    pub(super) format: &'static Format,
    pub(super) color: Color,
    pub(super) transfer: Transfer,
}

impl Encoding {
    /// The nearest thing to samples of `color` that the format which `path` names can hold.
    pub(super) fn nearest(path: &Path, color: Color, transfer: Transfer) -> Result<Self> {
        let format = format_of(path)?;
        let nearest = format.nearest(color);
        let own = if nearest.depth.is_float() { transfer } else { Transfer::Display };
        Ok(Self { format, color: nearest, transfer: format.transfer.unwrap_or(own) })
    }

    /// What the file keeps of metadata.
    pub(super) fn beside(self, metadata: &Metadata) -> Beside<'_> {
        fn at_most(data: Option<&Vec<u8>>, most: usize) -> Option<&[u8]> {
            data.map(Vec::as_slice).filter(|data| data.len() <= most)
        }
        let Format { icc, exif, xmp, iptc, density, .. } = self.format;
        let fits = |icc: &&[u8]| profile_fits(icc, self.color.grey);
        Beside {
            icc: at_most(metadata.icc.as_ref(), if *icc { ANY } else { 0 }).filter(fits),
            exif: at_most(metadata.exif.as_ref(), *exif),
            xmp: at_most(metadata.xmp.as_ref(), *xmp),
            iptc: at_most(metadata.iptc.as_ref(), *iptc),
            density: metadata.density.filter(|_| *density),
            own: &metadata.own,
        }
    }

    /// What is dropped of samples of `color`, e.g. `the alpha channel`.
    pub(super) fn loses_of_pixels(self, color: Color) -> Option<String> {
        let [colours, alpha, depth] = lost(color, self.color);
        let depth_lost = match (self.color.depth, color.depth) {
            (Depth::One, _) => "the shades between black and white",
            (_, Depth::Sixteen) => "the 16 bit depth",
            (Depth::SharedExponent | Depth::Half, _) => "the precision",
            _ => "floating point values",
        };
        let list = [(colours, "the colours"), (alpha, "the alpha channel"), (depth, depth_lost)];
        in_words(&list.into_iter().filter(|item| item.0).map(|item| item.1).collect::<Vec<_>>())
    }

    /// What is dropped of metadata.
    pub(super) fn loses_of_metadata(self, metadata: &Metadata) -> Option<String> {
        let beside = self.beside(metadata);
        let in_exif = beside.exif.is_some_and(ifd::says_resolution);
        let density = metadata.density.is_some() && beside.density.is_none() && !in_exif;
        let own = match &metadata.own {
            Own::Png(chunks) if self.format.name != "PNG" => chunks.name(),
            Own::Tiff(tags) if self.format.name != "TIFF" => tags.name(),
            Own::Exr(layers) if self.format.name != "OpenEXR" => layers.name(),
            Own::Hdr(_) if self.format.name != "Radiance HDR" => Some("the lines of the header"),
            _ => None,
        };
        let list = [
            (metadata.icc.is_some() && beside.icc.is_none(), "the colour profile"),
            (metadata.exif.is_some() && beside.exif.is_none(), "the EXIF data"),
            (metadata.xmp.is_some() && beside.xmp.is_none(), "the XMP data"),
            (metadata.iptc.is_some() && beside.iptc.is_none(), "the IPTC data"),
            (density, "the resolution"),
        ];
        let lost = list.into_iter().filter(|item| item.0).map(|item| item.1);
        in_words(&lost.chain(own).collect::<Vec<_>>())
    }

    /// Whether the format can have pictures of this size (width, height). Fails when it cannot.
    pub(super) fn check_size(self, path: &Path, size: [usize; 2]) -> Result<()> {
        let Format { name, side: most, .. } = self.format;
        if size.iter().all(|side| side <= most) {
            return Ok(());
        }
        Err(Error::file(path, format!("a {name} file holds at most {most} pixels a side: choose another format, such as PNG")))
    }

    pub(super) fn failed(self, path: &Path, what: &str) -> Error {
        Error::file(path, format!("cannot be written as {} ({what}): choose another format, such as PNG", self.format.name))
    }
}

/// Whether colours, the alpha channel and bits of samples are lost from one type to another.
fn lost(from: Color, to: Color) -> [bool; 3] {
    [to.grey && !from.grey, from.alpha && !to.alpha, !to.depth.holds(from.depth)]
}

/// Extensions of formats that hold a picture whole.
pub(super) fn that_hold(color: Color) -> String {
    let whole = FORMATS.iter().filter(|format| !lost(color, format.nearest(color)).contains(&true));
    whole.map(|format| format.extensions[0]).take(3).collect::<Vec<_>>().join(", ")
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
    let Some(extension) = extension(path) else {
        return Err(Error::format(path, format!("has no extension: end its name in one of {}", picture_extensions())));
    };
    by_extension(&extension).ok_or_else(|| {
        Error::format(path, format!("cannot write .{extension} files: end its name in one of {}", picture_extensions()))
    })
}

/// Whether the extensions of two names are of one format that is written.
pub fn same_format(a: &Path, b: &Path) -> bool {
    matches!((format_of(a), format_of(b)), (Ok(a), Ok(b)) if a.extensions == b.extensions)
}

/// Whether files with this extension are written.
pub fn writes(path: &Path) -> bool {
    format_of(path).is_ok()
}

/// The extension that files of such content have, if such files are written.
pub fn extension_of_bytes(bytes: &[u8]) -> Option<&'static str> {
    let extension = match image::guess_format(bytes) {
        Ok(ImageFormat::Pnm) if bytes.starts_with(b"P7") => "pam",
        Ok(ImageFormat::Pnm) => "pnm",
        Ok(format) => format.extensions_str().first()?,
        Err(_) if ifd::is_tiff(bytes) => "tif",
        Err(_) if matches!(bytes, [b'P', b'F' | b'f', ..]) => "pfm",
        Err(_) if bytes.starts_with(MAGIC) => "npy",
        Err(_) => return None,
    };
    by_extension(extension).map(|_| extension)
}

/// The extensions of files that are read and written, for people: `png, jpg, jpeg, ...`.
pub fn picture_extensions() -> String {
    FORMATS.iter().flat_map(|f| f.extensions).copied().collect::<Vec<_>>().join(", ")
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
