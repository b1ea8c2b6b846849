//! Training batches from pictures that live on the device as bytes: random crops, flips and rotations, and two
//! independent noises; or two noisy exposures of one scene as they are.

use rayon::prelude::*;

use super::noise::{Draw, GLYPHS, Place, Stream};
use super::{Noise, strides};
use crate::graph::{Element, Graph, Io, Lowering, Node, Op, Real, Role, StorageId, Tensor, grid};

/// What a batch is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Pictures, or pairs of them.
    pub count: usize,
    /// Side of the square crops, pixels (of the result: cells of a law that has them).
    pub crop: usize,
    /// Crops in a batch.
    pub batch: usize,
    /// Noise that two exposures of a picture get; `None`: pictures 2i and 2i + 1 are two noisy exposures of one scene.
    pub noise: Option<Noise>,
    /// Whether targets stay without noise, for comparison.
    pub clean_targets: bool,
    /// What 0 and 1 of a picture are in the input.
    pub input: [f32; 2],
    /// What 0 and 1 of a picture are in the target.
    pub target: [f32; 2],
    /// Which flips are drawn: 1 upside down, 2 left and right, 4 transposed, 8 the two pictures of a pair exchanged.
    pub flips: u32,
    /// Whether pictures and flips are not drawn, but given in [`Pictures::draw`].
    pub given: bool,
    /// Noisy targets of every crop, each an exposure of its own, that the loss is averaged over; 1 to [`Batch::MOST_TARGETS`]. More
    /// than one needs a law that adds noise to each pixel on its own.
    pub targets: usize,
}

/// A recorded batch.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// Input (BATCH, CROP, CROP, 3).
    pub x: Tensor,
    /// Targets (BATCH, CROP, CROP, 3 of each).
    pub t: Tensor,
    /// Which pixels of the targets are known (BATCH, CROP, CROP, 1 of each), for a law that hides some.
    pub mask: Option<Tensor>,
    /// What the host writes.
    pub pictures: Pictures,
}

/// Host storages that a batch is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Pictures {
    /// step, seed, 0, 0; then per element, where they are given, picture and flips.
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

    /// The table with the letters that text is written in after the pictures' rows.
    pub fn rows(&self) -> Vec<u32> {
        let letters = GLYPHS.iter().flat_map(|&[low, high]| [low, high, 0, 0]);
        self.table.iter().copied().chain(letters).collect()
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
    /// Records the drawing of a batch from `shards`.
    pub fn batch(&mut self, batch: Batch, shards: &Shards) -> Drawn {
        let side = batch.crop * batch.cell();
        let fits = |row: &[u32; 4]| side <= row[2] as usize && side <= row[3] as usize;
        assert!(
            batch.count > 0 && shards.table.as_chunks::<4>().0.iter().all(fits),
            "batch: pictures smaller than a crop, or none"
        );
        assert!((1..=Batch::MOST_TARGETS).contains(&batch.targets), "batch: {} targets", batch.targets);
        let draw = self.host_vector("draw", 4 + 2 * batch.batch, Element::U32);
        let table = self.host_vector("table", shards.rows().len(), Element::U32);
        let shard =
            [0, 1, 2].map(|i| self.host_vector(&format!("shard{i}"), shards.bytes[i].len().max(16).div_ceil(4), Element::U32));
        let shape = [batch.batch, batch.crop, batch.crop];
        let x = self.add_tensor("x", shape, &[3], Role::Intermediate);
        let t = self.add_tensor("t", shape, &vec![3; batch.targets], Role::Intermediate);
        let mask = self.add_tensor("mask", shape, &vec![1; batch.targets], Role::Intermediate);
        self.record_into(batch, &[draw, table, shard[0], shard[1], shard[2]], &[x, t, mask]);
        let [x, t] = match batch.noise {
            Some(noise) => {
                let exposed = [(x, batch.input), (t, batch.target)].into_iter().zip(0..);
                let exposed: Vec<_> = exposed
                    .map(|((x, [low, high]), exposure)| match (exposure, batch.clean_targets) {
                        (1, true) => x,
                        _ => self.add_brown(x, draw, &noise, exposure, high - low),
                    })
                    .collect();
                [exposed[0], exposed[1]]
            }
            None => [x, t],
        };
        let storage = |t: Tensor| self.view(t).storage;
        let pictures = Pictures { draw: storage(draw), table: storage(table), shards: shard.map(storage) };
        let hides = batch.noise.is_some_and(|n| n.masks()) && !batch.clean_targets;
        Drawn { x, t, mask: hides.then_some(mask), pictures }
    }
}

impl Batch {
    /// Random numbers of so many exposures of a pixel, and the input's, are apart from each other.
    pub const MOST_TARGETS: usize = 12;

    fn cell(&self) -> usize {
        self.noise.map_or(1, |n| n.cell())
    }
}

impl Op for Batch {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let names = ["x", "t", "mask"];
        let outputs: Vec<_> = names.into_iter().zip(node.outputs.iter().copied()).collect();
        let [gx, gy] = grid(l.view(node.outputs[0]).pixels().div_ceil(64), l.limits);
        let flag = |b: bool| f64::from(u8::from(b));
        let sigma = self.noise.map_or((0.0, 0.0), |n| n.sigma());
        let table = l.view(node.inputs[1]).span();
        let constants = [
            ("COUNT", self.count as f64),
            ("CROP", self.crop as f64),
            ("BATCH", self.batch as f64),
            ("PAIRS", flag(self.noise.is_none())),
            ("GIVEN", flag(self.given)),
            ("FLIPS", self.flips.into()),
            ("CLEAN_TARGETS", flag(self.clean_targets)),
            ("TARGETS", self.targets as f64),
            ("X_LOW", self.input[0].into()),
            ("X_HIGH", self.input[1].into()),
            ("T_LOW", self.target[0].into()),
            ("T_HIGH", self.target[1].into()),
            ("LAW", self.noise.map_or(0, |n| n.law()).into()),
            ("LEAST", sigma.0.into()),
            ("MOST", sigma.1.into()),
            ("PEAK", self.noise.map_or(1.0, |n| n.peak()).into()),
            ("SHARE", self.noise.map_or(0.0, |n| n.share()).into()),
            ("CELL", self.cell() as f64),
            ("GLYPHS", (table / 4 - GLYPHS.len()) as f64),
            ("GRID_X", gx.into()),
        ];
        let strides = strides(l, &outputs);
        let strides = strides.iter().map(|(n, v)| (n.as_str(), *v));
        let constants: Vec<_> = constants.into_iter().chain(strides).collect();
        let names = ["draw", "table", "shard0", "shard1", "shard2"];
        let inputs = names.into_iter().zip(node.inputs.iter().copied());
        let bindings: Vec<_> = inputs.chain(outputs).map(|(n, t)| (n, l.range(t))).collect();
        l.dispatch("batch", &constants, &bindings, [gx, gy, 1]);
    }

    crate::cpu_meaning!();
}

impl Batch {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let masks = self.noise.is_some_and(|n| n.masks()) && !self.clean_targets;
        for output in 0..3 {
            let (inputs, view, y) = io.split(output);
            let (draw, table, shards) = (inputs.ints(0), inputs.ints(1), [2, 3, 4].map(|i| inputs.ints(i)));
            let source = Source { batch: self, draw, table, shards };
            y.par_chunks_mut(self.crop * self.crop * view.stride).enumerate().for_each(|(n, y)| {
                let crop = source.crop(n as u32);
                let [low, high] = if output == 0 { self.input } else { self.target }.map(f64::from);
                // The input is exposure 0, the targets are the others.
                for (exposure, channel) in (u32::from(output > 0)..).zip((view.channel..view.channel + view.padded()).step_by(4))
                {
                    let drawn = source.exposure(&crop, exposure);
                    for (p, y) in y.chunks_mut(view.stride).enumerate() {
                        let values = match output {
                            2 if !masks => [1.0, 0.0, 0.0],
                            2 => [f64::from(u8::from(source.pixel(&crop, &drawn, p as u32).1)), 0.0, 0.0],
                            _ => source.pixel(&crop, &drawn, p as u32).0.map(|v| low + v * (high - low)),
                        };
                        let y = &mut y[channel..channel + 4];
                        y[3] = T::zero();
                        y.iter_mut().zip(values).for_each(|(y, v)| *y = T::of(v));
                    }
                }
            });
        }
    }
}

/// What the meaning on the CPU reads.
struct Source<'a> {
    batch: &'a Batch,
    draw: &'a [u32],
    table: &'a [u32],
    shards: [&'a [u32]; 3],
}

/// A crop: its number, the number of its picture, its corner in the picture, its flips, the deviation of its noise.
struct Crop {
    n: u32,
    number: usize,
    corner: [u32; 2],
    flips: u32,
    sigma: f64,
}

/// A pixel: where it is in the crop, and where it is before flips.
struct Pixel {
    at: Place,
    row: u32,
    column: u32,
}

impl Source<'_> {
    fn crop(&self, n: u32) -> Crop {
        let b = self.batch;
        let r = pcg4d([n, self.draw[0], self.draw[1], 0]);
        let given = |i: usize| self.draw[4 + 2 * n as usize + i];
        let (element, flips) = if b.given { (given(0), given(1)) } else { (r[0] % b.count as u32, r[3] >> 16 & b.flips) };
        let number = element as usize * if b.noise.is_none() { 2 } else { 1 };
        let (low, high) = b.noise.map_or((0.0, 0.0), |noise| noise.sigma());
        let (low, high) = (f64::from(low), f64::from(high));
        let sigma = low + (high - low) * uniform(pcg4d([n, self.draw[0], self.draw[1], 1])[0]);
        let [_, _, width, height] = self.table.as_chunks::<4>().0[number];
        let side = (b.crop * b.cell()) as u32;
        Crop { n, number, corner: [r[1] % (height - side + 1), r[2] % (width - side + 1)], flips, sigma }
    }

    fn place(&self, crop: &Crop, p: u32) -> Pixel {
        let side = self.batch.crop as u32;
        let (mut row, mut column) = (p / side, p % side);
        let at = Place { pixel: crop.n * side * side + p, row, column };
        if crop.flips & 1 != 0 {
            row = side - 1 - row;
        }
        if crop.flips & 2 != 0 {
            column = side - 1 - column;
        }
        if crop.flips & 4 != 0 {
            (row, column) = (column, row);
        }
        Pixel { at, row, column }
    }

    fn bytes(&self, number: usize, [top, left]: [u32; 2], row: usize, column: usize) -> [f64; 3] {
        let [shard, first, width, _] = self.table.as_chunks::<4>().0[number];
        let at = first as usize + ((top as usize + row) * width as usize + left as usize + column) * 3;
        [0, 1, 2].map(|i| f64::from(self.shards[shard as usize][(at + i) / 4] >> ((at + i) % 4 * 8) & 255) / 255.0)
    }

    /// Number `exposure` of a crop's pictures; none of a law where pictures are taken as they are.
    fn exposure(&self, crop: &Crop, exposure: u32) -> (u32, Option<Draw>) {
        let [step, seed] = [self.draw[0], self.draw[1]];
        let clean = exposure > 0 && self.batch.clean_targets;
        let law = self.batch.noise.filter(|_| !clean);
        (exposure, law.map(|noise| noise.draw(Stream { step, seed, exposure }, crop.n, crop.sigma)))
    }

    /// A pixel of an exposure, and whether it is known.
    fn pixel(&self, crop: &Crop, (exposure, drawn): &(u32, Option<Draw>), p: u32) -> ([f64; 3], bool) {
        let p = self.place(crop, p);
        let (row, column) = (p.row as usize, p.column as usize);
        if self.batch.noise.is_none() {
            let swapped = u32::from(crop.flips & 8 != 0);
            return (self.bytes(crop.number + (exposure ^ swapped) as usize, crop.corner, row, column), true);
        }
        let cell = self.batch.cell();
        let of_cell = |i: usize, j: usize| self.bytes(crop.number, crop.corner, row * cell + i, column * cell + j);
        if let (Some(drawn), true) = (drawn, cell > 1) {
            let (i, j) = drawn.chosen(p.at.pixel);
            return (of_cell(i, j), true);
        }
        let mut original = of_cell(0, 0);
        if cell > 1 {
            for i in 1..cell * cell {
                original.iter_mut().zip(of_cell(i / cell, i % cell)).for_each(|(sum, v)| *sum += v);
            }
            original = original.map(|v| v / (cell * cell) as f64);
        }
        drawn.map_or((original, true), |drawn| drawn.pixel(p.at, original))
    }
}

/// Four random integers from a counter (Jarzynski and Olano 2020), as in `shaders/lib/rng.wgsl`.
pub fn pcg4d(counter: [u32; 4]) -> [u32; 4] {
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
pub(super) fn uniform(bits: u32) -> f64 {
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
