//! What becomes of a convolution's sums before they are written: bias, activation, addend and gate (`shaders/lib/finish.wgsl`).

use super::{Activation, Constants, channel4, stride4};
use crate::cpu::{Epilogue, Inputs, Real};
use crate::graph::{Node, Tensor};
use crate::plan::Lowering;

/// What becomes of the sums before they are written, in this order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish {
    /// Whether input 2 is a bias.
    bias: bool,
    pub(super) activation: Activation,
    /// Number of the input that is added.
    addend: Option<usize>,
    /// Number of the input that is a leaky ReLU's result, and its slope: the sums are multiplied by its derivative.
    gate: Option<(usize, f32)>,
}

impl Finish {
    pub(super) fn new(bias: bool, activation: Activation) -> Self {
        Self { bias, activation, addend: None, gate: None }
    }

    /// Whether nothing is read beside the window: addend and gate are as large as the result.
    pub(super) fn reads_window_only(&self) -> bool {
        self.addend.is_none() && self.gate.is_none()
    }

    pub(super) fn adding(self, input: usize) -> Option<Self> {
        let free = self.activation == Activation::NONE && self.addend.is_none() && self.gate.is_none();
        free.then_some(Self { addend: Some(input), ..self })
    }

    pub(super) fn gated(self, slope: f32, input: usize) -> Option<Self> {
        self.gate.is_none().then_some(Self { gate: Some((input, slope)), ..self })
    }

    /// The same on the CPU.
    pub(super) fn epilogue<'a, T: Real>(&self, inputs: &Inputs<'a, T>) -> Epilogue<'a, T> {
        Epilogue {
            bias: self.bias.then(|| inputs.x(2).1),
            slope: T::of(self.activation.slope.into()),
            addend: self.addend.map(|i| inputs.x(i)),
            gate: self.gate.map(|(i, slope)| (inputs.x(i), T::of(slope.into()))),
        }
    }

    /// Constants of `finish.wgsl`, and the tensors it reads: bias, addend and gate. Something has to be bound where one is
    /// missing, and is not read.
    pub(super) fn lower(&self, l: &Lowering, node: &Node) -> (Constants, [(&'static str, Tensor); 3]) {
        let [addend, gate] = [self.addend, self.gate.map(|(i, _)| i)].map(|i| node.inputs[i.unwrap_or(0)]);
        let yes = |given: bool| f64::from(u8::from(given));
        let constants = vec![
            ("BIAS", yes(self.bias)),
            ("SLOPE", self.activation.slope.into()),
            ("ADD", yes(self.addend.is_some())),
            ("ADDEND_STRIDE4", stride4(l.view(addend))),
            ("ADDEND_CHANNEL4", channel4(l.view(addend))),
            ("GATE", yes(self.gate.is_some())),
            ("GATE_SLOPE", self.gate.map_or(1.0, |(_, slope)| slope).into()),
            ("GATE_STRIDE4", stride4(l.view(gate))),
            ("GATE_CHANNEL4", channel4(l.view(gate))),
        ];
        let b = node.inputs[if self.bias { 2 } else { 1 }];
        (constants, [("b", b), ("addend", addend), ("gate", gate)])
    }
}
