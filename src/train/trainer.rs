//! A network in training on a device: the one loop of all trainings, from pictures that the device draws batches from, or step by
//! step from arrays in memory (the second report's interface). Validation, checkpoints and the report are in [`super::Run`]; how
//! a step is run, alone or in a team, in [`super::advance`].

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ring::Ring;
use super::schedule::{Augment, Order};
use super::single::record_single;
use super::step::{Example, Step, record_step};
use super::team::Part;
use super::{Options, Source};
use crate::data::files::save_bytes;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, StorageId};
use crate::nets::{Model, Modules, Network, Ranges, initial, state_dict};
use crate::ops::{Batch, Drawn, Optimizer, Pictures};
use crate::plan::Executor;

/// A network with its parameters, in training on a device.
pub struct Trainer {
    device: Device,
    pub(super) network: Arc<dyn Network>,
    pub(super) options: Options,
    pub(super) executor: Box<dyn Executor>,
    pub(super) step: Step,
    pub(super) feed: Feed,
    /// What refills the pictures, if these are not all on the device.
    pub(super) ring: Option<Ring>,
    /// What is drawn here of every batch.
    pub(super) part: Part,
    /// Steps done.
    pub(super) number: u64,
    /// What the learning rate is multiplied by, beside its schedule.
    pub(super) factor: f64,
    /// Pictures of an epoch, as far as known.
    pictures: usize,
    start: Instant,
    forward: Option<Forward>,
}

/// Where batches come from.
pub(super) enum Feed {
    /// Drawn by the device from its pictures, in an order where one is given.
    Pictures(Pictures, Option<Order>),
    /// Written by the host.
    Arrays(Arrays),
}

/// Input and targets that the host writes: shapes (N, H, W, C).
#[derive(Clone, Copy)]
pub(super) struct Arrays {
    x: StorageId,
    t: StorageId,
    input: [usize; 4],
    output: [usize; 4],
}

/// The network for use, with the parameters of step `number`.
struct Forward {
    executor: Box<dyn Executor>,
    params: StorageId,
    x: StorageId,
    y: StorageId,
    number: u64,
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let (network, step) = (self.network.name(), self.number);
        f.debug_struct("Trainer").field("network", &network).field("step", &step).finish_non_exhaustive()
    }
}

impl Trainer {
    /// Prepares a network for training on pictures, with fresh parameters.
    ///
    /// # Errors
    /// If options and pictures do not fit each other, or the device cannot hold a step.
    pub fn new(device: &Device, network: Arc<dyn Network>, options: &Options, source: &Source, ranges: Ranges) -> Result<Self> {
        Self::in_part(device, network, options, source, ranges, Part::whole(options.batch))
    }

    /// The same, for a part of every batch.
    pub(super) fn in_part(
        device: &Device,
        network: Arc<dyn Network>,
        options: &Options,
        source: &Source,
        ranges: Ranges,
        part: Part,
    ) -> Result<Self> {
        source.check(network.as_ref(), options)?;
        let ring = source.ring(options, device)?;
        let shards = ring.as_ref().map_or_else(|| source.shards(device), |ring| Ok(ring.shards()))?;
        let count = ring.as_ref().map_or(source.count(), Ring::count);
        let given = options.augment == Augment::Triple;
        let batch = Batch {
            count,
            // Of single pictures, crops of twice the side are drawn, and halved.
            crop: if source.is_single() { 2 * options.crop } else { options.crop },
            batch: part.count,
            noise: source.added_noise(),
            clean_targets: options.clean_targets,
            input: ranges.input,
            target: ranges.output,
            flips: options.augment.flips(),
            given,
            targets: options.targets,
            grey: options.grey,
            channels: source.channels(),
            transfers: [network.transfer(), options.loss.target_transfer(network.transfer())],
        };
        let mut g = Graph::new();
        g.set_precision(options.precision);
        let drawn = g.batch(batch, &shards);
        let Drawn { x, t, mask, pictures } = drawn;
        let mut rule = options.rule(part.pieces.max(usize::from(options.accumulate > 1)));
        // Whatever values pictures have, errors count by the range that the network sees them in.
        rule.loss = rule.loss.in_range(network.values().output);
        let example = if source.is_single() { record_single(&mut g, network.as_ref(), &drawn) } else { Example { x, t, mask } };
        let step = record_step(&mut g, network.as_ref(), example, rule);
        let order = given.then(|| Order::new(count, options.seed));
        let mut trainer = Self::start(device, network, options, g, step, Feed::Pictures(pictures, order))?;
        (trainer.pictures, trainer.part) = (source.count(), part);
        if ring.is_some() {
            trainer.ring = ring;
            return Ok(trainer);
        }
        trainer.executor.write_ints(pictures.table, &shards.rows())?;
        for (i, &id) in pictures.shards.iter().enumerate() {
            trainer.executor.write_ints(id, &shards.words(i))?;
        }
        Ok(trainer)
    }

    /// Prepares a network for training on batches of `shape` (N, H, W, C) that the host gives, with fresh parameters. Of
    /// `options`, crop, augmentation and targets do not matter.
    ///
    /// # Errors
    /// If the device cannot hold a step.
    pub fn on_arrays(device: &Device, network: Arc<dyn Network>, options: &Options, shape: [usize; 4]) -> Result<Self> {
        let [n, h, w, c] = shape;
        let mut g = Graph::new();
        g.set_precision(options.precision);
        let x = g.host_picture("x", [n, h, w], c);
        let view = {
            let mut probe = g.clone();
            let y = network.record(&mut Modules::new(&mut probe, true), x);
            probe.view(y).clone()
        };
        let t = g.host_picture("t", view.shape, view.channels());
        let step = record_step(&mut g, network.as_ref(), Example { x, t, mask: None }, options.rule(0));
        let output = [view.shape[0], view.shape[1], view.shape[2], view.channels()];
        let arrays = Arrays { x: g.view(x).storage, t: g.view(t).storage, input: shape, output };
        Self::start(device, network, options, g, step, Feed::Arrays(arrays))
    }

    fn start(device: &Device, network: Arc<dyn Network>, options: &Options, g: Graph, step: Step, feed: Feed) -> Result<Self> {
        // What a checkpoint has: parameters, their averages, moments.
        let copies = [step.params, step.params, step.optimizer.moments].map(|id| 4 * g.storage(id).len as u64).iter().sum();
        let mut executor = device.prepare_beside(g, copies).map_err(|e| match e {
            Error::Memory(what) => {
                Error::Memory(format!("{what} (a batch of {} crops of {} pixels now)", options.batch, options.crop))
            }
            other => other,
        })?;
        let params = initial(&executor.plan().graph, options.init, options.seed)?;
        executor.write(step.params, &params)?;
        executor.write(step.optimizer.ema, &params)?;
        let (device, options, part) = (device.clone(), options.clone(), Part::whole(options.batch));
        let (number, factor, pictures, start) = (0, 1.0, 0, Instant::now());
        Ok(Self {
            device,
            network,
            options,
            executor,
            step,
            feed,
            ring: None,
            part,
            number,
            factor,
            pictures,
            start,
            forward: None,
        })
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.number
    }

    /// How often every picture has been shown at a step.
    pub(super) fn epochs(&self, step: u64) -> f64 {
        step as f64 * self.options.augment.pictures(self.options.crops()) as f64 / self.pictures.max(1) as f64
    }

    /// Learning rate at a step, with the share of the training that is done.
    pub(super) fn rate(&self, step: u64, share: f64) -> f64 {
        self.factor * self.options.rate(step, share, self.epochs(step))
    }

    /// Multiplies learning rates by a factor from now on, in place of the one before.
    pub(super) fn scale_rate(&mut self, factor: f64) {
        self.factor = factor;
    }

    /// Time that steps have waited for files.
    pub(super) fn waited(&self) -> Duration {
        self.ring.as_ref().map_or(Duration::ZERO, Ring::waited)
    }

    /// The executor and the storages of the step.
    pub(super) fn parts(&mut self) -> (&mut dyn Executor, Step) {
        (self.executor.as_mut(), self.step)
    }

    /// Goes on from step `number`, with these parameters, moments and averages.
    pub(super) fn restore(&mut self, number: u64, vectors: &[Vec<f32>; 3]) -> Result<()> {
        for (id, vector) in self.state().into_iter().zip(vectors) {
            self.executor.write(id, vector)?;
        }
        self.number = number;
        Ok(())
    }

    /// Begins training anew with the parameters of a model: fine-tuning.
    ///
    /// # Errors
    /// If the model is of another network, or the device fails.
    pub fn begin_with(&mut self, model: &Model) -> Result<()> {
        let (ours, theirs) = (&self.network, &model.network);
        if (ours.name(), ours.options()) != (theirs.name(), theirs.options()) {
            let problem = format!("the model is of the network {}, not {}", theirs.describe(), ours.describe());
            return Err(Error::data(format!("{problem}: train the network that it is of")));
        }
        self.begin(model.params.clone())
    }

    /// At the first step, with these parameters.
    fn begin(&mut self, params: Vec<f32>) -> Result<()> {
        let moments = vec![0.0; 2 * params.len()];
        self.forward = None;
        self.restore(0, &[params.clone(), moments, params])
    }

    /// Storages that a training goes on from: parameters, moments, averages.
    pub(super) fn state(&self) -> [StorageId; 3] {
        [self.step.params, self.step.optimizer.moments, self.step.optimizer.ema]
    }

    /// The averaged parameters.
    pub(super) fn averaged(&mut self) -> Result<Vec<f32>> {
        self.executor.read(self.step.optimizer.ema)
    }

    fn arrays(&self) -> Arrays {
        match self.feed {
            Feed::Arrays(arrays) => arrays,
            Feed::Pictures(..) => panic!("a trainer on pictures is given no arrays"),
        }
    }

    /// One step on a batch: x (N, H, W, C) towards t, in the shape of the network's output. Returns the loss before the step.
    ///
    /// # Errors
    /// If x or t have another number of values, or the device fails.
    ///
    /// # Panics
    /// If the trainer is one on pictures, as all that take arrays.
    pub fn step(&mut self, x: &[f32], t: &[f32]) -> Result<f32> {
        let arrays = self.arrays();
        check("x", x, &arrays.input)?;
        check("t", t, &arrays.output)?;
        self.executor.write(arrays.x, &padded(x, arrays.input[3]))?;
        self.executor.write(arrays.t, &padded(t, arrays.output[3]))?;
        let (seconds, epochs) = (self.start.elapsed().as_secs_f64(), self.epochs(self.number));
        let share = self.options.length.progress(self.number, seconds, epochs);
        self.advance(share)?;
        let log = self.executor.read(self.step.optimizer.log)?;
        Ok(log[(self.number as usize - 1) % Optimizer::ROWS * 4])
    }

    /// Steps on all of x and t (many N, H, W, C) once, in an order of its own; what is left over of a batch is left out. Returns
    /// the mean loss.
    ///
    /// # Errors
    /// If x or t are not whole pictures or fewer than a batch, or the device fails.
    pub fn epoch(&mut self, x: &[f32], t: &[f32]) -> Result<f32> {
        let Arrays { input: [n, h, w, c], .. } = self.arrays();
        let size = h * w * c;
        let count = x.len() / size;
        if !x.len().is_multiple_of(size) || !t.len().is_multiple_of(count.max(1)) || count < n {
            let (x, t) = (x.len(), t.len());
            return Err(Error::data(format!("{x} and {t} values are not whole pictures of {h}x{w}x{c}, at least {n}")));
        }
        let (batches, out) = (count / n, t.len() / count);
        self.pictures = count;
        let mut order = Order::new(count, self.options.seed.wrapping_add(self.number as u32));
        let mut sum = 0.0;
        for batch in 0..batches {
            let chosen: Vec<usize> = (0..n).map(|i| order.picture((batch * n + i) as u64) as usize).collect();
            let gather = |of: &[f32], size: usize| -> Vec<f32> {
                chosen.iter().flat_map(|&i| of[i * size..(i + 1) * size].iter().copied()).collect()
            };
            sum += self.step(&gather(x, size), &gather(t, out))?;
        }
        Ok(sum / batches as f32)
    }

    /// The network's output for a batch x (N, H, W, C).
    ///
    /// # Errors
    /// If x has another number of values, or the device fails.
    pub fn predict(&mut self, x: &[f32]) -> Result<Vec<f32>> {
        let arrays = self.arrays();
        check("x", x, &arrays.input)?;
        let mut forward = match self.forward.take() {
            Some(forward) => forward,
            None => self.record_forward(arrays.input)?,
        };
        if forward.number != self.number {
            forward.executor.write(forward.params, &self.executor.read(self.step.params)?)?;
            forward.number = self.number;
        }
        forward.executor.write(forward.x, &padded(x, arrays.input[3]))?;
        forward.executor.run()?;
        let (y, channels) = (forward.executor.read(forward.y)?, arrays.output[3]);
        self.forward = Some(forward);
        Ok(y.chunks(channels.next_multiple_of(4)).flat_map(|pixel| pixel[..channels].iter().copied()).collect())
    }

    fn record_forward(&self, [n, h, w, c]: [usize; 4]) -> Result<Forward> {
        let (mut g, x, y) = self.network.forward([n, h, w], c);
        let y = g.output("y", y);
        let [x, y] = [x, y].map(|t| g.view(t).storage);
        let params = g.params_storage().expect("a network has parameters");
        Ok(Forward { executor: self.device.prepare(g)?, params, x, y, number: u64::MAX })
    }

    /// Writes the parameters as safetensors, named and laid out as in `PyTorch`.
    ///
    /// # Errors
    /// If the device fails or the file cannot be written.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        let params = self.executor.read(self.step.params)?;
        save_bytes(path, &state_dict::file(state_dict::tensors(&self.executor.plan().graph, &params), None))
    }

    /// Reads parameters that [`Trainer::save`] wrote, and begins training anew from them.
    ///
    /// # Errors
    /// If the file cannot be read, or its tensors are not those of the network.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let (tensors, _) = state_dict::load(path)?;
        let params = state_dict::params(&self.executor.plan().graph, self.network.name(), "", &tensors);
        let params = params.map_err(|problem| Error::file(path, problem))?;
        self.begin(params)
    }
}

/// Refuses an array of another shape.
fn check(name: &str, values: &[f32], shape: &[usize; 4]) -> Result<()> {
    if values.len() == shape.iter().product::<usize>() {
        return Ok(());
    }
    Err(Error::data(format!("{name} has {} values, not those of {shape:?}", values.len())))
}

/// Values (.., C) with every pixel filled up to a multiple of four, as tensors lie on a device.
fn padded(values: &[f32], channels: usize) -> Vec<f32> {
    let mut data = Vec::with_capacity(values.len() / channels * channels.next_multiple_of(4));
    for pixel in values.chunks(channels) {
        data.extend_from_slice(pixel);
        data.resize(data.len().next_multiple_of(4), 0.0);
    }
    data
}
