//! The bytes of picture files. Encoders get samples in bands of whole rows, from the top down, and those that can work row by row
//! do, so that a large picture is never there a second time.

use std::borrow::Cow;
use std::io::Cursor;
use std::ops::Range;

use image::codecs::hdr::HdrEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};
use image_webp::{ColorType, WebPEncoder};

use super::metadata::{Density, Own, Unit};
use super::samples::{Color, Depth};

/// Some whole rows: `(H, W, C)` samples in the byte order of the machine.
pub(super) type Band<'s> = Cow<'s, [u8]>;

/// What went wrong, for a sentence around it.
pub(super) type Failure = Box<dyn std::error::Error>;

/// What is wrong where bands end too early: a mistake of ours.
pub(super) const MISSING: &str = "rows are missing";

/// What an encoder writes beside the pixels: what of a picture's metadata its format holds.
pub(super) struct Beside<'s> {
    pub(super) icc: Option<&'s [u8]>,
    pub(super) exif: Option<&'s [u8]>,
    pub(super) xmp: Option<&'s [u8]>,
    pub(super) iptc: Option<&'s [u8]>,
    pub(super) density: Option<Density>,
    pub(super) own: &'s Own,
}

/// A picture as an encoder gets it.
pub(super) struct Raw<'s> {
    pub(super) color: Color,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) metadata: Beside<'s>,
    pub(super) bands: Box<dyn Iterator<Item = Band<'s>> + 's>,
}

impl Raw<'_> {
    /// Bytes of all samples.
    pub(super) fn len(&self) -> usize {
        self.width as usize * self.height as usize * self.color.bytes()
    }

    /// All samples at once.
    pub(super) fn samples(&mut self) -> Result<Vec<u8>, Failure> {
        let mut samples = self.bands.next().unwrap_or_default().into_owned();
        self.bands.by_ref().for_each(|band| samples.extend_from_slice(&band));
        if samples.len() == self.len() { Ok(samples) } else { Err(MISSING.into()) }
    }

    /// The same with bytes in the order of the file formats that put the high one first.
    pub(super) fn into_big_endian(mut self) -> Self {
        let bytes = self.color.depth.bytes();
        if bytes > 1 && cfg!(target_endian = "little") {
            self.bands = Box::new(self.bands.map(move |mut band| {
                band.to_mut().chunks_exact_mut(bytes).for_each(<[u8]>::reverse);
                band
            }));
        }
        self
    }
}

pub(super) fn webp(mut raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    let mut encoder = WebPEncoder::new(&mut file);
    let owned = |data: Option<&[u8]>| data.unwrap_or_default().to_vec();
    encoder.set_icc_profile(owned(raw.metadata.icc));
    encoder.set_exif_metadata(owned(raw.metadata.exif));
    encoder.set_xmp_metadata(owned(raw.metadata.xmp));
    let color = if raw.color.alpha { ColorType::Rgba8 } else { ColorType::Rgb8 };
    encoder.encode(&raw.samples()?, raw.width, raw.height, color)?;
    Ok(file)
}

/// Where a BMP file says how many pixels a metre has, from left to right and from top to bottom.
pub(super) const BMP_DENSITY: Range<usize> = 38..46;

/// By the `image` crate's encoder, which keeps no metadata.
pub(super) fn by_image(raw: &mut Raw, format: ImageFormat) -> Result<Vec<u8>, Failure> {
    let Color { grey, alpha, depth } = raw.color;
    let color = match (grey, alpha, depth) {
        (true, false, Depth::Eight) => ExtendedColorType::L8,
        (true, true, Depth::Eight) => ExtendedColorType::La8,
        (false, false, Depth::Eight) => ExtendedColorType::Rgb8,
        (false, true, Depth::Eight) => ExtendedColorType::Rgba8,
        (true, false, Depth::Sixteen) => ExtendedColorType::L16,
        (true, true, Depth::Sixteen) => ExtendedColorType::La16,
        (false, false, Depth::Sixteen) => ExtendedColorType::Rgb16,
        (false, true, Depth::Sixteen) => ExtendedColorType::Rgba16,
        (false, false, Depth::Float) => ExtendedColorType::Rgb32F,
        (false, true, Depth::Float) => ExtendedColorType::Rgba32F,
        _ => return Err("the encoder has no such samples".into()),
    };
    let mut file = Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut file, &raw.samples()?, raw.width, raw.height, color, format)?;
    Ok(file.into_inner())
}

pub(super) fn bmp(mut raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = by_image(&mut raw, ImageFormat::Bmp)?;
    if let Some(density) = raw.metadata.density.filter(|density| density.unit != Unit::Shape) {
        let Density { x, y, .. } = density.per(Unit::Metre);
        file[BMP_DENSITY].copy_from_slice(&[x, y].map(|v| (v.round() as i32).to_le_bytes()).concat());
    }
    Ok(file)
}

/// Radiance HDR, with the lines of the header that the picture came with in place of the encoder's remark.
pub(super) fn hdr(mut raw: Raw) -> Result<Vec<u8>, Failure> {
    const SIGNATURE: &[u8] = b"#?RADIANCE\n";
    let mut file = Vec::new();
    let mut samples = raw.samples()?;
    // The format has no values below zero.
    bytemuck::cast_slice_mut::<u8, [u8; 4]>(&mut samples)
        .iter_mut()
        .for_each(|v| *v = f32::from_ne_bytes(*v).max(0.0).to_ne_bytes());
    HdrEncoder::new(&mut file).write_image(&samples, raw.width, raw.height, ExtendedColorType::Rgb32F)?;
    let remark = file[SIGNATURE.len()..].iter().position(|byte| *byte == b'\n').unwrap_or_default();
    let lines = match raw.metadata.own {
        Own::Hdr(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
        _ => String::new(),
    };
    file.splice(SIGNATURE.len()..=SIGNATURE.len() + remark, lines.into_bytes());
    Ok(file)
}

/// P5 or P6, by hand: the `image` crate writes 16 bit samples only as PAM.
pub(super) fn pnm(raw: Raw) -> Result<Vec<u8>, Failure> {
    let kind = if raw.color.grey { "P5" } else { "P6" };
    let header = format!("{kind}\n{} {}\n{}\n", raw.width, raw.height, largest(&raw));
    Ok([header.as_bytes(), &raw.into_big_endian().samples()?].concat())
}

/// P7, by hand: the `image` crate does not write grey with alpha.
pub(super) fn pam(raw: Raw) -> Result<Vec<u8>, Failure> {
    let Raw { width, height, color, .. } = raw;
    let depth = color.channels();
    let kind = ["GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"][depth - 1];
    let largest = largest(&raw);
    let header = format!("P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {largest}\nTUPLTYPE {kind}\nENDHDR\n");
    Ok([header.as_bytes(), &raw.into_big_endian().samples()?].concat())
}

fn largest(raw: &Raw) -> u16 {
    if raw.color.depth == Depth::Sixteen { u16::MAX } else { u8::MAX.into() }
}

/// P4: one bit per pixel, 1 where it is darker than the middle; rows begin at whole bytes.
pub(super) fn pbm(mut raw: Raw) -> Result<Vec<u8>, Failure> {
    let mut file = format!("P4\n{} {}\n", raw.width, raw.height).into_bytes();
    for row in raw.samples()?.chunks(raw.width as usize) {
        let byte = |pixels: &[u8]| pixels.iter().zip(0..).fold(0, |byte, (&v, i)| byte | u8::from(v < 128) << (7 - i));
        file.extend(row.chunks(8).map(byte));
    }
    Ok(file)
}

/// PFM: floats from the bottom up, the low byte first, as the sign of the scale says.
pub(super) fn pfm(mut raw: Raw) -> Result<Vec<u8>, Failure> {
    let kind = if raw.color.grey { "Pf" } else { "PF" };
    let mut file = format!("{kind}\n{} {}\n-1.0\n", raw.width, raw.height).into_bytes();
    let samples = raw.samples()?;
    for row in samples.chunks_exact(raw.width as usize * raw.color.bytes()).rev() {
        file.extend(row.chunks_exact(4).flat_map(|v| f32::from_ne_bytes([v[0], v[1], v[2], v[3]]).to_le_bytes()));
    }
    Ok(file)
}
