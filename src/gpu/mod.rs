//! The GPU: adapters, a device, and the executor that replays plans through wgpu. No other module knows wgpu.

mod adapter;
mod compiled;
mod executor;
mod tuner;

pub use adapter::{Adapter, DeviceKind, adapters};
pub use executor::Executor;
pub use tuner::Tuner;

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::limits::{Feature, Limits};
use compiled::Compiled;

/// An open device.
#[derive(Clone, Debug)]
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    errors: DeviceErrors,
    compiled: Arc<Compiled>,
    /// Its adapter.
    pub adapter: Box<Adapter>,
    tuner: Option<Arc<Tuner>>,
    /// Whether shaders check bounds and loops at run time; slow, for tests.
    #[doc(hidden)]
    pub checked: bool,
}

/// The first error that the driver reported outside of any call, and whether it was for want of memory.
#[derive(Clone, Debug, Default)]
struct DeviceErrors(Arc<Mutex<Option<(bool, String)>>>);

impl DeviceErrors {
    /// Notes what the device reports from now on.
    fn of(device: &wgpu::Device) -> Self {
        let errors = Self::default();
        let (uncaptured, lost) = (errors.clone(), errors.clone());
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            uncaptured.note(matches!(e, wgpu::Error::OutOfMemory { .. }), one_line(&e.to_string()));
        }));
        device.set_device_lost_callback(move |reason, message| {
            let destroyed = reason == wgpu::DeviceLostReason::Destroyed;
            let why = if destroyed { "it was destroyed".into() } else { one_line(&message) };
            lost.note(false, format!("the device was lost: {why}"));
        });
        errors
    }

    fn note(&self, memory: bool, message: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((memory, message));
    }

    /// The error as a failure, if there was one.
    fn check(&self, adapter: &str) -> Result<()> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match first.clone() {
            // Less may fit: said once.
            Some((true, message)) => {
                *first = None;
                Err(Error::Memory(format!("{adapter}: {message}")))
            }
            Some((false, message)) => Err(Error::Lost(format!("{adapter}: {message}"))),
            None => Ok(()),
        }
    }
}

impl Gpu {
    /// Opens adapter number `index` of [`adapters`] with all of its limits.
    ///
    /// # Errors
    /// If there is no such adapter, or the driver refuses.
    pub fn open(index: usize) -> Result<Self> {
        Self::open_with(index, |_| ())
    }

    /// Opens adapter number `index` with limits that `lower` makes of its own; the driver then refuses whatever exceeds them.
    ///
    /// # Errors
    /// If there is no such adapter, or the driver refuses, as it does where a limit was raised.
    #[doc(hidden)]
    pub fn open_with(index: usize, lower: impl FnOnce(&mut Limits)) -> Result<Self> {
        let adapters = adapter::enumerate();
        let Some(adapter) = adapters.get(index) else {
            return Err(Error::device(format!("adapter {index}"), "there is no such adapter"));
        };
        let mut described = Adapter::describe(adapter, &adapter.limits(), adapter.features());
        lower(&mut described.limits);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("n2n-gpu"),
            required_features: adapter.features() & (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SHADER_F16),
            required_limits: adapter::required_limits(&adapter.limits(), &described.limits),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let experimental = wgpu::DeviceDescriptor {
            required_features: descriptor.required_features | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            // SAFETY: of what is experimental, only cooperative matrices are used, in kernels that the tests and a self-test run.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..descriptor.clone()
        };
        let request = |descriptor| pollster::block_on(adapter.request_device(descriptor));
        let opened = if !described.cooperative.is_empty() { request(&experimental).ok() } else { None };
        let (device, queue) = opened
            .map_or_else(|| request(&descriptor), Ok)
            .map_err(|e| Error::device(&described.name, format!("the device cannot be opened: {e}")))?;
        let mut gpu = Self::from_wgpu(adapter, device, queue);
        // Features that no device is opened with are told all the same.
        (gpu.adapter.limits, gpu.adapter.features) = (described.limits, described.features);
        Ok(gpu)
    }

    /// A device that an application has opened itself, with limits and features of its choice: with `SHADER_F16` pictures can be
    /// kept in 16 bits, with `TIMESTAMP_QUERY` kernels can be timed. The device's handlers of errors outside of calls are
    /// replaced: such an error becomes one of the next call here.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let mut described = Adapter::describe(adapter, &device.limits(), device.features());
        let Limits { workgroup_bytes, invocations, .. } = described.limits;
        // There are tiles for whatever else the limits are.
        described.cooperative.retain(|c| workgroup_bytes >= 16 << 10 && invocations >= c.subgroup);
        let errors = DeviceErrors::of(&device);
        let (compiled, adapter) = (Arc::default(), Box::new(described));
        Self { device, queue, errors, compiled, adapter, tuner: None, checked: false }
    }

    /// One copy of the device for every configuration of cooperative matrices of that width that it supports, with plans that
    /// use it.
    pub(crate) fn with_cooperative_matrices(&self, wide: bool) -> impl Iterator<Item = Self> {
        let for_it = self.adapter.cooperative.iter().filter(move |kind| kind.matrices.wide == wide);
        for_it.map(|&kind| {
            let mut gpu = self.clone();
            gpu.adapter.limits.cooperative = Some(kind);
            gpu
        })
    }

    /// Plans for this device from now on are made by what `tuner` knows or finds.
    pub fn set_tuner(&mut self, tuner: Tuner) {
        self.tuner = Some(Arc::new(tuner));
    }

    /// Memory that buffers take on the device, bytes, where the backend tells.
    #[doc(hidden)]
    pub fn allocated_bytes(&self) -> Option<u64> {
        self.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    /// Modules and pipelines that were compiled on the device so far.
    #[doc(hidden)]
    pub fn compiled(&self) -> [usize; 2] {
        self.compiled.counts()
    }

    /// Gives the device back at once, as if the driver had lost it: all that uses it fails from now on.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Whether kernels can be timed.
    fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Whether kernels with 16-bit floats run.
    pub(crate) fn has_f16(&self) -> bool {
        self.adapter.features.contains(&Feature::F16)
    }

    /// An error if the driver reported one since it was last asked.
    fn check(&self) -> Result<()> {
        self.errors.check(&self.adapter.name)
    }
}

/// An error message of several lines, as one.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
