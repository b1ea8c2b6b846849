//! Kernels as a device has compiled them: every module and every pipeline is made once, whichever plans use it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::{Gpu, one_line};
use crate::error::{Error, Result};
use crate::kernel::{Kernel, KernelId, kernel};
use crate::plan::{Plan, Step};

/// A kernel, and whether it checks bounds.
type ModuleKey = (KernelId, bool);
/// The same with the bits of its constants.
type PipelineKey = (ModuleKey, Vec<u64>);

/// A kernel's module, and what pipelines of it bind.
#[derive(Clone, Debug)]
struct Module {
    shader: wgpu::ShaderModule,
    group: wgpu::BindGroupLayout,
    layout: wgpu::PipelineLayout,
}

/// A pipeline, and the layout of its bind groups.
pub(super) type Pipeline = (wgpu::ComputePipeline, wgpu::BindGroupLayout);

/// What was compiled.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    modules: Mutex<BTreeMap<ModuleKey, Module>>,
    pipelines: Mutex<BTreeMap<PipelineKey, Pipeline>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Compiled {
    /// Modules and pipelines.
    pub(super) fn counts(&self) -> [usize; 2] {
        [lock(&self.modules).len(), lock(&self.pipelines).len()]
    }

    /// The pipelines of a plan's steps. Those that are new are compiled, on several threads.
    pub(super) fn pipelines(&self, gpu: &Gpu, plan: &Plan) -> Result<Vec<Pipeline>> {
        let key = |s: &Step| ((s.kernel, gpu.checked), s.constants.iter().map(|(_, v)| v.to_bits()).collect::<Vec<_>>());
        let mut new: BTreeMap<PipelineKey, &Step> = plan.steps.iter().map(|step| (key(step), step)).collect();
        new.retain(|key, _| !lock(&self.pipelines).contains_key(key));
        let made = new.into_iter().map(|(key, step)| (self.module(gpu, step.kernel), key, step)).collect::<Vec<_>>();
        let made = made.into_par_iter().map(|(module, key, step)| Ok((key, pipeline(gpu, &module, step)?)));
        let made = made.collect::<Result<Vec<_>>>()?;
        let mut pipelines = lock(&self.pipelines);
        pipelines.extend(made);
        Ok(plan.steps.iter().map(|step| pipelines[&key(step)].clone()).collect())
    }

    fn module(&self, gpu: &Gpu, id: KernelId) -> Module {
        lock(&self.modules).entry((id, gpu.checked)).or_insert_with(|| module(gpu, kernel(id))).clone()
    }
}

fn pipeline(gpu: &Gpu, module: &Module, step: &Step) -> Result<Pipeline> {
    let name = step.kernel.to_string();
    // Refusals of drivers are internal errors.
    let internal = gpu.device.push_error_scope(wgpu::ErrorFilter::Internal);
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let constants: Vec<(&str, f64)> = step.constants.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&name),
        layout: Some(&module.layout),
        module: &module.shader,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions { constants: &constants, zero_initialize_workgroup_memory: false },
        cache: None,
    });
    let invalid = pollster::block_on(scope.pop());
    match invalid.or(pollster::block_on(internal.pop())) {
        Some(e) => Err(Error::device(&gpu.adapter.name, format!("kernel {name}: {}", one_line(&e.to_string())))),
        None => Ok((pipeline, module.group.clone())),
    }
}

fn module(gpu: &Gpu, kernel: &Kernel) -> Module {
    let name = kernel.id.to_string();
    let storages = kernel.bindings.iter().map(|b| wgpu::BufferBindingType::Storage { read_only: !b.writes });
    let runtime = (!kernel.runtime.is_empty()).then_some(wgpu::BufferBindingType::Uniform);
    let entries = storages.chain(runtime).zip(0..).map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    });
    let entries: Vec<_> = entries.collect();
    let group = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&name), entries: &entries });
    let layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&name),
        bind_group_layouts: &[Some(&group)],
        ..Default::default()
    });
    let source = wgpu::ShaderSource::Wgsl(kernel.source.as_str().into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(&name), source };
    let shader = if gpu.checked {
        gpu.device.create_shader_module(descriptor)
    } else {
        // SAFETY: the kernels are ours; they guard every access, and the tests run them with checks on as well.
        unsafe { gpu.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    };
    Module { shader, group, layout }
}
