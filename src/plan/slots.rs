//! Lifetimes and slots: which intermediates can share memory. Greedy by size: the largest first, each into the first
//! slot that is free while it lives (as in Pisarchyk and Lee 2020), so that a slot is as large as its first tenant.

use super::{Lifetime, Slot};
use crate::graph::{Element, Graph, Role, StorageId};

/// All intermediates, with the first and the last node that use each, and its size by `len`.
pub(super) fn lifetimes(graph: &Graph, len: impl Fn(StorageId) -> usize) -> (Vec<StorageId>, Vec<Lifetime>) {
    let mut uses = vec![None; graph.storages().len()];
    for (number, node) in graph.nodes().iter().enumerate() {
        for &t in node.inputs.iter().chain(&node.outputs) {
            let storage = graph.view(t).storage;
            let (_, last) = uses[storage.0].get_or_insert((number, number));
            *last = number;
        }
    }
    let all = graph.storages().iter().zip(uses).enumerate();
    all.filter_map(|(i, (s, used))| {
        let (first, last) = used?;
        let shares = s.role == Role::Intermediate && s.len > 0;
        shares.then(|| (StorageId(i), Lifetime { name: s.name.clone(), len: len(StorageId(i)), first, last, slot: 0 }))
    })
    .unzip()
}

/// Gives every lifetime a slot, adding to `slots`.
pub(super) fn assign(lifetimes: &mut [Lifetime], slots: &mut Vec<Slot>) {
    let host = slots.len();
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lifetimes[i].len), lifetimes[i].first));
    let mut tenants: Vec<Vec<(usize, usize)>> = Vec::new();
    for i in order {
        let lifetime = &mut lifetimes[i];
        let free = |t: &Vec<(usize, usize)>| t.iter().all(|&(first, last)| lifetime.last < first || last < lifetime.first);
        let slot = tenants.iter().position(free).unwrap_or_else(|| {
            tenants.push(Vec::new());
            slots.push(Slot { len: lifetime.len, element: Element::F32, host: false });
            tenants.len() - 1
        });
        tenants[slot].push((lifetime.first, lifetime.last));
        lifetime.slot = host + slot;
    }
}
