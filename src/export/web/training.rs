//! Training in the tab: plans of the step that all our trainings record, and of a look at held-out squares, for every kind of
//! noise that the page offers; and the numbers that the host of such a plan goes by.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Entry, merged, number_shaders};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, Precision, Tensor};
use crate::limits::Limits;
use crate::nets::{Anatomy, Modules, Network, Ranges};
use crate::noise::Noise;
use crate::ops::{Batch, Drawn, Optimizer, Pictures, Shards, Transfer, Update};
use crate::plan::Plan;
use crate::train::{Example, Length, Options, Schedule, record_step};

/// What noise there is to choose from, and what the page calls it. Without a law, pictures are shots of one scene.
const NOISES: [(Option<&str>, &str); 5] = [
    (Some("gaussian:25"), "Gaussian, 25 of 255"),
    (Some("gaussian:0-55"), "Gaussian, any up to 55"),
    (Some("poisson:30"), "Photons, 30 at white"),
    (Some("camera:0.5-8"), "A camera in low light"),
    (None, "None to add: a burst of shots"),
];
/// Rows of the table of pictures, or scenes: the page repeats its pictures, every one of up to ten equally often.
const COUNT: usize = 2520;
/// Bytes that pictures have room for.
const CAPACITY: usize = 32 << 20;
/// Held-out squares, whose sides are twice those of the crops.
const SQUARES: usize = 4;
/// Learning rate of fine-tuning, relative to that of a fresh start, as of `train --from`.
const FINER: f64 = 0.1;

/// How the page trains: as `train` does by default on a machine without a large GPU, but for an end that is not known.
fn options(network: &dyn Network, crop: Option<usize>) -> Result<Options> {
    let base = Options::new(&Device::Cpu, Length::Steps(u64::MAX));
    let multiple = Anatomy::of(network).multiple;
    let crop = crop.unwrap_or_else(|| base.crop.next_multiple_of(multiple));
    if crop == 0 || !crop.is_multiple_of(multiple) {
        let problem = format!("{crop}: the page trains on crops of that side, which must be a multiple of {multiple}");
        return Err(Error::option("size", problem));
    }
    Ok(Options { crop, schedule: Schedule::Constant, warm_up: Some(50), ..base })
}

/// What the page needs to train the network of the first entry, from fresh parameters or from those entries that have the same
/// one; on crops of `crop` pixels if that is given.
pub(super) fn training_of(entries: &[Entry], crop: Option<usize>) -> Result<Value> {
    let model = entries[0].model;
    let (network, ranges) = (model.network.as_ref(), model.ranges);
    let options = options(network, crop)?;
    let side = 2 * options.crop;
    let mut noises = Vec::new();
    let shared = Limits { shared: true, ..Limits::default() };
    let kinds = [
        ("devices", Limits::default(), Precision::F32),
        ("halves", Limits::default(), Precision::F16),
        ("software", shared.software(), Precision::F32),
    ];
    let mut sets = kinds.map(|kind| (kind, Vec::new(), Vec::new()));
    for (law, about) in NOISES {
        let noise: Option<Noise> = law.map(|law| law.parse().expect("a law of ours"));
        let options = noise.map_or_else(|| options.clone(), |noise| options.clone().for_noise(&noise));
        noises.push(json!({
            "noise": law.unwrap_or("pairs"),
            "about": about,
            // What is not right on average tells nothing of a denoiser, but of what it is added to the clean picture is known.
            "unbiased": noise.is_none_or(|noise| noise.unbiased()),
        }));
        for ((_, limits, precision), shaders, plans) in &mut sets {
            let options = Options { precision: *precision, ..options.clone() };
            let mut step = step_plan(network, ranges, noise, &options, limits)?;
            let mut look = look_plan(network, ranges, noise, side, limits)?;
            for part in [&mut step, &mut look] {
                number_shaders(&mut part["plan"], shaders);
            }
            plans.push(json!({"step": step, "look": look}));
        }
    }
    let starts = entries.iter().enumerate().filter(|(_, Entry { model, .. })| {
        (model.network.name(), model.network.options()) == (network.name(), network.options())
            && (model.ranges.input, model.ranges.output) == (ranges.input, ranges.output)
    });
    let Update::Adam { beta1, beta2, .. } = options.update else { unreachable!("the default is Adam") };
    let sets = sets.map(|((name, ..), shaders, plans)| (name, json!({"shaders": shaders, "plans": merged(plans)})));
    Ok(json!({
        "metadata": {
            "net": network.name(), "options": network.options(), "range": ranges.input, "output_range": ranges.output,
            "version": env!("CARGO_PKG_VERSION"),
        },
        "starts": starts.map(|(number, _)| number).collect::<Vec<_>>(),
        "noises": noises,
        "batch": options.batch, "crop": options.crop, "side": side, "squares": SQUARES, "count": COUNT, "capacity": CAPACITY,
        "rate": options.lr, "finer": FINER, "warmUp": options.warm_up, "decay": options.ema, "betas": [beta1, beta2],
        "rows": Optimizer::ROWS,
        "sets": BTreeMap::from(sets),
    }))
}

/// Batches of crops from as many pictures as the table has room for, or scenes of twice as many shots, all of them in the first
/// shard.
fn draw(g: &mut Graph, batch: Batch, bytes: usize) -> Drawn {
    let (side, count) = (batch.crop as u32, batch.count);
    let (rows, scenes) = if batch.noise.is_some() { (count, 0) } else { (2 * count, count) };
    let shards = Shards {
        table: [0, 0, side, side].repeat(rows),
        scenes: vec![[0, 2]; scenes],
        value_bytes: 1,
        data: [vec![0; bytes], Vec::new(), Vec::new()],
        ..Shards::default()
    };
    g.batch(batch, &shards)
}

/// A batch for the network, of the held-out squares.
fn batch_of(ranges: Ranges, noise: Option<Noise>, side: usize) -> Batch {
    Batch {
        count: SQUARES,
        crop: side,
        batch: SQUARES,
        noise,
        clean_targets: false,
        input: ranges.input,
        target: ranges.output,
        flips: 0,
        given: true,
        targets: 1,
        grey: 0.0,
        channels: 3,
        transfers: [Transfer::None; 2],
    }
}

/// A training step with activations as precise as the options say, and the storages by which the page runs it.
fn step_plan(network: &dyn Network, ranges: Ranges, noise: Option<Noise>, options: &Options, limits: &Limits) -> Result<Value> {
    let mut g = Graph::new();
    g.set_precision(options.precision);
    let flips = options.augment.flips();
    let batch = Batch {
        count: COUNT,
        batch: options.batch,
        flips,
        given: false,
        targets: options.targets,
        ..batch_of(ranges, noise, options.crop)
    };
    let Drawn { x, t, mask, pictures } = draw(&mut g, batch, CAPACITY);
    let mut rule = options.rule(0);
    rule.loss = rule.loss.in_range(network.values().output);
    let step = record_step(&mut g, network, Example { x, t, mask }, rule);
    let Optimizer { control, moments, ema, log, .. } = step.optimizer;
    let Pictures { draw, table, shards: [shard, ..] } = pictures;
    let plan = Plan::new(g, Some(limits))?.to_value();
    Ok(json!({
        "plan": plan, "draw": draw, "table": table, "shard": shard, "control": control, "log": log, "params": step.params,
        "moments": moments, "ema": ema,
    }))
}

/// What the network makes of one noisy exposure of each held-out square, beside that exposure and another one.
fn look_plan(network: &dyn Network, ranges: Ranges, noise: Option<Noise>, side: usize, limits: &Limits) -> Result<Value> {
    let mut g = Graph::new();
    let Drawn { x, t, pictures, .. } = draw(&mut g, batch_of(ranges, noise, side), 2 * SQUARES * side * side * 3);
    let y = network.record(&mut Modules::new(&mut g, false), x);
    let [x, t, y] = [("x", x), ("t", t), ("y", y)].map(|(name, tensor): (_, Tensor)| {
        let output = g.output(name, tensor);
        g.view(output).storage
    });
    let Pictures { draw, table, shards: [shard, ..] } = pictures;
    let params = g.params_storage();
    let plan = Plan::new(g, Some(limits))?.to_value();
    Ok(json!({"plan": plan, "draw": draw, "table": table, "shard": shard, "params": params, "x": x, "t": t, "y": y}))
}
