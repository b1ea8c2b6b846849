//! A network's curve of values ([`Transfer`]) and its inverse, as nodes.

use super::builder::{Builder, int};
use crate::nets::{Transfer, pu};

/// Nodes on one value after the other.
struct Chain<'a> {
    builder: &'a mut Builder,
    value: String,
}

impl<'a> Chain<'a> {
    fn of(builder: &'a mut Builder, value: &str) -> Self {
        Self { builder, value: value.to_owned() }
    }

    /// The operator on what there is and a number.
    fn then(self, operator: &str, number: f32) -> Self {
        let number = self.builder.scalar(number);
        let value = self.builder.node(operator, &[&self.value, &number], vec![]);
        Self { value, ..self }
    }

    fn alone(self, operator: &str) -> Self {
        let value = self.builder.node(operator, &[&self.value], vec![]);
        Self { value, ..self }
    }
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
    let y = Chain::of(builder, value).then("Max", 0.0).value;
    let low = Chain::of(builder, &y).then("Mul", pu::A).value;
    let middle = Chain::of(builder, &y).then("Pow", pu::C).then("Mul", pu::B).then("Add", pu::D).value;
    let high = Chain::of(builder, &y).then("Add", pu::F).alone("Log").then("Mul", pu::E).then("Add", pu::G).value;
    let x = pieces(builder, &y, [pu::Y0, pu::Y1], [&low, &middle, &high]);
    Chain::of(builder, &x).then("Div", pu::largest()).value
}

/// The inverse, on a result of three channels.
pub(super) fn inverse(builder: &mut Builder, transfer: Transfer, value: String) -> String {
    if transfer == Transfer::None {
        return value;
    }
    let x = Chain::of(builder, &value).then("Mul", pu::largest()).value;
    let low = Chain::of(builder, &x).then("Div", pu::A).value;
    // Powers of negative numbers, which are not taken, would not be numbers.
    let middle = Chain::of(builder, &x).then("Sub", pu::D).then("Div", pu::B).then("Max", 0.0).then("Pow", 1.0 / pu::C).value;
    let high = Chain::of(builder, &x).then("Sub", pu::G).then("Div", pu::E).alone("Exp").then("Sub", pu::F).value;
    pieces(builder, &x, [pu::X0, pu::X1], [&low, &middle, &high])
}

/// The first where `at` is no larger than the first of `ends`, else the second up to the second, else the third.
fn pieces(builder: &mut Builder, at: &str, ends: [f32; 2], [low, middle, high]: [&str; 3]) -> String {
    let [is_low, is_middle] = ends.map(|end| Chain::of(builder, at).then("LessOrEqual", end).value);
    let above = builder.node("Where", &[&is_middle, middle, high], vec![]);
    builder.node("Where", &[&is_low, low, &above], vec![])
}
