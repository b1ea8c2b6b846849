//! Several processes that train one network: each draws its part of every batch, and they sum their gradients.

use std::time::Instant;

use super::advance::PIECES;
use crate::error::{Error, Result};

/// The processes that train together, seen from one of them. All call the same in the same order.
pub trait Team {
    /// Number of this process. The first, 0, writes files and tells people.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Begins to sum values, element by element, over all processes in the order of their numbers, so that all get the same bits.
    ///
    /// # Errors
    /// If a process is gone.
    fn begin_sum(&mut self, values: Vec<f32>) -> Result<()>;

    /// Waits for the sum that was begun first of those that are under way.
    ///
    /// # Errors
    /// If a process is gone.
    fn end_sum(&mut self) -> Result<Vec<f32>>;

    /// Ends working together, once all is done. A process that ends without it has failed.
    fn leave(self: Box<Self>) {}
}

/// What this process draws of a batch: so many elements from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) first: usize,
    pub(super) count: usize,
    /// Elements of the whole batch.
    pub(super) of: usize,
    /// Pieces in which its gradients are summed with those of others; 0 if there are none.
    pub(super) pieces: usize,
}

impl Part {
    pub(super) fn whole(batch: usize) -> Self {
        Self { first: 0, count: batch, of: batch, pieces: 0 }
    }

    /// Share of the whole.
    pub(super) fn share(self) -> f64 {
        self.count as f64 / self.of as f64
    }
}

/// Parts of a batch that are as long as processes are fast; at least an element each.
fn parts(batch: usize, speeds: &[f64]) -> Vec<Part> {
    let total: f64 = speeds.iter().sum();
    let mut counts: Vec<usize> = speeds.iter().map(|s| ((s / total * batch as f64) as usize).max(1)).collect();
    let time = |counts: &[usize], i: usize| counts[i] as f64 / speeds[i];
    while counts.iter().sum::<usize>() > batch {
        let slowest = (0..counts.len()).filter(|&i| counts[i] > 1).max_by(|&a, &b| time(&counts, a).total_cmp(&time(&counts, b)));
        counts[slowest.expect("a batch has an element for every process")] -= 1;
    }
    while counts.iter().sum::<usize>() < batch {
        let after = |i: usize| (counts[i] + 1) as f64 / speeds[i];
        let next = (0..counts.len()).min_by(|&a, &b| after(a).total_cmp(&after(b))).expect("there are processes");
        counts[next] += 1;
    }
    let part = |first: &mut usize, count: usize| {
        let part = Part { first: *first, count, of: batch, pieces: PIECES };
        *first += count;
        Some(part)
    };
    counts.into_iter().scan(0, part).collect()
}

/// Unequal parts are worth it where they save this share of a step's time. Below, parts stay equal, so that runs on equal
/// machines stay the same to the last bit.
const WORTH: f64 = 0.1;

/// The part of each process, by the seconds that each took for its equal part.
pub(super) fn by_speed(equal: &[Part], seconds: &[f64]) -> Vec<Part> {
    let speeds: Vec<f64> = equal.iter().zip(seconds).map(|(part, s)| part.count as f64 / s).collect();
    let parts = parts(equal[0].of, &speeds);
    let slowest = |parts: &[Part]| parts.iter().zip(&speeds).map(|(p, s)| p.count as f64 / s).fold(0.0, f64::max);
    if slowest(&parts) < (1.0 - WORTH) * slowest(equal) { parts } else { equal.to_vec() }
}

/// Equal parts, or as equal as can be.
///
/// # Errors
/// If the batch has fewer elements than there are processes.
pub(super) fn equal(batch: usize, size: usize) -> Result<Vec<Part>> {
    if batch < size {
        let problem = format!("{batch}: fewer crops than the {size} processes that share them: give at least {size}");
        return Err(Error::option("batch", problem));
    }
    Ok(parts(batch, &vec![1.0; size]))
}

/// The sum of values.
pub(super) fn sum(team: &mut dyn Team, values: Vec<f32>) -> Result<Vec<f32>> {
    team.begin_sum(values)?;
    team.end_sum()
}

/// What each process has to say, in the order of their numbers.
pub(super) fn gather(team: &mut dyn Team, value: f32) -> Result<Vec<f32>> {
    let mut values = vec![0.0; team.size()];
    values[team.rank()] = value;
    sum(team, values)
}

/// What the first process has to say.
pub(super) fn of_first(team: &mut dyn Team, values: Vec<f32>) -> Result<Vec<f32>> {
    let own = if team.rank() == 0 { values } else { vec![0.0; values.len()] };
    sum(team, own)
}

/// A number of 64 bits as floats that hold 16 of them each.
pub(super) fn to_floats(number: u64) -> [f32; 4] {
    [48, 32, 16, 0].map(|shift| (number >> shift & 0xffff) as f32)
}

/// The number that [`to_floats`] made.
pub(super) fn of_floats(floats: &[f32]) -> u64 {
    floats.iter().fold(0, |number, &v| number << 16 | v as u64)
}

/// Refuses a process whose training is another one, by a number that stands for it.
pub(super) fn agree(team: &mut dyn Team, training: u64) -> Result<()> {
    let (rank, size) = (team.rank(), team.size());
    let mut values = vec![0.0; 4 * size];
    values[4 * rank..4 * rank + 4].copy_from_slice(&to_floats(training));
    let all = sum(team, values)?;
    let numbers: Vec<u64> = all.chunks(4).map(of_floats).collect();
    match numbers.iter().position(|n| *n != numbers[0]) {
        None => Ok(()),
        Some(other) => Err(Error::data(format!(
            "process {other} has other pictures or options than process 0: give all the same command and the same files"
        ))),
    }
}

/// What processes agree on with every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Vote {
    /// Whether to stop after it: one suffices.
    pub(super) stop: bool,
    /// Share of the training that is done after it: by the first process's clock.
    pub(super) share: f64,
    /// What the learning rate is multiplied by after it: as the first process has it.
    pub(super) factor: f64,
}

impl Vote {
    /// With the loss of this process's part, so that one message has both.
    pub(super) fn to_floats(self, loss: f32, rank: usize) -> Vec<f32> {
        let of_first = [self.share, self.factor].map(|v| to_floats(if rank == 0 { v.to_bits() } else { 0 }));
        [loss, f32::from(u8::from(self.stop))].into_iter().chain(of_first.concat()).collect()
    }

    /// The loss of the whole batch, and what was agreed on.
    pub(super) fn of_floats(floats: &[f32]) -> (f32, Self) {
        let [share, factor] = [2, 6].map(|at| f64::from_bits(of_floats(&floats[at..at + 4])));
        (floats[0], Self { stop: floats[1] > 0.0, share, factor })
    }
}

/// Seconds that something takes: the least of some times, so that what else the machine does counts little.
pub(super) fn least_seconds(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..4 {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_speeds_and_add_up() {
        let counts = |batch, speeds: &[f64]| parts(batch, speeds).iter().map(|p| p.count).collect::<Vec<_>>();
        assert_eq!(counts(16, &[1.0, 3.0]), [4, 12]);
        assert_eq!(counts(4, &[1.0, 1.0, 1.0]), [2, 1, 1]);
        assert_eq!(counts(3, &[1000.0, 1.0, 1.0]), [1, 1, 1]);
        let parts = parts(16, &[1.0, 3.0]);
        assert_eq!((parts[0].first, parts[1].first), (0, 4));
        assert!(equal(2, 3).is_err());
    }

    #[test]
    fn parts_stay_equal_where_speeds_nearly_are() {
        let equal = equal(16, 2).unwrap();
        assert_eq!(by_speed(&equal, &[1.0, 1.05]), equal);
        assert_eq!(by_speed(&equal, &[1.0, 3.0])[0].count, 12);
    }

    #[test]
    fn votes_pass_through_floats() {
        let vote = Vote { stop: true, share: 0.123_456_789, factor: 0.25 };
        assert_eq!(Vote::of_floats(&vote.to_floats(2.5, 0)), (2.5, vote));
        assert_eq!(of_floats(&to_floats(u64::MAX - 5)), u64::MAX - 5);
    }
}
