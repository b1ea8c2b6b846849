//! `n2n-gpu inspect`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use n2n_gpu::data::inspect::{Look, Report};
use n2n_gpu::error::Error;
use serde_json::json;

use super::output::{Output, counted, scenes_in_words};
use super::pairs::{Looked, Pairs, levels, lines, refusal};
use super::scenes::LeftOut;
use super::{Common, Usage};

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Two folders of shots under the same names, or two files; a folder with a folder for every scene; a file with pairs
    #[arg(value_name = "DATA", num_args = 1..=2, required_unless_present_any = ["pairs", "burst", "stack", "dataset"])]
    data: Vec<PathBuf>,
    /// Two folders with shots of the same scenes under the same names
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "data")]
    pairs: Option<Vec<PathBuf>>,
    /// A folder with a folder of shots for every scene
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "pairs"])]
    burst: Option<PathBuf>,
    /// Files with many pages, TIFF or .npy: the first page with each other, or with --neighbours each with the next
    #[arg(long, num_args = 1.., value_name = "FILE", conflicts_with_all = ["data", "pairs", "burst"])]
    stack: Vec<PathBuf>,
    /// Neighbouring pages of --stack make pairs
    #[arg(long, requires = "stack", conflicts_with_all = ["data", "pairs", "burst", "dataset"])]
    neighbours: bool,
    /// Pairs in one file, as train takes it; or a folder with folders a and b
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "pairs", "burst", "stack"])]
    dataset: Option<PathBuf>,
    /// Exit with code 1 if there are faults
    #[arg(long)]
    strict: bool,
}

impl Options {
    fn pairs(&self) -> anyhow::Result<Pairs> {
        let data = self.pairs.as_deref().unwrap_or(&self.data);
        let pairs = match (data, &self.burst, &self.dataset) {
            ([a, b], ..) => Pairs::of_two(a, b),
            (_, Some(root), _) => Pairs::of_bursts(root),
            _ if !self.stack.is_empty() => Pairs::of_stacks(&self.stack, self.neighbours),
            (_, _, Some(data)) => Pairs::of_dataset(data),
            ([data], ..) if !data.exists() => Err(Error::file(data, "does not exist: check its name and folder")),
            ([data], ..) if data.is_dir() && !(data.join("a").is_dir() && data.join("b").is_dir()) => Pairs::of_bursts(data),
            ([data], ..) => Pairs::of_dataset(data),
            _ => return Err(Usage::new("DATA is missing: give two folders of shots")),
        };
        Ok(pairs?)
    }
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<Output> {
    let pairs = options.pairs()?;
    let Looked { mut inspector, left_out, .. } = pairs.look(common, |_, _| ());
    for LeftOut { kind, place, error } in left_out {
        inspector.add_left_out(kind, &place, &error);
    }
    let report = inspector.finish();
    if report.pairs.is_empty() {
        let problem = report.findings.first().map_or("there are no pairs".to_owned(), |f| f.problem.clone());
        return Err(Error::data(problem).into());
    }
    let json = json!({
        "scenes": report.scenes, "shots": report.shots, "faults": report.faults(), "noise": report.noise(),
        "findings": report.findings, "pairs": report.pairs,
    });
    let output = Output::new(json, text(&report));
    let faults = report.faults();
    Ok(if options.strict && faults > 0 { output.failed(refusal(faults), 1) } else { output })
}

/// A line for every pair, the findings and a summary.
fn text(report: &Report) -> String {
    let width = report.pairs.iter().map(|pair| pair.name.chars().count()).max().unwrap_or(0).max(4);
    let mut text =
        format!("{:width$}  {:>11}  {:<16}  brightness  {:<12}  neighbours\n", "pair", "size", "noise of 255", "shift");
    report.pairs.iter().for_each(|pair| row(&mut text, pair, width));
    lines(&report.findings).iter().for_each(|line| text.extend([line, "\n"]));
    let scenes = scenes_in_words(&report.shots_of_scenes());
    let faults = match report.faults() {
        0 => "no faults".to_owned(),
        faults => counted(faults, "fault"),
    };
    let _ = write!(text, "{scenes}: noise {} of 255, {faults}", levels(&report.noise()));
    text
}

fn row(text: &mut String, pair: &Look, width: usize) {
    let size = format!("{}x{}", pair.size[0], pair.size[1]);
    let numbers = pair.measured.as_ref().map_or_else(
        || "-".to_owned(),
        |m| {
            let (noise, brighter, [x, y]) = (levels(&m.noise), 100.0 * m.brightness, m.shift);
            format!("{noise:<16}  {brighter:>+8.1} %  {:<12}  {:.2}", format!("{x:+.1} {y:+.1}"), m.correlation)
        },
    );
    let _ = writeln!(text, "{:width$}  {size:>11}  {numbers}", pair.name);
}
