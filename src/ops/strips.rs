//! A network run down a picture strip by strip, so that its memory depends on the strip alone and no pixel is computed twice.
//! Every op sees the rows that the strips before left it in a line buffer, and is behind the strip by the rows that it has yet to
//! see. (Streaming, as in Alwani et al. 2016, "Fused-layer CNN accelerators", whose caches these are.)

use std::collections::BTreeMap;

use super::LineBuffer;
use crate::graph::{Element, Graph, Role, StorageId, Tensor};

/// A graph for one strip after the other.
#[derive(Clone, Debug)]
pub struct Strips {
    /// To be run once for every strip, from the top down, until it has given all rows.
    pub graph: Graph,
    /// The strip's pixels (1, rows, W, C). Those beyond the picture may be anything.
    pub x: StorageId,
    /// Two integers: the strip's first row, and the rows of the picture.
    pub control: StorageId,
    /// Results (1, at least rows, W, C).
    pub y: StorageId,
    /// Row of `y` that the new results begin at, as many as a strip has rows.
    pub first: usize,
    /// Rows by which the results are behind the strip: row `first` of them belongs to row `start - lag` of the picture.
    pub lag: usize,
}

/// A tensor that comes strip by strip.
#[derive(Clone, Copy, Debug)]
struct Flow {
    tensor: Tensor,
    /// Row that the new ones begin at.
    first: usize,
    /// Rows of the picture to a row.
    scale: usize,
    /// Rows by which the new ones are behind the strip.
    lag: usize,
}

impl Graph {
    /// The ops from `x` to `y`, both (1, H, W, C), for strips of `rows` rows and the whole width. `rows` must divide by whatever
    /// the network scales its pictures down by, and so must the rows of a picture. `None` where that cannot be: where a pixel
    /// depends on all others.
    pub fn in_strips(&self, x: Tensor, y: Tensor, rows: usize) -> Option<Strips> {
        let mut g = self.without_ops();
        let view = self.view(x).clone();
        let input = g.add_tensor("strip", [1, rows, view.shape[2]], &view.parts, Role::Host);
        let control = g.host_vector("control", 2, Element::U32);
        let mut flows = BTreeMap::from([(x, Flow { tensor: input, first: 0, scale: 1, lag: 0 })]);
        for node in self.nodes() {
            let halo = node.op.halo()?;
            let [output] = node.outputs[..] else { return None };
            let pictures: Vec<Flow> = node.inputs.iter().filter_map(|t| flows.get(t).copied()).collect();
            let flow = *pictures.first()?;
            let scaled = |rows: usize| rows / halo.down * halo.up;
            // A window begins and ends with whole squares of what the op scales down.
            let [before, after] = [halo.before, halo.after].map(|rows| rows.next_multiple_of(halo.down));
            let lag = pictures.iter().map(|f| f.lag).max()?.next_multiple_of(halo.down);
            let height = |f: &Flow| g.view(f.tensor).shape[1];
            let alike = |f: &Flow| f.lag == lag && f.first == flow.first && height(f) == height(&flow);
            let even = flow.first.is_multiple_of(halo.down) && height(&flow).is_multiple_of(halo.down);
            let direct = before + after == 0 && even && pictures.iter().all(alike);
            let mut input = |&t: &Tensor| match flows.get(&t) {
                Some(f) if direct => f.tensor,
                Some(&Flow { tensor, first, scale, lag: behind }) => {
                    let (lead, delay) = (before + after, lag - behind);
                    g.line_buffer(tensor, control, LineBuffer { first, rows: rows / scale, lead, delay, scale, lag: behind }).0
                }
                None => t,
            };
            let inputs: Vec<Tensor> = node.inputs.iter().map(&mut input).collect();
            let tensor = match node.op.lay(&mut g, &inputs) {
                Some(laid) => laid,
                None => {
                    let view = self.view(output);
                    // Of padding that keeps sizes up to the op's scale, as all networks here have it.
                    let before = node.inputs.iter().find(|t| flows.contains_key(t)).map(|&t| self.view(t).shape[1])?;
                    if view.shape[1] != scaled(before) {
                        return None;
                    }
                    let height = scaled(g.view(inputs[0]).shape[1]);
                    g.record_shared(node.op.clone(), &inputs, [1, height, view.shape[2]], &view.parts)
                }
            };
            let first = scaled(if direct { flow.first } else { before });
            flows.insert(output, Flow { tensor, first, scale: flow.scale * halo.down / halo.up, lag: scaled(lag + after) });
        }
        let Flow { tensor, first, scale: 1, lag } = *flows.get(&y)? else { return None };
        let y = g.output("result", tensor);
        let [x, control, y] = [input, control, y].map(|t| g.view(t).storage);
        Some(Strips { graph: g, x, control, y, first, lag })
    }
}
