//! The report of a training run: one HTML file that needs nothing else, for somebody who has never heard of such training. This
//! file has the page, its headline and its explanation; `curves` the charts, drawn by `chart`; `strips` the held-out pictures;
//! `residual` what was taken away from them; `comparison` a page of several runs.

mod chart;
mod comparison;
mod curves;
mod residual;
mod strips;

use serde::{Deserialize, Serialize};

pub use comparison::comparison;
pub use strips::{Frame, Strip};

use crate::ops::Loss;

/// One line of metrics.jsonl.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Record {
    /// Optimiser steps done.
    pub step: u64,
    /// Seconds since training began.
    pub seconds: f64,
    /// Mean training loss since the record before, of values as the network gives them.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Norm of the gradient of all parameters.
    pub grad_norm: f64,
    /// PSNR of held-out pictures in dB, estimated from noisy pairs alone.
    pub psnr_estimated: Option<f64>,
    /// 95 % confidence interval, dB; nothing where so little error is left that it may be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr_estimated_interval: Option<[f64; 2]>,
    /// The true one, if clean pictures are known.
    pub psnr: Option<f64>,
    /// Training pictures (crops) per second.
    pub pictures_per_second: f64,
}

/// What the report says about the run beside its records.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Label and value: device, network, parameters, noise, steps, time.
    pub facts: Vec<(String, String)>,
    /// PSNR of the held-out pictures as the network gets them, in dB.
    pub psnr_noisy: Option<f64>,
    /// Whether it was trained towards clean pictures.
    pub clean_targets: bool,
    /// Whether it was trained on single noisy pictures.
    pub single: bool,
    /// The training loss.
    pub loss: Loss,
}

/// The page. Values that are not finite are left out of the curves; a page of around 1 to 3 MB has about six strips.
pub fn html(summary: &Summary, records: &[Record], strips: &[Strip]) -> String {
    let result = Measured::best(summary, records);
    let title = title(summary, result.as_ref());
    let headline = result.as_ref().map_or(String::new(), Measured::headline);
    let explanation = explanation(summary, result.as_ref());
    let facts: String =
        summary.facts.iter().map(|(k, v)| format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(k), escape(v))).collect();
    let facts = if facts.is_empty() { facts } else { format!("<dl>\n{facts}</dl>\n") };
    let curves = curves::psnr_figure(summary, records) + &curves::loss_figure(summary, records) + &curves::rate_figure(records);
    let curves =
        if curves.is_empty() { "<p class=\"note\">No curves yet: training has just begun.</p>\n".into() } else { curves };
    format!(
        include_str!("page.html"),
        title = title,
        style = include_str!("report.css"),
        headline = headline,
        explanation = explanation,
        facts = facts,
        curves = curves,
        // Single pictures are all trained on; those with clean ones beside them are others.
        pictures = strips::section(strips, summary.single && strips.iter().all(|strip| strip.clean.is_none()))
            + &residual::section(strips)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

/// A number of things: `1 step`, `12 steps`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// `97 s`, `10 min`, `3 h 20 min`, with spaces that no line breaks at.
pub(super) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0..3 => format!("{seconds:.0}\u{a0}s"),
        3..180 => format!("{minutes}\u{a0}min"),
        _ => format!("{}\u{a0}h {}\u{a0}min", minutes / 60, minutes % 60),
    }
}

/// PSNR of the held-out pictures with the best weights, in dB.
struct Measured {
    noisy: Option<f64>,
    estimate: Option<f64>,
    interval: Option<[f64; 2]>,
    truth: Option<f64>,
    /// The truth where it is known, else the estimate.
    denoised: f64,
}

impl Measured {
    /// At the validation with the highest estimate, or the highest truth where nothing was estimated: those weights are
    /// `best.safetensors`.
    fn best(summary: &Summary, records: &[Record]) -> Option<Self> {
        let score = |r: &Record| finite(r.psnr_estimated).or(finite(r.psnr));
        let scored = records.iter().filter_map(|r| Some((score(r)?, r)));
        let (_, best) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let (estimate, truth) = (finite(best.psnr_estimated), finite(best.psnr));
        let (noisy, interval) = (finite(summary.psnr_noisy), best.psnr_estimated_interval);
        Some(Self { noisy, estimate, interval, truth, denoised: truth.or(estimate)? })
    }

    /// Whether the results are better than the noisy pictures, by what shows in the first decimal.
    fn better(&self) -> Option<bool> {
        self.noisy.map(|noisy| self.denoised - noisy >= 0.05)
    }

    fn headline(&self) -> String {
        let (before, verdict) = match (self.noisy, self.better()) {
            (Some(noisy), Some(true)) => {
                let gain = self.denoised - noisy;
                let ratio = 10f64.powf(gain / 10.0);
                (
                    format!("{noisy:.1} dB <i>→</i> "),
                    format!(" That is {gain:.1} dB better, or {ratio:.1} times less squared error."),
                )
            }
            (Some(noisy), _) => (format!("{noisy:.1} dB <i>→</i> "), " That is not better than the noisy pictures.".to_owned()),
            (None, _) => (String::new(), String::new()),
        };
        let within = self.interval.map_or_else(String::new, |[lo, hi]| format!(" ({lo:.1} to {hi:.1} dB with 95 % confidence)"));
        let source = match (self.truth, self.estimate) {
            (Some(_), Some(e)) => format!("measured against the clean pictures; estimated without them, {e:.1} dB{within}"),
            (Some(_), None) => "measured against the clean pictures".to_owned(),
            (None, _) => format!("estimated without any clean picture{within}"),
        };
        format!(
            "<p class=\"headline\">{before}<b>{:.1} dB</b></p>\n\
             <p class=\"note\">PSNR of pictures held out from training, {source}.{verdict}</p>\n",
            self.denoised
        )
    }
}

fn title(summary: &Summary, result: Option<&Measured>) -> String {
    let targets = if summary.clean_targets { "clean" } else { "noisy" };
    match result.and_then(Measured::better) {
        Some(true) => format!("A denoiser trained on {targets} pictures"),
        Some(false) => format!("Training on {targets} pictures: no improvement yet"),
        None => format!("Training on {targets} pictures"),
    }
}

const NOISY_TARGETS: &str = "In training, the network was given one noisy copy of a picture and had to predict another. The noise \
    of the other copy cannot be predicted; the best guess is what both copies share: the clean picture, which the network was \
    never shown.";
const SINGLE: &str = "In training, the network was given one half of the pixels of a noisy picture and had to predict those beside them. Their \
    noise cannot be predicted; the best guess is what neighbours share: the clean picture, which the network was never shown. There is \
    no PSNR without a second shot or a clean picture.";
const CLEAN_TARGETS: &str = "For comparison with training on noisy pictures alone, the network was given a noisy copy of a picture \
    in training and had to predict the clean one.";
const NOT_BETTER: &str = " It has not learnt to do so: on held-out pictures its results are no better than the noisy pictures that \
    it was given. Train for longer, or with a lower learning rate if the loss does not fall.";

fn explanation(summary: &Summary, result: Option<&Measured>) -> String {
    let task = match summary {
        Summary { single: true, .. } => SINGLE,
        Summary { clean_targets: true, .. } => CLEAN_TARGETS,
        _ => NOISY_TARGETS,
    };
    let outcome = if result.and_then(Measured::better) == Some(false) { NOT_BETTER } else { "" };
    format!("{task}{outcome}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_times_are_short() {
        assert_eq!([counted(1, "step"), counted(0, "step"), counted(2, "step")], ["1 step", "0 steps", "2 steps"]);
        assert_eq!([duration(97.4), duration(601.0), duration(12_000.0)], ["97\u{a0}s", "10\u{a0}min", "3\u{a0}h 20\u{a0}min"]);
    }
}
