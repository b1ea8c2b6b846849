//! Sums that are split over workgroups leave partial results. They are added up as late as possible, many of them in one
//! dispatch: each dispatch costs some microseconds, and waits for all before it that have written what it reads.

use super::lowering::{Lowering, Range, SplitSum, grid};
use super::tuning::Tuning;
use crate::graph::Graph;
use crate::kernel::Shader;
use crate::limits::Limits;

/// Sums in a dispatch: as many as leave one of the storage buffers of every device for the totals.
const SUMS: usize = Limits::STORAGE_BUFFERS as usize - 1;

/// Partial results that wait at most, in elements: 64 MiB.
const MOST: usize = 16 << 20;

/// Split sums that are added up after the last dispatch of a node.
pub(super) struct Batch {
    pub(super) node: usize,
    pub(super) sums: Vec<SplitSum>,
    /// Whether their partial results lie in memory of their own: of one batch, so that it does not become too much.
    pub(super) apart: bool,
}

/// What is left to add up, in batches that each come right before the first node that reads one of the totals, or once the
/// partial results take too much memory.
pub(super) fn batches(lowered: &[Lowering]) -> Vec<Batch> {
    let (mut batches, mut waiting): (Vec<Batch>, Vec<SplitSum>) = (Vec::new(), Vec::new());
    for (node, l) in lowered.iter().enumerate() {
        let mut bound = l.dispatches.iter().flat_map(|d| &d.bindings).chain(l.sums.iter().flat_map(|s| &s.totals));
        let full = !waiting.is_empty() && !fits(waiting.iter().chain(&l.sums));
        if full || bound.any(|range| waiting.iter().flat_map(|s| &s.totals).any(|total| overlap(range, total))) {
            let apart = batches.is_empty() && fits(&waiting);
            batches.push(Batch { node: node - 1, sums: std::mem::take(&mut waiting), apart });
        }
        waiting.extend(l.sums.iter().cloned());
    }
    if !waiting.is_empty() {
        let apart = batches.is_empty() && fits(&waiting);
        batches.push(Batch { node: lowered.len() - 1, sums: waiting, apart });
    }
    batches
}

/// Whether so many partial results may wait.
fn fits<'a>(sums: impl IntoIterator<Item = &'a SplitSum>) -> bool {
    sums.into_iter().map(|s| s.partials.len).sum::<usize>() <= MOST
}

fn overlap(a: &Range, b: &Range) -> bool {
    a.buffer == b.buffer && a.offset < b.offset + b.len && b.offset < a.offset + a.len
}

impl Batch {
    /// The dispatches that add up everything.
    pub(super) fn lower<'a>(&self, graph: &'a Graph, limits: &'a Limits, tuning: &'a Tuning) -> Lowering<'a> {
        let mut l = Lowering::new(graph, self.node, limits, tuning);
        // The longest first, so that those of a dispatch are about as long.
        let mut sums: Vec<_> = self.sums.iter().collect();
        sums.sort_by_key(|s| (s.totals[0].buffer, std::cmp::Reverse(s.totals.iter().map(|t| t.len).sum::<usize>())));
        for together in sums.chunk_by(|a, b| a.totals[0].buffer == b.totals[0].buffer).flat_map(|same| same.chunks(SUMS)) {
            dispatch(&mut l, together);
        }
        l
    }
}

fn dispatch(l: &mut Lowering, sums: &[&SplitSum]) {
    let totals = || sums.iter().flat_map(|s| &s.totals);
    let first = totals().map(|t| t.offset).min().expect("there is a sum");
    let end = totals().map(|t| t.offset + t.len).max().expect("there is a sum");
    let y = Range { offset: first, len: end - first, ..sums[0].totals[0] };
    let len4 = |s: &SplitSum| s.totals.iter().map(|t| t.len / 4).sum::<usize>();
    let [gx, gy] = grid(sums.iter().map(|s| len4(s).div_ceil(64)).max().expect("there is a sum"), l.limits);
    let (mut constants, mut bindings) = (vec![("GRID_X".to_owned(), f64::from(gx))], vec![("y".to_owned(), y)]);
    for i in 0..SUMS {
        // What is beyond the last sum is not looked at, but something has to be bound.
        let s = sums.get(i).unwrap_or(&sums[0]);
        let len = if i < sums.len() { len4(s) } else { 0 };
        let to = |total: Option<&Range>| total.map_or(0, |t| (t.offset - first) / 4);
        let values = [
            ("COUNT", s.count),
            ("LEN", len),
            ("FIRST", s.totals[0].len / 4),
            ("TO", to(s.totals.first())),
            ("THEN", to(s.totals.get(1))),
        ];
        constants.extend(values.map(|(name, value)| (format!("{name}{i}"), value as f64)));
        bindings.push((format!("partials{i}"), s.partials));
    }
    let constants: Vec<_> = constants.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    let bindings: Vec<_> = bindings.iter().map(|(n, r)| (n.as_str(), *r)).collect();
    l.dispatch(Shader::SumSeveral, &constants, &bindings, [gx, gy, sums.len() as u32]);
}
