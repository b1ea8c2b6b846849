//! Halos: which pixels of a result change with a pixel of an input, on the CPU in double precision.

use std::collections::BTreeSet;
use std::sync::Arc;

use n2n_gpu::check;
use n2n_gpu::cpu;
use n2n_gpu::graph::{Graph, Halo, Node, Precision, Role, StorageId, View};
use n2n_gpu::nets::NETWORKS;
use n2n_gpu::ops::random_normals;
use n2n_gpu::plan::{Executor, Plan};

/// A node on its own: its graph, its inputs that are pictures, and its result.
struct Alone {
    executor: cpu::Executor<f64>,
    pictures: Vec<View>,
    y: View,
}

impl Alone {
    fn new(of: &Graph, node: &Node) -> Self {
        let mut g = Graph::new();
        let copy = |view: &View| g.add_tensor("input", view.shape, &view.parts, Role::Host);
        let inputs: Vec<_> = node.inputs.iter().map(|&t| of.view(t)).map(copy).collect();
        let out = of.view(node.outputs[0]);
        let laid = node.op.lay(&mut g, &inputs);
        let y = laid.unwrap_or_else(|| g.record_shared(Arc::clone(&node.op), &inputs, out.shape, &out.parts));
        let y = g.output("y", y);
        let weights = |t| of.params_storage() == Some(of.view(t).storage);
        let pictures = node.inputs.iter().zip(&inputs).filter(|(t, _)| !weights(**t)).map(|(_, &t)| g.view(t).clone());
        let (pictures, y) = (pictures.collect(), g.view(y).clone());
        let filled: Vec<(StorageId, Vec<f64>)> =
            inputs.iter().zip(0..).map(|(&t, i)| (g.view(t).storage, numbers(g.view(t), i))).collect();
        let mut executor = cpu::Executor::<f64>::new(Plan::new(g, None).unwrap());
        // All above zero: a variance is, and nothing cancels.
        for (id, data) in filled {
            executor.reals_mut(id).iter_mut().zip(data).for_each(|(to, v)| *to = v.abs());
        }
        Self { executor, pictures, y }
    }

    fn result(&mut self) -> Vec<f64> {
        self.executor.run().unwrap();
        self.executor.reals(self.y.storage).to_vec()
    }

    /// Row and column of all pixels of the result that change with a pixel of input `i`.
    fn changed(&mut self, before: &[f64], i: usize, pixel: usize) -> Vec<(usize, [usize; 2])> {
        let view = self.pictures[i].clone();
        let all = view.physical().into_iter().map(|c| pixel * view.stride + c).collect::<Vec<_>>();
        // Far beyond all other values, so that it is the largest under any window.
        let whole = self.executor.reals(view.storage).to_vec();
        all.iter().for_each(|&at| self.executor.reals_mut(view.storage)[at] += 100.0);
        let after = self.result();
        self.executor.reals_mut(view.storage).copy_from_slice(&whole);
        let [_, h, w] = self.y.shape;
        let differs = |p: &usize| (0..self.y.stride).any(|c| before[p * self.y.stride + c] != after[p * self.y.stride + c]);
        (0..self.y.pixels()).filter(differs).map(|p| (p / (h * w), [p / w % h, p % w])).collect()
    }
}

fn numbers(view: &View, stream: u32) -> Vec<f64> {
    let mut data = vec![0.0; view.span()];
    let mut normals = random_normals(1, stream);
    for pixel in data.chunks_mut(view.stride) {
        view.physical().into_iter().zip(&mut normals).for_each(|(c, z)| pixel[c] = z);
    }
    data
}

/// Every pixel of the result sees what its halo says at most, and as far as it says where it says that it looks beyond its own
/// place.
fn assert_law(name: &str, alone: &mut Alone, halo: Halo) {
    let before = alone.result();
    for i in 0..alone.pictures.len() {
        let [n, h, w] = alone.pictures[i].shape;
        // A cross through the first picture: all of a small one's rows and columns.
        let cross = (0..h).map(|row| row * w + w / 2).chain((0..w).map(|column| h / 2 * w + column)).collect::<BTreeSet<_>>();
        let mut seen: Vec<isize> = Vec::new();
        for pixel in cross {
            for (picture, place) in alone.changed(&before, i, pixel) {
                assert!(picture == 0 && n > 0, "{name}: picture {picture} depends on picture 0");
                for (at, from) in place.into_iter().zip([pixel / w, pixel % w]) {
                    let offset = from as isize - (at / halo.up * halo.down) as isize;
                    let window = -(halo.before as isize)..(halo.down + halo.after) as isize;
                    assert!(
                        window.contains(&offset),
                        "{name}: result {place:?} depends on pixel {pixel} of input {i}, not in {halo:?}"
                    );
                    seen.push(offset);
                }
            }
        }
        let farthest =
            [(halo.before, seen.iter().min().copied()), (halo.after, seen.iter().max().map(|o| o - halo.down as isize + 1))];
        let far = h.min(w) > halo.before + halo.after + 2 * halo.down;
        for ((distance, reached), sign) in farthest.into_iter().zip([-1, 1]) {
            assert!(!far || distance == 0 || reached == Some(sign * distance as isize), "{name}: {halo:?}, but {reached:?}");
        }
    }
}

#[test]
fn a_pixel_depends_on_what_its_ops_halo_says_and_on_nothing_else() {
    let (mut recorded, mut ops, mut tried) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for case in check::cases().iter().filter(|c| c.graph().precision() == Precision::F32) {
        let g = case.graph();
        for node in g.nodes() {
            let Some(halo) = node.op.halo() else { continue };
            recorded.insert(node.op.name());
            let shapes: Vec<_> = node.inputs.iter().map(|&t| g.view(t).shape).collect();
            // The same op on the same shapes once.
            if tried.insert(format!("{:?} {shapes:?}", node.op)) && g.view(node.outputs[0]).pixels() < 2000 {
                assert_law(&format!("{} of {}", node.op.name(), case.name), &mut Alone::new(g, node), halo);
                ops.insert(node.op.name());
            }
        }
    }
    // What only networks record.
    for entry in NETWORKS {
        let network = entry.published();
        let (g, ..) = network.forward([1, 32, 32], network.inputs());
        for node in g.nodes() {
            let Some(halo) = node.op.halo() else { continue };
            if recorded.insert(node.op.name()) {
                assert_law(&format!("{} of {}", node.op.name(), entry.name), &mut Alone::new(&g, node), halo);
                ops.insert(node.op.name());
            }
        }
    }
    assert!(recorded.len() >= 16, "only {recorded:?} have halos");
    assert_eq!(ops, recorded, "an op is in no case that is small enough to be tried");
}
