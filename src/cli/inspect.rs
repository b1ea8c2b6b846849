//! `n2n-gpu inspect`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use n2n_gpu::data::inspect::{Look, Report, SingleReport, read_at_once};
use n2n_gpu::error::Error;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::files::{photographs, remark_skipped};
use super::output::{Bar, Output, counted};
use super::pairs::{Looked, Pairs, name};
use super::scenes::LeftOut;
use super::seen::{Seen, levels, refusal};
use super::shots::look_at_single;
use super::{Common, Usage};

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Two folders of shots under the same names, or two files; a folder with a folder for every scene; a file with pairs
    #[arg(value_name = "DATA", num_args = 1..=2, required_unless_present_any = ["pairs", "burst", "stack", "dataset", "single"])]
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
    #[arg(long, requires = "stack", conflicts_with_all = ["data", "pairs", "burst", "dataset", "single"])]
    neighbours: bool,
    /// Pairs in one file, as train takes it; or a folder with folders a and b
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "pairs", "burst", "stack"])]
    dataset: Option<PathBuf>,
    /// Noisy pictures of which there is one each: files and folders
    #[arg(long, num_args = 1.., value_name = "PHOTOS", conflicts_with_all = ["data", "pairs", "burst", "stack", "dataset"])]
    single: Vec<PathBuf>,
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
    let (seen, mut json, table) =
        if options.single.is_empty() { of_pairs(common, options)? } else { of_singles(common, options)? };
    let faults = seen.faults();
    json["faults"] = faults.into();
    let output = Output::new(json, table + &seen.text());
    Ok(if options.strict && faults > 0 { output.failed(refusal(faults), 1) } else { output })
}

/// What a look found, for programs, and a table of what was looked at.
type Told = (Seen, Value, String);

fn of_pairs(common: &Common, options: &Options) -> anyhow::Result<Told> {
    let Looked { mut inspector, left_out, .. } = options.pairs()?.look(common, |_, _| ());
    for LeftOut { kind, place, error } in left_out {
        inspector.add_left_out(kind, &place, &error);
    }
    let report = inspector.finish();
    if report.pairs.is_empty() {
        let problem = report.findings.first().map_or("there are no pairs".to_owned(), |f| f.problem.clone());
        return Err(Error::data(problem).into());
    }
    let Report { scenes, shots, findings, pairs } = &report;
    let json = json!({"scenes": scenes, "shots": shots, "noise": report.noise(), "findings": findings, "pairs": pairs});
    Ok((Seen::of_pairs(&report), json, table(&report)))
}

fn of_singles(common: &Common, options: &Options) -> anyhow::Result<Told> {
    let files = photographs(&options.single, false, Path::new(""))?;
    remark_skipped(common, &options.single, None)?;
    let (mut bar, mut looks, mut errors, mut done) = (Bar::new(common), Vec::new(), Vec::new(), 0);
    while done < files.len() {
        let rest = files[done..].iter().map(|file| file.metadata().map_or(0, |metadata| metadata.len()));
        let some = &files[done..][..read_at_once(rest)];
        // Pictures are not kept.
        let looked = some.par_iter().map(|file| (file, look_at_single(file).map(|(look, _)| look)));
        for (file, look) in looked.collect::<Vec<_>>() {
            match look {
                Ok(look) => looks.push(look),
                Err(e) => errors.push((name(file), e)),
            }
        }
        done += some.len();
        bar.show(done as f64 / files.len() as f64, || format!("looked at {done} of {}", counted(files.len(), "picture")));
    }
    drop(bar);
    if looks.is_empty() && !errors.is_empty() {
        return Err(errors.swap_remove(0).1.into());
    }
    let report = SingleReport::new(looks, &errors);
    let SingleReport { pictures, findings } = &report;
    let count = pictures.len();
    let json = json!({"scenes": count, "shots": count, "noise": report.noise(), "findings": findings, "pictures": pictures});
    let width = name_width(pictures.iter().map(|picture| &picture.name));
    let mut text = format!("{:width$}  {:>11}  {:<16}  neighbours\n", "picture", "size", "noise of 255");
    for picture in pictures {
        let number = |v: Option<f64>, digits: usize| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"));
        let (size, correlation) = (size_in_words(picture.size), number(picture.correlation, 2));
        let noise = picture.noise.iter().map(|v| number(*v, 1)).collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "{:width$}  {size:>11}  {noise:<16}  {correlation}", picture.name);
    }
    Ok((Seen::of_singles(&report), json, text))
}

/// Columns that names need, and their heading.
fn name_width<'a>(names: impl Iterator<Item = &'a String>) -> usize {
    names.map(|name| name.chars().count()).max().unwrap_or(0).max("picture".len())
}

fn size_in_words([width, height]: [usize; 2]) -> String {
    format!("{width}x{height}")
}

/// A line for every pair.
fn table(report: &Report) -> String {
    let width = name_width(report.pairs.iter().map(|pair| &pair.name));
    let mut text =
        format!("{:width$}  {:>11}  {:<16}  brightness  {:<12}  neighbours\n", "pair", "size", "noise of 255", "shift");
    report.pairs.iter().for_each(|pair| row(&mut text, pair, width));
    text
}

fn row(text: &mut String, pair: &Look, width: usize) {
    let size = size_in_words(pair.size);
    let numbers = pair.measured.as_ref().map_or_else(
        || "-".to_owned(),
        |m| {
            let (noise, brighter, [x, y]) = (levels(&m.noise), 100.0 * m.brightness, m.shift);
            format!("{noise:<16}  {brighter:>+8.1} %  {:<12}  {:.2}", format!("{x:+.1} {y:+.1}"), m.correlation)
        },
    );
    let _ = writeln!(text, "{:width$}  {size:>11}  {numbers}", pair.name);
}
