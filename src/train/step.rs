//! A training step in a device's memory.

use super::schedule::{Augment, Order, ema_decay};
use super::{Options, Source};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, StorageId};
use crate::nets::{Ranges, initial};
use crate::ops::{Batch, Drawn, Optimizer, Pictures, Shards};
use crate::plan::Executor;

/// The recorded step, and what the host writes and reads.
pub(super) struct Step {
    pub(super) executor: Box<dyn Executor>,
    pictures: Pictures,
    pub(super) optimizer: Optimizer,
    /// The exponent of an annealed loss.
    power: Option<StorageId>,
    /// Where pictures come in an order.
    order: Option<Order>,
}

impl Step {
    pub(super) fn new(device: &Device, options: &Options, source: &Source, shards: &Shards, ranges: Ranges) -> Result<Self> {
        let noise = match source {
            Source::Photos(_, noise) => Some(*noise),
            Source::Pairs(_) => None,
        };
        let given = options.augment == Augment::Triple;
        let batch = Batch {
            count: source.count(),
            crop: options.crop,
            batch: options.batch,
            noise,
            clean_targets: options.clean_targets,
            input: ranges.input,
            target: ranges.output,
            flips: options.augment.flips(),
            given,
            targets: options.targets,
        };
        let mut g = Graph::new();
        g.set_precision(options.precision);
        let Drawn { x, t, mask, pictures } = g.batch(batch, shards);
        let y = options.net.record_training(&mut g, x);
        let loss = g.loss(options.loss.in_range(ranges.output), y, t, mask);
        let one = g.one();
        g.backward(&[(loss, one)]);
        let optimizer = g.optimize(loss, options.update, options.clip);
        let power = g.power();
        let params = initial(&g, options.init, options.seed);
        let mut executor = device.prepare(g).map_err(|e| match e {
            Error::Memory(what) => {
                Error::Memory(format!("{what} (a batch of {} crops of {} pixels now)", options.batch, options.crop))
            }
            other => other,
        })?;
        for name in ["params", "ema"] {
            let id = executor.plan().host(name);
            executor.write(id, &params)?;
        }
        executor.write_ints(pictures.table, &shards.rows())?;
        for (i, &id) in pictures.shards.iter().enumerate() {
            executor.write_ints(id, &shards.words(i))?;
        }
        let order = given.then(|| Order::new(source.count(), options.seed));
        Ok(Self { executor, pictures, optimizer, power, order })
    }

    /// Submits step `step`, counted from 0, at a share of the highest learning rate and of the training.
    pub(super) fn run(&mut self, options: &Options, step: u64, rate: f64, share: f64) -> Result<()> {
        let control = self.optimizer.control(step + 1, options.lr * rate, ema_decay(step, options.ema));
        self.executor.write(self.optimizer.control, &control)?;
        let mut draw = vec![step as u32, options.seed, 0, 0];
        if let Some(order) = &mut self.order {
            draw.extend(order.triple(step, options.augment.pictures(options.batch)));
        }
        self.executor.write_ints(self.pictures.draw, &draw)?;
        if let Some(power) = self.power {
            self.executor.write(power, &[2.0 * (1.0 - share) as f32])?;
        }
        self.executor.run()
    }
}
