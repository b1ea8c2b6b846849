//! Kinds of files that look like pictures and are not read, told by content and name: each with a sentence that says how to
//! convert it. Raw files are among them, most of which are TIFF files of a thumbnail on the outside.

use std::io::{Read, Seek};

use super::ifd::{self, Entry};

/// What raw files of cameras are called. Names of other files that are read do not count: the content decides.
pub(super) const RAW_EXTENSIONS: &[&str] = &[
    "3fr", "ari", "arw", "bay", "cap", "cr2", "cr3", "crw", "dcr", "dcs", "dng", "drf", "eip", "erf", "fff", "gpr", "iiq", "k25",
    "kdc", "mef", "mdc", "mos", "mrw", "nef", "nrw", "orf", "pef", "ptx", "pxn", "r3d", "raf", "raw", "rw2", "rwl", "rwz", "sr2",
    "srf", "srw", "x3f",
];

/// How raw files begin that are no TIFF files, or say it themselves; `.` stands for any byte.
const RAW_STARTS: &[&[u8]] = &[
    b"FUJIFILMCCD-RAW",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"\0MRM",
    b"FOVb",
    b"II*\0....CR",
    b"II\x1a\0\0\0HEAPCCDR",
    b"....ftypcrx ",
];

/// Other kinds: how they begin, their name, and what makes a PNG of them.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (b"GIF8", "a GIF file", "magick NAME.gif NAME.png"),
    (b"....ftyphe", "a HEIC picture", "heif-convert NAME.heic NAME.png"),
    (b"....ftypmif1", "a HEIF picture", "heif-convert NAME.heif NAME.png"),
    (b"....ftypmsf1", "a HEIF picture", "heif-convert NAME.heif NAME.png"),
    (b"....ftypavi", "an AVIF picture", "magick NAME.avif NAME.png"),
    (b"....ftyp", "a film", "ffmpeg -i NAME.mp4 frame-%06d.png"),
    (b"\xFF\x0A", "a JPEG XL picture", "djxl NAME.jxl NAME.png"),
    (b"\0\0\0\x0CJXL ", "a JPEG XL picture", "djxl NAME.jxl NAME.png"),
    (b"\0\0\0\x0CjP  ", "a JPEG 2000 picture", "magick NAME.jp2 NAME.png"),
    (b"\xFF\x4F\xFF\x51", "a JPEG 2000 picture", "magick NAME.j2k NAME.png"),
    (b"8BPS", "a Photoshop document", "magick 'NAME.psd[0]' NAME.png"),
    (b"%PDF", "a PDF document", "pdftoppm -png NAME.pdf NAME"),
    (b"gimp xcf", "a GIMP document", "magick NAME.xcf -flatten NAME.png"),
    (b"DDS ", "a DDS texture", "magick NAME.dds NAME.png"),
    (b"qoif", "a QOI picture", "magick NAME.qoi NAME.png"),
    (b"farbfeld", "a farbfeld picture", "magick NAME.ff NAME.png"),
    (b"SIMPLE  =", "a FITS file", "magick NAME.fits NAME.tif"),
];

/// What a raw file is and how to develop it, as the end of a sentence that the file name begins.
pub(super) fn raw() -> String {
    "is a raw file of a camera, which is not read: develop it to a 16 bit TIFF with darktable-cli, RawTherapee or Adobe's \
     programs, and denoise that"
        .to_owned()
}

/// What is wrong with animations.
pub(super) fn animation() -> String {
    "is an animation, which is not read: write its frames as PNG files (ffmpeg -i FILE frame-%06d.png) and denoise these"
        .to_owned()
}

/// What a file is that is not read, as the end of a sentence. `extension` is that of its name, in small letters, `start` its
/// first bytes.
pub(super) fn refused(extension: &str, start: &[u8]) -> Option<String> {
    let raw_name = RAW_EXTENSIONS.contains(&extension);
    let readable = image::guess_format(start).is_ok_and(|format| format.reading_enabled());
    let named_raw = raw_name && (!readable || ifd::is_tiff(start));
    if named_raw || RAW_STARTS.iter().any(|pattern| begins(start, pattern)) {
        return Some(raw());
    }
    let (_, name, command) = OTHERS.iter().find(|(pattern, ..)| begins(start, pattern))?;
    Some(format!("is {name}, which is not read: convert it first, as by: {command}"))
}

fn begins(start: &[u8], pattern: &[u8]) -> bool {
    start.len() >= pattern.len() && start.iter().zip(pattern).all(|(byte, wanted)| *wanted == b'.' || byte == wanted)
}

/// Whether a TIFF file is a raw file (DNG, NEF, ARW and others): by what its first directory says.
pub(super) fn is_raw_tiff(file: &mut (impl Read + Seek)) -> bool {
    /// Photometric interpretations of mosaics and of linear raw values.
    const CFA: u64 = 32_803;
    const LINEAR_RAW: u64 = 34_892;
    const WANTED: [u16; 6] = [254, 262, 330, 33_421, 33_422, 50_706];
    let Ok(layout) = ifd::TiffLayout::read(file) else { return false };
    let Ok((entries, _)) = layout.directory(file, layout.first, |tag| WANTED.contains(&tag)) else { return false };
    let first = |tag: u16| entries.iter().find(|entry| entry.tag == tag).and_then(Entry::first);
    // A thumbnail first, and the picture in a directory behind it.
    let thumbnail = first(254).is_some_and(|kind| kind & 1 == 1) && first(330).is_some();
    let mosaic = [33_421, 33_422, 50_706].iter().any(|tag| first(*tag).is_some());
    thumbnail || mosaic || first(262).is_some_and(|kind| [CFA, LINEAR_RAW].contains(&kind))
}
