//! `n2n-gpu bench`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::graph::{Graph, Precision};
use n2n_gpu::limits::Limits;
use n2n_gpu::nets::{Anatomy, Init, Network, Task, initial};
use n2n_gpu::ops::{Loss, Update, random_normals};
use n2n_gpu::plan::{Executor, Plan};
use n2n_gpu::profile::{Part, Peaks, median_ms, parts, peaks};
use n2n_gpu::train::{Example, Rule, check_step, record_step};
use serde_json::{Value, json};

use super::net::{NetArgs, PrecisionArg};
use super::output::Output;
use super::{Common, Usage};

/// Arguments of `bench`.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    net: NetArgs,
    #[command(flatten)]
    precision: PrecisionArg,
    /// Pictures per step
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Side of the pictures, pixels; networks with levels need a multiple of 2^levels
    #[arg(long, value_name = "PX", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=8192))]
    size: u16,
    /// Timed runs, of which the median counts
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10000))]
    runs: u16,
    /// Time every dispatch of the training step as well, beside what the device reaches at most
    #[arg(long)]
    kernels: bool,
    /// Print the plan of the training step as a table, in place of timing it
    #[arg(long, conflicts_with = "kernels")]
    plan: bool,
}

/// Dispatches of one kernel, or nodes of one op, together.
#[derive(Debug, Default)]
struct Total {
    count: usize,
    ms: f64,
    flops: f64,
    bytes: f64,
}

/// All parts by name, the slowest first, as a table.
fn table(parts: &[Part], peaks: &Peaks) -> String {
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    for part in parts {
        let total = totals.entry(part.name).or_default();
        total.count += 1;
        total.ms += part.ms;
        total.flops += part.flops;
        total.bytes += part.bytes;
    }
    let all: f64 = parts.iter().map(|p| p.ms).sum();
    let mut totals: Vec<_> = totals.into_iter().filter(|(_, t)| t.ms > 0.0).collect();
    totals.sort_by(|a, b| b.1.ms.total_cmp(&a.1.ms));
    let mut text =
        format!("\n{:<20} {:>5} {:>10} {:>6} {:>10} {:>9} {:>8}", "kernel", "runs", "ms", "%", "GFLOP/s", "GB/s", "of peak");
    for (name, t) in totals {
        let (gflops, gbs) = (t.flops / t.ms / 1e6, t.bytes / t.ms / 1e6);
        let share = 100.0 * (gflops / peaks.gflops).max(gbs / peaks.gbs);
        // Faster than memory is what lies in a cache.
        let share = if share > 150.0 { "in cache".into() } else { format!("{share:.0} %") };
        let _ = write!(
            text,
            "\n{name:<20} {:>5} {:>10.3} {:>6.1} {gflops:>10.1} {gbs:>9.1} {share:>8}",
            t.count,
            t.ms,
            100.0 * t.ms / all
        );
    }
    let _ = write!(
        text,
        "\nall {all:.1} ms; peaks measured here: {:.0} GFLOP/s in registers, {:.0} GFLOP/s in a matrix product, {:.1} GB/s copied",
        peaks.gflops, peaks.matmul_gflops, peaks.gbs
    );
    text
}

fn row(part: &Part, peaks: &Peaks) -> Value {
    json!({
        "kernel": part.name, "node": part.node, "workgroups": part.workgroups, "ms": part.ms, "gflops": part.gflops(),
        "gbs": part.gbs(), "share_of_peak": part.share(peaks),
    })
}

/// What is measured.
struct Bench<'a> {
    device: Device,
    network: Arc<dyn Network>,
    precision: Precision,
    options: &'a Options,
    /// (N, H, W).
    shape: [usize; 3],
    /// Values of the pictures and targets.
    data: Vec<f32>,
    params: Vec<f32>,
}

impl<'a> Bench<'a> {
    fn new(common: &Common, options: &'a Options) -> anyhow::Result<Self> {
        let mut device = common.open()?;
        let network = options.net.network(None, Task { large: device.is_large(), subtracts: false })?;
        let (batch, size) = (usize::from(options.batch), usize::from(options.size));
        let Anatomy { multiple, graph, .. } = Anatomy::of(network.as_ref());
        if !size.is_multiple_of(multiple) {
            let name = network.name();
            return Err(Usage::new(format!("--size {size}: with {name} of these options it must be a multiple of {multiple}")));
        }
        check_step(batch, size)?;
        let channels = network.inputs().next_multiple_of(4);
        let data = random_normals(common.seed(), 0).take(batch * size * size * channels).map(|z| 0.2 * z as f32).collect();
        let precision = options.precision.choose(common, &mut device, Precision::F32)?;
        let params = initial(&graph, Init::Xavier, common.seed())?;
        Ok(Self { device, network, precision, options, shape: [batch, size, size], data, params })
    }

    /// A training step, ready to run, and its floating-point operations.
    fn step(&self) -> Result<(Box<dyn Executor>, f64), Error> {
        let mut g = Graph::new();
        g.set_precision(self.precision);
        let [x, t] =
            [("x", self.network.inputs()), ("t", self.network.colours())].map(|(name, c)| g.host_picture(name, self.shape, c));
        let rule = Rule { loss: Loss::L2, update: Update::ADAM, clip: 1.0, pieces: 0 };
        let handles = record_step(&mut g, self.network.as_ref(), Example { x, t, mask: None }, rule);
        let flops = g.flops();
        let [x, t] = [x, t].map(|t| g.view(t).storage);
        let mut step = self.device.prepare(g)?;
        let targets = &self.data[..self.shape.iter().product::<usize>() * 4];
        for (id, data) in [(x, &self.data[..]), (t, targets), (handles.params, &self.params)] {
            step.write(id, data)?;
        }
        step.write(handles.optimizer.control, &handles.optimizer.control(1, 1e-4, 0.999))?;
        Ok((step, flops))
    }

    /// The plan of the step. The CPU's own has no dispatches: there it is what a device with WebGPU's limits would run.
    fn plan(&self, step: &dyn Executor) -> anyhow::Result<Output> {
        let plan = match self.device {
            Device::Gpu(_) => Arc::new(step.plan().clone()),
            Device::Cpu => Plan::new(step.plan().graph.clone(), Some(&Limits::default()))?,
        };
        Ok(Output::new(serde_json::from_str(&plan.to_json())?, plan.to_string()))
    }

    /// Median time of a forward pass, milliseconds.
    fn forward_ms(&self) -> Result<f64, Error> {
        let (mut g, x, y) = self.network.forward(self.shape, self.network.inputs());
        g.set_precision(self.precision);
        g.output("y", y);
        let (x, weights) = (g.view(x).storage, g.params_storage().expect("a network has parameters"));
        let mut forward = self.device.prepare(g)?;
        forward.write(x, &self.data)?;
        forward.write(weights, &self.params)?;
        median_ms(forward.as_mut(), usize::from(self.options.runs))
    }

    /// Every kernel beside the peaks of the device, and both, as JSON and as a table.
    fn kernels(&self, step: &mut dyn Executor) -> anyhow::Result<(Value, Value, String)> {
        if !self.options.kernels {
            return Ok((Value::Null, Value::Null, String::new()));
        }
        let runs = usize::from(self.options.runs);
        let peaks = peaks(&self.device, runs)?;
        let Some(parts) = parts(step, runs)? else {
            return Err(Error::data(format!("--kernels: {} has no timestamps", self.device.name())).into());
        };
        let rows = parts.iter().map(|p| row(p, &peaks)).collect();
        let measured = json!({ "gflops": peaks.gflops, "matmul_gflops": peaks.matmul_gflops, "gbs": peaks.gbs });
        Ok((rows, measured, table(&parts, &peaks)))
    }
}

/// `start` is when the program began.
pub(super) fn run(common: &Common, options: &Options, start: Instant) -> anyhow::Result<Output> {
    let bench = Bench::new(common, options)?;
    let (mut step, flops) = bench.step()?;
    if options.plan {
        return bench.plan(step.as_ref());
    }
    step.run()?;
    step.wait()?;
    let first_step_ms = start.elapsed().as_secs_f64() * 1e3;
    let train_ms = median_ms(step.as_mut(), usize::from(options.runs))?;
    let forward_ms = bench.forward_ms()?;
    let (kernels, peaks, table) = bench.kernels(step.as_mut())?;

    let (network, device, plan) = (&bench.network, bench.device.name(), step.plan());
    let gflops = flops / train_ms / 1e6;
    let mib = plan.bytes() as f64 / f64::from(1 << 20);
    let shared = plan.intermediate_bytes() as f64 / plan.unshared_bytes() as f64;
    let Options { batch, size, .. } = options;
    Ok(Output::new(
        json!({
            "device": device, "net": network.name(), "options": network.options(), "parameters": plan.graph.parameter_count(),
            "batch": batch, "size": size, "precision": bench.precision, "train_step_ms": train_ms, "forward_ms": forward_ms,
            "gflops": gflops, "peak_memory_mib": mib, "intermediates_share": shared, "dispatches": plan.steps.len(),
            "first_step_ms": first_step_ms, "peaks": peaks, "kernels": kernels,
        }),
        format!(
            "{}, batch {batch} at {size} px on {device}: training step {train_ms:.1} ms ({gflops:.1} GFLOP/s), forward \
             {forward_ms:.1} ms, {mib:.0} MiB, intermediates in {:.0} % of their sizes; first step {first_step_ms:.0} ms after the start of \
             the program{table}",
            network.describe(),
            100.0 * shared
        ),
    ))
}
