//! What comes before a network's layers, and after them: sizes and values.

use super::builder::{Builder, int};
use super::{INPUT, OUTPUT, curve};
use crate::nets::{Model, Network, Transfer};

/// What the layers are given.
pub(super) struct Begun {
    /// Name of the value.
    pub value: String,
    /// Name of height and width of the picture, if it is padded.
    size: Option<String>,
}

/// Mirrors the picture up to a multiple of `multiple`, if sizes are any, and brings it to the network's curve and range.
pub(super) fn begin(builder: &mut Builder, multiple: Option<usize>, network: &dyn Network, range: [f32; 2]) -> Begun {
    let mut begun = Begun { value: INPUT.to_owned(), size: None };
    if let Some(multiple) = multiple.filter(|&m| m > 1) {
        let shape = builder.node("Shape", &[INPUT], vec![]);
        let axes = builder.integers(&[2, 3]);
        begun.size = Some(builder.node("Gather", &[&shape, &axes], vec![int("axis", 0)]));
        for axis in [2, 3] {
            let index = builder.integer(axis);
            let size = builder.node("Gather", &[&shape, &index], vec![int("axis", 0)]);
            let places = mirrored(builder, &size, multiple as i64);
            begun.value = builder.node("Gather", &[&begun.value, &places], vec![int("axis", axis as usize)]);
        }
    }
    begun.value = curve::forward(builder, network.transfer(), begun.value, network.inputs());
    let [low, high] = range;
    for (operator, number, neutral) in [("Mul", high - low, 1.0), ("Add", low, 0.0)] {
        begun.value = by_number(builder, operator, begun.value, number, neutral);
    }
    begun
}

/// Places along an axis of `size` pixels, mirrored after its end without doubling the edge (a b c | b a), as often as it takes to
/// reach a multiple. `Pad` mirrors once, which pictures of a few pixels exceed.
fn mirrored(builder: &mut Builder, size: &str, multiple: i64) -> String {
    let [zero, one, two] = [0, 1, 2].map(|i| builder.integer(i));
    let (multiple, below) = (builder.integer(multiple), builder.integer(multiple - 1));
    let up = builder.node("Add", &[size, &below], vec![]);
    let times = builder.node("Div", &[&up, &multiple], vec![]);
    let padded = builder.node("Mul", &[&times, &multiple], vec![]);
    let double = builder.node("Mul", &[size, &two], vec![]);
    let period = builder.node("Sub", &[&double, &two], vec![]);
    let period = builder.node("Max", &[&period, &one], vec![]);
    let places = builder.node("Range", &[&zero, &padded, &one], vec![]);
    let there = builder.node("Mod", &[&places, &period], vec![]);
    let back = builder.node("Sub", &[&period, &there], vec![]);
    builder.node("Min", &[&there, &back], vec![])
}

/// Crops the result to the picture's size, and brings it back from the network's range and curve. Values that pictures do not
/// have are cut off; those of floats on a scale of their own go to any end.
pub(super) fn end(builder: &mut Builder, value: String, begun: &Begun, model: &Model) {
    let mut value = value;
    if let Some(size) = &begun.size {
        let (starts, axes) = (builder.integers(&[0, 0]), builder.integers(&[2, 3]));
        value = builder.node("Slice", &[&value, &starts, size, &axes], vec![]);
    }
    let [low, high] = model.ranges.output;
    for (operator, number, neutral) in [("Sub", low, 0.0), ("Div", high - low, 1.0)] {
        value = by_number(builder, operator, value, number, neutral);
    }
    let transfer = model.network.transfer();
    value = curve::inverse(builder, transfer, value);
    let in_files = model.signal().is_none_or(|signal| signal.iter().all(|v| (0.0..=1.0).contains(v)));
    let black = builder.scalar(0.0);
    match transfer {
        Transfer::None if !in_files => drop(builder.node("Identity", &[&value], vec![])),
        Transfer::None => {
            let white = builder.scalar(1.0);
            builder.node("Clip", &[&value, &black, &white], vec![]);
        }
        Transfer::Pu => drop(builder.node("Max", &[&value, &black], vec![])),
    }
    builder.graph.node.last_mut().expect("it was just added").output = vec![OUTPUT.to_owned()];
}

/// The value and a number, unless that changes nothing.
fn by_number(builder: &mut Builder, operator: &str, value: String, number: f32, neutral: f32) -> String {
    if number == neutral {
        return value;
    }
    let number = builder.scalar(number);
    builder.node(operator, &[&value, &number], vec![])
}
