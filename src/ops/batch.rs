//! Training batches from pictures that live on the device as bytes: random crops, flips and rotations, and two
//! independent Gaussian noises; or two noisy exposures of one scene as they are.

use rayon::prelude::*;

use super::{channel4, stride4};
use crate::graph::{Element, Graph, Io, Lowering, Node, Op, Real, Role, StorageId, Tensor, grid};

/// What a batch is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Pictures, or pairs of them.
    pub count: usize,
    /// Side of the square crops, pixels.
    pub crop: usize,
    /// Crops in a batch.
    pub batch: usize,
    /// Whether pictures 2i and 2i + 1 are two noisy exposures of one scene.
    pub pairs: bool,
    /// Whether targets stay without noise, for comparison.
    pub clean_targets: bool,
    /// Smallest and largest standard deviation of the noise, in units of the [0, 1] range; drawn per crop.
    pub sigma: (f32, f32),
}

/// Host storages that a batch is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Pictures {
    /// step, seed.
    pub draw: StorageId,
    /// Per picture: shard, first byte, width, height.
    pub table: StorageId,
    /// Bytes (H, W, 3) of the pictures, one after the other.
    pub shards: [StorageId; 3],
}

/// Pictures laid into shards that a device can bind.
#[derive(Clone, Debug, Default)]
pub struct Shards {
    /// Rows of four: shard, first byte, width, height.
    pub table: Vec<u32>,
    /// Packed bytes.
    pub bytes: [Vec<u8>; 3],
    /// Numbers of the groups that found no place.
    pub left_out: Vec<usize>,
}

impl Shards {
    /// Lays out groups of pictures ((width, height), bytes) in three shards of at most `limit` bytes. A group that finds no
    /// place is left out whole.
    pub fn new<'a>(groups: impl Iterator<Item = Vec<((usize, usize), &'a [u8])>>, limit: u64) -> Self {
        let mut shards = Self::default();
        for (number, group) in groups.enumerate() {
            let size: usize = group.iter().map(|(_, data)| data.len()).sum();
            // Room for the last word to be filled up.
            let Some(shard) = (0..3).find(|&s| (shards.bytes[s].len() + size + 16) as u64 <= limit) else {
                shards.left_out.push(number);
                continue;
            };
            for ((width, height), data) in group {
                let first = shards.bytes[shard].len();
                shards.table.extend([shard as u32, first as u32, width as u32, height as u32]);
                shards.bytes[shard].extend_from_slice(data);
            }
        }
        shards
    }

    /// Pictures that were laid out.
    pub fn count(&self) -> usize {
        self.table.len() / 4
    }

    /// Bytes of shard `i` as words, at least one.
    pub fn words(&self, i: usize) -> Vec<u32> {
        let mut bytes = self.bytes[i].clone();
        bytes.resize(bytes.len().next_multiple_of(4).max(16), 0);
        bytes.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b)).collect()
    }
}

impl Graph {
    /// Records the drawing of a batch from `shards`: (x, t, storages), both (BATCH, CROP, CROP, 3) in [-0.5, 0.5] plus noise.
    pub fn batch(&mut self, batch: Batch, shards: &Shards) -> (Tensor, Tensor, Pictures) {
        let fits = |row: &[u32; 4]| batch.crop <= row[2] as usize && batch.crop <= row[3] as usize;
        assert!(
            batch.count > 0 && shards.table.as_chunks::<4>().0.iter().all(fits),
            "batch: pictures smaller than a crop, or none"
        );
        let draw = self.host_vector("draw", 4, Element::U32);
        let table = self.host_vector("table", shards.table.len(), Element::U32);
        let shard =
            [0, 1, 2].map(|i| self.host_vector(&format!("shard{i}"), shards.bytes[i].len().max(16).div_ceil(4), Element::U32));
        let shape = [batch.batch, batch.crop, batch.crop];
        let x = self.add_tensor("x", shape, &[3], Role::Intermediate);
        let t = self.add_tensor("t", shape, &[3], Role::Intermediate);
        self.record_into(batch, &[draw, table, shard[0], shard[1], shard[2]], &[x, t]);
        let storage = |t: Tensor| self.view(t).storage;
        let pictures = Pictures { draw: storage(draw), table: storage(table), shards: shard.map(storage) };
        (x, t, pictures)
    }
}

impl Op for Batch {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let (x, t) = (l.view(node.outputs[0]).clone(), l.view(node.outputs[1]).clone());
        let [gx, gy] = grid(x.pixels().div_ceil(64), l.limits);
        let constants = [
            ("COUNT", self.count as f64),
            ("CROP", self.crop as f64),
            ("BATCH", self.batch as f64),
            ("PAIRS", f64::from(u8::from(self.pairs))),
            ("CLEAN_TARGETS", f64::from(u8::from(self.clean_targets))),
            ("SIGMA_MIN", self.sigma.0.into()),
            ("SIGMA_MAX", self.sigma.1.into()),
            ("X_STRIDE4", stride4(&x)),
            ("X_CHANNEL4", channel4(&x)),
            ("T_STRIDE4", stride4(&t)),
            ("T_CHANNEL4", channel4(&t)),
            ("GRID_X", gx.into()),
        ];
        let names = ["draw", "table", "shard0", "shard1", "shard2"];
        let mut bindings: Vec<_> = names.iter().zip(&node.inputs).map(|(n, &t)| (*n, l.range(t))).collect();
        bindings.extend([("x", l.range(node.outputs[0])), ("t", l.range(node.outputs[1]))]);
        l.dispatch("batch", &constants, &bindings, [gx, gy, 1]);
    }

    crate::cpu_meaning!();
}

impl Batch {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        for output in 0..2 {
            let (inputs, view, y) = io.split(output);
            let (draw, table, shards) = (inputs.ints(0), inputs.ints(1), [2, 3, 4].map(|i| inputs.ints(i)));
            let source = Source { batch: self, draw: [draw[0], draw[1]], table, shards };
            y.par_chunks_mut(self.crop * self.crop * view.stride).enumerate().for_each(|(n, y)| {
                let crop = source.crop(n as u32);
                for (p, y) in y.chunks_mut(view.stride).enumerate() {
                    y[view.channel..view.channel + 3].copy_from_slice(&source.pixel::<T>(&crop, p as u32)[output]);
                    y[view.channel + 3] = T::zero();
                }
            });
        }
    }
}

struct Source<'a> {
    batch: &'a Batch,
    draw: [u32; 2],
    table: &'a [u32],
    shards: [&'a [u32]; 3],
}

struct Crop {
    n: u32,
    number: usize,
    r: [u32; 4],
    sigma: f64,
}

impl Source<'_> {
    fn crop(&self, n: u32) -> Crop {
        let [step, seed] = self.draw;
        let r = pcg4d([n, step, seed, 0]);
        let number = r[0] as usize % self.batch.count * if self.batch.pairs { 2 } else { 1 };
        let (low, high) = (f64::from(self.batch.sigma.0), f64::from(self.batch.sigma.1));
        Crop { n, number, r, sigma: low + (high - low) * uniform(pcg4d([n, step, seed, 1])[0]) }
    }

    fn bytes<T: Real>(&self, number: usize, row: u32, column: u32) -> [T; 3] {
        let [shard, first, width, _] = self.table.as_chunks::<4>().0[number];
        let at = first as usize + (row * width + column) as usize * 3;
        [0, 1, 2].map(|i| {
            let byte = self.shards[shard as usize][(at + i) / 4] >> ((at + i) % 4 * 8) & 255;
            T::of(f64::from(byte) / 255.0 - 0.5)
        })
    }

    /// Input and target at pixel `p` of a crop.
    fn pixel<T: Real>(&self, crop: &Crop, p: u32) -> [[T; 3]; 2] {
        let side = self.batch.crop as u32;
        let (mut row, mut column) = (p / side, p % side);
        let flips = crop.r[3] >> 16;
        if flips & 1 != 0 {
            row = side - 1 - row;
        }
        if flips & 2 != 0 {
            column = side - 1 - column;
        }
        if flips & 4 != 0 {
            (row, column) = (column, row);
        }
        let [_, _, width, height] = self.table.as_chunks::<4>().0[crop.number];
        row += crop.r[1] % (height - side + 1);
        column += crop.r[2] % (width - side + 1);
        let mut a = self.bytes(crop.number, row, column);
        let mut b = a;
        if self.batch.pairs {
            b = self.bytes(crop.number + 1, row, column);
            if flips & 8 != 0 {
                (a, b) = (b, a);
            }
        } else {
            let [step, seed] = self.draw;
            let i = crop.n * side * side + p;
            let add = |to: &mut [T; 3], stream: u32| {
                for (v, z) in to.iter_mut().zip(normal3(pcg4d([i, step, seed, stream]))) {
                    *v += T::of(crop.sigma * z);
                }
            };
            add(&mut a, 2);
            if !self.batch.clean_targets {
                add(&mut b, 3);
            }
        }
        [a, b]
    }
}

/// Four random integers from a counter (Jarzynski and Olano 2020), as in `shaders/lib/rng.wgsl`.
pub(crate) fn pcg4d(counter: [u32; 4]) -> [u32; 4] {
    let mut v = counter.map(|c| c.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mix = |v: &mut [u32; 4]| {
        v[0] = v[0].wrapping_add(v[1].wrapping_mul(v[3]));
        v[1] = v[1].wrapping_add(v[2].wrapping_mul(v[0]));
        v[2] = v[2].wrapping_add(v[0].wrapping_mul(v[1]));
        v[3] = v[3].wrapping_add(v[1].wrapping_mul(v[2]));
    };
    mix(&mut v);
    v = v.map(|x| x ^ x >> 16);
    mix(&mut v);
    v
}

/// Uniform in (0, 1).
fn uniform(bits: u32) -> f64 {
    (f64::from(bits >> 9) + 0.5) / 8_388_608.0
}

/// Three independent standard normal numbers (Box and Muller 1958).
pub(crate) fn normal3(bits: [u32; 4]) -> [f64; 3] {
    let [a, b, c, d] = bits.map(uniform);
    let tau = std::f64::consts::TAU;
    let (r, s) = ((-2.0 * a.ln()).sqrt(), (-2.0 * c.ln()).sqrt());
    [r * (tau * b).cos(), r * (tau * b).sin(), s * (tau * d).cos()]
}

/// An endless sequence of standard normal numbers, one for every `seed` and `stream`.
pub fn random_normals(seed: u32, stream: u32) -> impl Iterator<Item = f64> {
    // Apart from the streams 0 to 3 that batches are drawn from.
    (0u32..).flat_map(move |i| normal3(pcg4d([i, stream, seed, 0x6e32_6e67])))
}

/// One number uniform in (0, 1), for every `seed` and `stream`.
pub fn random_uniform(seed: u32, stream: u32) -> f64 {
    uniform(pcg4d([0, stream, seed, 0x756e_6966])[0])
}
