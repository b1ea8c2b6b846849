//! What a look at noisy pictures found, in words.

use n2n_gpu::data::inspect::{Finding, Kind, Report, SingleReport, in_words};
use n2n_gpu::error::Error;

use super::Common;
use super::output::{counted, scenes_in_words};

/// What was found, and what was seen in all.
pub(super) struct Seen {
    pub(super) findings: Vec<Finding>,
    /// `3 pairs: noise 19.8 of 255`.
    summary: String,
}

impl Seen {
    pub(super) fn of_pairs(report: &Report) -> Self {
        Self { findings: report.findings.clone(), summary: summary(&report.shots_of_scenes(), &report.noise()) }
    }

    pub(super) fn of_singles(report: &SingleReport) -> Self {
        Self { findings: report.findings.clone(), summary: summary(&vec![1; report.pictures.len()], &report.noise()) }
    }

    pub(super) fn faults(&self) -> usize {
        self.findings.iter().filter(|f| f.kind.is_fault()).count()
    }

    /// All findings as lines, and a last one that sums them up.
    pub(super) fn text(&self) -> String {
        let faults = match self.faults() {
            0 => "no faults".to_owned(),
            faults => counted(faults, "fault"),
        };
        lines(&self.findings).into_iter().chain([format!("{}, {faults}", self.summary)]).collect::<Vec<_>>().join("\n")
    }

    /// Says which faults were found, or that none were. Fails if there are faults and it is `strict`.
    pub(super) fn tell(self, common: &Common, strict: bool) -> Result<(), Error> {
        let faults = self.faults();
        let found: Vec<Finding> = self.findings.into_iter().filter(|f| f.kind.is_fault()).collect();
        lines(&found).iter().for_each(|line| common.remark(line));
        if faults == 0 {
            common.remark(&format!("looked at {}, no faults", self.summary));
        } else if strict {
            return Err(Error::data(refusal(faults)));
        }
        Ok(())
    }
}

/// Scenes of so many shots, and the noise of their channels.
fn summary(shots_of_scenes: &[usize], noise: &[f64]) -> String {
    let noise = match noise {
        [] => "noise unknown".to_owned(),
        noise => format!("noise {} of 255", levels(noise)),
    };
    format!("{}: {noise}", scenes_in_words(shots_of_scenes))
}

/// What a command of this program does about a fault.
fn remedy(kind: Kind) -> &'static str {
    match kind {
        Kind::Shift => " (train --align, for whole pixels)",
        Kind::Brightness => " (train --match)",
        _ => "",
    }
}

/// Findings as lines.
fn lines(findings: &[Finding]) -> Vec<String> {
    in_words(findings).into_iter().map(|(kind, line)| line + remedy(kind)).collect()
}

/// Noise of channels for people: `19.8 20.1 20.0`.
pub(super) fn levels(noise: &[f64]) -> String {
    noise.iter().map(|v| format!("{v:.1}")).collect::<Vec<_>>().join(" ")
}

/// What `--strict` makes of faults.
pub(super) fn refusal(faults: usize) -> String {
    format!("{} in the data, and --strict allows none: mend it, or leave --strict out", counted(faults, "fault"))
}
