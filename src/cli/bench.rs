//! `n2n-gpu bench`.

use std::time::Instant;

use clap::Args;
use n2n_gpu::error::{Error, Result};
use n2n_gpu::graph::Graph;
use n2n_gpu::nets::{Init, Net, initial};
use n2n_gpu::ops::{Update, random_normals};
use n2n_gpu::plan::{Executor, Plan};
use n2n_gpu::train::check_step;
use serde_json::json;

use super::Common;
use super::output::result;
use super::train::NetArgs;

/// Arguments of `bench`.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    net: NetArgs,
    /// Pictures per step
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Side of the pictures, pixels; a multiple of 2^levels
    #[arg(long, value_name = "PX", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=8192))]
    size: u16,
    /// Timed runs, of which the median counts
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10000))]
    runs: u16,
    /// Print the plan of the training step as a table, in place of timing it
    #[arg(long)]
    plan: bool,
}

/// Median time of a run, milliseconds, after a few runs that do not count.
fn time(executor: &mut dyn Executor, runs: usize) -> Result<f64> {
    let mut times = Vec::new();
    for i in 0..runs + 2 {
        let start = Instant::now();
        executor.run()?;
        executor.wait()?;
        if i >= 2 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<()> {
    let device = common.open()?;
    let net = options.net.options(&device, Net::Unet, None);
    net.check().map_err(|problem| Error::usage(format!("--net: {problem}")))?;
    let (batch, size) = (usize::from(options.batch), usize::from(options.size));
    if !size.is_multiple_of(net.multiple()) {
        return Err(Error::usage(format!(
            "--size {size}: with {} it must be a multiple of {}",
            net.size_flags(),
            net.multiple()
        ))
        .into());
    }
    check_step(batch, "--size", size)?;
    let shape = [batch, size, size];
    let data: Vec<f32> = random_normals(common.seed, 0).take(batch * size * size * 4).map(|z| 0.2 * z as f32).collect();

    let mut g = Graph::new();
    let x = g.host_picture("x", shape, 3);
    let y = net.record(&mut g, x);
    g.output("y", y);
    let params = initial(&g, Init::Xavier, common.seed);
    let mut forward = device.prepare(g)?;

    let mut g = Graph::new();
    let x = g.host_picture("x", shape, 3);
    let t = g.host_picture("t", shape, 3);
    let y = net.record_training(&mut g, x);
    let loss = g.mse(y, t);
    let one = g.one();
    g.backward(&[(loss, one)]);
    let optimizer = g.optimize(loss, Update::ADAM, 1.0);
    let flops = g.flops();
    let mut step = device.prepare(g)?;

    for (executor, names) in [(&mut forward, &["x"][..]), (&mut step, &["x", "t"][..])] {
        for name in names {
            let id = executor.plan().host(name);
            executor.write(id, &data)?;
        }
        let id = executor.plan().host("params");
        executor.write(id, &params)?;
    }
    step.write(optimizer.control, &optimizer.control(1, 1e-4, 0.999))?;
    if options.plan {
        // The CPU's own plan has no dispatches: show what a device with WebGPU's limits would run.
        let limits = device.limits().copied().unwrap_or_default();
        let plan = Plan::new(step.plan().graph.clone(), Some(&limits))?;
        result(common, &serde_json::from_str(&plan.to_json())?, &plan.to_string());
        return Ok(());
    }
    let train_ms = time(step.as_mut(), options.runs.into())?;
    let forward_ms = time(forward.as_mut(), options.runs.into())?;
    let gflops = flops / train_ms / 1e6;
    let mib = step.plan().bytes() as f64 / f64::from(1 << 20);
    let shared = step.plan().intermediate_bytes() as f64 / step.plan().unshared_bytes() as f64;
    result(
        common,
        &json!({
            "device": device.name(), "net": net.name(), "width": net.width, "levels": net.levels, "parameters": net.parameters(),
            "batch": batch, "size": size, "train_step_ms": train_ms, "forward_ms": forward_ms, "gflops": gflops,
            "peak_memory_mib": mib, "intermediates_share": shared, "dispatches": step.plan().steps.len(),
        }),
        &format!(
            "{}, width {}, {} levels, batch {batch} at {size} px on {}: training step {train_ms:.1} ms ({gflops:.1} GFLOP/s), forward {forward_ms:.1} ms, \
             {mib:.0} MiB, intermediates in {:.0} % of their sizes",
            net.name(),
            net.width,
            net.levels,
            device.name(),
            100.0 * shared
        ),
    );
    Ok(())
}
