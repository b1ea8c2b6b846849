//! The report of a training run: one HTML file that needs nothing else, for somebody who has never heard of such training. Two
//! curves, the held-out pictures before and after, and the numbers that matter.
//!
//! The curves are drawn twice, for wide and for narrow screens, and the style sheet shows one of them: text in an SVG shrinks
//! with it.

use base64::{Engine, prelude::BASE64_STANDARD};
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use serde::{Deserialize, Serialize};

use super::chart::{Axis, Line, chart, padded, short, ticks};
use crate::data::picture::Picture;
use crate::ops::Loss;

/// One line of metrics.jsonl.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Record {
    /// Optimiser steps done.
    pub step: u64,
    /// Seconds since training began.
    pub seconds: f64,
    /// Mean training loss since the record before, against the noisy target, in squared units of the `[0, 1]` range.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Norm of the gradient of all parameters.
    pub grad_norm: f64,
    /// PSNR of held-out pictures in dB, estimated from noisy pairs alone.
    pub psnr_estimated: Option<f64>,
    /// The true one, if clean pictures are known.
    pub psnr: Option<f64>,
    /// Training pictures (crops) per second.
    pub pictures_per_second: f64,
}

/// A held-out picture before and after.
#[derive(Clone, Debug)]
pub struct Strip {
    /// What to call it: the name of its file.
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
}

/// What the report says above its curves.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The heading of the page.
    pub title: String,
    /// Label and value: device, network, parameters, noise, steps, time.
    pub facts: Vec<(String, String)>,
    /// PSNR of the held-out pictures as the network gets them, in dB.
    pub psnr_noisy: Option<f64>,
    /// Whether it was trained towards clean pictures.
    pub clean_targets: bool,
    /// What was made small.
    pub loss: Loss,
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
        let (w, h) = (self.noisy.width, self.noisy.height);
        for part in &parts {
            assert!((part.width, part.height) == (w, h), "strip: {}x{} beside {w}x{h}", part.width, part.height);
        }
        let width = parts.len() * w + (parts.len() - 1) * GAP;
        let mut rgb = vec![1.0; 3 * width * h]; // (H, WIDTH, 3)
        for (i, part) in parts.iter().enumerate() {
            for y in 0..h {
                let start = 3 * (y * width + i * (w + GAP));
                rgb[start..start + 3 * w].copy_from_slice(&part.rgb[3 * y * w..3 * (y + 1) * w]);
            }
        }
        Picture { width, height: h, rgb, alpha: None, grey: false, deep: false, icc: None, exif: None }
    }
}

const FROM_NOISY_PICTURES: &str = "This network learnt to remove noise from noisy pictures alone. In training it saw two noisy \
    copies of a picture and had to predict one from the other. The noise of the second copy cannot be predicted; the best guess \
    is what both copies share: the clean picture, which the network was never shown.";
const WITH_CLEAN_TARGETS: &str = "For comparison with learning from noisy pictures alone, this network was shown a noisy copy \
    of a picture in training and had to predict the clean one.";

/// The page. Values that are not finite are left out of the curves; a page of around 1 to 3 MB has about six strips.
pub fn html(summary: &Summary, records: &[Record], strips: &[Strip]) -> String {
    let title = escape(&summary.title);
    let style = include_str!("report.css");
    let headline = headline(summary, records);
    let facts: String =
        summary.facts.iter().map(|(k, v)| format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(k), escape(v))).collect();
    let facts = if facts.is_empty() { facts } else { format!("<dl>\n{facts}</dl>\n") };
    let curves = format!("{}{}", psnr_figure(summary, records), loss_figure(summary, records));
    let curves =
        if curves.is_empty() { "<p class=\"note\">No curves yet: training has just begun.</p>\n".into() } else { curves };
    let pictures = pictures(strips);
    let explanation = if summary.clean_targets { WITH_CLEAN_TARGETS } else { FROM_NOISY_PICTURES };
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<div class="intro">
<div>
{headline}<p>{explanation}</p>
</div>
{facts}</div>
</header>
<main>
<div class="curves">
{curves}</div>
{pictures}</main>
<footer>The method is Noise2Noise, <a href="https://arxiv.org/abs/1803.04189">Lehtinen et al. 2018</a>. Written by n2n-gpu.</footer>
</body>
</html>
"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

/// From the noisy PSNR to that of the weights kept: those with the highest estimate, or the last where none was made.
fn headline(summary: &Summary, records: &[Record]) -> String {
    let estimated = |r: &&Record| finite(r.psnr_estimated).or(finite(r.psnr)).unwrap_or(f64::NEG_INFINITY);
    let measured = records.iter().filter(|r| finite(r.psnr_estimated).or(finite(r.psnr)).is_some());
    let Some(best) = measured.max_by(|a, b| estimated(a).total_cmp(&estimated(b))) else { return String::new() };
    let (estimate, truth) = (finite(best.psnr_estimated), finite(best.psnr));
    let Some(after) = truth.or(estimate) else { return String::new() };
    let (before, gain) = match finite(summary.psnr_noisy) {
        Some(noisy) if after > noisy => {
            let (gain, ratio) = (after - noisy, 10f64.powf((after - noisy) / 10.0));
            (format!("{noisy:.1} dB <i>→</i> "), format!(" That is {gain:.1} dB better, or {ratio:.1} times less squared error."))
        }
        Some(noisy) => (format!("{noisy:.1} dB <i>→</i> "), " Not better than the noisy pictures yet.".to_owned()),
        None => (String::new(), String::new()),
    };
    let source = match (truth, estimate) {
        (Some(_), Some(e)) => format!("measured against the clean pictures; estimated without them, {e:.1} dB"),
        (Some(_), None) => "measured against the clean pictures".to_owned(),
        (None, _) => "estimated without any clean picture".to_owned(),
    };
    format!(
        "<p class=\"headline\">{before}<b>{after:.1} dB</b></p>\n\
         <p class=\"note\">PSNR of pictures held out from training, {source}.{gain}</p>\n"
    )
}

fn psnr_figure(summary: &Summary, records: &[Record]) -> String {
    let points = |value: fn(&Record) -> Option<f64>| -> Vec<(f64, f64)> {
        records.iter().filter_map(|r| Some((r.step as f64, finite(value(r))?))).collect()
    };
    // The true curve is the broad one: the estimate runs on top of it.
    let line = |points, colour, label: &str, width| Line { points, colour, label: label.to_owned(), width, dashed: false };
    let mut lines =
        vec![line(points(|r| r.psnr), "--true", "true", 5), line(points(|r| r.psnr_estimated), "--estimated", "estimated", 2)];
    lines.retain(|line| !line.points.is_empty());
    if lines.is_empty() {
        return String::new();
    }
    let end = lines.iter().flat_map(|line| &line.points).map(|p| p.0).fold(0.0, f64::max);
    if let Some(noisy) = finite(summary.psnr_noisy) {
        // The first steps are far worse than the noisy pictures and would flatten all that follows: they are left out.
        for line in &mut lines {
            let last = line.points.last().map_or(0.0, |p| p.0);
            line.points.retain(|p| p.1 > noisy - 2.0 || p.0 >= last);
        }
        let points = vec![(0.0, noisy), (end, noisy)];
        let label = format!("noisy pictures: {noisy:.1} dB");
        lines.push(Line { points, colour: "--muted", label, width: 2, dashed: true });
    }
    let better = "Higher is better; 3 dB more is half the squared error.";
    let caption = if records.iter().any(|r| r.psnr_estimated.is_some()) {
        format!(
            "{better} The estimate needs no clean picture: it compares the result with a second noisy copy and subtracts the \
             noise of that copy."
        )
    } else {
        better.to_owned()
    };
    let (lo, hi) = padded(lines.iter().flat_map(|line| &line.points).map(|p| p.1), 0.5);
    let y = Axis { range: lo..hi, ticks: ticks(lo, hi, 5.0), label: short };
    figure("PSNR of held-out pictures, in dB", &caption, &lines, &y)
}

fn loss_figure(summary: &Summary, records: &[Record]) -> String {
    // Logarithms, since the loss falls fast at first; the labels undo them.
    let points = records.iter().filter(|r| r.loss.is_finite() && r.loss > 0.0).map(|r| (r.step as f64, r.loss.log10()));
    let points: Vec<_> = points.collect();
    if points.is_empty() {
        return String::new();
    }
    let (lo, hi) = padded(points.iter().map(|p| p.1), 0.02);
    let decades = lo.floor() as i32..=hi.floor() as i32;
    let mut marks: Vec<f64> = decades.flat_map(|d| [1.0, 2.0, 5.0].map(|m: f64| m.log10() + f64::from(d))).collect();
    marks.retain(|mark| (lo..=hi).contains(mark));
    if marks.len() > 8 {
        marks = ticks(lo, hi, 5.0);
    } else if marks.len() < 3 {
        marks = ticks(10f64.powf(lo), 10f64.powf(hi), 5.0).iter().map(|v| v.log10()).collect();
    }
    let loss = match summary.loss {
        Loss::L2 => "mean squared error",
        Loss::L1 => "mean absolute error",
        Loss::Outliers { .. } => "mean absolute error, less what letters add",
        Loss::L0 { .. } => "annealed L0",
    };
    let line = Line { points, colour: "--loss", label: loss.to_owned(), width: 1, dashed: false };
    let (title, caption) = match (summary.clean_targets, summary.loss) {
        (true, _) => ("Training loss, against clean targets", "Of training crops."),
        (false, Loss::L2) => (
            "Training loss, against noisy targets",
            "This is no measure of quality. The target is noisy too, and no network can predict its noise: the loss cannot fall \
             below the noise variance, however good the result.",
        ),
        (false, _) => (
            "Training loss, against noisy targets",
            "This is no measure of quality. The target is noisy too, and no network can predict its noise: the loss soon stops \
             falling, however good the result.",
        ),
    };
    let y = Axis { range: lo..hi, ticks: marks, label: |v| short(10f64.powf(v)) };
    figure(title, caption, &[line], &y)
}

fn figure(title: &str, caption: &str, lines: &[Line], y: &Axis) -> String {
    let key = |l: &Line| {
        let dashed = if l.dashed { " class=\"dashed\"" } else { "" };
        format!("<li{dashed} style=\"--key:var({})\">{}</li>", l.colour, escape(&l.label))
    };
    let keys: String = lines.iter().map(key).collect();
    let svg = |class, width, height| {
        // Nothing can fail when drawing into a string.
        let svg = chart((width, height), lines, y).expect("charts are drawn into memory");
        svg.replacen("<svg ", &format!("<svg class=\"{class}\" role=\"img\" aria-label=\"{title}\" "), 1)
    };
    let (wide, narrow) = (svg("wide", 580, 320), svg("narrow", 350, 270));
    format!("<figure>\n<h2>{title}</h2>\n<ul>{keys}</ul>\n{wide}{narrow}<figcaption>{caption}</figcaption>\n</figure>\n")
}

fn pictures(strips: &[Strip]) -> String {
    if strips.is_empty() {
        return String::new();
    }
    // Noise compresses badly: only a few small pictures can be embedded without loss.
    let bytes: usize = strips.iter().map(|s| 9 * s.noisy.width.min(MAX_SIDE) * s.noisy.height.min(MAX_SIDE)).sum();
    let quality = match bytes {
        ..1_500_000 => None,
        1_500_000..10_000_000 => Some(90),
        _ => Some(75),
    };
    let strips: String = strips.iter().enumerate().map(|(i, strip)| row(i, strip, quality)).collect();
    format!(
        "<h2>Held-out pictures</h2>\n<p class=\"note\">The middle of each, small ones enlarged. Click to enlarge further; the arrow keys then \
         step through the row.</p>\n{strips}"
    )
}

/// One strip. Radio buttons do the enlarging, and the arrow keys come with them.
fn row(i: usize, strip: &Strip, quality: Option<u8>) -> String {
    let name = escape(&strip.name);
    let db = |psnr| finite(psnr).map_or(String::new(), |v| format!(" <span>{v:.1} dB</span>"));
    let column = |label: &str, picture: &Picture, psnr| {
        let (w, h, source) = embed(picture, quality);
        let zoom = (384 / w.max(1)).max(1);
        let (w, h) = (w * zoom, h * zoom);
        format!(
            "<figure style=\"--w:{w}px;--h:{h}px\"><label><input type=\"radio\" name=\"strip{i}\">\
             <img src=\"{source}\" alt=\"{name}, {label}\"></label><figcaption><b>{label}</b>{}</figcaption></figure>\n",
            db(psnr)
        )
    };
    let clean = strip.clean.as_ref().map_or(String::new(), |clean| column("clean", clean, None));
    format!(
        "<section>\n<h3>{name}</h3>\n<div class=\"strip\">\n{}{}{clean}\
         <label class=\"close\"><input type=\"radio\" name=\"strip{i}\" aria-label=\"close\" checked></label></div>\n</section>\n",
        column("noisy", &strip.noisy, strip.psnr_noisy),
        column("denoised", &strip.denoised, strip.psnr),
    )
}

/// The most of a picture that is embedded, from its middle.
const MAX_SIDE: usize = 1024;

/// Width, height and data URL of the middle of a picture: PNG, or JPEG of some quality.
fn embed(picture: &Picture, quality: Option<u8>) -> (usize, usize, String) {
    let (w, h) = (picture.width.min(MAX_SIDE), picture.height.min(MAX_SIDE));
    let (left, top) = ((picture.width - w) / 2, (picture.height - h) / 2);
    let rgb = picture.to_rgb8();
    let row = |y| &rgb[3 * (y * picture.width + left)..][..3 * w];
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

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(title: &str) -> Summary {
        Summary {
            title: title.into(),
            facts: vec![("network".into(), "U-Net <small>".into())],
            psnr_noisy: Some(20.2),
            clean_targets: false,
            loss: Loss::L2,
        }
    }

    fn record(step: u64, loss: f64, psnr_estimated: Option<f64>) -> Record {
        let psnr = psnr_estimated.map(|v| v + 0.03);
        Record { step, seconds: 0.0, loss, lr: 1e-3, grad_norm: 0.1, psnr_estimated, psnr, pictures_per_second: 100.0 }
    }

    fn flat(width: usize, height: usize, value: u8) -> Picture {
        Picture::from_rgb8(width, height, &vec![value; 3 * width * height])
    }

    fn strip(name: &str, width: usize, clean: bool) -> Strip {
        let clean = clean.then(|| flat(width, 3, 90));
        let (noisy, denoised) = (flat(width, 3, 10), flat(width, 3, 50));
        Strip { name: name.into(), noisy, denoised, clean, psnr_noisy: Some(20.24), psnr: None }
    }

    #[test]
    fn names_cannot_break_the_page() {
        let page = html(&summary("<b>&"), &[], &[strip("\"><script>'", 4, true)]);
        assert!(!page.contains("<script") && !page.contains("<small") && !page.contains("<b>&"));
        assert!(page.contains("<h1>&lt;b&gt;&amp;</h1>") && page.contains("alt=\"&quot;&gt;&lt;script&gt;&#39;, noisy\""));
        assert!(page.contains("20.2 dB") && page.contains("U-Net &lt;small&gt;"));
    }

    #[test]
    fn nothing_to_show_is_a_page_too() {
        let page = html(
            &Summary { title: String::new(), facts: vec![], psnr_noisy: None, clean_targets: true, loss: Loss::L2 },
            &[],
            &[],
        );
        assert!(page.contains("No curves yet") && page.ends_with("</html>\n"));
        assert!(["<svg", "<img", "<dl", "headline\""].iter().all(|tag| !page.contains(tag)));
        html(&summary(""), &[], &[strip("empty", 0, false)]);
    }

    #[test]
    fn broken_values_are_left_out() {
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0];
        for count in 0..3 {
            let mut records: Vec<Record> = (0..count).map(|i| record(i, 0.02, Some(25.0))).collect();
            records.extend(bad.iter().map(|&v| record(9, v, Some(1.0 / v.min(0.0)))));
            let page = html(&summary(""), &records, &[]);
            assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
            assert_eq!(page.matches("<svg").count(), if count == 0 { 2 } else { 4 });
        }
    }

    #[test]
    fn the_headline_is_the_best_estimate() {
        let records = [record(1, 0.1, Some(22.0)), record(2, 0.1, Some(29.1)), record(3, 0.1, Some(28.0)), record(4, 0.1, None)];
        let page = html(&summary(""), &records, &[]);
        assert!(page.contains("20.2 dB <i>→</i> <b>29.1 dB</b>"));
        assert!(!page.contains("#AB"), "a colour is left to plotters");
        assert!(html(&summary(""), &[record(1, 0.1, Some(15.0))], &[]).contains("Not better"));
    }

    #[test]
    fn a_strip_has_a_white_gap_between_its_pictures() {
        for (clean, width) in [(false, 2 * 4 + GAP), (true, 3 * 4 + 2 * GAP)] {
            let picture = strip("a", 4, clean).picture();
            assert_eq!((picture.width, picture.height), (width, 3));
            let row = &picture.to_rgb8()[3 * width..];
            let values = [0, 3, 4, 11, 12, 15].map(|x| row[3 * x]);
            assert_eq!(values, [10, 10, 255, 255, 50, 50]);
            assert!(!clean || row[3 * (width - 4)] == 90);
        }
    }

    #[test]
    fn a_picture_is_embedded_from_its_middle() {
        let (w, h, png) = embed(&flat(2000, 2, 7), None);
        assert_eq!((w, h), (1024, 2));
        let bytes = BASE64_STANDARD.decode(png.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        assert_eq!(image::load_from_memory(&bytes).unwrap().to_rgb8().into_raw(), vec![7; 3 * 1024 * 2]);
        assert!(embed(&flat(2, 2, 7), Some(90)).2.starts_with("data:image/jpeg;base64,"));
    }
}
