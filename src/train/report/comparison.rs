//! A page with the curves of several runs in the same charts.

use std::fmt::Write;

use super::chart::{Axis, Line, padded, short, ticks};
use super::curves::{figure, log_axis};
use super::{Record, escape, finite};

/// Colours of runs, on white and on black; further runs have the same ones with dashed lines.
const COLOURS: [(&str, &str, &str); 8] = [
    ("--run-0", "#0b6bcb", "#62aefc"),
    ("--run-1", "#e07a1f", "#f5a352"),
    ("--run-2", "#2a8f4d", "#5fcf86"),
    ("--run-3", "#b3309b", "#ea7fd8"),
    ("--run-4", "#7a5af0", "#ab97ff"),
    ("--run-5", "#a8201a", "#ff8078"),
    ("--run-6", "#00838f", "#4fd3df"),
    ("--run-7", "#6b6f00", "#cfd34a"),
];

/// The page: PSNR and loss over steps of runs with names, and a table of them, whose first row has the headings.
pub fn comparison(runs: &[(String, &[Record])], table: &[Vec<String>]) -> String {
    let lines = |point: fn(&Record) -> Option<f64>| -> Vec<Line> {
        let line = |(number, (name, records)): (usize, &(String, &[Record]))| Line {
            points: records.iter().filter_map(|r| Some((r.step as f64, finite(point(r))?))).collect(),
            colour: COLOURS[number % COLOURS.len()].0,
            label: name.clone(),
            width: 2,
            dashed: number >= COLOURS.len(),
        };
        runs.iter().enumerate().map(line).filter(|line| !line.points.is_empty()).collect()
    };
    let (psnr, loss) =
        (lines(|r| r.psnr_estimated.or(r.psnr)), lines(|r| Some(r.loss).filter(|loss| *loss > 0.0).map(f64::log10)));
    let curves = psnr_figure(&psnr) + &loss_figure(&loss);
    format!(
        include_str!("page.html"),
        title = format_args!("{} side by side", super::counted(runs.len() as u64, "run")),
        style = format_args!("{}{}", include_str!("report.css"), style()),
        headline = "",
        explanation = "PSNR of pictures held out from training, and the loss on the way. Compare runs that were validated with the same \
                       pictures and the same noise.",
        facts = "",
        curves = curves,
        pictures = table_of(table)
    )
}

fn psnr_figure(lines: &[Line]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let (lo, hi) = padded(lines.iter().flat_map(|line| &line.points).map(|p| p.1), 0.5);
    let y = Axis { range: lo..hi, ticks: ticks(lo, hi, 7.0).into_iter().map(|v| (v, short(v))).collect() };
    let caption = "Estimated where it can be, else true. Higher is better; 3 dB more is half the squared error.";
    figure("PSNR of held-out pictures, in dB", caption, "step", lines, &y)
}

fn loss_figure(lines: &[Line]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let (lo, hi) = padded(lines.iter().flat_map(|line| &line.points).map(|p| p.1), 0.02);
    let caption = "This does not measure quality: with noisy targets it cannot fall below what their noise makes of it.";
    figure("Training loss, logarithmic", caption, "step", lines, &log_axis(lo, hi))
}

fn style() -> String {
    let colours = |dark: bool| {
        let one = |(name, light, night): &(&str, &str, &str)| format!("{name}: {};", if dark { night } else { light });
        COLOURS.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    format!(
        ":root {{ {} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {} }} }}\n\
         .runs {{ overflow-x: auto; }}\n.runs table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}\n\
         .runs th, .runs td {{ padding: 4px 14px 4px 0; border-bottom: 1px solid var(--grid); text-align: left; }}\n",
        colours(false),
        colours(true)
    )
}

fn table_of(rows: &[Vec<String>]) -> String {
    let mut html = String::from("<div class=\"runs\"><table>\n");
    for (number, row) in rows.iter().enumerate() {
        let tag = if number == 0 { "th" } else { "td" };
        let cells: String = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        writeln!(html, "<tr>{cells}</tr>").expect("a string takes all that is written to it");
    }
    html + "</table></div>\n"
}
