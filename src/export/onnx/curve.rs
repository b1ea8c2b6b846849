//! A network's curve of values ([`Transfer`]) and its inverse, as nodes.

use super::builder::{Builder, int};
use crate::nets::{Transfer, pu};

/// One operator after the other on a value, each with its number if it takes one.
fn chain(builder: &mut Builder, value: &str, steps: &[(&str, Option<f32>)]) -> String {
    steps.iter().fold(value.to_owned(), |value, (operator, number)| match number {
        Some(number) => {
            let number = builder.scalar(*number);
            builder.node(operator, &[&value, &number], vec![])
        }
        None => builder.node(operator, &[&value], vec![]),
    })
}

/// The first three channels of `value`, of so many, through the curve; others beside a colour have no such values.
pub(super) fn forward(builder: &mut Builder, transfer: Transfer, value: String, channels: usize) -> String {
    if transfer == Transfer::None {
        return value;
    }
    if channels == 3 {
        return pu_forward(builder, &value);
    }
    let mut part = |from: usize, to: usize| {
        let (from, to, axis) = (builder.integers(&[from as i64]), builder.integers(&[to as i64]), builder.integers(&[1]));
        builder.node("Slice", &[&value, &from, &to, &axis], vec![])
    };
    let (colour, others) = (part(0, 3), part(3, channels));
    let colour = pu_forward(builder, &colour);
    builder.node("Concat", &[&colour, &others], vec![int("axis", 1)])
}

fn pu_forward(builder: &mut Builder, value: &str) -> String {
    let y = chain(builder, value, &[("Max", Some(0.0))]);
    let low = chain(builder, &y, &[("Mul", Some(pu::A))]);
    let middle = chain(builder, &y, &[("Pow", Some(pu::C)), ("Mul", Some(pu::B)), ("Add", Some(pu::D))]);
    let high = chain(builder, &y, &[("Add", Some(pu::F)), ("Log", None), ("Mul", Some(pu::E)), ("Add", Some(pu::G))]);
    let x = piecewise(builder, &y, [pu::Y0, pu::Y1], [&low, &middle, &high]);
    chain(builder, &x, &[("Div", Some(pu::largest()))])
}

/// The inverse, on a result of three channels.
pub(super) fn inverse(builder: &mut Builder, transfer: Transfer, value: String) -> String {
    if transfer == Transfer::None {
        return value;
    }
    let x = chain(builder, &value, &[("Mul", Some(pu::largest()))]);
    let low = chain(builder, &x, &[("Div", Some(pu::A))]);
    // Where it is not taken, it may be negative, and a power of that no number.
    let base = chain(builder, &x, &[("Sub", Some(pu::D)), ("Div", Some(pu::B)), ("Max", Some(0.0))]);
    let middle = chain(builder, &base, &[("Pow", Some(1.0 / pu::C))]);
    let high = chain(builder, &x, &[("Sub", Some(pu::G)), ("Div", Some(pu::E)), ("Exp", None), ("Sub", Some(pu::F))]);
    piecewise(builder, &x, [pu::X0, pu::X1], [&low, &middle, &high])
}

/// The first where `at` is no larger than the first of `ends`, else the second up to the second, else the third.
fn piecewise(builder: &mut Builder, at: &str, ends: [f32; 2], [low, middle, high]: [&str; 3]) -> String {
    let [is_low, is_middle] = ends.map(|end| chain(builder, at, &[("LessOrEqual", Some(end))]));
    let above = builder.node("Where", &[&is_middle, middle, high], vec![]);
    builder.node("Where", &[&is_low, low, &above], vec![])
}
