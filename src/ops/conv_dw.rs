//! Gradients of filters and biases: sums over all pixels, split over workgroups and added in a fixed order.

use std::sync::Arc;

use super::conv_fragments::CooperativeTile;
use super::conv_tiles::{Inner, Product};
use super::sums::sum_partials;
use super::{Conv, channel4, stride4};
use crate::cpu::{self, Convolve, Io, Real, Scratch};
use crate::graph::{Graph, Halo, Node, Op, Role, Tensor};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// Workgroups that a filter gradient is split over, about.
const WORKGROUPS: usize = 192;

/// dw, and db if there is one, of a convolution, from x and dy.
#[derive(Clone, Copy, Debug)]
struct Conv2dWeightGrad {
    conv: Conv,
    /// Inputs that dw and db are added to.
    before: [Option<usize>; 2],
}

/// db alone: sums over all pixels.
#[derive(Clone, Copy, Debug)]
struct ChannelSum {
    /// Input that db is added to.
    before: Option<usize>,
}

impl Graph {
    /// Gradients of the filter w, and of the bias b if there is one.
    pub(super) fn conv2d_dw(
        &mut self,
        x: Tensor,
        dy: Tensor,
        conv: Conv,
        w: Tensor,
        b: Option<Tensor>,
    ) -> (Option<Tensor>, Option<Tensor>) {
        let mut gradient = |of: Tensor, name: &str| {
            let view = self.view(of).clone();
            let name = format!("{name}.{}", self.nodes().len());
            self.add_tensor(&name, view.shape, &view.parts, Role::Intermediate)
        };
        let dw = gradient(w, "conv2d_dw");
        let db = b.map(|b| gradient(b, "conv2d_db"));
        let outputs: Vec<_> = [dw].into_iter().chain(db).collect();
        self.record_into(Conv2dWeightGrad { conv, before: [None; 2] }, &[x, dy], &outputs);
        (Some(dw), db)
    }

    /// Sums over all pixels (1, 1, 1, C): the gradient of a bias.
    pub(super) fn channel_sum(&mut self, dy: Tensor) -> Tensor {
        let parts = self.view(dy).parts.clone();
        self.record(ChannelSum { before: None }, &[dy], [1, 1, 1], &parts)
    }
}

impl Op for Conv2dWeightGrad {
    fn name(&self) -> &'static str {
        "conv2d_dw"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, dy) = (l.view(node.inputs[0]).clone(), l.view(node.inputs[1]).clone());
        let bias = node.outputs.len() == 2;
        // The bias is one more row of the filter, with ones for pixels.
        let rows = self.conv.kernel * self.conv.kernel * x.padded() + usize::from(bias);
        let (rows4, k4) = (rows.div_ceil(4), dy.padded() / 4);
        // As many splits as give large devices enough workgroups of 64 x 64, but at least 64 pixels each: whatever the tile, so
        // that sums are added in the same order.
        // With cooperative matrices so much is a subgroup's, and there are three for every such workgroup.
        let nominal = rows4.div_ceil(16) * k4.div_ceil(16);
        let wanted = if CooperativeTile::are_used(l) { 3 * WORKGROUPS } else { WORKGROUPS };
        let splits = wanted.div_ceil(nominal).min(dy.pixels().div_ceil(64)).clamp(1, l.limits.workgroups as usize);
        let split_pixels = dy.pixels().div_ceil(splits).next_multiple_of(32);
        let splits = dy.pixels().div_ceil(split_pixels);
        let product = Product { rows: rows4 * 4, columns4: k4, times: splits, inner: Inner::Pixels };
        let mut constants = self.conv.constants(&x, &dy);
        constants.extend([("BIAS", f64::from(u8::from(bias))), ("SPLIT_PIXELS", split_pixels as f64)]);
        let (shader, [down, across]) = if let Some(cooperative) = CooperativeTile::new(l, &product) {
            constants.extend(cooperative.constants());
            (Shader::Conv2dDwCoop, cooperative.grid(&product))
        } else if l.limits.is_software() {
            // 32 invocations with eight rows by two vec4s of columns each.
            (Shader::Conv2dDwDirect, [rows.div_ceil(256), k4.div_ceil(2)])
        } else {
            let tile = product.choose(l, Shader::Conv2dDw, self.conv, &dy, x.padded());
            constants.extend(tile.constants());
            (Shader::Conv2dDw, product.grid(&tile))
        };
        let outputs: Vec<_> = node.outputs.iter().map(|&t| l.range(t)).collect();
        // One part of one result: nothing to add up.
        let direct = splits == 1 && !bias && self.before[0].is_none();
        let partials = if direct { outputs[0] } else { l.scratch(splits * rows * k4 * 4) };
        let bindings = [("x", l.range(node.inputs[0])), ("dy", l.range(node.inputs[1])), ("partials", partials)];
        let flops = self.conv.flops(&x, &dy);
        l.dispatch(shader, &constants, &bindings, [down as u32, across as u32, splits as u32]).flops = flops;
        if !direct {
            let before = self.before.map(|i| i.map(|i| l.range(node.inputs[i])));
            let totals: Vec<_> = outputs.into_iter().zip(before).collect();
            sum_partials(l, partials, splits, 1.0, &totals);
        }
    }

    fn adding(&self, output: usize, input: usize) -> Option<Arc<dyn Op>> {
        let mut op = *self;
        op.before[output] = Some(input);
        Some(Arc::new(op))
    }

    fn flops(&self, g: &Graph, node: &Node) -> f64 {
        self.conv.flops(g.view(node.inputs[0]), g.view(node.inputs[1]))
    }

    fn halo(&self) -> Option<Halo> {
        None
    }

    crate::cpu_meaning!();
}

impl Conv2dWeightGrad {
    fn run<T: Convolve>(&self, io: &mut Io<T>) {
        let (inputs, _, dw) = io.split(0);
        let mut db = Scratch::new(inputs.x(1).0.padded());
        T::correlate(inputs.x(0), inputs.x(1), &self.conv.forward_patches(), dw, &mut db);
        if let Some(before) = self.before[0] {
            cpu::accumulate(dw, inputs.x(before).1);
        }
        if io.outputs() == 2 {
            let (inputs, _, to) = io.split(1);
            to.copy_from_slice(&db);
            if let Some(before) = self.before[1] {
                cpu::accumulate(to, inputs.x(before).1);
            }
        }
    }
}

impl Op for ChannelSum {
    fn name(&self) -> &'static str {
        "channel_sum"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let dy = l.view(node.inputs[0]).clone();
        let c4 = dy.padded() / 4;
        let splits = dy.pixels().div_ceil(256).clamp(1, 128.min(l.limits.workgroups as usize));
        let split_pixels = dy.pixels().div_ceil(splits);
        let splits = dy.pixels().div_ceil(split_pixels);
        let constants = [
            ("PIXELS", dy.pixels() as f64),
            ("C4", c4 as f64),
            ("Y_STRIDE4", stride4(&dy)),
            ("Y_CHANNEL4", channel4(&dy)),
            ("SPLIT_PIXELS", split_pixels as f64),
        ];
        let db = l.range(node.outputs[0]);
        let direct = splits == 1 && self.before.is_none();
        let partials = if direct { db } else { l.scratch(splits * c4 * 4) };
        let bindings = [("dy", l.range(node.inputs[0])), ("partials", partials)];
        l.dispatch(Shader::ChannelSum, &constants, &bindings, [splits as u32, c4.div_ceil(8) as u32, 1]);
        if !direct {
            let before = self.before.map(|i| l.range(node.inputs[i]));
            sum_partials(l, partials, splits, 1.0, &[(db, before)]);
        }
    }

    fn adding(&self, _output: usize, input: usize) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { before: Some(input) }))
    }

    fn halo(&self) -> Option<Halo> {
        None
    }

    crate::cpu_meaning!();
}

impl ChannelSum {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, _, db) = io.split(0);
        let (view, dy) = inputs.x(0);
        cpu::sum_pixels(view, dy, db, |pixel, sums| cpu::accumulate(sums, pixel));
        if let Some(before) = self.before {
            cpu::accumulate(db, inputs.x(before).1);
        }
    }
}
