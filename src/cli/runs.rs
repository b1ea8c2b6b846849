//! `n2n-gpu runs`.

use std::path::PathBuf;

use clap::Args;
use n2n_gpu::data::files::save_bytes;
use n2n_gpu::error::Error;
use n2n_gpu::train::report::{Record, comparison};
use n2n_gpu::train::{PastRun, runs};
use serde_json::{Value, json};

use super::files::check_existing;
use super::output::{Output, complain, counted, path_text};

/// Arguments of `runs`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Folder of runs, in folders within folders or not
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Write a page with the curves of all runs: FILE.html
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace that file if it exists
    #[arg(short, long, requires = "report")]
    force: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<Output> {
    if let Some(report) = &options.report {
        if report.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("html")) {
            return Err(Error::format(report, "a page is named FILE.html").into());
        }
        check_existing(options.force, [report.as_path()].into_iter())?;
    }
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for run in runs(&options.folder)? {
        match run {
            Ok(run) => found.push(run),
            Err(e) => failed.push(e),
        }
    }
    if found.is_empty() && failed.is_empty() {
        let problem = "has no runs in it: name the folder that holds what `n2n-gpu train --out` named";
        return Err(Error::file(&options.folder, problem).into());
    }
    let table = table(&found, &options.folder);
    if let Some(report) = &options.report {
        let names: Vec<(String, &[Record])> =
            found.iter().map(|run| (name(run, &options.folder), run.records.as_slice())).collect();
        save_bytes(report, comparison(&names, &table).as_bytes())?;
    }
    failed.iter().for_each(|e| complain(&format!("error: {e}")));
    let errors: Vec<String> = failed.iter().map(ToString::to_string).collect();
    let text = if found.is_empty() { String::new() } else { aligned(&table) };
    let json = json!({
        "runs": found.iter().map(object).collect::<Vec<_>>(), "failed": errors, "report": options.report.as_deref().map(path_text),
    });
    let output = Output::new(json, text);
    if failed.is_empty() {
        return Ok(output);
    }
    Ok(output.failed(format!("{} of {} cannot be read", failed.len(), counted(found.len() + failed.len(), "run")), 1))
}

/// The path of a run as seen from the folder that was searched.
fn name(run: &PastRun, folder: &std::path::Path) -> String {
    let within = run.path.strip_prefix(folder).unwrap_or(&run.path);
    if within.as_os_str().is_empty() { path_text(&run.path) } else { path_text(within) }
}

fn object(run: &PastRun) -> Value {
    let best = run.best();
    let options: serde_json::Map<String, Value> = run.options.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({
        "path": path_text(&run.path), "net": run.net, "noise": run.noise, "steps": run.steps(), "seconds": run.seconds(),
        "psnr_estimated": best.and_then(|r| r.psnr_estimated), "psnr": best.and_then(|r| r.psnr),
        "best_step": best.map(|r| r.step), "options": options,
    })
}

/// A row for every run under one of headings: what all have, and the options that differ.
fn table(runs: &[PastRun], folder: &std::path::Path) -> Vec<Vec<String>> {
    let mut names: Vec<&str> = runs.iter().flat_map(|run| run.options.iter().map(|(key, _)| key.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| runs.iter().any(|run| run.option(name) != runs[0].option(name)));
    let decibels = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
    let heading = ["run", "net", "noise", "steps", "minutes", "estimated dB", "true dB"].map(str::to_owned);
    let mut rows = vec![heading.into_iter().chain(names.iter().map(|name| (*name).to_owned())).collect()];
    for run in runs {
        let best = run.best();
        let common = [
            name(run, folder),
            run.net.clone(),
            run.noise.clone(),
            run.steps().to_string(),
            format!("{:.1}", run.seconds() / 60.0),
            decibels(best.and_then(|r| r.psnr_estimated)),
            decibels(best.and_then(|r| r.psnr)),
        ];
        let differing = names.iter().map(|name| run.option(name).unwrap_or("-").to_owned());
        rows.push(common.into_iter().chain(differing).collect());
    }
    rows
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
