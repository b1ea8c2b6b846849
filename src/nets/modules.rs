//! Layers with parameters, by name: what networks are written in. A name that is used again means the same parameters again.

use super::Norm;
use crate::graph::{Graph, ParamLayout, Tensor};
use crate::ops::{Activation, BatchNorm, Conv, GroupNorm};

/// Records layers into a graph, with parameters named as in a `PyTorch` state dict.
#[derive(Debug)]
pub struct Modules<'a> {
    /// Where everything is recorded, also ops without parameters.
    pub graph: &'a mut Graph,
    /// Whether batch normalisation goes by the statistics of the batch.
    pub training: bool,
}

impl<'a> Modules<'a> {
    /// Records into `graph`, for training or for evaluation.
    pub fn new(graph: &'a mut Graph, training: bool) -> Self {
        Self { graph, training }
    }

    /// The parameter of that name, or a new one. Used more than once, its gradients add up.
    ///
    /// # Panics
    /// If there is one of that name and another layout.
    pub fn param(&mut self, name: &str, layout: ParamLayout) -> Tensor {
        self.known(name, &layout).unwrap_or_else(|| self.graph.param(name, layout))
    }

    /// The trained vector (C) of that name, or a new one whose elements are `fill` at first.
    ///
    /// # Panics
    /// If there is a parameter of that name and another layout.
    pub fn vector(&mut self, name: &str, c: usize, fill: f32) -> Tensor {
        self.known(name, &ParamLayout::Vector(c)).unwrap_or_else(|| self.graph.vector(name, c, fill))
    }

    fn known(&self, name: &str, layout: &ParamLayout) -> Option<Tensor> {
        let known = self.graph.params().iter().find(|p| p.name == name)?;
        assert_eq!(known.layout, *layout, "{name} is used with two layouts");
        Some(known.tensor)
    }

    /// y = act(w * x + b), with the parameters `name.weight` and `name.bias`.
    pub fn conv2d(&mut self, name: &str, x: Tensor, output: usize, conv: Conv, activation: Activation) -> Tensor {
        let input = self.graph.view(x).parts.clone();
        let w = self.param(&format!("{name}.weight"), ParamLayout::Conv { k: conv.kernel, input, output });
        let b = self.param(&format!("{name}.bias"), ParamLayout::Vector(output));
        self.graph.conv2d(x, w, Some(b), conv, activation)
    }

    /// Transposed 3x3 convolution with stride 2 that doubles the size, with the parameters `name.weight` and `name.bias`.
    pub fn up2d(&mut self, name: &str, x: Tensor, output: usize) -> Tensor {
        let input = self.graph.view(x).parts.clone();
        let w = self.param(&format!("{name}.weight"), ParamLayout::ConvTranspose { k: 3, input, output });
        let b = self.param(&format!("{name}.bias"), ParamLayout::Vector(output));
        self.graph.conv_transpose2d(x, [w, b], Conv::same3(2), 1, Activation::NONE)
    }

    /// Group normalisation with the parameters `name.weight` and `name.bias`.
    pub fn group_norm(&mut self, name: &str, x: Tensor, groups: usize, activation: Activation) -> Tensor {
        let [gamma, beta] = self.scale_and_shift(name, x);
        self.graph.group_norm(x, gamma, beta, GroupNorm { groups, eps: 1e-5, activation })
    }

    /// Batch normalisation with the parameters `name.weight` and `name.bias`, and the statistics `name.running_mean` and
    /// `name.running_var`.
    pub fn batch_norm(&mut self, name: &str, x: Tensor, activation: Activation) -> Tensor {
        let [gamma, beta] = self.scale_and_shift(name, x);
        let c = self.graph.view(x).channels();
        let running = [("running_mean", 0.0), ("running_var", 1.0)].map(|(role, fill)| {
            let name = format!("{name}.{role}");
            self.known(&name, &ParamLayout::Vector(c)).unwrap_or_else(|| self.graph.running_statistic(&name, c, fill))
        });
        let norm = BatchNorm { eps: 1e-5, momentum: 0.1, activation };
        if self.training {
            self.graph.batch_norm(x, gamma, beta, running, norm)
        } else {
            self.graph.batch_norm_eval(x, gamma, beta, running, norm)
        }
    }

    /// y, or what is left of `x` without it where a network predicts the noise.
    pub fn residual(&mut self, x: Tensor, y: Tensor, predicts_noise: bool) -> Tensor {
        if predicts_noise { self.graph.subtract(x, y) } else { y }
    }

    fn scale_and_shift(&mut self, name: &str, x: Tensor) -> [Tensor; 2] {
        let c = self.graph.view(x).channels();
        [("weight", 1.0), ("bias", 0.0)].map(|(role, fill)| self.vector(&format!("{name}.{role}"), c, fill))
    }

    /// A 3x3 convolution `conv`, the normalisation `norm`, and an activation.
    pub(super) fn conv_norm(&mut self, names: [&str; 2], x: Tensor, output: usize, norm: Norm, activation: Activation) -> Tensor {
        let [conv, name] = names;
        if norm == Norm::None {
            return self.conv2d(conv, x, output, Conv::same3(1), activation);
        }
        let y = self.conv2d(conv, x, output, Conv::same3(1), Activation::NONE);
        match norm {
            Norm::Batch => self.batch_norm(name, y, activation),
            _ => self.group_norm(name, y, if output.is_multiple_of(8) { output / 8 } else { 1 }, activation),
        }
    }
}
