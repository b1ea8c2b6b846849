//! Line charts as SVG, in colours that a style sheet defines.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

/// A curve of a chart: points (step, value), and the custom property of the style sheet that holds its colour.
pub(super) struct Line {
    pub(super) points: Vec<(f64, f64)>,
    pub(super) colour: &'static str,
    pub(super) label: String,
    pub(super) width: u32,
    pub(super) dashed: bool,
}

/// An axis with marks and labels of our choice.
#[derive(Clone)]
pub(super) struct Axis {
    pub(super) range: Range<f64>,
    pub(super) ticks: Vec<f64>,
    pub(super) label: fn(f64) -> String,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let part = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        (self.label)(*value)
    }
}

/// Plotters rounds to whole units: this many to a pixel keep curves smooth.
const UNITS: u32 = 4;

/// An SVG of `width` by `height` pixels, with steps along the bottom.
pub(super) fn chart((width, height): (u32, u32), lines: &[Line], y: &Axis) -> Result<String, Box<dyn std::error::Error>> {
    // Plotters knows no CSS: it gets placeholders, which become custom properties below.
    let properties: Vec<&str> = ["--ink", "--grid"].into_iter().chain(lines.iter().map(|l| l.colour)).collect();
    let placeholder = |i: usize| RGBColor(0xAB, 0xCD, i as u8);
    let (ink, grid) = (placeholder(0), placeholder(1));
    let end = lines.iter().flat_map(|line| &line.points).map(|p| p.0).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width * UNITS, height * UNITS)).into_drawing_area();
        let x = Axis { range: 0.0..end, ticks: ticks(0.0, end, f64::from(width / 90)), label: steps };
        let mut chart = ChartBuilder::on(&root)
            .margin_top(8 * UNITS)
            .margin_right(16 * UNITS)
            .set_label_area_size(LabelAreaPosition::Left, 54 * UNITS)
            .set_label_area_size(LabelAreaPosition::Bottom, 44 * UNITS)
            .build_cartesian_2d(x, y.clone())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(grid.stroke_width(UNITS))
            .axis_style(grid.stroke_width(UNITS))
            .label_style(("sans-serif", 17 * UNITS).into_font().color(&ink))
            .x_desc("step")
            .set_all_tick_mark_size(4 * UNITS)
            .draw()?;
        for (i, line) in lines.iter().enumerate() {
            let style = placeholder(2 + i).stroke_width(line.width * UNITS);
            let points = line.points.iter().copied();
            if line.dashed {
                chart.draw_series(DashedLineSeries::new(points, 6 * UNITS, 5 * UNITS, style))?;
            } else {
                chart.draw_series(LineSeries::new(points.clone(), style))?;
                chart.draw_series(points.last().map(|p| Circle::new(p, (3 + line.width / 2) * UNITS, style.filled())))?;
            }
        }
        root.present()?;
    }
    for (i, property) in properties.iter().enumerate() {
        let RGBColor(r, g, b) = placeholder(i);
        svg = svg.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"var({property})\""));
    }
    Ok(svg.replacen(&format!("width=\"{}\" height=\"{}\" ", width * UNITS, height * UNITS), "", 1))
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

/// Four digits that matter: 0.0105, 24.25, 1e-7.
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
