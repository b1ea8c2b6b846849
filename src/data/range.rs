//! Which values of noisy pictures are black and white: 0 and 1, unless they fill another range. A microscope's counts may end at
//! 400 of 65,535, and those of a simulation at 4,000.

/// The ends of a range of values for people, and the unit: counts of 16 bits, or floats with four digits as files have them.
pub fn ends(range: [f32; 2], sixteen_bits: bool) -> ([String; 2], &'static str) {
    if sixteen_bits {
        return (range.map(|v| format!("{:.0}", 65_535.0 * v)), " of 65535");
    }
    (range.map(significant), " (as stored)")
}

/// A number with four digits that count.
fn significant(value: f32) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e7).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - value.abs().log10().floor() as i32).max(0) as usize;
    let text = format!("{value:.decimals$}");
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    short.to_owned()
}

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

/// The one in the middle of those that are finite.
pub(crate) fn median(mut values: Vec<f32>) -> Option<f32> {
    values.retain(|v| v.is_finite());
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// The range that values fill, if it is another than [0, 1].
pub(crate) fn own_range(values: Vec<f32>) -> Option<[f32; 2]> {
    let [low, high] = filled(values)?;
    let is_plain = (PLAIN[0]..=PLAIN[1]).contains(&(high - low)) && low.abs() <= BEGINS;
    (high > low && !is_plain).then_some([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_in_the_unit_of_their_files() {
        let told = |range, sixteen_bits| {
            let ([low, high], unit) = ends(range, sixteen_bits);
            format!("{low} to {high}{unit}")
        };
        assert_eq!(told([100.0 / 65_535.0, 400.2 / 65_535.0], true), "100 to 400 of 65535");
        assert_eq!(told([-12.345_67, 4987.65], false), "-12.35 to 4988 (as stored)");
        assert_eq!(told([0.0, 0.001_234_56], false), "0 to 0.001235 (as stored)");
        assert_eq!(told([1.25e-7, 1e9], false), "1.250e-7 to 1.000e9 (as stored)");
    }
}
