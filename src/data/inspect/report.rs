//! What was found, in words.

use serde::Serialize;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file cannot be read.
    Broken,
    /// The shots of a pair or scene differ in size, or in the type of their values.
    Size,
    /// A scene has fewer shots than two.
    Few,
    /// Two files hold the same picture.
    Identical,
    /// The shots of a pair show different scenes.
    Scene,
    /// One shot of a pair shows what the other one of another pair does.
    Swapped,
    /// One shot is shifted against the other.
    Shift,
    /// One shot is brighter, or has more contrast.
    Brightness,
    /// The noise of a single picture is spread over neighbouring pixels.
    Spread,
    /// Part of the noise is the same in all pictures.
    Pattern,
    /// Values fill a small part of their range.
    Range,
    /// The noise of neighbouring pixels is correlated.
    Correlation,
    /// Values are cut off at black or white.
    Clipping,
    /// Nothing can be told of a single picture's noise.
    Unjudged,
    /// A picture in colour has none.
    Grey,
}

impl Kind {
    /// Whether it does harm to a training. Others are worth knowing.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Range | Self::Correlation | Self::Clipping | Self::Unjudged | Self::Grey)
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Of what kind it is.
    pub kind: Kind,
    /// Pair or file.
    #[serde(rename = "where")]
    pub place: String,
    /// How much of it: pixels, a share, or a correlation.
    pub value: f64,
    /// What is the case.
    pub problem: String,
    /// What comes of it, and what to do.
    pub advice: &'static str,
}

impl Finding {
    pub(super) fn new(kind: Kind, place: &str, value: f64, problem: impl Into<String>, advice: &'static str) -> Self {
        Self { kind, place: place.to_owned(), value, problem: problem.into(), advice }
    }
}

/// Findings as lines for people, the faults first: one line for all of a kind, with the first of them; of what cannot be used,
/// for all with the same problem.
pub fn in_words(findings: &[Finding]) -> Vec<(Kind, String)> {
    let group = |f: &Finding| {
        let differ = matches!(f.kind, Kind::Broken | Kind::Size | Kind::Few);
        (!f.kind.is_fault(), f.kind, if differ { f.problem.clone() } else { String::new() })
    };
    let mut groups: Vec<_> = findings.iter().map(group).collect();
    groups.sort();
    groups.dedup();
    let line = |wanted: (bool, Kind, String)| {
        let alike: Vec<&Finding> = findings.iter().filter(|f| group(f) == wanted).collect();
        let Finding { kind, place, problem, advice, .. } = alike[0];
        let word = if kind.is_fault() { "warning" } else { "note" };
        let others = match alike.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more like it)"),
        };
        (*kind, format!("{word}: {place}{others}: {problem}: {advice}"))
    };
    groups.into_iter().map(line).collect()
}
