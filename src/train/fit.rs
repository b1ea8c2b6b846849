//! Training of any module on arrays in memory: the second report's interface. The training of denoisers from pictures, with
//! checkpoints and reports, is [`super::train`].

use std::path::Path;

use super::schedule::Order;
use crate::data::array::load_safetensors;
use crate::data::files::save_bytes;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, StorageId, Tensor};
use crate::nets::model::state_dict;
use crate::nets::{Init, Module, Modules, initial};
use crate::ops::{Loss, Optimizer, Update};
use crate::plan::Executor;

/// How to fit.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// What is made small.
    pub loss: Loss,
    /// By which rule.
    pub update: Update,
    /// At which learning rate.
    pub lr: f64,
    /// How filters start.
    pub init: Init,
    /// Seed of initialisation and order.
    pub seed: u32,
}

impl Fit {
    /// Mean squared error and plain gradient descent.
    pub fn sgd(lr: f64) -> Self {
        Self { loss: Loss::L2, update: Update::Sgd { momentum: 0.0 }, lr, init: Init::Xavier, seed: 1 }
    }
}

/// A graph in memory, and what goes in and out.
struct Prepared {
    executor: Box<dyn Executor>,
    x: StorageId,
    y: StorageId,
    channels: usize,
}

/// A module on a device, with its parameters.
pub struct Trainer {
    fit: Fit,
    shape: [usize; 4],
    step: Prepared,
    forward: Prepared,
    t: StorageId,
    optimizer: Optimizer,
    /// The exponent of an annealed loss.
    power: Option<StorageId>,
    steps: u64,
    /// Whether `forward` has the parameters of the last step.
    current: bool,
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Trainer").field("fit", &self.fit).field("steps", &self.steps).finish_non_exhaustive()
    }
}

fn host(g: &mut Graph, name: &str, [n, h, w, c]: [usize; 4]) -> Tensor {
    g.host_picture(name, [n, h, w], c)
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

impl Trainer {
    /// Readies a module for batches of `shape` (N, H, W, C), with fresh parameters.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn new(device: &Device, module: &impl Module, shape: [usize; 4], fit: Fit) -> Result<Self> {
        let mut g = Graph::new();
        let x = host(&mut g, "x", shape);
        let y = module.record(&mut Modules::new(&mut g, true), x);
        let view = g.view(y).clone();
        let channels = view.channels();
        let t = g.host_picture("t", view.shape, channels);
        let loss = g.loss(fit.loss, y, t, None);
        let one = g.one();
        g.backward(&[(loss, one)]);
        let optimizer = g.optimize(loss, fit.update, 0.0);
        let power = g.power();
        let params = initial(&g, fit.init, fit.seed);
        let [x, t] = [x, t].map(|t| g.view(t).storage);
        let mut step = Prepared { executor: device.prepare(g)?, x, y: t, channels };
        let id = step.executor.plan().host("params");
        step.executor.write(id, &params)?;
        if let Some(power) = power {
            step.executor.write(power, &[2.0])?;
        }

        let mut g = Graph::new();
        let x = host(&mut g, "x", shape);
        let y = module.record(&mut Modules::new(&mut g, false), x);
        let y = g.output("y", y);
        let [x, y] = [x, y].map(|t| g.view(t).storage);
        let forward = Prepared { executor: device.prepare(g)?, x, y, channels };
        Ok(Self { fit, shape, step, forward, t, optimizer, power, steps: 0, current: false })
    }

    /// Sets the exponent of [`Loss::L0`], which is 2 at first and should fall to 0.
    ///
    /// # Errors
    /// If the device fails.
    pub fn anneal(&mut self, exponent: f32) -> Result<()> {
        self.power.map_or(Ok(()), |id| self.step.executor.write(id, &[exponent]))
    }

    /// One step on a batch: x (N, H, W, C) towards t, in the shape of the module's result. Returns the loss before the step.
    ///
    /// # Errors
    /// If the device fails.
    ///
    /// # Panics
    /// If x or t have another number of values.
    pub fn step(&mut self, x: &[f32], t: &[f32]) -> Result<f32> {
        assert_eq!(x.len(), self.shape.iter().product::<usize>(), "step: x is not {:?}", self.shape);
        let out = self.step.executor.plan().graph.storage(self.t).len / self.step.channels.next_multiple_of(4);
        assert_eq!(t.len(), out * self.step.channels, "step: t has another number of values than the module's result");
        self.steps += 1;
        self.current = false;
        let Prepared { executor, x: id, channels, .. } = &mut self.step;
        executor.write(*id, &padded(x, self.shape[3]))?;
        executor.write(self.t, &padded(t, *channels))?;
        executor.write(self.optimizer.control, &self.optimizer.control(self.steps, self.fit.lr, 0.0))?;
        executor.run()?;
        let log = executor.read(self.optimizer.log)?;
        Ok(log[(self.steps as usize - 1) % Optimizer::ROWS * 4])
    }

    /// Steps on all of x and t (many N, H, W, C) once, in an order of its own; what is left over of a batch is left out. Returns
    /// the mean loss.
    ///
    /// # Errors
    /// If the device fails.
    pub fn epoch(&mut self, x: &[f32], t: &[f32]) -> Result<f32> {
        let [n, h, w, c] = self.shape;
        let size = h * w * c;
        let count = x.len() / size;
        assert_eq!((x.len() % size, t.len() % count.max(1)), (0, 0), "epoch: x and t are not whole pictures");
        assert!(count >= n, "epoch: fewer pictures than the {n} of a batch");
        let (batches, out) = (count / n, t.len() / count);
        let mut order = Order::new(count, self.fit.seed.wrapping_add(self.steps as u32));
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

    /// The module's result for a batch x (N, H, W, C).
    ///
    /// # Errors
    /// If the device fails.
    pub fn predict(&mut self, x: &[f32]) -> Result<Vec<f32>> {
        assert_eq!(x.len(), self.shape.iter().product::<usize>(), "predict: x is not {:?}", self.shape);
        if !self.current {
            let params = self.params()?;
            let id = self.forward.executor.plan().host("params");
            self.forward.executor.write(id, &params)?;
            self.current = true;
        }
        let Prepared { executor, x: id, y, channels } = &mut self.forward;
        executor.write(*id, &padded(x, self.shape[3]))?;
        executor.run()?;
        let y = executor.read(*y)?;
        Ok(y.chunks(channels.next_multiple_of(4)).flat_map(|pixel| pixel[..*channels].iter().copied()).collect())
    }

    fn params(&mut self) -> Result<Vec<f32>> {
        let id = self.step.executor.plan().host("params");
        self.step.executor.read(id)
    }

    /// Writes the parameters as safetensors, named and laid out as in `PyTorch`.
    ///
    /// # Errors
    /// If the device fails or the file cannot be written.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        let params = self.params()?;
        let bytes = state_dict(&self.step.executor.plan().graph, &params, None);
        save_bytes(path, &bytes.map_err(|e| Error::file(path, format!("the parameters cannot be written: {e}")))?)
    }

    /// Reads parameters that [`Trainer::save`] wrote, and begins training anew from them.
    ///
    /// # Errors
    /// If the file cannot be read, or its tensors are not those of the module.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let tensors = load_safetensors(path)?;
        let mut params = self.params()?;
        for param in self.step.executor.plan().graph.params() {
            let found = tensors.iter().find(|(name, t)| *name == param.name && t.shape() == param.layout.file_shape());
            let (_, tensor) = found.ok_or_else(|| {
                let (name, shape) = (&param.name, param.layout.file_shape());
                Error::file(path, format!("holds no tensor {name} of shape {shape:?}: it belongs to another module"))
            })?;
            let values = tensor.to_f32();
            if values.iter().any(|v| !v.is_finite()) {
                return Err(Error::file(path, format!("holds values in {} that are not finite", param.name)));
            }
            for (place, value) in param.layout.places().into_iter().zip(values) {
                params[param.offset + place] = value;
            }
        }
        (self.current, self.steps) = (false, 0);
        self.step.executor.write(self.optimizer.moments, &vec![0.0; 2 * params.len()])?;
        let id = self.step.executor.plan().host("params");
        self.step.executor.write(id, &params)
    }
}
