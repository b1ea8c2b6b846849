//! Training batches from pictures that live on the device: random crops, flips and rotations, and independent noises for input
//! and targets; or two noisy exposures of one scene as they are.

use rayon::prelude::*;

use super::rng::pcg4d;
use super::{Shards, Transfer, strides};
use crate::cpu::{Io, Real};
use crate::graph::{Element, Graph, Node, Op, Role, StorageId, Tensor};
use crate::kernel::Shader;
use crate::noise::camera::Camera;
use crate::noise::{GLYPHS, Noise, Place, Sampler, Shot, Stream};
use crate::plan::{Lowering, grid};

/// What a batch is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Pictures, or scenes of several shots.
    pub count: usize,
    /// Side of the square crops, pixels (of the result: cells of a law that has them).
    pub crop: usize,
    /// Crops in a batch.
    pub batch: usize,
    /// Noise that two exposures of a picture get; `None`: pictures are noisy shots, of which any two of a scene are drawn, and a
    /// single one as both.
    pub noise: Option<Noise>,
    /// Whether targets stay without noise, for comparison.
    pub clean_targets: bool,
    /// Input values of black and white.
    pub input: [f32; 2],
    /// Target values of black and white.
    pub target: [f32; 2],
    /// Which flips are drawn: 1 upside down, 2 left and right, 4 transposed, 8 the two pictures of a pair exchanged.
    pub flips: u32,
    /// Whether pictures and flips are not drawn, but given in [`Pictures::draw`].
    pub given: bool,
    /// Noisy targets of every crop, each an exposure of its own, that the loss is averaged over; at most [`Noise::most_targets`].
    pub targets: usize,
    /// Share of the crops that become grey, with noise that is the same in all colours.
    pub grey: f32,
    /// Values of a pixel: 3 of its colour, and those of features behind it, which only the input has; or 1 of a grey one. 3 where
    /// noise is added.
    pub channels: usize,
    /// What colours go through in the input, and in the target, where no noise is added.
    pub transfers: [Transfer; 2],
}

/// The op: a batch from shards.
#[derive(Clone, Copy, Debug)]
struct Draw {
    batch: Batch,
    /// Bytes of a value in them.
    value_bytes: usize,
    /// Row of the table where scenes begin.
    scenes: usize,
}

/// A recorded batch.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// Input (BATCH, CROP, CROP, 3 and those of features).
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
    /// step, seed, first element, 0; then per element, where they are given, picture and flips.
    pub draw: StorageId,
    /// Per picture: shard, first value, width, height; then per scene: first picture, shots.
    pub table: StorageId,
    /// Values (H, W, C) of the pictures, one after the other.
    pub shards: [StorageId; 3],
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
        assert!(batch.noise.is_some() || shards.scenes.len() == batch.count, "batch: scenes of shots are needed");
        let most = batch.noise.map_or(1, |n| n.most_targets());
        assert!((1..=most).contains(&batch.targets), "batch: {} targets, of at most {most}", batch.targets);
        let plain = batch.channels == 3 && batch.transfers == [Transfer::None; 2];
        assert!(plain || batch.noise.is_none(), "batch: noise is added to plain colours only");
        let draw = self.host_vector("draw", 4 + 2 * batch.batch, Element::U32);
        let table = self.host_vector("table", shards.rows().len(), Element::U32);
        let shard =
            [0, 1, 2].map(|i| self.host_vector(&format!("shard{i}"), shards.data[i].len().max(16).div_ceil(4), Element::U32));
        let shape = [batch.batch, batch.crop, batch.crop];
        let x = self.add_tensor("x", shape, &[batch.channels], Role::Intermediate);
        let t = self.add_tensor("t", shape, &vec![batch.colours(); batch.targets], Role::Intermediate);
        let mask = self.add_tensor("mask", shape, &vec![1; batch.targets], Role::Intermediate);
        // A camera takes pictures of [0, 1].
        let ranges = [batch.input, batch.target];
        let of_camera = |exposure: u32| if batch.camera(exposure).is_some() { [0.0, 1.0] } else { ranges[exposure as usize] };
        let drawn = Batch { input: of_camera(0), target: of_camera(1), ..batch };
        let shards_of = [draw, table, shard[0], shard[1], shard[2]];
        let (value_bytes, scenes) = (shards.value_bytes, shards.table.len() / 4);
        self.record_into(Draw { batch: drawn, value_bytes, scenes }, &shards_of, &[x, t, mask]);
        let whole = |g: &mut Self, x: Tensor, exposure: u32| {
            let range = ranges[exposure as usize];
            let noisy = batch.noise_of(exposure).map(|noise| g.add_blurred_noise(x, draw, &noise, exposure, range[1] - range[0]));
            let x = noisy.unwrap_or(x);
            let x = batch.camera(exposure).map_or(x, |camera| g.photograph(x, draw, camera, exposure, range));
            g.desaturate(x, draw, batch.grey)
        };
        let [x, t] = [whole(self, x, 0), whole(self, t, 1)];
        let storage = |t: Tensor| self.view(t).storage;
        let pictures = Pictures { draw: storage(draw), table: storage(table), shards: shard.map(storage) };
        Drawn { x, t, mask: batch.masks().then_some(mask), pictures }
    }
}

impl Batch {
    /// So many targets of a crop, and its input, have random numbers of their own: see `Stream::numbers`.
    pub const MOST_TARGETS: usize = 12;

    /// Values of a colour.
    fn colours(&self) -> usize {
        self.channels.min(3)
    }

    fn cell(&self) -> usize {
        self.noise.map_or(1, |n| n.cell())
    }

    /// The noise of an exposure, if it has some.
    fn noise_of(&self, exposure: u32) -> Option<Noise> {
        self.noise.filter(|_| exposure == 0 || !self.clean_targets)
    }

    /// The camera that takes an exposure.
    fn camera(&self, exposure: u32) -> Option<Camera> {
        self.noise_of(exposure).and_then(|noise| noise.camera())
    }

    /// Whether targets have pixels that are not known.
    fn masks(&self) -> bool {
        self.noise.is_some_and(|n| n.masks()) && !self.clean_targets
    }
}

impl Op for Draw {
    op_facts!(self, "batch", None);

    fn lower(&self, l: &mut Lowering, node: &Node) {
        let batch = &self.batch;
        let names = ["x", "t", "mask"];
        let outputs: Vec<_> = names.into_iter().zip(node.outputs.iter().copied()).collect();
        let [gx, gy] = grid(l.view(node.outputs[0]).pixels().div_ceil(64), l.limits);
        let flag = |b: bool| f64::from(u8::from(b));
        let [least, most] = batch.noise.map_or([0.0; 2], |n| n.sigma());
        let table = l.view(node.inputs[1]).span();
        let constants = [
            ("VALUE_BYTES", self.value_bytes as f64),
            ("SCENES", self.scenes as f64),
            ("COUNT", batch.count as f64),
            ("CROP", batch.crop as f64),
            ("BATCH", batch.batch as f64),
            ("CHANNELS", batch.channels as f64),
            ("PAIRS", flag(batch.noise.is_none())),
            ("X_PU", flag(batch.transfers[0] == Transfer::Pu)),
            ("T_PU", flag(batch.transfers[1] == Transfer::Pu)),
            ("GIVEN", flag(batch.given)),
            ("FLIPS", batch.flips.into()),
            ("CLEAN_TARGETS", flag(batch.clean_targets)),
            ("TARGETS", batch.targets as f64),
            ("X_LOW", batch.input[0].into()),
            ("X_HIGH", batch.input[1].into()),
            ("T_LOW", batch.target[0].into()),
            ("T_HIGH", batch.target[1].into()),
            ("LAW", batch.noise.map_or(0, |n| n.branch()).into()),
            ("LEAST", least.into()),
            ("MOST", most.into()),
            ("PARAMETER", batch.noise.map_or(1.0, |n| n.parameter()).into()),
            ("CELL", batch.cell() as f64),
            ("GLYPHS", (table / 4 - GLYPHS.len()) as f64),
            ("GRID_X", gx.into()),
        ];
        let strides = strides(l, &outputs);
        let strides = strides.iter().map(|(n, v)| (n.as_str(), *v));
        let constants: Vec<_> = constants.into_iter().chain(strides).collect();
        let names = ["draw", "table", "shard0", "shard1", "shard2"];
        let inputs = names.into_iter().zip(node.inputs.iter().copied());
        let bindings: Vec<_> = inputs.chain(outputs).map(|(n, t)| (n, l.range(t))).collect();
        l.dispatch(Shader::Batch, &constants, &bindings, [gx, gy, 1]);
    }
}

impl Draw {
    fn run<T: Real>(&self, io: &mut Io<T>) {
        let batch = &self.batch;
        for output in 0..3 {
            let (inputs, view, y) = io.split(output);
            let (draw, table, shards) = (inputs.ints(0), inputs.ints(1), [2, 3, 4].map(|i| inputs.ints(i)));
            let reader = Reader { batch, value_bytes: self.value_bytes, scenes: self.scenes, draw, table, shards };
            y.par_chunks_mut(batch.crop * batch.crop * view.stride).enumerate().for_each(|(n, y)| {
                let crop = reader.crop(n as u32);
                let [low, high] = if output == 0 { batch.input } else { batch.target }.map(f64::from);
                let transfer = batch.transfers[output.min(1)];
                // The input is exposure 0 with all its features, the targets are the others.
                let width = if output == 0 { view.padded() } else { 4 };
                let channels = (view.channel..view.channel + view.padded()).step_by(width);
                for (exposure, channel) in (u32::from(output > 0)..).zip(channels) {
                    let drawn = reader.exposure(&crop, exposure);
                    for (p, y) in y.chunks_mut(view.stride).enumerate() {
                        let y = &mut y[channel..channel + width];
                        let pixel = || reader.pixel(&crop, &drawn, p as u32);
                        let values = match output {
                            2 if !batch.masks() => [1.0, 0.0, 0.0],
                            2 => [f64::from(u8::from(pixel().1)), 0.0, 0.0],
                            _ => pixel().0.map(|v| low + transfer.forward_real(v) * (high - low)),
                        };
                        y.fill(T::zero());
                        y.iter_mut().zip(values.into_iter().take(batch.colours())).for_each(|(y, v)| *y = T::of(v));
                        if output == 0 && batch.channels > 3 {
                            let features = reader.features(&crop, p as u32);
                            y[3..].iter_mut().zip(features).for_each(|(y, v)| *y = T::of(low + v * (high - low)));
                        }
                    }
                }
            });
        }
    }
}

/// What the CPU draws a batch from.
struct Reader<'a> {
    batch: &'a Batch,
    value_bytes: usize,
    scenes: usize,
    draw: &'a [u32],
    table: &'a [u32],
    shards: [&'a [u32]; 3],
}

/// A crop: its number, those of the pictures that its input and its target are of, its corner in them, its flips, the deviation
/// of its noise.
struct Crop {
    n: u32,
    pictures: [usize; 2],
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

/// One of a crop's exposures; without a sampler, the clean one.
struct Exposure {
    stream: Stream,
    sampler: Option<Sampler>,
}

impl Reader<'_> {
    /// Number `n` of the batch. Its random numbers are counted on from those of other batches of the step.
    fn crop(&self, n: u32) -> Crop {
        let b = self.batch;
        let given = |i: usize| self.draw[4 + 2 * n as usize + i];
        let n = n + self.draw[2];
        let r = pcg4d([n, self.draw[0], self.draw[1], 0]);
        let (element, flips) = if b.given { (given(0), given(1)) } else { (r[0] % b.count as u32, r[3] >> 16 & b.flips) };
        let pictures = if b.noise.is_none() { self.shots(n, element as usize, flips) } else { [element as usize; 2] };
        let [low, high] = b.noise.map_or([0.0; 2], |noise| noise.sigma()).map(f64::from);
        let sigma = low + (high - low) * self.stream(0).of_picture(n);
        let [_, _, width, height] = self.table.as_chunks::<4>().0[pictures[0]];
        let side = (b.crop * b.cell()) as u32;
        Crop { n, pictures, corner: [r[1] % (height - side + 1), r[2] % (width - side + 1)], flips, sigma }
    }

    /// Two shots of a scene, for input and target: any two, in their order unless flips exchange them; of a single one, it twice.
    fn shots(&self, n: u32, scene: usize, flips: u32) -> [usize; 2] {
        let [first, shots, ..] = self.table.as_chunks::<4>().0[self.scenes + scene];
        if shots == 1 {
            return [first as usize; 2];
        }
        let r = pcg4d([n, self.draw[0], self.draw[1], 1]);
        let a = r[0] % shots;
        let b = (a + 1 + r[1] % (shots - 1)) % shots;
        let pair = [a.min(b), a.max(b)].map(|shot| (first + shot) as usize);
        if flips & 8 == 0 { pair } else { [pair[1], pair[0]] }
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

    fn stream(&self, exposure: u32) -> Stream {
        Stream { step: self.draw[0], seed: self.draw[1], exposure }
    }

    /// Values of a pixel of picture `number`, counted from the corner of the crop, from `channel` on.
    fn values(
        &self,
        number: usize,
        [top, left]: [u32; 2],
        (row, column): (usize, usize),
        channel: usize,
    ) -> impl Iterator<Item = f64> {
        let [shard, first, width, _] = self.table.as_chunks::<4>().0[number];
        let pixel = (top as usize + row) * width as usize + left as usize + column;
        let at = first as usize + pixel * self.batch.channels;
        let words = self.shards[shard as usize];
        (at + channel..at + self.batch.channels).map(move |at| match self.value_bytes {
            1 => f64::from(words[at / 4] >> (at % 4 * 8) & 255) / 255.0,
            2 => f64::from(words[at / 2] >> (at % 2 * 16) & 65_535) / 65_535.0,
            _ => f32::from_bits(words[at]).into(),
        })
    }

    /// The colour of such a pixel; a grey one has three equal values.
    fn read(&self, number: usize, corner: [u32; 2], row: usize, column: usize) -> [f64; 3] {
        let mut values = self.values(number, corner, (row, column), 0);
        let first = values.next().expect("a pixel has a value");
        if self.batch.channels == 1 {
            return [first; 3];
        }
        let mut next = || values.next().expect("a colour has three values");
        [first, next(), next()]
    }

    /// What lies behind the colour of a pixel of the input.
    fn features(&self, crop: &Crop, p: u32) -> impl Iterator<Item = f64> {
        let p = self.place(crop, p);
        self.values(crop.pictures[0], crop.corner, (p.row as usize, p.column as usize), 3)
    }

    /// Number `exposure` of a crop's pictures; without noise where they are taken as they are.
    fn exposure(&self, crop: &Crop, exposure: u32) -> Exposure {
        let stream = self.stream(exposure);
        let clean = exposure > 0 && self.batch.clean_targets;
        let noise = self.batch.noise.filter(|_| !clean);
        let sampler = noise.map(|noise| noise.sampler(Shot { stream, picture: crop.n, sigma: crop.sigma }));
        Exposure { stream, sampler }
    }

    /// A pixel of an exposure, and whether it is known.
    fn pixel(&self, crop: &Crop, exposure: &Exposure, p: u32) -> ([f64; 3], bool) {
        let p = self.place(crop, p);
        let (row, column) = (p.row as usize, p.column as usize);
        if self.batch.noise.is_none() {
            return (self.read(crop.pictures[exposure.stream.exposure as usize], crop.corner, row, column), true);
        }
        let cell = self.batch.cell();
        let of_cell = |i: usize, j: usize| self.read(crop.pictures[0], crop.corner, row * cell + i, column * cell + j);
        let Some(sampler) = &exposure.sampler else { return (mean_of(cell, of_cell), true) };
        if cell > 1 {
            let (i, j) = exposure.stream.in_cell(p.at.pixel, cell);
            return sampler(p.at, of_cell(i, j));
        }
        sampler(p.at, of_cell(0, 0))
    }
}

/// The mean of a cell's pixels, row by row.
fn mean_of(cell: usize, pixel: impl Fn(usize, usize) -> [f64; 3]) -> [f64; 3] {
    let mut mean = pixel(0, 0);
    for i in 1..cell * cell {
        mean.iter_mut().zip(pixel(i / cell, i % cell)).for_each(|(sum, v)| *sum += v);
    }
    mean.map(|v| v / (cell * cell) as f64)
}
