//! Line charts as SVG text, in colours that the style sheet defines. Margins follow from the longest labels, by an estimate of
//! their width: text in an SVG cannot be measured before it is drawn.

use std::fmt::Write;
use std::ops::Range;

/// A curve of a chart.
pub(super) struct Line {
    /// (step, value), steps ascending.
    pub(super) points: Vec<(f64, f64)>,
    /// Custom property of the style sheet that holds its colour.
    pub(super) colour: &'static str,
    /// For the legend.
    pub(super) label: String,
    /// Pixels.
    pub(super) width: u32,
    pub(super) dashed: bool,
}

/// The range of an axis, and its ticks with their labels.
pub(super) struct Axis {
    pub(super) range: Range<f64>,
    pub(super) ticks: Vec<(f64, String)>,
}

/// Size of all text, pixels.
const FONT: f64 = 13.0;
/// Between the end of an axis and its labels.
const GAP: f64 = 8.0;
/// Right of the last point, and above the highest value: half of a thick line and its dot.
const EDGE: f64 = 10.0;

/// About how wide a label is: no digit of a common sans-serif font is wider than 0.64 of its size.
fn text_width(text: &str) -> f64 {
    let em = |c| match c {
        'M' => 0.9,
        '.' | ' ' => 0.35,
        _ => 0.65,
    };
    FONT * text.chars().map(em).sum::<f64>()
}

fn widest(ticks: &[(f64, String)]) -> f64 {
    ticks.iter().map(|(_, label)| text_width(label)).fold(0.0, f64::max)
}

/// Where `value` lies between two pixels.
fn place(value: f64, range: &Range<f64>, pixels: Range<f64>) -> f64 {
    pixels.start + (value - range.start) / (range.end - range.start) * (pixels.end - pixels.start)
}

/// An SVG element of `width` by `height` pixels with `lines` over what `across` names, which begins at 0. The names of `class`,
/// `title` and `across` are ours: nothing in them is escaped.
pub(super) fn chart(class: &str, [title, across]: [&str; 2], [width, height]: [f64; 2], lines: &[Line], y: &Axis) -> String {
    let end = lines.iter().flat_map(|line| &line.points).map(|p| p.0).fold(1.0, f64::max);
    let x = step_axis(end, width);
    let left = widest(&y.ticks) + GAP + 2.0;
    let right = width - EDGE.max(widest(&x.ticks) / 2.0 + 2.0);
    let (top, bottom) = (EDGE, height - 2.0 * FONT - 2.0 * GAP);
    let to_x = |step: f64| place(step, &x.range, left..right);
    let to_y = |value: f64| place(value, &y.range, bottom..top);

    let mut svg = format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\" font-size=\"{FONT}\" \
         fill=\"var(--ink)\">\n"
    );
    let mut element = |text: std::fmt::Arguments| writeln!(svg, "{text}").expect("a string takes all that is written to it");
    for (value, label) in &y.ticks {
        let (at, edge) = (to_y(*value), left - GAP);
        element(format_args!(
            "<path d=\"M{left:.1} {at:.1}H{right:.1}\" stroke=\"var(--grid)\"/>\
             <text x=\"{edge:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            at + 0.35 * FONT
        ));
    }
    element(format_args!("<path d=\"M{left:.1} {bottom:.1}H{right:.1}\" stroke=\"var(--muted)\"/>"));
    for (step, label) in &x.ticks {
        let (at, base) = (to_x(*step), bottom + GAP + FONT);
        element(format_args!(
            "<path d=\"M{at:.1} {bottom:.1}v4\" stroke=\"var(--muted)\"/>\
             <text x=\"{at:.1}\" y=\"{base:.1}\" text-anchor=\"middle\">{label}</text>"
        ));
    }
    let (middle, base) = ((left + right) / 2.0, height - 5.0);
    element(format_args!("<text x=\"{middle:.1}\" y=\"{base:.1}\" text-anchor=\"middle\">{across}</text>"));
    for Line { points, colour, width, dashed, .. } in lines {
        let pixels: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", to_x(p.0), to_y(p.1))).collect();
        let dashes = if *dashed { " stroke-dasharray=\"6 5\"" } else { "" };
        element(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"var({colour})\" stroke-width=\"{width}\"{dashes}/>",
            pixels.join(" ")
        ));
        if let Some(last) = points.last().filter(|_| !dashed) {
            let (x, y, radius) = (to_x(last.0), to_y(last.1), 3 + width / 2);
            element(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"var({colour})\"/>"));
        }
    }
    svg + "</svg>\n"
}

/// Steps from 0 to `end`, with a label every 60 pixels or more, at whole steps.
fn step_axis(end: f64, width: f64) -> Axis {
    let whole = ticks(0.0, end, (width / 60.0).floor()).into_iter().filter(|step| step.fract() == 0.0);
    Axis { range: 0.0..end, ticks: whole.map(|step| (step, steps(step))).collect() }
}

/// The range of the values and a little more, `least` at least on either side.
pub(super) fn padded(values: impl Iterator<Item = f64> + Clone, least: f64) -> (f64, f64) {
    let (lo, hi) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
    let pad = (0.05 * (hi - lo)).max(least);
    (lo - pad, hi + pad)
}

/// About `n` round numbers from `lo` to `hi`.
pub(super) fn ticks(lo: f64, hi: f64, n: f64) -> Vec<f64> {
    let rough = (hi - lo) / n;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].map(|m| m * magnitude).into_iter().find(|s| *s >= rough).unwrap_or(10.0 * magnitude);
    ((lo / step).ceil() as i64..=(hi / step).floor() as i64).map(|i| i as f64 * step).collect()
}

/// Four significant digits: 0.0105, 24.25, 1e-7.
pub(super) fn short(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    if rounded == 0.0 || (1e-4..1e5).contains(&rounded.abs()) { rounded.to_string() } else { format!("{rounded:e}") }
}

fn steps(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", short(v / 1e6)),
        v if v >= 1e3 => format!("{}k", short(v / 1e3)),
        v => short(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!([short(0.0), short(-2.5), short(1e-7), short(1e20)], ["0", "-2.5", "1e-7", "1e20"]);
        assert_eq!(ticks(0.0, 20_000.0, 4.0), [0.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0]);
        assert_eq!(ticks(19.3, 24.9, 5.0), [20.0, 22.0, 24.0]);
        assert_eq!([steps(500.0), steps(1500.0), steps(2e6), short(0.010_51)], ["500", "1.5k", "2M", "0.01051"]);
    }
}
