//! What several tests share: the places a graph runs, pictures in PyTorch's layout, golden files, and errors.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::io::Write;
use std::sync::Arc;

use half::f16;
use n2n_gpu::check::Case;
use n2n_gpu::cpu;
use n2n_gpu::device::Device;
use n2n_gpu::gpu::{self, Gpu};
use n2n_gpu::graph::{Graph, StorageId, Tensor, View};
use n2n_gpu::limits::Limits;
use n2n_gpu::ops::{Batch, Drawn, Shards, random_normals};
use n2n_gpu::plan::{Executor, Plan};
use n2n_gpu::wgpu;
use safetensors::{Dtype, SafeTensors};

/// Rounding to f32 changes a number by at most this part of it: 2^-24.
pub(crate) const HALF_ULP: f64 = f32::EPSILON as f64 / 2.0;

/// All adapters of this machine. None is a failure, unless N2N_NO_ADAPTER says that there is none.
pub(crate) fn gpus() -> Vec<Gpu> {
    let found: Vec<_> = (0..gpu::adapters().len()).map(|i| Gpu::open(i).unwrap()).collect();
    let none = std::env::var_os("N2N_NO_ADAPTER").is_some();
    assert!(
        none || !found.is_empty(),
        "no adapter: install a Vulkan driver (Debian: mesa-vulkan-drivers), or set N2N_NO_ADAPTER=1"
    );
    if found.is_empty() {
        // Not `eprintln`, which is swallowed where the test passes.
        let _ =
            writeln!(std::io::stderr(), "left out: what is tested on adapters, of which there is none, as N2N_NO_ADAPTER says");
    }
    found
}

/// The same as if it were a large GPU: software adapters have kernels of their own for convolutions.
pub(crate) fn large(mut gpu: Gpu) -> Gpu {
    gpu.adapter.limits.busy = Limits::default().busy;
    gpu
}

/// An adapter, and if it is a software adapter the same as a large GPU.
pub(crate) fn and_large(gpu: Gpu) -> Vec<Gpu> {
    let other = gpu.adapter.limits.is_software().then(|| large(gpu.clone()));
    [gpu].into_iter().chain(other).collect()
}

/// The adapters as wgpu has them, in the same order.
pub(crate) fn wgpu_adapters() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    pollster::block_on(instance.enumerate_adapters(backends))
}

/// The same, as devices.
pub(crate) fn adapters() -> Vec<Device> {
    gpus().into_iter().map(Device::Gpu).collect()
}

/// Where a graph runs.
pub(crate) enum Place {
    /// On the CPU in double precision.
    Double,
    /// On a device, in single precision.
    Single(Device),
}

/// The results of a case by a plan, as bits; but zeros of both signs are one.
pub(crate) fn bits(gpu: &Gpu, case: &Case, plan: Arc<Plan>) -> Vec<Vec<u32>> {
    let mut executor = gpu::Executor::new(gpu, plan).unwrap();
    case.floats.iter().for_each(|(id, data)| executor.write(*id, data).unwrap());
    case.ints.iter().for_each(|(id, data)| executor.write_ints(*id, data).unwrap());
    executor.run().unwrap();
    let read = |(_, id): &(_, _)| executor.read(*id).unwrap().into_iter().map(|v| (v + 0.0).to_bits()).collect();
    case.outputs.iter().map(read).collect()
}

/// The CPU in both precisions, and all adapters.
pub(crate) fn places() -> Vec<Place> {
    let devices = std::iter::once(Device::Cpu).chain(adapters());
    std::iter::once(Place::Double).chain(devices.map(Place::Single)).collect()
}

impl Place {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Double => "cpu in f64".into(),
            Self::Single(device) => device.name().to_owned(),
        }
    }

    pub(crate) fn is_double(&self) -> bool {
        matches!(self, Self::Double)
    }

    pub(crate) fn start(&self, graph: &Graph) -> Run {
        match self {
            Self::Double => Run::Double(cpu::Executor::new(Plan::new(graph.clone(), None).unwrap())),
            Self::Single(device) => Run::Single(device.prepare(graph.clone()).unwrap()),
        }
    }
}

/// A graph in memory somewhere; written and read in f64 everywhere.
pub(crate) enum Run {
    Double(cpu::Executor<f64>),
    Single(Box<dyn Executor>),
}

impl Run {
    pub(crate) fn executor(&mut self) -> &mut dyn Executor {
        match self {
            Self::Double(e) => e,
            Self::Single(e) => e.as_mut(),
        }
    }

    fn view(&mut self, t: Tensor) -> View {
        self.executor().plan().graph.view(t).clone()
    }

    pub(crate) fn run(&mut self) {
        self.executor().run().unwrap();
    }

    pub(crate) fn write(&mut self, id: StorageId, data: &[f64]) {
        match self {
            Self::Double(e) => e.reals_mut(id)[..data.len()].copy_from_slice(data),
            Self::Single(e) => e.write(id, &data.iter().map(|&v| v as f32).collect::<Vec<_>>()).unwrap(),
        }
    }

    pub(crate) fn read(&mut self, id: StorageId) -> Vec<f64> {
        match self {
            Self::Double(e) => e.reals(id).to_vec(),
            Self::Single(e) => e.read(id).unwrap().into_iter().map(f64::from).collect(),
        }
    }

    /// Writes a dense host tensor from (N, C, H, W).
    pub(crate) fn put(&mut self, t: Tensor, nchw: &[f64]) {
        let view = self.view(t);
        assert!(view.dense(), "other tensors lie between");
        let mut data = vec![0.0; view.span()];
        for (place, &value) in places_of(&view).iter().zip(nchw) {
            data[*place] = value;
        }
        assert_eq!(nchw.len(), view.pixels() * view.channels());
        self.write(view.storage, &data);
    }

    /// A host tensor as (N, C, H, W).
    pub(crate) fn get(&mut self, t: Tensor) -> Vec<f64> {
        let view = self.view(t);
        let data = self.read(view.storage);
        places_of(&view).iter().map(|&place| data[place]).collect()
    }

    /// Writes all parameters, each in the layout of a state dict.
    pub(crate) fn put_params(&mut self, values: impl Fn(&str) -> Vec<f64>) {
        let graph = self.executor().plan().graph.clone();
        let Some(id) = graph.params_storage() else { return };
        let mut data = vec![0.0; graph.storage(id).len];
        for param in graph.params() {
            let values = values(&param.name);
            assert_eq!(values.len(), param.layout.count(), "{}", param.name);
            for (place, value) in param.layout.places().into_iter().zip(values) {
                data[param.offset + place] = value;
            }
        }
        self.write(id, &data);
    }

    /// All parameters in the layout of a state dict, by name, from a storage laid out as `params`.
    pub(crate) fn get_params(&mut self, id: StorageId) -> Vec<(String, Vec<f64>)> {
        let data = self.read(id);
        let params = self.executor().plan().graph.params().to_vec();
        let values = |p: &n2n_gpu::graph::Param| p.layout.places().iter().map(|i| data[p.offset + i]).collect();
        params.iter().map(|p| (p.name.clone(), values(p))).collect()
    }
}

/// Input and target (N, C, H, W) of a batch from `shards`, drawn by step, seed and number of the first element.
pub(crate) fn draw(place: &Place, batch: Batch, shards: &Shards, numbers: [u32; 3]) -> [Vec<f64>; 2] {
    let mut g = Graph::new();
    let Drawn { x, t, pictures, .. } = g.batch(batch, shards);
    let outputs = [("input", x), ("target", t)].map(|(name, t)| g.output(name, t));
    let mut run = place.start(&g);
    run.executor().write_ints(pictures.table, &shards.rows()).unwrap();
    run.executor().write_ints(pictures.shards[0], &shards.words(0)).unwrap();
    run.executor().write_ints(pictures.draw, &numbers).unwrap();
    run.run();
    outputs.map(|output| run.get(output))
}

/// Where the elements of a picture lie in its storage, in the order (N, C, H, W).
pub(crate) fn places_of(view: &View) -> Vec<usize> {
    let [n, h, w] = view.shape;
    let mut places = Vec::new();
    for i in 0..n {
        for c in view.physical() {
            places.extend((0..h * w).map(|p| view.base + view.channel + (i * h * w + p) * view.stride + c));
        }
    }
    places
}

/// Values of `PyTorch`, from a file that tests/golden/make.py wrote.
pub(crate) struct Golden(SafeTensors<'static>, Vec<serde_json::Value>);

impl Golden {
    pub(crate) fn new(bytes: &'static [u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let cases = serde_json::from_str(&header.metadata().as_ref().unwrap()["cases"]).unwrap();
        Self(SafeTensors::deserialize(bytes).unwrap(), cases)
    }

    pub(crate) fn cases(&self) -> &[serde_json::Value] {
        &self.1
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    pub(crate) fn shape(&self, name: &str) -> Vec<usize> {
        self.0.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).shape().to_vec()
    }

    pub(crate) fn tensor(&self, name: &str) -> Vec<f64> {
        let tensor = self.0.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        match tensor.dtype() {
            Dtype::F64 => bytemuck::pod_collect_to_vec(tensor.data()),
            Dtype::F32 => bytemuck::pod_collect_to_vec::<u8, f32>(tensor.data()).into_iter().map(f64::from).collect(),
            Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(tensor.data()).into_iter().map(f64::from).collect(),
            other => panic!("{name} is of {other:?}"),
        }
    }

    /// Names that start with `prefix`, without it.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        self.0.names().iter().filter_map(|n| n.strip_prefix(prefix)).map(str::to_owned).collect()
    }
}

/// `count` normal numbers, others for every `stream`.
pub(crate) fn normals(stream: u32, count: usize) -> Vec<f64> {
    random_normals(11, stream).take(count).collect()
}

/// Largest difference over the largest element of the truth. Infinite if lengths differ or anything is not finite.
pub(crate) fn largest_error(truth: &[f64], result: &[f64]) -> f64 {
    if truth.len() != result.len() || !result.iter().all(|v| v.is_finite()) {
        return f64::INFINITY;
    }
    let largest = truth.iter().fold(f64::MIN_POSITIVE, |m, v| v.abs().max(m));
    truth.iter().zip(result).map(|(t, r)| (t - r).abs()).fold(0.0, f64::max) / largest
}

/// Mean square of the difference over the mean square of the truth. Infinite as above.
pub(crate) fn square_error(truth: &[f64], result: &[f64]) -> f64 {
    if truth.len() != result.len() || !result.iter().all(|v| v.is_finite()) {
        return f64::INFINITY;
    }
    let difference: f64 = truth.iter().zip(result).map(|(t, r)| (t - r).powi(2)).sum();
    difference / truth.iter().map(|t| t * t).sum::<f64>().max(f64::MIN_POSITIVE)
}

/// Resident memory of this process in MiB, where the system tells it.
pub(crate) fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
