//! Gradient accumulation: a weighted sum of the gradients of several batches. The flat gradients are summed in parts, each as
//! soon as the backward pass has finished it: while the next part is computed, other processes can be sent this one.

use std::ops::Range;

use super::per_vec4;
use crate::cpu::{self, Io, Real};
use crate::graph::{ALIGN, Element, Graph, Node, Op, Role, StorageId, Tensor, View};
use crate::kernel::Shader;
use crate::plan::Lowering;

/// The op: y + share * x, or share * x where y is to begin anew.
#[derive(Clone, Copy, Debug)]
struct Accumulate;

/// Recorded sums.
#[derive(Clone, Copy, Debug)]
pub struct Accumulated {
    /// Share of the batch in the sums; 1 for its first batch, else 0; 0, 0.
    pub control: StorageId,
    /// The loss.
    pub loss: Tensor,
}

impl Graph {
    /// Sums the loss and all gradients over batches, the gradients in about `parts` parts. Call after [`Graph::backward`]; from
    /// then on [`Graph::gradients`] are the sums.
    ///
    /// # Panics
    /// If there are no gradients yet.
    pub fn accumulate(&mut self, loss: Tensor, parts: usize) -> Accumulated {
        let from = self.gradients().expect("accumulate: gradients are recorded");
        let len = self.storage(from).len;
        let control = self.host_vector("share", 4, Element::F32);
        let gradient = self.add_storage("gradient sums", len, Element::F32, Role::Host);
        let mut found = self.parts_of_gradients(from, parts);
        // From the last on, so that places in the list of nodes stay right.
        found.sort_by_key(|(ready, _)| std::cmp::Reverse(*ready));
        for (ready, range) in found {
            let part = |storage| View {
                storage,
                shape: [1, 1, range.len() / 4],
                parts: vec![4],
                base: range.start,
                channel: 0,
                stride: 4,
            };
            let (x, y) = (self.add_view(part(from)), self.add_view(part(gradient)));
            self.record_at(ready, Accumulate, &[x, control], &[y]);
        }
        self.replace_gradients(gradient);
        let sum = self.host_scalar("loss", 0.0);
        self.record_into(Accumulate, &[loss, control], &[sum]);
        Accumulated { control: self.view(control).storage, loss: sum }
    }

    /// Parts of the flat gradients, in the order in which the backward pass finishes them (from the last parameter to the first),
    /// each with the first node before which it is finished.
    fn parts_of_gradients(&self, gradients: StorageId, count: usize) -> Vec<(usize, Range<usize>)> {
        let len = self.storage(gradients).len;
        let written = |range: &Range<usize>| {
            let writes = |&t: &Tensor| {
                let view = self.view(t);
                view.storage == gradients && view.base < range.end && range.start < view.base + view.span()
            };
            self.nodes().iter().rposition(|node| node.outputs.iter().any(writes)).map_or(0, |last| last + 1)
        };
        let (mut parts, mut end) = (Vec::new(), len);
        for param in self.params().iter().rev() {
            if end - param.offset >= len.div_ceil(count).next_multiple_of(ALIGN) || param.offset == 0 {
                let range = param.offset..end;
                parts.push((written(&range), range));
                end = param.offset;
            }
        }
        parts
    }
}

/// The nodes that sum gradients, in the order in which they run, and the range of each.
pub(crate) fn summed_parts(g: &Graph) -> Vec<(usize, Range<usize>)> {
    let range = |node: &Node| {
        let view = g.view(*node.outputs.first()?);
        (Some(view.storage) == g.gradients()).then(|| view.base..view.base + view.span())
    };
    g.nodes().iter().enumerate().filter_map(|(number, node)| Some((number, range(node)?))).collect()
}

impl Op for Accumulate {
    op_facts!(self, "accumulate", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let control = l.range(node.inputs[1]);
        per_vec4(l, Shader::Accumulate, &[], &[("x", node.inputs[0]), ("y", node.outputs[0])], &[("control", control)]);
    }
}

impl Accumulate {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let (inputs, view, y) = io.split(0);
        let ((vx, x), (_, control)) = (inputs.x(0), inputs.x(1));
        let (share, anew) = (control[0], control[1] > T::zero());
        cpu::each_pixel((view, y), |p, y| {
            let x = &x[p * vx.stride + vx.channel..];
            for (y, &x) in y.iter_mut().zip(x) {
                *y = share * x + if anew { T::zero() } else { *y };
            }
        });
    }
}
