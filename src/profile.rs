//! What a device can do, and what becomes of it: the timing behind `n2n-gpu bench`.

use std::time::Instant;

use crate::device::Device;
use crate::error::Result;
use crate::graph::{Graph, ParamLayout, Role, Tensor};
use crate::ops::{Activation, Conv};
use crate::plan::Executor;

/// Runs before those that count.
const WARM_UP: usize = 2;

/// What a device reaches at most, measured on it.
#[derive(Clone, Copy, Debug)]
pub struct Peaks {
    /// Multiply-adds in registers, 1e9 floating-point operations a second.
    pub gflops: f64,
    /// Reading and writing of large buffers, 1e9 bytes a second.
    pub gbs: f64,
    /// A plain tiled matrix product (a convolution of one pixel), 1e9 floating-point operations a second.
    pub matmul_gflops: f64,
}

/// A dispatch, or on the CPU an op, and its time.
#[derive(Clone, Debug)]
pub struct Part {
    /// Name of its kernel or op.
    pub name: &'static str,
    /// Number of its node in the graph.
    pub node: usize,
    /// Workgroups; none on the CPU.
    pub workgroups: Option<[u32; 3]>,
    /// Median time, milliseconds.
    pub ms: f64,
    /// Floating-point operations; only convolutions count.
    pub flops: f64,
    /// Memory that is bound to it, every range once, bytes: what it has to move at least where it needs all of it.
    pub bytes: f64,
}

impl Part {
    /// 1e9 floating-point operations a second.
    pub fn gflops(&self) -> f64 {
        self.flops / self.ms / 1e6
    }

    /// 1e9 bytes a second.
    pub fn gbs(&self) -> f64 {
        self.bytes / self.ms / 1e6
    }

    /// Share of the peak that limits it: the larger of those of arithmetic and of memory.
    pub fn share(&self, peaks: &Peaks) -> f64 {
        (self.gflops() / peaks.gflops).max(self.gbs() / peaks.gbs)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median time of a run, milliseconds, after a few runs that do not count.
///
/// # Errors
/// If the device fails.
pub fn median_ms(executor: &mut dyn Executor, runs: usize) -> Result<f64> {
    let mut times = Vec::new();
    for i in 0..runs + WARM_UP {
        let start = Instant::now();
        executor.run()?;
        executor.wait()?;
        if i >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(median(times))
}

/// Time of every part of a plan, measured one by one. Nothing where the device cannot tell.
///
/// # Errors
/// If the device fails.
pub fn parts(executor: &mut dyn Executor, runs: usize) -> Result<Option<Vec<Part>>> {
    let mut times: Vec<Vec<f64>> = Vec::new();
    for i in 0..runs + WARM_UP {
        let Some(all) = executor.profile()? else { return Ok(None) };
        times.resize(all.len(), Vec::new());
        if i >= WARM_UP {
            times.iter_mut().zip(all).for_each(|(times, ms)| times.push(ms));
        }
    }
    let plan = executor.plan();
    let graph = &plan.graph;
    let times = times.into_iter().map(median);
    if !plan.steps.is_empty() {
        let part = |(step, ms): (&crate::plan::Step, f64)| {
            let mut ranges = step.bindings.clone();
            ranges.sort_unstable();
            ranges.dedup();
            let bytes = ranges.iter().map(|(_, _, len)| 4.0 * *len as f64).sum();
            let name = step.kernel.shader.name();
            Part { name, node: step.node, workgroups: Some(step.workgroups), ms, flops: step.flops, bytes }
        };
        return Ok(Some(plan.steps.iter().zip(times).map(part).collect()));
    }
    let part = |(number, ms): (usize, f64)| {
        let node = &graph.nodes()[number];
        let bytes = node.inputs.iter().chain(&node.outputs).map(|&t| 4.0 * graph.view(t).span() as f64).sum();
        Part { name: node.op.name(), node: number, workgroups: None, ms, flops: node.op.flops(graph, node), bytes }
    };
    Ok(Some(times.enumerate().map(part).collect()))
}

/// Measures what a device reaches at most.
///
/// # Errors
/// If the device fails.
pub fn peaks(device: &Device, runs: usize) -> Result<Peaks> {
    // A GPU needs more to be busy for a while; a software adapter is to be done in a second.
    let scale = if device.is_large() { 16 } else { 1 };
    let time = |g: Graph, inputs: &[Tensor]| -> Result<f64> {
        let inputs: Vec<_> = inputs.iter().map(|&t| (g.view(t).storage, g.storage(g.view(t).storage).len)).collect();
        let mut executor = device.prepare(g)?;
        for (id, len) in inputs {
            executor.write(id, &vec![0.5; len])?;
        }
        median_ms(executor.as_mut(), runs)
    };
    let mut g = Graph::new();
    let x = g.add_tensor("x", [1, 1, 2], &[4], Role::Host);
    let y = g.fma_chains(x, 1 << 16, 256 * scale);
    g.output("y", y);
    let gflops = g.flops() / time(g, &[x])? / 1e6;

    let mut g = Graph::new();
    let x = g.host_picture("x", [scale, 1024, 1024], 4);
    let y = g.scale(x, 1.0);
    g.output("y", y);
    let bytes = 2.0 * 4.0 * g.view(x).span() as f64;
    let gbs = bytes / time(g, &[x])? / 1e6;

    let mut g = Graph::new();
    let x = g.host_picture("x", [scale, 32, 32], 256);
    let w = g.param("weight", ParamLayout::Conv { k: 1, input: vec![256], output: 256 });
    let y = g.conv2d(x, w, None, Conv { kernel: 1, stride: 1, padding: 0 }, Activation::NONE);
    g.output("y", y);
    let matmul_gflops = g.flops() / time(g, &[x, w])? / 1e6;
    Ok(Peaks { gflops, gbs, matmul_gflops })
}
