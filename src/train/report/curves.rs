//! The charts of a report over steps, with their titles, legends and captions.
//!
//! Each is drawn twice, for wide and for narrow screens, and the style sheet shows one of them: text in an SVG shrinks with it.

use super::chart::{Axis, Line, chart, padded, short, ticks};
use super::{Record, Summary, escape, finite};
use crate::ops::Loss;

/// PSNR of the held-out pictures over steps; nothing where none was measured.
pub(super) fn psnr_figure(summary: &Summary, records: &[Record]) -> String {
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
        // The first steps are far worse than the noisy pictures and would flatten all that follows: they are left out, where
        // something better follows.
        for line in &mut lines {
            if line.points.last().is_some_and(|last| last.1 > noisy) {
                line.points.retain(|p| p.1 > noisy - 2.0);
            }
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
    let y = Axis { range: lo..hi, ticks: ticks(lo, hi, 7.0).into_iter().map(|v| (v, short(v))).collect() };
    figure("PSNR of held-out pictures, in dB", &caption, "step", &lines, &y)
}

/// The name of a loss, as papers have it.
fn loss_name(loss: Loss) -> &'static str {
    match loss {
        Loss::L2 => "mean squared error (L2)",
        Loss::L1 => "mean absolute error (L1)",
        Loss::Outliers { .. } => "mean absolute error (L1), less the mean error of text",
        Loss::Huber { .. } => "Huber loss",
        Loss::Charbonnier { .. } => "Charbonnier loss",
        Loss::L0 { .. } => "annealed L0",
        Loss::Hdr { .. } => "relative L2 of linear values",
    }
}

/// Training loss over steps, on a logarithmic scale; nothing where there is none yet.
pub(super) fn loss_figure(summary: &Summary, records: &[Record]) -> String {
    let points = records.iter().filter(|r| r.loss.is_finite() && r.loss > 0.0).map(|r| (r.step as f64, r.loss.log10()));
    let points: Vec<_> = points.collect();
    if points.is_empty() {
        return String::new();
    }
    let (lo, hi) = padded(points.iter().map(|p| p.1), 0.02);
    let line = Line { points, colour: "--loss", label: loss_name(summary.loss).to_owned(), width: 1, dashed: false };
    let title = match summary.clean_targets {
        true => "Training loss against clean targets, logarithmic",
        false => "Training loss against noisy targets, logarithmic",
    };
    let caption = match (summary.loss, summary.clean_targets) {
        (Loss::L0 { .. }, _) => {
            "This does not measure quality: the exponent of the loss falls from 2 to 0 during training, so its values rise."
        }
        (_, true) => "Measured on training crops.",
        (Loss::L2, false) => {
            "This does not measure quality. The target is noisy too, and no network can predict its noise: the loss cannot fall \
             below the noise variance, however good the result."
        }
        (_, false) => {
            "This does not measure quality. The target is noisy too, and no network can predict its noise: the loss soon stops \
             falling, however good the result."
        }
    };
    figure(title, caption, "step", &[line], &log_axis(lo, hi))
}

/// Learning rate over steps; nothing where it never changes.
pub(super) fn rate_figure(records: &[Record]) -> String {
    let points: Vec<_> = records.iter().filter(|r| r.lr.is_finite()).map(|r| (r.step as f64, r.lr)).collect();
    let hi = points.iter().map(|p| p.1).fold(0.0, f64::max);
    if points.iter().all(|p| p.1 == hi) {
        return String::new();
    }
    let line = Line { points, colour: "--loss", label: format!("at most {}", short(hi)), width: 1, dashed: false };
    let y = Axis { range: -0.02 * hi..1.05 * hi, ticks: ticks(0.0, hi, 5.0).into_iter().map(|v| (v, short(v))).collect() };
    figure("Learning rate", "How far each step goes, at the end in small ones.", "step", &[line], &y)
}

/// A logarithmic axis from 10^lo to 10^hi.
pub(super) fn log_axis(lo: f64, hi: f64) -> Axis {
    Axis { range: lo..hi, ticks: log_ticks(lo, hi).into_iter().map(|v| (v, short(10f64.powf(v)))).collect() }
}

/// Where to label a logarithmic axis that reaches from 10^lo to 10^hi: at 1, 2 and 5 of every power of ten, at whole powers where
/// those are too many, at any round numbers where they are too few.
fn log_ticks(lo: f64, hi: f64) -> Vec<f64> {
    let decades = lo.floor() as i32..=hi.floor() as i32;
    let mut marks: Vec<f64> = decades.flat_map(|d| [1.0, 2.0, 5.0].map(|m: f64| m.log10() + f64::from(d))).collect();
    marks.retain(|mark| (lo..=hi).contains(mark));
    match marks.len() {
        0..4 => ticks(10f64.powf(lo), 10f64.powf(hi), 7.0).iter().map(|v| v.log10()).collect(),
        4..=8 => marks,
        _ => ticks(lo, hi, 7.0).into_iter().filter(|exponent| exponent.fract() == 0.0).collect(),
    }
}

/// A chart with its legend, over what `across` names.
pub(super) fn figure(title: &str, caption: &str, across: &str, lines: &[Line], y: &Axis) -> String {
    let key = |l: &Line| {
        let dashed = if l.dashed { " class=\"dashed\"" } else { "" };
        format!("<li{dashed} style=\"--key:var({})\">{}</li>", l.colour, escape(&l.label))
    };
    let keys: String = lines.iter().map(key).collect();
    let svg = |class, size| chart(class, [title, across], size, lines, y);
    let (wide, narrow) = (svg("wide", [580.0, 320.0]), svg("narrow", [350.0, 270.0]));
    format!("<figure>\n<h2>{title}</h2>\n<ul>{keys}</ul>\n{wide}{narrow}<figcaption>{caption}</figcaption>\n</figure>\n")
}
