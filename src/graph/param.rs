//! Parameters: named ranges of one flat storage, and their places in `PyTorch`'s layouts and in ours.

use super::{ALIGN, Element, Graph, Role, StorageId, Tensor, View, pad4, padded, physical};

/// How a parameter is laid out in a `PyTorch` state dict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamLayout {
    /// `Conv2d.weight` (`out`, `in`, k, k); here (k, k, in, out).
    Conv {
        /// Window size.
        k: usize,
        /// Input channels, in the runs of the tensor it is applied to.
        input: Vec<usize>,
        /// Output channels.
        output: usize,
    },
    /// `ConvTranspose2d.weight` (`in`, `out`, k, k); here (k, k, out, in), the filter of the convolution it transposes.
    ConvTranspose {
        /// Window size.
        k: usize,
        /// Input channels, in the runs of the tensor it is applied to.
        input: Vec<usize>,
        /// Output channels.
        output: usize,
    },
    /// A bias, scale or shift (C).
    Vector(usize),
}

impl ParamLayout {
    /// Shape of the tensor in a state dict.
    pub fn file_shape(&self) -> Vec<usize> {
        match self {
            Self::Conv { k, input, output } => vec![*output, input.iter().sum(), *k, *k],
            Self::ConvTranspose { k, input, output } => vec![input.iter().sum(), *output, *k, *k],
            Self::Vector(c) => vec![*c],
        }
    }

    /// Elements in a file: those that are trained.
    pub fn count(&self) -> usize {
        self.file_shape().iter().product()
    }

    /// For every element of the file, in order, its place relative to the parameter's first element here.
    pub fn places(&self) -> Vec<usize> {
        match self {
            Self::Vector(c) => (0..*c).collect(),
            Self::Conv { k, input, output } => {
                let (i, ip, op) = (physical(input), padded(input), pad4(*output));
                filter_places(*k, *output, i.len(), |tap, o, c| (tap * ip + i[c]) * op + o)
            }
            Self::ConvTranspose { k, input, output } => {
                let (i, ip, op) = (physical(input), padded(input), pad4(*output));
                filter_places(*k, i.len(), *output, |tap, c, o| (tap * op + o) * ip + i[c])
            }
        }
    }

    /// Shape and channels of the tensor here.
    fn shape(&self) -> ([usize; 3], Vec<usize>) {
        match self {
            Self::Conv { k, input, output } => ([*k, *k, padded(input)], vec![*output]),
            Self::ConvTranspose { k, input, output } => ([*k, *k, pad4(*output)], input.clone()),
            Self::Vector(c) => ([1, 1, 1], vec![*c]),
        }
    }

    /// Fan-in and fan-out as `PyTorch`'s initialisers count them: dimension 1 and dimension 0, times the window.
    pub(crate) fn fans(&self) -> (usize, usize) {
        match self.file_shape()[..] {
            [o, i, kh, kw] => (i * kh * kw, o * kh * kw),
            _ => (self.count(), self.count()),
        }
    }
}

fn filter_places(k: usize, outer: usize, inner: usize, at: impl Fn(usize, usize, usize) -> usize) -> Vec<usize> {
    let mut places = Vec::with_capacity(outer * inner * k * k);
    for a in 0..outer {
        for b in 0..inner {
            places.extend((0..k * k).map(|tap| at(tap, a, b)));
        }
    }
    places
}

/// A trained tensor.
#[derive(Clone, Debug)]
pub struct Param {
    /// Name in a state dict.
    pub name: String,
    /// How it is laid out in a file, and here.
    pub layout: ParamLayout,
    /// The tensor, a range of the storage `params`.
    pub tensor: Tensor,
    /// Its first element in the storages `params`, `grads`, …
    pub offset: usize,
    /// Whether training changes it by its gradient; running statistics are not.
    pub trained: bool,
    /// Value of all its elements at first; `None`: they are drawn, as those of filters.
    pub fill: Option<f32>,
}

impl Graph {
    /// Adds a trained tensor: a filter, which is drawn at first, or a vector of zeros, as a bias is.
    ///
    /// # Panics
    /// If there is one of that name.
    pub fn param(&mut self, name: &str, layout: ParamLayout) -> Tensor {
        let fill = matches!(layout, ParamLayout::Vector(_)).then_some(0.0);
        self.add_param(name, layout, fill, true)
    }

    /// Adds a trained vector (C) whose elements are `fill` at first.
    ///
    /// # Panics
    /// If there is a parameter of that name.
    pub fn vector(&mut self, name: &str, c: usize, fill: f32) -> Tensor {
        self.add_param(name, ParamLayout::Vector(c), Some(fill), true)
    }

    /// Adds a vector (C) that is stored with the parameters, but has no gradient: a running mean or variance, `fill` at first.
    ///
    /// # Panics
    /// If there is a parameter of that name.
    pub fn running_statistic(&mut self, name: &str, c: usize, fill: f32) -> Tensor {
        self.add_param(name, ParamLayout::Vector(c), Some(fill), false)
    }

    fn add_param(&mut self, name: &str, layout: ParamLayout, fill: Option<f32>, trained: bool) -> Tensor {
        assert!(self.params.iter().all(|p| p.name != name), "two parameters are named {name}");
        let known = self.flat;
        let flat = known.unwrap_or_else(|| self.add_storage("params", 0, Element::F32, Role::Host));
        self.flat = Some(flat);
        let (shape, parts) = layout.shape();
        let stride = padded(&parts);
        let base = self.storages[flat.0].len;
        self.storages[flat.0].len += (shape.iter().product::<usize>() * stride).next_multiple_of(ALIGN);
        let tensor = self.add_view(View { storage: flat, shape, parts, base, channel: 0, stride });
        self.needs_grad[tensor.0] = trained;
        self.params.push(Param { name: name.into(), layout, tensor, offset: base, trained, fill });
        tensor
    }

    /// Trained tensors in the order they were added.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The flat storage of all parameters.
    pub fn params_storage(&self) -> Option<StorageId> {
        self.flat
    }

    /// The flat storage of the parameters' gradients, once [`Graph::backward`] has recorded them.
    pub fn gradients(&self) -> Option<StorageId> {
        self.gradients
    }

    /// Takes other gradients for those of the parameters: sums.
    pub(crate) fn replace_gradients(&mut self, sums: StorageId) {
        self.gradients = Some(sums);
    }

    /// Number of trained values.
    pub fn parameter_count(&self) -> usize {
        self.params.iter().filter(|p| p.trained).map(|p| p.layout.count()).sum()
    }
}
