//! The second half of every sum that is split over workgroups: partial results are added in a fixed order.

use crate::kernel::Shader;
use crate::plan::{Lowering, Range, SplitSum, grid};

/// Where a sum goes, and what it is added to.
pub(super) type Total = (Range, Option<Range>);

/// Emits the sum of `count` partial results, times `scale`. A partial result is as long as the totals, one or two, together,
/// which each get their part. A plain sum waits, to be added up with others in one dispatch.
pub(super) fn sum_partials(l: &mut Lowering, partials: Range, count: usize, scale: f64, totals: &[Total]) {
    let together = totals.iter().all(|(to, before)| before.is_none() && to.buffer == totals[0].0.buffer);
    if scale == 1.0 && together {
        return l.sum_later(SplitSum { partials, count, totals: totals.iter().map(|(to, _)| *to).collect() });
    }
    let (y, z) = (totals[0], totals.get(1).copied());
    let len4 = |total: Option<Total>| total.map_or(0, |(to, _)| to.len / 4);
    let (y4, z4) = (len4(Some(y)), len4(z));
    let [gx, gy] = grid((y4 + z4).div_ceil(64), l.limits);
    let added = |total: Option<Total>| total.and_then(|(_, before)| before);
    let given = |range: Option<Range>| f64::from(u8::from(range.is_some()));
    let constants = [
        ("COUNT", count as f64),
        ("Y4", y4 as f64),
        ("Z4", z4 as f64),
        ("SCALE", scale),
        ("ADD_Y", given(added(Some(y)))),
        ("ADD_Z", given(added(z))),
        ("GRID_X", gx.into()),
    ];
    // Something has to be bound where one is missing, and is not read; written ranges must not be bound twice.
    let unwritten = if z.is_none() { Some(l.scratch(4)) } else { None };
    let bindings = [
        ("partials", partials),
        ("before_y", added(Some(y)).unwrap_or(partials)),
        ("before_z", added(z).unwrap_or(partials)),
        ("y", y.0),
        ("z", z.map(|(to, _)| to).or(unwritten).unwrap_or(y.0)),
    ];
    l.dispatch(Shader::SumPartials, &constants, &bindings, [gx, gy, 1]);
}
