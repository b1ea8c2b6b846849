//! A plan's JSON is all that a player needs: one that knows wgpu and nothing of graphs replays it to the same bits.

mod common;

use n2n_gpu::check::{self, Case};
use n2n_gpu::gpu::{self, Gpu};
use n2n_gpu::graph::{Graph, Precision, StorageId};
use n2n_gpu::limits::Limits;
use n2n_gpu::nets::{Init, Modules, Network, Norm, Unet, initial};
use n2n_gpu::ops::{Update, random_normals};
use n2n_gpu::plan::{Executor, Plan};
use n2n_gpu::wgpu;
use serde_json::Value;

/// A compiled dispatch, what it binds, and its workgroups.
type Dispatch = (wgpu::ComputePipeline, wgpu::BindGroup, [u32; 3]);

/// Replays a plan from its text.
struct Player {
    plan: Value,
    device: wgpu::Device,
    queue: wgpu::Queue,
    buffers: Vec<wgpu::Buffer>,
    dispatches: Vec<Dispatch>,
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name}"))
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {value}"))
}

/// A device with what the plan says it needs, and no more.
fn open(adapter: &wgpu::Adapter, plan: &Value) -> (wgpu::Device, wgpu::Queue) {
    let features = list(plan, "features").iter().map(|f| match f.as_str() {
        Some("f16") => wgpu::Features::SHADER_F16,
        other => panic!("what is {other:?}?"),
    });
    let needs = &plan["needs"];
    let invocations = number(needs, "invocations") as u32;
    let required_limits = wgpu::Limits {
        max_buffer_size: number(needs, "buffer_bytes"),
        max_storage_buffer_binding_size: number(needs, "buffer_bytes"),
        max_storage_buffers_per_shader_stage: number(needs, "storage_buffers") as u32,
        max_compute_invocations_per_workgroup: invocations,
        max_compute_workgroup_size_x: invocations,
        max_compute_workgroup_size_y: invocations,
        max_compute_workgroup_storage_size: number(needs, "workgroup_bytes") as u32,
        max_compute_workgroups_per_dimension: number(needs, "workgroups") as u32,
        ..wgpu::Limits::default()
    };
    let required_features = features.fold(wgpu::Features::empty(), |a, b| a | b);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).unwrap()
}

impl Player {
    fn new(adapter: &wgpu::Adapter, json: &str) -> Self {
        let plan: Value = serde_json::from_str(json).unwrap();
        assert_eq!(plan["format"], "n2n-gpu plan");
        assert!([2, 3].contains(&number(&plan, "version")));
        let (device, queue) = open(adapter, &plan);
        let make = |b: &Value| {
            let (size, words) = (number(b, "bytes"), b.get("words"));
            let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let usage = wgpu::BufferUsages::COPY_DST | words.map_or(storage, |_| wgpu::BufferUsages::UNIFORM);
            let buffer = device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
            if let Some(words) = words.and_then(Value::as_array) {
                let words: Vec<u32> = words.iter().map(|w| w.as_u64().unwrap() as u32).collect();
                queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
            }
            buffer
        };
        let buffers: Vec<_> = list(&plan, "buffers").iter().map(make).collect();
        let module = |s: &Value| {
            let source = wgpu::ShaderSource::Wgsl(s["wgsl"].as_str().unwrap().into());
            device.create_shader_module(wgpu::ShaderModuleDescriptor { label: s["name"].as_str(), source })
        };
        let modules: Vec<_> = list(&plan, "shaders").iter().map(module).collect();
        let pipeline = |p: &Value| {
            let constants = p["constants"].as_object().unwrap().iter().map(|(n, v)| (n.as_str(), v.as_f64().unwrap()));
            let constants: Vec<_> = constants.collect();
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &modules[number(p, "shader") as usize],
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() },
                cache: None,
            })
        };
        let pipelines: Vec<_> = list(&plan, "pipelines").iter().map(pipeline).collect();
        let dispatch = |d: &Value| {
            let pipeline = &pipelines[number(d, "pipeline") as usize];
            let entry = |(b, binding): (&Value, u32)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffers[number(b, "buffer") as usize],
                    offset: number(b, "offset"),
                    size: wgpu::BufferSize::new(number(b, "size")),
                }),
            };
            let entries: Vec<_> = list(d, "bindings").iter().zip(0..).map(entry).collect();
            let layout = &pipeline.get_bind_group_layout(0);
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
            let workgroups = [0, 1, 2].map(|i| d["workgroups"][i].as_u64().unwrap() as u32);
            (pipeline.clone(), group, workgroups)
        };
        let dispatches = list(&plan, "dispatches").iter().map(dispatch).collect();
        let player = Self { device, queue, buffers, dispatches, plan };
        for (i, storage) in list(&player.plan, "storages").iter().enumerate().filter(|(_, s)| s["role"] == "host") {
            let fill = storage["fill"].as_f64().unwrap() as f32;
            player.write(i, bytemuck::cast_slice(&vec![fill; number(storage, "len") as usize]));
        }
        player
    }

    /// The buffer of a host storage, and its bytes.
    fn storage(&self, id: usize) -> (&wgpu::Buffer, u64) {
        let storage = &self.plan["storages"][id];
        assert!(storage["role"] == "host" && ["f32", "u32"].contains(&storage["element"].as_str().unwrap()), "{storage}");
        (&self.buffers[number(storage, "buffer") as usize], 4 * number(storage, "len"))
    }

    fn write(&self, id: usize, data: &[u8]) {
        self.queue.write_buffer(self.storage(id).0, 0, data);
    }

    fn run(&self) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (pipeline, group, [x, y, z]) in &self.dispatches {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
        drop(pass);
        self.queue.submit([encoder.finish()]);
    }

    fn read(&self, id: usize) -> Vec<u32> {
        let (buffer, size) = self.storage(id);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let staging = self.device.create_buffer(&descriptor);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..).unwrap())
    }
}

/// What a host writes before two runs, and what it reads after them.
type Written<'a> = (&'a [(StorageId, Vec<f32>)], &'a [(StorageId, Vec<u32>)]);

/// With specialised kernels the plan is one of version 2, when there were no others.
fn assert_replays(name: &str, graph: &Graph, (floats, ints): Written, outputs: &[StorageId], shared: bool) {
    for (gpu, adapter) in common::gpus().iter().zip(common::wgpu_adapters()) {
        if graph.precision() == Precision::F16 && !n2n_gpu::device::Device::Gpu(gpu.clone()).supports(Precision::F16) {
            continue;
        }
        let plan = Plan::new(graph.clone(), Some(&Limits { shared, ..gpu.adapter.limits })).unwrap();
        let mut json: Value = serde_json::from_str(&plan.to_json()).unwrap();
        assert_eq!((number(&json, "version"), list(&json, "buffers").iter().any(|b| !b["words"].is_null())), (3, shared));
        json["version"] = if shared { 3 } else { 2 }.into();
        let player = Player::new(&adapter, &json.to_string());
        let mut executor = gpu::Executor::new(gpu, plan).unwrap();
        for (id, data) in floats {
            executor.write(*id, data).unwrap();
            player.write(id.0, bytemuck::cast_slice(data));
        }
        for (id, data) in ints {
            executor.write_ints(*id, data).unwrap();
            player.write(id.0, bytemuck::cast_slice(data));
        }
        for _ in 0..2 {
            executor.run().unwrap();
            player.run();
        }
        for id in outputs {
            let expected: Vec<u32> = executor.read(*id).unwrap().into_iter().map(f32::to_bits).collect();
            assert!(expected.iter().any(|&bits| bits != 0), "{name}: {} is empty", graph.storage(*id).name);
            assert!(player.read(id.0) == expected, "{name} on {}: {}", gpu.adapter.name, graph.storage(*id).name);
        }
    }
}

fn assert_case_replays(case: &Case) {
    let outputs: Vec<_> = case.outputs.iter().map(|(_, id)| *id).collect();
    assert_replays(&case.name, case.graph(), (&case.floats, &case.ints), &outputs, true);
}

#[test]
fn a_training_step_replays_from_its_json_alone() {
    let step = || check::training_step(Norm::Group, 16, 2, [2, 16, 16], Update::ADAM);
    assert_case_replays(&step());
    assert_case_replays(&step().in_half());
}

#[test]
fn a_forward_pass_replays_from_its_json_alone() {
    for precision in [Precision::F32, Precision::F16] {
        let mut g = Graph::new();
        g.set_precision(precision);
        let x = g.host_picture("x", [1, 32, 24], 3);
        let y = Unet::new(8, 2, Norm::None).record(&mut Modules::new(&mut g, false), x);
        let y = g.output("y", y);
        let [x, y] = [x, y].map(|t| g.view(t).storage);
        let numbers: Vec<f32> = random_normals(1, 1).map(|v| v as f32).take(g.storage(x).len).collect();
        let floats = [(x, numbers), (g.params_storage().unwrap(), initial(&g, Init::He, 1).unwrap())];
        assert_replays("unet", &g, (&floats, &[]), &[y], false);
        assert_replays("unet, shared", &g, (&floats, &[]), &[y], true);
    }
}

#[test]
fn the_json_tells_what_is_stored_where() {
    let case = check::training_step(Norm::Batch, 8, 1, [2, 16, 16], Update::ADAM).in_half();
    let plan = Plan::new(case.graph().clone(), Some(&Limits::default())).unwrap();
    let json: Value = serde_json::from_str(&plan.to_json()).unwrap();
    let storages = list(&json, "storages");
    let named = |key: &str| storages[number(&json, key) as usize]["name"].as_str().unwrap();
    assert_eq!((named("params"), named("gradients")), ("params", "grads"));
    assert_eq!(json["features"], serde_json::json!(["f16"]));
    assert_eq!(storages.iter().find(|s| s["name"] == "one").unwrap()["fill"], 1.0);
    for (i, storage) in storages.iter().enumerate().filter(|(_, s)| !s["buffer"].is_null()) {
        let half = case.graph().is_half(StorageId(i));
        assert_eq!(storage["element"] == "f16", half, "{storage}");
        let bytes = number(storage, "len") * if half { 2 } else { 4 };
        assert!(bytes <= number(&list(&json, "buffers")[number(storage, "buffer") as usize], "bytes"), "{storage}");
    }
    assert!(storages.iter().any(|s| s["element"] == "f16"));
    let trained = |p: &&Value| p["trained"] == true;
    assert!(list(&json, "parameters").iter().filter(trained).count() < list(&json, "parameters").len());
}

/// A device that an application has opened itself runs plans as well.
#[test]
fn a_device_of_the_applications_own_runs_plans_and_tells_its_limits() {
    for adapter in common::wgpu_adapters() {
        let descriptor = wgpu::DeviceDescriptor { required_limits: wgpu::Limits::default(), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let gpu = Gpu::from_wgpu(&adapter, device.clone(), queue);
        assert_eq!(gpu.adapter.limits.workgroup_bytes, device.limits().max_compute_workgroup_storage_size);
        assert!(gpu.adapter.features.is_empty(), "no feature was asked for: {:?}", gpu.adapter.features);
        let on = n2n_gpu::device::Device::Gpu(gpu.clone());
        assert!(!on.supports(Precision::F16));
        let outcome = check::training_step(Norm::Group, 16, 2, [2, 16, 16], Update::ADAM).run(&on).unwrap();
        assert!(outcome.passed(), "{}: {} is off by {:e}", outcome.case, outcome.output, outcome.error);
        // What the driver reports outside of calls is an error of the next one.
        device.destroy();
        device.poll(wgpu::PollType::wait_indefinitely()).ok();
        assert!(check::fma().run(&on).is_err());
    }
}
