//! A look at pairs of noisy shots before anything is trained on them: what will go wrong, and what to do about it.
//!
//! A pair is judged alone ([`Look`]), by windows spread over it; then all of a set are compared ([`Inspector`]). Whatever is
//! called a fault has been found beyond doubt (`statistics.rs`) and is large enough to matter.

mod brightness;
mod look;
mod mend;
mod noise;
mod pattern;
mod reading;
mod report;
mod scenes;
mod shift;
mod single;
mod statistics;
mod windows;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

pub use brightness::Fit;
pub use look::{Look, Measurements};
pub use mend::Mends;
use pattern::Pattern;
pub use reading::{PairFiles, read_at_once};
pub use report::{Finding, Kind, in_words};
use scenes::SAME;
pub use single::{SingleLook, SingleReport};
pub use windows::Overlap;

use crate::error::Error;

/// Most scenes that are searched for noise that stays, of a size: each more says less.
const SCENES: usize = 64;
/// Most sizes of pictures that are searched.
const SIZES: usize = 4;
/// Thumbnails of different scenes are less alike than this, by ten standard errors.
const ALIKE: f64 = 0.3;
/// Noise that stays and is below this share of the noise is no fault: it lies 20 dB below it, where hardly any denoiser gets.
const STAYS: f64 = 0.1;

/// Collects what was seen of the pairs of a set.
#[derive(Default)]
pub struct Inspector {
    looks: Vec<Look>,
    left_out: Vec<Finding>,
    patterns: BTreeMap<[usize; 2], Scenes>,
}

/// Scenes of one size: which looks, and what they share.
#[derive(Default)]
struct Scenes {
    looks: Vec<usize>,
    pattern: Pattern,
}

/// What was seen of a set.
pub struct Report {
    /// Different first shots.
    pub scenes: usize,
    /// Different shots of them.
    pub shots: usize,
    /// Every pair that could be read.
    pub pairs: Vec<Look>,
    /// All that was found, in the order of the pairs.
    pub findings: Vec<Finding>,
}

impl Inspector {
    /// Adds a pair.
    pub fn add(&mut self, mut look: Look) {
        if let Some(details) = look.details.take()
            && (self.patterns.len() < SIZES || self.patterns.contains_key(&look.size))
        {
            let scenes = self.patterns.entry(look.size).or_default();
            let alike = |i: &usize| self.looks[*i].shots[0].thumbnail.correlation(&look.shots[0].thumbnail) > ALIKE;
            // What two shots of one scene share is the scene.
            if scenes.looks.len() < SCENES && !scenes.looks.iter().any(alike) {
                scenes.looks.push(self.looks.len());
                scenes.pattern.add(details);
            }
        }
        self.looks.push(look);
    }

    /// Adds a shot, a pair or a scene that is left out.
    pub fn add_left_out(&mut self, kind: Kind, place: &str, error: &Error) {
        self.left_out.push(Finding::new(kind, place, 0.0, error.to_string(), "it is left out"));
    }

    /// Compares the pairs with each other.
    pub fn finish(mut self) -> Report {
        self.find_swapped();
        let (duplicates, patterns) = (self.duplicates(), self.stays());
        let of_pairs = self.looks.iter().flat_map(|look| look.findings.iter().cloned());
        let different = |shots: Range<usize>| {
            let labels = self.looks.iter().flat_map(|look| &look.shots[shots.clone()]).map(|shot| &shot.label);
            labels.collect::<HashSet<_>>().len()
        };
        let (scenes, shots) = (different(0..1), different(0..2));
        let findings = self.left_out.into_iter().chain(of_pairs).chain(duplicates).chain(patterns).collect();
        Report { scenes, shots, pairs: self.looks, findings }
    }

    /// Among pairs of different scenes, says which shots belong together.
    fn find_swapped(&mut self) {
        let is_other = |look: &Look| look.findings.iter().any(|f| f.kind == Kind::Scene);
        let others: Vec<usize> = (0..self.looks.len()).filter(|&i| is_other(&self.looks[i])).collect();
        let likeness = |i: usize, j: usize| self.looks[i].shots[0].thumbnail.correlation(&self.looks[j].shots[1].thumbnail);
        let best = |i: usize| {
            let by_likeness = |a: &usize, b: &usize| likeness(i, *a).total_cmp(&likeness(i, *b));
            others.iter().copied().filter(|&j| likeness(i, j) > SAME).max_by(by_likeness)
        };
        let found: Vec<(usize, usize)> = others.iter().filter_map(|&i| Some((i, best(i)?))).filter(|(i, j)| i != j).collect();
        let swapped = |(i, j): (usize, usize)| {
            let (value, label, name) = (likeness(i, j), &self.looks[j].shots[1].label, &self.looks[i].name);
            let problem = format!("the first shot shows what {label} does, and not what its own second one does");
            (i, Finding::new(Kind::Swapped, name, value, problem, "names seem to be swapped: rename the files"))
        };
        for (i, finding) in found.into_iter().map(swapped).collect::<Vec<_>>() {
            self.looks[i].findings.retain(|f| f.kind != Kind::Scene);
            self.looks[i].findings.push(finding);
        }
    }

    /// Pictures that are there twice, in different pairs.
    fn duplicates(&self) -> Vec<Finding> {
        let mut seen: HashMap<u64, (usize, &str)> = HashMap::new();
        let mut found = Vec::new();
        for (i, shot) in self.looks.iter().enumerate().flat_map(|(i, look)| look.shots.iter().map(move |shot| (i, shot))) {
            let Some(digest) = shot.digest else { continue };
            match seen.get(&digest) {
                Some((j, label)) if *j != i && *label != shot.label => {
                    let problem = format!("is the same picture as {label}");
                    let advice = "one of them seems to have the wrong name: give every shot once";
                    found.push(Finding::new(Kind::Identical, &shot.label, 0.0, problem, advice));
                }
                Some(_) => {}
                None => drop(seen.insert(digest, (i, &shot.label))),
            }
        }
        found
    }

    /// Noise that stays from scene to scene.
    fn stays(&self) -> Vec<Finding> {
        let stays = |(size, scenes): (&[usize; 2], &Scenes)| {
            let deviation = 255.0 * scenes.pattern.deviation()?;
            let noise = |&i: &usize| self.looks[i].measured.as_ref().map(|m| m.noise.iter().sum::<f64>() / m.noise.len() as f64);
            let noises: Vec<f64> = scenes.looks.iter().filter_map(noise).collect();
            let share = deviation / (noises.iter().sum::<f64>() / noises.len() as f64).max(f64::MIN_POSITIVE);
            let [width, height] = size;
            let place = format!("{} scenes of {width}x{height}", scenes.looks.len());
            let problem = format!("a pattern of {deviation:.1} of 255, {share:.2} of the noise, stays in all pictures");
            let advice =
                "a network keeps it, since both shots have it: take a dark frame from all shots, or move the camera between them";
            (share > STAYS).then(|| Finding::new(Kind::Pattern, &place, share, problem, advice))
        };
        self.patterns.iter().filter_map(stays).collect()
    }
}

impl Report {
    /// How many shots each scene has; two of every pair of neighbours.
    pub fn shots_of_scenes(&self) -> Vec<usize> {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for label in self.pairs.iter().map(|look| look.shots[0].label.as_str()) {
            match counts.last_mut().filter(|(last, _)| *last == label) {
                Some((_, count)) => *count += 1,
                None => counts.push((label, 2)),
            }
        }
        counts.into_iter().map(|(_, count)| count).collect()
    }

    /// How many findings are faults.
    pub fn faults(&self) -> usize {
        self.findings.iter().filter(|f| f.kind.is_fault()).count()
    }

    /// Median over the pairs of the noise of every channel, in grey levels of 255; of pairs in colour, if there are any.
    pub fn noise(&self) -> Vec<f64> {
        let measured = || self.pairs.iter().filter_map(|pair| pair.measured.as_ref());
        let channels = measured().map(|m| m.noise.len()).max().unwrap_or(0);
        let of_channel = |c: usize| measured().filter(|m| m.noise.len() == channels).map(|m| m.noise[c]).collect();
        (0..channels).map(|c| statistics::median(&mut Vec::from_iter::<Vec<f64>>(of_channel(c)))).collect()
    }
}
