//! The layers of a recorded network as nodes of ONNX. Pictures are (N, C, H, W) there, filters and vectors laid out as in
//! `PyTorch`.

use std::collections::HashMap;

use super::builder::{Builder, float, int, ints, numbers, text};
use super::proto::AttributeProto;
use crate::graph::{Graph, Node, Tensor};
use crate::nets::state_dict;
use crate::ops::{Activation, BatchNorm, Conv, GroupNorm, Operator};

/// A parameter as a state dict has it.
struct Parameter<'a> {
    name: &'a str,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// A recorded network on its way into a graph of ONNX.
pub(super) struct Layers<'a> {
    g: &'a Graph,
    builder: &'a mut Builder,
    params: HashMap<Tensor, Parameter<'a>>,
    /// Names of what has been computed.
    values: HashMap<Tensor, String>,
    /// Whether sizes of pictures are those of the recorded network; else they are any.
    fixed: bool,
}

/// Adds all layers of a network from `x`, whose value has that name, to `y`, and returns the name of its value.
/// Fails with the end of a sentence about the network.
pub(super) fn add(
    builder: &mut Builder,
    (g, params): (&Graph, &[f32]),
    (x, name): (Tensor, String),
    y: Tensor,
    fixed: bool,
) -> Result<String, String> {
    let tensors = g.params().iter().map(|p| p.tensor).zip(state_dict::tensors(g, params));
    let params = tensors.map(|(t, (name, shape, values))| (t, Parameter { name, shape, values })).collect();
    let mut layers = Layers { g, builder, params, values: HashMap::from([(x, name)]), fixed };
    for node in g.nodes() {
        layers.add(node).map_err(|problem| format!("its op {} {problem}", node.op.name()))?;
    }
    layers.value(y).map_err(|problem| format!("its result {problem}"))
}

impl Layers<'_> {
    fn add(&mut self, node: &Node) -> Result<(), String> {
        let inputs = &node.inputs;
        let value = match node.op.operator().ok_or("has no counterpart in other programs")? {
            Operator::Conv(conv, activation) => self.convolution("Conv", node, conv, 0, activation)?,
            Operator::ConvTranspose(conv, activation) => {
                let [input, output] = [inputs[0], node.outputs[0]].map(|t| self.g.view(t).shape[1]);
                let without = (input - 1) * conv.stride + conv.kernel - 2 * conv.padding;
                let extra = output.checked_sub(without).ok_or("has a result that is smaller than that of a transposed one")?;
                self.convolution("ConvTranspose", node, conv, extra, activation)?
            }
            Operator::GroupNorm(norm) => self.group_norm(node, norm)?,
            Operator::BatchNorm(norm) => self.batch_norm(node, norm)?,
            Operator::MaxPool(side) => {
                self.of_picture("MaxPool", node, vec![ints("kernel_shape", &[side; 2]), ints("strides", &[side; 2])])?
            }
            Operator::Upsample(side) => {
                let scales = self.builder.floats(&format!("scales_{side}"), &[4], &[1.0, 1.0, side as f32, side as f32]);
                let repetition =
                    [("mode", "nearest"), ("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")];
                let repetition = repetition.map(|(name, value)| text(name, value)).to_vec();
                let x = self.value(inputs[0])?;
                self.builder.node("Resize", &[&x, "", &scales], repetition)
            }
            Operator::Add { b_scale, activation } => {
                let (a, b) = (self.value(inputs[0])?, self.value(inputs[1])?);
                let sum = match b_scale {
                    1.0 => self.builder.node("Add", &[&a, &b], vec![]),
                    -1.0 => self.builder.node("Sub", &[&a, &b], vec![]),
                    _ => {
                        let b = self.scaled(&b, b_scale);
                        self.builder.node("Add", &[&a, &b], vec![])
                    }
                };
                self.activation(sum, activation.slope)
            }
            Operator::LeakyRelu(slope) => {
                let x = self.value(inputs[0])?;
                self.activation(x, slope)
            }
            Operator::Sigmoid => self.of_picture("Sigmoid", node, vec![])?,
            Operator::Concat => {
                let parts = inputs.iter().map(|&t| self.value(t)).collect::<Result<Vec<_>, _>>()?;
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                self.builder.node("Concat", &parts, vec![int("axis", 1)])
            }
            Operator::Scale(scale) => {
                let x = self.value(inputs[0])?;
                self.scaled(&x, scale)
            }
            Operator::Identity => self.value(inputs[0])?,
        };
        self.values.insert(node.outputs[0], value);
        Ok(())
    }

    /// The name of what has been computed before.
    fn value(&self, t: Tensor) -> Result<String, String> {
        let value = self.values.get(&t).cloned();
        value.ok_or_else(|| "reads what no other op makes, as a part of a concatenation is".into())
    }

    fn param(&self, t: Tensor) -> Result<&Parameter<'_>, String> {
        self.params.get(&t).ok_or_else(|| "has a filter or vector that is no parameter".into())
    }

    /// A parameter as a constant, laid out as in a state dict.
    fn constant(&mut self, t: Tensor) -> Result<String, String> {
        let Parameter { name, shape, values } = self.params.get(&t).ok_or("has a filter or vector that is no parameter")?;
        Ok(self.builder.floats(name, shape, values))
    }

    /// A vector as a constant (1, C, 1, 1), that goes along channels.
    fn channels(&mut self, t: Tensor) -> Result<String, String> {
        let Parameter { name, values, .. } = self.param(t)?;
        let (name, shape, values) = (format!("{name}/1xCx1x1"), [1, values.len(), 1, 1], values.clone());
        Ok(self.builder.floats(&name, &shape, &values))
    }

    /// A filter with `extra` rows and columns of zeros after its own: what output padding is to a transposed convolution. Core ML
    /// knows no output padding.
    fn extended(&mut self, t: Tensor, extra: usize) -> Result<String, String> {
        let Parameter { name, shape, values } = self.param(t)?;
        let [a, b, h, w] = shape[..] else { return Err("has a filter that is none".into()) };
        let (th, tw) = (h + extra, w + extra);
        let mut extended = vec![0.0; a * b * th * tw];
        for (row, values) in values.chunks_exact(w).enumerate() {
            extended[(row / h * th + row % h) * tw..][..w].copy_from_slice(values);
        }
        let name = format!("{name}/{}", numbers(&[th, tw]));
        Ok(self.builder.floats(&name, &[a, b, th, tw], &extended))
    }

    fn of_picture(&mut self, operator: &str, node: &Node, attributes: Vec<AttributeProto>) -> Result<String, String> {
        let x = self.value(node.inputs[0])?;
        Ok(self.builder.node(operator, &[&x], attributes))
    }

    fn convolution(
        &mut self,
        operator: &str,
        node: &Node,
        conv: Conv,
        extra: usize,
        activation: Activation,
    ) -> Result<String, String> {
        let x = self.value(node.inputs[0])?;
        let w = if extra == 0 { self.constant(node.inputs[1])? } else { self.extended(node.inputs[1], extra)? };
        let b = node.inputs.get(2).map(|&b| self.constant(b)).transpose()?;
        let inputs: Vec<&str> = [&x, &w].into_iter().chain(&b).map(String::as_str).collect();
        let Conv { kernel, stride, padding } = conv;
        let attributes =
            vec![ints("kernel_shape", &[kernel + extra; 2]), ints("strides", &[stride; 2]), ints("pads", &[padding; 4])];
        let y = self.builder.node(operator, &inputs, attributes);
        Ok(self.activation(y, activation.slope))
    }

    /// By instance normalisation of (N, G, the rest): group normalisation itself came with opset 18.
    fn group_norm(&mut self, node: &Node, norm: GroupNorm) -> Result<String, String> {
        let view = self.g.view(node.inputs[0]);
        let ([_, h, w], c) = (view.shape, view.channels());
        let x = self.value(node.inputs[0])?;
        let groups = norm.groups;
        let grouped = self.builder.integers(&[0, groups as i64, -1]);
        let shape = match self.fixed {
            true => self.builder.integers(&[1, c as i64, h as i64, w as i64]),
            false => self.builder.node("Shape", &[&x], vec![]),
        };
        let y = self.builder.node("Reshape", &[&x, &grouped], vec![]);
        let ones = self.builder.floats(&format!("ones_{groups}"), &[groups], &vec![1.0; groups]);
        let zeros = self.builder.floats(&format!("zeros_{groups}"), &[groups], &vec![0.0; groups]);
        let y = self.builder.node("InstanceNormalization", &[&y, &ones, &zeros], vec![float("epsilon", norm.eps)]);
        let y = self.builder.node("Reshape", &[&y, &shape], vec![]);
        let (gamma, beta) = (self.channels(node.inputs[1])?, self.channels(node.inputs[2])?);
        let y = self.builder.node("Mul", &[&y, &gamma], vec![]);
        let y = self.builder.node("Add", &[&y, &beta], vec![]);
        Ok(self.activation(y, norm.activation.slope))
    }

    fn batch_norm(&mut self, node: &Node, norm: BatchNorm) -> Result<String, String> {
        let x = self.value(node.inputs[0])?;
        let vectors = node.inputs[1..].iter().map(|&t| self.constant(t)).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&str> = std::iter::once(&x).chain(&vectors).map(String::as_str).collect();
        let y = self.builder.node("BatchNormalization", &inputs, vec![float("epsilon", norm.eps)]);
        Ok(self.activation(y, norm.activation.slope))
    }

    fn scaled(&mut self, x: &str, scale: f32) -> String {
        let scale = self.builder.scalar(scale);
        self.builder.node("Mul", &[x, &scale], vec![])
    }

    /// A leaky ReLU of that slope; 1 is none, 0 the plain ReLU.
    fn activation(&mut self, x: String, slope: f32) -> String {
        match slope {
            1.0 => x,
            0.0 => self.builder.node("Relu", &[&x], vec![]),
            _ => self.builder.node("LeakyRelu", &[&x], vec![float("alpha", slope)]),
        }
    }
}
