//! The held-out pictures of a report: noisy, denoised and clean side by side, as PNG files and embedded in the page.

use base64::{Engine, prelude::BASE64_STANDARD};
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::{escape, finite, residual};
use crate::data::picture::Picture;

/// A held-out picture before and after.
#[derive(Clone, Debug)]
pub struct Strip {
    /// The name of its file.
    pub name: String,
    /// What the network was given.
    pub noisy: Picture,
    /// What it made of it.
    pub denoised: Picture,
    /// What it should have been, if known.
    pub clean: Option<Picture>,
    /// PSNR of `noisy` in dB, if known.
    pub psnr_noisy: Option<f64>,
    /// PSNR of `denoised` in dB, if known.
    pub psnr: Option<f64>,
    /// What the network made of it before.
    pub earlier: Vec<Frame>,
}

/// What a network made of a picture on the way.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Steps done.
    pub step: u64,
    /// The result.
    pub denoised: Picture,
    /// Its PSNR in dB, if known.
    pub psnr: Option<f64>,
}

/// Pixels between the pictures of a strip.
const GAP: usize = 8;

impl Strip {
    /// Noisy, denoised and clean side by side on white, 8 pixels apart.
    ///
    /// # Panics
    /// When the pictures differ in size.
    pub fn picture(&self) -> Picture {
        let parts: Vec<&Picture> = [&self.noisy, &self.denoised].into_iter().chain(&self.clean).collect();
        let [w, h] = self.noisy.header().size();
        let width = parts.len() * w + (parts.len() - 1) * GAP;
        let mut rgb = vec![u8::MAX; 3 * width * h]; // (H, WIDTH, 3)
        for (i, part) in parts.iter().enumerate() {
            let size = part.header().size();
            assert!(size == [w, h], "strip: {size:?} beside {w}x{h}");
            for (y, row) in part.to_rgb8().chunks_exact(3 * w).enumerate() {
                rgb[3 * (y * width + i * (w + GAP))..][..3 * w].copy_from_slice(row);
            }
        }
        Picture::from_rgb8(width, h, &rgb)
    }
}

/// The section of the page with all strips, which may be of pictures that were `trained_on`.
pub(super) fn section(strips: &[Strip], trained_on: bool) -> String {
    if strips.is_empty() {
        return String::new();
    }
    // Noise compresses badly: only a few small pictures can be embedded without loss.
    let bytes: usize = strips.iter().map(|s| 12 * s.noisy.width().min(MAX_SIDE) * s.noisy.height().min(MAX_SIDE)).sum();
    let quality = match bytes {
        ..1_500_000 => None,
        1_500_000..10_000_000 => Some(90),
        _ => Some(75),
    };
    let each = if strips.len() == 1 { "" } else { " of each" };
    let (heading, of) = match (trained_on, strips.len()) {
        (false, 1) => ("Held-out picture", ""),
        (false, _) => ("Held-out pictures", ""),
        (true, 1) => ("Picture before and after", ", which was trained on as well"),
        (true, _) => ("Pictures before and after", ", which were trained on as well"),
    };
    let film = film(&strips[0]);
    let strips: String = strips.iter().enumerate().map(|(i, strip)| row(i, strip, quality)).collect();
    format!(
        "<h2>{heading}</h2>\n<p class=\"note\">The middle{each}{of}, enlarged where it is small, denoised with the weights at the end of \
         training. Click to enlarge further; the arrow keys then step through the row.</p>\n{strips}{film}"
    )
}

/// The middle of a picture as it was on the way, and is now.
fn film(strip: &Strip) -> String {
    let Strip { name, denoised, psnr, earlier, .. } = strip;
    if earlier.is_empty() {
        return String::new();
    }
    let frame = |when: &str, picture: &Picture, psnr: Option<f64>| {
        let (w, h, source) = embed(picture, None, FRAME_SIDE);
        let db = finite(psnr).map_or(String::new(), |v| format!(" <span>{v:.1} dB</span>"));
        let alt = format!("{}, {when}", escape(name));
        format!(
            "<figure><img src=\"{source}\" width=\"{w}\" height=\"{h}\" alt=\"{alt}\"><figcaption><b>{when}</b>{db}</figcaption></figure>\n"
        )
    };
    let frames: String = earlier.iter().map(|f| frame(&format!("after step {}", f.step), &f.denoised, f.psnr)).collect();
    let now = frame("now", denoised, *psnr);
    format!("<section>\n<h3>{} on the way</h3>\n<div class=\"film\">\n{frames}{now}</div>\n</section>\n", escape(name))
}

/// One strip. Radio buttons do the enlarging, and the arrow keys come with them.
fn row(i: usize, strip: &Strip, quality: Option<u8>) -> String {
    let name = escape(&strip.name);
    let db = |psnr| finite(psnr).map_or(String::new(), |v| format!("{v:.1} dB"));
    let column = |label: &str, picture: &Picture, note: String| {
        let note = if note.is_empty() { note } else { format!(" <span>{note}</span>") };
        let (w, h, source) = embed(picture, quality, MAX_SIDE);
        let zoom = (384 / w.max(1)).max(1);
        let (w, h) = (w * zoom, h * zoom);
        format!(
            "<figure style=\"--w:{w}px;--h:{h}px\"><label><input type=\"radio\" name=\"strip{i}\">\
             <img src=\"{source}\" alt=\"{name}, {label}\"></label><figcaption><b>{label}</b>{note}</figcaption></figure>\n"
        )
    };
    let clean = strip.clean.as_ref().map_or(String::new(), |clean| column("clean", clean, String::new()));
    let (taken, gain) = residual::picture(strip);
    let taken = column("taken away", &taken, format!("times {gain}"));
    format!(
        "<section>\n<h3>{name}</h3>\n<div class=\"strip\">\n{}{}{clean}{taken}\
         <label class=\"close\"><input type=\"radio\" name=\"strip{i}\" aria-label=\"close\" checked></label></div>\n</section>\n",
        column("noisy", &strip.noisy, db(strip.psnr_noisy)),
        column("denoised", &strip.denoised, db(strip.psnr)),
    )
}

/// The most of a picture that is embedded, from its middle.
const MAX_SIDE: usize = 1024;
/// The same of one on the way.
const FRAME_SIDE: usize = 128;

/// Width, height and data URL of the middle of a picture, at most so many pixels a side: PNG, or JPEG of some quality.
pub(super) fn embed(picture: &Picture, quality: Option<u8>, most: usize) -> (usize, usize, String) {
    let [width, height] = picture.header().size();
    let (w, h) = (width.min(most), height.min(most));
    let (left, top) = ((width - w) / 2, (height - h) / 2);
    let rgb = picture.to_rgb8();
    let row = |y| &rgb[3 * (y * width + left)..][..3 * w];
    let rgb: Vec<u8> = (top..top + h).flat_map(row).copied().collect();
    let mut file = Vec::new();
    let (kind, result) = match quality {
        None => ("png", PngEncoder::new(&mut file).write_image(&rgb, w as u32, h as u32, ExtendedColorType::Rgb8)),
        Some(q) => {
            let encoder = JpegEncoder::new_with_quality(&mut file, q);
            ("jpeg", encoder.write_image(&rgb, w as u32, h as u32, ExtendedColorType::Rgb8))
        }
    };
    // An encoder writing into memory refuses nothing but a picture without pixels, and there is nothing to show of that.
    result.map_or((w, h, "data:,".into()), |()| (w, h, format!("data:image/{kind};base64,{}", BASE64_STANDARD.encode(file))))
}
