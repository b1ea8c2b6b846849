//! Replays a plan on a GPU: buffers, pipelines and bind groups are made once; a run is one submission of one pass.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rayon::prelude::*;

use super::Gpu;
use crate::error::{Error, Result};
use crate::graph::{Role, StorageId};
use crate::kernel::{Kernel, kernel};
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

/// A specialised kernel: its name and the bits of its constants.
type Key = (&'static str, Vec<u64>);

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
        let (memory, invalid) = (pollster::block_on(memory.pop()), pollster::block_on(invalid.pop()));
        gpu.trouble.check(&gpu.adapter.name)?;
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
        let pipelines = pipelines(gpu, &plan)?;
        let steps = plan
            .steps
            .iter()
            .map(|step| {
                let (pipeline, layout) = pipelines[&key(step)].clone();
                let entries: Vec<_> = step
                    .bindings
                    .iter()
                    .enumerate()
                    .map(|(i, &(slot, offset, len))| wgpu::BindGroupEntry {
                        binding: i as u32,
                        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer: &buffers[slot],
                            offset: 4 * offset as u64,
                            size: wgpu::BufferSize::new(4 * len as u64),
                        }),
                    })
                    .collect();
                let descriptor = wgpu::BindGroupDescriptor { label: Some(step.kernel), layout: &layout, entries: &entries };
                Prepared { pipeline, bind_group: gpu.device.create_bind_group(&descriptor), workgroups: step.workgroups }
            })
            .collect();
        gpu.trouble.check(&gpu.adapter.name)?;
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

    fn bytes(&self, id: StorageId) -> u64 {
        4 * self.plan.graph.storage(id).len as u64
    }

    fn poll(&self, how: wgpu::PollType) -> Result<()> {
        let polled = self.gpu.device.poll(how);
        self.gpu.trouble.check(&self.gpu.adapter.name)?;
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
                self.gpu.trouble.check(&self.gpu.adapter.name)?;
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

fn key(step: &plan::Step) -> Key {
    (step.kernel, step.constants.iter().map(|(_, v)| v.to_bits()).collect())
}

/// Makes every specialised kernel once, on several threads.
fn pipelines(gpu: &Gpu, plan: &Plan) -> Result<BTreeMap<Key, (wgpu::ComputePipeline, wgpu::BindGroupLayout)>> {
    let mut wanted: BTreeMap<Key, &plan::Step> = BTreeMap::new();
    let mut modules: BTreeMap<&str, (wgpu::ShaderModule, wgpu::BindGroupLayout)> = BTreeMap::new();
    for step in &plan.steps {
        wanted.entry(key(step)).or_insert(step);
        modules.entry(step.kernel).or_insert_with(|| (module(gpu, kernel(step.kernel)), layout(gpu, kernel(step.kernel))));
    }
    let made: BTreeMap<_, _> = wanted
        .into_par_iter()
        .map(|(key, step)| {
            let (module, group) = &modules[step.kernel];
            let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
            let layouts = [Some(group)];
            let layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(step.kernel),
                bind_group_layouts: &layouts,
                ..Default::default()
            });
            let constants: Vec<(&str, f64)> = step.constants.iter().map(|(n, v)| (n.as_str(), *v)).collect();
            let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(step.kernel),
                layout: Some(&layout),
                module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            match pollster::block_on(scope.pop()) {
                Some(e) => {
                    let problem = format!("kernel {}: {}", step.kernel, super::one_line(&e.to_string()));
                    Err(Error::device(&gpu.adapter.name, problem))
                }
                None => Ok((key, (pipeline, group.clone()))),
            }
        })
        .collect::<Result<_>>()?;
    Ok(made)
}

fn module(gpu: &Gpu, kernel: &Kernel) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(kernel.name),
        source: wgpu::ShaderSource::Wgsl(kernel.source.as_str().into()),
    };
    if gpu.checked {
        return gpu.device.create_shader_module(descriptor);
    }
    // SAFETY: the kernels are ours; they guard every access, and the tests run them with checks on as well.
    unsafe { gpu.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}

fn layout(gpu: &Gpu, kernel: &Kernel) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = kernel
        .bindings
        .iter()
        .enumerate()
        .map(|(i, b)| wgpu::BindGroupLayoutEntry {
            binding: i as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: !b.writes },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.name), entries: &entries })
}

impl plan::Executor for Executor {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write(&mut self, id: StorageId, data: &[f32]) -> Result<()> {
        self.gpu.queue.write_buffer(self.buffer(id), 0, bytemuck::cast_slice(data));
        self.gpu.trouble.check(&self.gpu.adapter.name)
    }

    fn write_ints(&mut self, id: StorageId, data: &[u32]) -> Result<()> {
        self.gpu.queue.write_buffer(self.buffer(id), 0, bytemuck::cast_slice(data));
        self.gpu.trouble.check(&self.gpu.adapter.name)
    }

    fn run(&mut self) -> Result<()> {
        while self.in_flight.len() >= IN_FLIGHT {
            let index = self.in_flight.pop_front();
            self.poll(wgpu::PollType::Wait { submission_index: index, timeout: None })?;
        }
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") });
        {
            let mut pass =
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("run"), timestamp_writes: None });
            for step in &self.steps {
                step.encode(&mut pass);
            }
        }
        self.in_flight.push_back(self.gpu.queue.submit([encoder.finish()]));
        self.gpu.trouble.check(&self.gpu.adapter.name)
    }

    fn profile(&mut self) -> Result<Option<Vec<f64>>> {
        let count = 2 * self.steps.len() as u32;
        if !self.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) || count > wgpu::QUERY_SET_MAX_QUERIES {
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
        self.collect()?;
        let at = self.arrived.iter().position(|(t, _)| *t == ticket);
        let data = at.map(|i| self.arrived.remove(i).1);
        data.ok_or_else(|| Error::Lost(format!("{}: results cannot be read", self.gpu.adapter.name)))
    }

    fn read_later(&mut self, id: StorageId) -> Result<Ticket> {
        let size = self.bytes(id);
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
        encoder.copy_buffer_to_buffer(self.buffer(id), 0, &staging, 0, size);
        self.next += 1;
        let (ticket, sender) = (self.next, self.mapped.0.clone());
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |mapped| {
            // The receiver is gone only when the executor is.
            let _ = sender.send((ticket, mapped.is_ok()));
        });
        self.reads.push_back((ticket, staging));
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.trouble.check(&self.gpu.adapter.name)?;
        Ok(ticket)
    }

    fn finished_reads(&mut self) -> Result<Vec<(Ticket, Vec<f32>)>> {
        self.poll(wgpu::PollType::Poll)?;
        self.collect()?;
        Ok(std::mem::take(&mut self.arrived))
    }
}
