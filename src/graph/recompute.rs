//! Memory for time: what is cheap to compute is computed again where gradients need it, in place of being kept for them.

use super::{Graph, Node, Role, Tensor, View};

impl Graph {
    /// Gives nodes from number `forward` on, the gradients', copies of the results of cheap ops before it. Only where an op's
    /// inputs are kept for later gradients anyway, so that nothing lives longer for it.
    pub(super) fn recompute(&mut self, forward: usize) {
        // From the last to the first: what is not kept any more does not count as kept for those before it.
        for number in (0..forward).rev() {
            let node = self.nodes[number].clone();
            let y = node.outputs.first().copied().filter(|&y| node.op.is_cheap() && self.movable(y));
            let first = y.and_then(|y| (forward..self.nodes.len()).find(|&later| self.nodes[later].inputs.contains(&y)));
            let (Some(y), Some(first)) = (y, first) else { continue };
            let needed = |t: &Tensor| self.is_kept_until(*t, first);
            if node.inputs.iter().all(needed) {
                self.compute_again(&node, y, first);
            }
        }
    }

    /// Whether a tensor's memory holds it until after node `number`: used there or later, or the host's, and not written again.
    fn is_kept_until(&self, t: Tensor, number: usize) -> bool {
        let storage = self.view(t).storage;
        let uses = |n: &Node| n.inputs.iter().any(|&u| self.view(u).storage == storage);
        self.storage(storage).role == Role::Host || self.nodes[number..].iter().any(uses)
    }

    /// Puts a copy of `node` before node `before`, and makes nodes from there on use its result for `y`.
    fn compute_again(&mut self, node: &Node, y: Tensor, before: usize) {
        let again: Vec<Tensor> = node.outputs.iter().map(|&t| self.like(t)).collect();
        for later in &mut self.nodes[before..] {
            later.inputs.iter_mut().filter(|t| **t == y).for_each(|t| *t = again[0]);
        }
        self.nodes.insert(before, Node { outputs: again, ..node.clone() });
    }

    /// A tensor with memory of its own, of the shape and kind of another.
    fn like(&mut self, t: Tensor) -> Tensor {
        let view = self.view(t).clone();
        let old = self.storage(view.storage).clone();
        let storage = self.add_storage(format!("{} again", old.name), view.span(), old.element, Role::Intermediate);
        self.add_view(View { storage, base: 0, channel: 0, ..view })
    }
}
