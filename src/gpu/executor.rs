//! Replays a plan on a GPU: buffers, pipelines and bind groups are made once; a run is one submission of one pass.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::Gpu;
use crate::error::{Error, Result};
use crate::graph::{Role, StorageId};
use crate::plan::{self, Plan, Ticket};

/// Runs that may be on their way at once.
const IN_FLIGHT: usize = 2;

struct Prepared {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

impl Prepared {
    fn encode(&self, pass: &mut wgpu::ComputePass) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A read whose staging buffer is mapped, or could not be.
type Mapped = (Ticket, bool);

/// A plan with its memory on a device.
pub struct Executor {
    gpu: Gpu,
    plan: Arc<Plan>,
    buffers: Vec<wgpu::Buffer>,
    steps: Vec<Prepared>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// Reads under way, and their staging buffers.
    reads: VecDeque<(Ticket, wgpu::Buffer)>,
    /// Reads that are done and not yet asked after.
    arrived: Vec<(Ticket, Vec<f32>)>,
    /// Staging buffers to use again.
    spare: Vec<wgpu::Buffer>,
    mapped: (Sender<Mapped>, Receiver<Mapped>),
    next: Ticket,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("adapter", &self.gpu.adapter.name)
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

impl Executor {
    /// Makes buffers, pipelines and bind groups.
    ///
    /// # Errors
    /// If the device is out of memory or refuses a kernel.
    pub fn new(gpu: &Gpu, plan: Arc<Plan>) -> Result<Self> {
        // A buffer over the device's limits is invalid, one over its memory is not there: smaller ones help with both.
        let invalid = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffers: Vec<_> =
            plan.slots.iter().enumerate().map(|(i, slot)| buffer(gpu, &format!("slot {i}"), 4 * slot.len as u64)).collect();
        let runtime = (!plan.runtime.is_empty()).then(|| runtime(gpu, &plan.runtime));
        let (memory, invalid) = (pollster::block_on(memory.pop()), pollster::block_on(invalid.pop()));
        gpu.check()?;
        if memory.is_some() || invalid.is_some() {
            let largest = plan.slots.iter().map(|s| 4 * s.len as u64).max().unwrap_or(0);
            return Err(Error::Memory(format!(
                "{}: {} MiB, {} of them in one buffer, do not fit the device's memory: choose a smaller batch, crop or tile",
                gpu.adapter.name,
                plan.bytes().div_ceil(1 << 20),
                largest.div_ceil(1 << 20)
            )));
        }
        for (storage, &slot) in plan.graph.storages().iter().zip(&plan.slot_of) {
            if storage.role == Role::Host && storage.fill != 0.0 {
                gpu.queue.write_buffer(&buffers[slot], 0, bytemuck::cast_slice(&vec![storage.fill; storage.len]));
            }
        }
        let pipelines = gpu.compiled.pipelines(gpu, &plan)?;
        let steps = plan.steps.iter().zip(pipelines).map(|(step, (pipeline, layout))| {
            let storages = step.bindings.iter().map(|&(slot, offset, len)| (&buffers[slot], offset, len));
            let runtime = step.runtime.zip(runtime.as_ref()).map(|((offset, len), buffer)| (buffer, offset, len));
            let entries = storages.chain(runtime).zip(0..).map(|((buffer, offset, len), binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 4 * offset as u64,
                    size: wgpu::BufferSize::new(4 * len as u64),
                }),
            });
            let entries: Vec<_> = entries.collect();
            let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries };
            Prepared { pipeline, bind_group: gpu.device.create_bind_group(&descriptor), workgroups: step.workgroups }
        });
        let steps = steps.collect();
        gpu.check()?;
        let gpu = gpu.clone();
        Ok(Self {
            gpu,
            plan,
            buffers,
            steps,
            in_flight: VecDeque::new(),
            reads: VecDeque::new(),
            arrived: Vec::new(),
            spare: Vec::new(),
            mapped: channel(),
            next: 0,
        })
    }

    fn buffer(&self, id: StorageId) -> &wgpu::Buffer {
        &self.buffers[self.plan.slot_of[id.0]]
    }

    fn poll(&self, how: wgpu::PollType) -> Result<()> {
        let polled = self.gpu.device.poll(how);
        self.gpu.check()?;
        polled.map(drop).map_err(|e| Error::Lost(format!("{}: {e}", self.gpu.adapter.name)))
    }

    /// Contents of a staging buffer that is mapped, which is then free again.
    fn unload(&mut self, staging: wgpu::Buffer) -> Result<Vec<f32>> {
        let data = match staging.get_mapped_range(..) {
            Ok(view) => bytemuck::pod_collect_to_vec(&view),
            Err(e) => return Err(Error::Lost(format!("{}: results cannot be read: {e}", self.gpu.adapter.name))),
        };
        staging.unmap();
        self.spare.push(staging);
        Ok(data)
    }

    /// Moves reads whose buffers are mapped to `arrived`.
    fn collect(&mut self) -> Result<()> {
        while let Ok((ticket, fine)) = self.mapped.1.try_recv() {
            let at = self.reads.iter().position(|(t, _)| *t == ticket);
            let (_, staging) = at.and_then(|i| self.reads.remove(i)).expect("a mapped buffer was asked for");
            if !fine {
                self.gpu.check()?;
                return Err(Error::Lost(format!("{}: results cannot be read", self.gpu.adapter.name)));
            }
            let data = self.unload(staging)?;
            self.arrived.push((ticket, data));
        }
        Ok(())
    }
}

fn buffer(gpu: &Gpu, label: &str, size: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
}

/// What shared kernels read at run time.
fn runtime(gpu: &Gpu, words: &[u32]) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let size = 4 * words.len() as u64;
    let descriptor = wgpu::BufferDescriptor { label: Some("runtime"), size, usage, mapped_at_creation: false };
    let buffer = gpu.device.create_buffer(&descriptor);
    gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    buffer
}

impl plan::Executor for Executor {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write_at(&mut self, id: StorageId, first: usize, data: &[f32]) -> Result<()> {
        self.gpu.queue.write_buffer(self.buffer(id), 4 * first as u64, bytemuck::cast_slice(data));
        self.gpu.check()
    }

    fn write_ints_at(&mut self, id: StorageId, first: usize, data: &[u32]) -> Result<()> {
        self.gpu.queue.write_buffer(self.buffer(id), 4 * first as u64, bytemuck::cast_slice(data));
        self.gpu.check()
    }

    fn run_nodes(&mut self, nodes: Range<usize>) -> Result<()> {
        while self.in_flight.len() >= IN_FLIGHT {
            let index = self.in_flight.pop_front();
            self.poll(wgpu::PollType::Wait { submission_index: index, timeout: None })?;
        }
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") });
        {
            let mut pass =
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("run"), timestamp_writes: None });
            let chosen = self.plan.steps.iter().zip(&self.steps).filter(|(step, _)| nodes.contains(&step.node));
            chosen.for_each(|(_, step)| step.encode(&mut pass));
        }
        self.in_flight.push_back(self.gpu.queue.submit([encoder.finish()]));
        self.gpu.check()
    }

    fn profile(&mut self) -> Result<Option<Vec<f64>>> {
        let count = 2 * self.steps.len() as u32;
        if !self.gpu.has_timestamps() || count > wgpu::QUERY_SET_MAX_QUERIES {
            return Ok(None);
        }
        let device = &self.gpu.device;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let buffer = |label, usage| {
            let size = u64::from(count) * 8;
            device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
        };
        let resolved = buffer("timestamps", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let staging = buffer("staging", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("profile") });
        for (step, at) in self.steps.iter().zip((0..).step_by(2)) {
            // One pass for every dispatch: timestamps inside of passes are not to be had everywhere.
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("profile"),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(at),
                    end_of_pass_write_index: Some(at + 1),
                }),
            });
            step.encode(&mut pass);
        }
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, u64::from(count) * 8);
        self.gpu.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        self.poll(wgpu::PollType::wait_indefinitely())?;
        let name = &self.gpu.adapter.name;
        let view = staging.get_mapped_range(..).map_err(|e| Error::device(name, format!("times cannot be read: {e}")))?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
        let period = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-6;
        Ok(Some(ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period).collect()))
    }

    fn wait(&mut self) -> Result<()> {
        self.in_flight.clear();
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    fn read(&mut self, id: StorageId) -> Result<Vec<f32>> {
        let ticket = self.read_later(id)?;
        self.poll(wgpu::PollType::wait_indefinitely())?;
        loop {
            if let Some(data) = self.take_read(ticket)? {
                return Ok(data);
            }
            // Another thread has polled the device as well, and is about to tell of the mapping.
            thread::yield_now();
        }
    }

    fn read_range_later(&mut self, id: StorageId, range: Range<usize>) -> Result<Ticket> {
        let size = 4 * range.len() as u64;
        let staging = self.spare.iter().position(|b| b.size() == size).map(|i| self.spare.swap_remove(i)).unwrap_or_else(|| {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("staging"),
                size,
                usage,
                mapped_at_creation: false,
            })
        });
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read") });
        encoder.copy_buffer_to_buffer(self.buffer(id), 4 * range.start as u64, &staging, 0, size);
        self.next += 1;
        let (ticket, sender) = (self.next, self.mapped.0.clone());
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |mapped| {
            // The receiver is gone only when the executor is.
            let _ = sender.send((ticket, mapped.is_ok()));
        });
        self.reads.push_back((ticket, staging));
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check()?;
        Ok(ticket)
    }

    fn take_read(&mut self, ticket: Ticket) -> Result<Option<Vec<f32>>> {
        self.poll(wgpu::PollType::Poll)?;
        self.collect()?;
        let at = self.arrived.iter().position(|(t, _)| *t == ticket);
        Ok(at.map(|i| self.arrived.remove(i).1))
    }

    fn finished_reads(&mut self) -> Result<Vec<(Ticket, Vec<f32>)>> {
        self.poll(wgpu::PollType::Poll)?;
        self.collect()?;
        Ok(std::mem::take(&mut self.arrived))
    }
}
