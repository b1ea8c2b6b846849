//! Reverse-mode differentiation: one walk over the recorded nodes, last to first, each adding its gradient ops.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Element, Graph, Op, Role, Tensor, View};

impl Graph {
    /// Records the gradients of everything that needs one, from the gradients `seeds` of some results:
    /// pairs (y, dy). A tensor that is used several times, a shared parameter or a skip, gets the sum.
    ///
    /// Parameter gradients end in the flat host storage [`Graph::gradients`], laid out as the parameters. Returns the gradients
    /// of inputs that asked for one with [`Graph::require_grad`], by tensor.
    pub fn backward(&mut self, seeds: &[(Tensor, Tensor)]) -> BTreeMap<Tensor, Tensor> {
        let mut grads: BTreeMap<Tensor, Tensor> = seeds.iter().copied().collect();
        let forward = self.nodes.len();
        for node in self.nodes.clone().iter().rev() {
            let dy: Vec<_> = node.outputs.iter().map(|t| grads.get(t).copied()).collect();
            let wanted = node.inputs.iter().any(|&t| self.needs_grad(t));
            if !wanted || dy.iter().all(Option::is_none) {
                continue;
            }
            let all = node.op.backward(self, node, &dy);
            // What is handed on as it is, or to several inputs, is or may become the gradient of several tensors.
            let several = |dx: &&Option<Tensor>| dy.contains(dx) || all.iter().filter(|other| other == dx).count() > 1;
            self.pinned.extend(all.iter().filter(several).flatten());
            for (&x, dx) in node.inputs.iter().zip(all) {
                if let (true, Some(dx)) = (self.needs_grad(x), dx) {
                    let sum = match grads.get(&x) {
                        Some(&before) if self.fuse(dx, before, |op, output, input| op.adding(output, input)) => dx,
                        Some(&before) => self.add(before, dx),
                        None => dx,
                    };
                    grads.insert(x, sum);
                }
            }
        }
        self.gather(&grads);
        self.recompute(forward);
        grads
    }

    /// Fuses an operation into the op that made `t`: `change` returns the op that does both, or nothing if it cannot. It is given
    /// the maker, which of its outputs `t` is, and the index of the added input `with`. Nothing may have used `t` yet. True if it
    /// was fused.
    pub(crate) fn fuse(
        &mut self,
        t: Tensor,
        with: Tensor,
        change: impl Fn(&dyn Op, usize, usize) -> Option<Arc<dyn Op>>,
    ) -> bool {
        if self.pinned.contains(&t) || !self.movable(t) || self.nodes.iter().any(|n| n.inputs.contains(&t)) {
            return false;
        }
        let Some(maker) = self.nodes.iter().position(|n| n.outputs.contains(&t)) else { return false };
        let storage = self.view(with).storage;
        let later = self.nodes[maker..].iter().flat_map(|n| &n.outputs).any(|&u| self.view(u).storage == storage);
        let node = &self.nodes[maker];
        let output = node.outputs.iter().position(|&u| u == t).expect("the maker makes it");
        match change(node.op.as_ref(), output, node.inputs.len()) {
            Some(op) if !later => {
                self.nodes[maker].op = op;
                self.nodes[maker].inputs.push(with);
                true
            }
            _ => false,
        }
    }

    /// Lays the parameters' gradients into a flat storage.
    fn gather(&mut self, grads: &BTreeMap<Tensor, Tensor>) {
        let Some(flat) = self.flat else { return };
        let len = self.storages[flat.0].len;
        let storage = self.add_storage("grads", len, Element::F32, Role::Host);
        self.gradients = Some(storage);
        for param in self.params.clone() {
            if let Some(&dw) = grads.get(&param.tensor) {
                let view = View { storage, ..self.view(param.tensor).clone() };
                if !self.lay(dw, view.clone()) {
                    let y = self.add_view(view);
                    self.copy_into(dw, y);
                }
            }
        }
    }
}
