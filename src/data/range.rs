//! Which values of noisy pictures are black and white: 0 and 1, unless they fill another range. A microscope's counts may end at 400 of
//! 65,535, and those of a simulation at 4,000.

/// Share of the values that may lie below, and above: hot pixels do not count.
const BEYOND: f64 = 0.001;
/// Ranges of such lengths, which begin no farther from 0 than so much, are taken for [0, 1].
const PLAIN: [f32; 2] = [0.5, 2.0];
const BEGINS: f32 = 0.5;

/// Places of so many values among `count`, spread over them.
pub(crate) fn spread(count: usize, most: usize) -> impl Iterator<Item = usize> {
    // Places by the golden ratio repeat no column.
    let place = move |i: usize| if count > most { (i as f64 * 0.618_033_988_749_895 % 1.0 * count as f64) as usize } else { i };
    (0..count.min(most)).map(place)
}

/// Between which nearly all values lie, of those that are finite.
pub(crate) fn filled(mut values: Vec<f32>) -> Option<[f32; 2]> {
    values.retain(|v| v.is_finite());
    let last = values.len().checked_sub(1)? as f64;
    let at = |share: f64| (share * last).round() as usize;
    Some([BEYOND, 1.0 - BEYOND].map(|share| *values.select_nth_unstable_by(at(share), f32::total_cmp).1))
}

/// The range that values fill, if it is another than [0, 1].
pub(crate) fn own_range(values: Vec<f32>) -> Option<[f32; 2]> {
    let [low, high] = filled(values)?;
    let is_plain = (PLAIN[0]..=PLAIN[1]).contains(&(high - low)) && low.abs() <= BEGINS;
    (high > low && !is_plain).then_some([low, high])
}
