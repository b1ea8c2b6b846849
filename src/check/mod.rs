//! Every kernel against its meaning on the CPU in double precision: `n2n-gpu check`, and the tests.

mod cases;
mod list;

pub use cases::*;
pub use list::{cases, cooperative_cases};

use crate::cpu;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::gpu::{DeviceKind, Gpu};
use crate::graph::{Graph, Precision, Role, StorageId, Tensor};
use crate::limits::Feature;
use crate::nets::{Init, initial};
use crate::ops::random_normals;
use crate::plan::{Executor, Plan};

/// Largest normalised mean square error of a kernel in single precision: squared, 1e-5 of the signal. Sums of some
/// thousand products round to about 1e-6 of it; what is wrong is off by more than 1e-2.
pub const TOLERANCE: f64 = 1e-10;

/// One graph with its inputs.
#[derive(Debug)]
pub struct Case {
    /// What it covers.
    pub name: String,
    graph: Graph,
    /// Whether it is for cooperative matrices.
    cooperative: bool,
    /// Inputs.
    pub floats: Vec<(StorageId, Vec<f32>)>,
    /// Inputs of integers.
    pub ints: Vec<(StorageId, Vec<u32>)>,
    /// Results to compare: what they are called, and where they are.
    pub outputs: Vec<(&'static str, StorageId)>,
    /// Those of them that are laid out as the parameters, once or several times over.
    flat: Vec<StorageId>,
}

/// How a device did on a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case.
    pub case: String,
    /// Its worst result, e.g. `y` or `grads weight`.
    pub output: String,
    /// Normalised mean square error of that result.
    pub error: f64,
    /// Largest error that passes.
    pub tolerance: f64,
}

impl Outcome {
    /// Whether the error is within its tolerance. NaN is not.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

fn mean_square(of: &[f64]) -> f64 {
    of.iter().map(|v| v * v).sum::<f64>() / of.len().max(1) as f64
}

/// Mean square of the difference over that of the truth, or over `least` if that is more. For one of several tensors in a buffer,
/// `least` is the whole buffer's: some tensors are nothing but rounding errors of that size (the gradient of a bias before a
/// normalisation).
fn normalised_error(truth: &[f64], result: &[f32], least: f64) -> f64 {
    let difference: Vec<f64> = truth.iter().zip(result).map(|(&t, &r)| t - f64::from(r)).collect();
    mean_square(&difference) / mean_square(truth).max(least).max(f64::MIN_POSITIVE)
}

impl Case {
    /// The same with pictures in 16 bits.
    #[must_use]
    pub fn in_half(mut self) -> Self {
        self.graph.set_precision(Precision::F16);
        self.name += " f16";
        self
    }

    /// Largest error that passes: [`TOLERANCE`]. Where pictures have 16 bits, device and truth round to them alike, but for
    /// values about midway between two of them, which may go either way: 2^-11 of a value for every op that it goes through,
    /// squared.
    pub fn tolerance(&self) -> f64 {
        match self.graph.precision() {
            Precision::F32 => TOLERANCE,
            // Filters are rounded as well there, so that about 2^-11 of all values are so close to 0 that an activation passes
            // them, or their gradients, with the other slope.
            Precision::F16 if self.cooperative => 1.0 / 2048.0,
            Precision::F16 => (self.graph.nodes().len() as f64 / 2048.0).powi(2),
        }
    }

    /// Whether the device has the precision of the case.
    pub fn suits(&self, device: &Device) -> bool {
        device.supports(self.graph.precision())
    }

    fn new(name: String, graph: Graph) -> Self {
        Self { name, graph, cooperative: false, floats: Vec::new(), ints: Vec::new(), outputs: Vec::new(), flat: Vec::new() }
    }

    /// Fills a host tensor with normal numbers, its padding with zeros.
    fn random(&mut self, t: Tensor) {
        let view = self.graph.view(t);
        let mut data = vec![0.0; view.span()];
        let mut numbers = random_normals(1, seed(&self.name, self.floats.len()));
        for pixel in data.chunks_mut(view.stride) {
            for c in view.physical() {
                pixel[c] = numbers.next().unwrap_or(0.0) as f32;
            }
        }
        self.floats.push((view.storage, data));
    }

    fn random_params(&mut self) {
        let data = initial(&self.graph, Init::He, 7).expect("cases are small");
        let mut numbers = random_normals(2, 0);
        let Some(storage) = self.graph.params_storage() else { return };
        let mut data: Vec<f32> = data;
        // Biases and shifts start at zero; here they shall matter.
        for param in self.graph.params() {
            if param.fill.is_some() {
                for place in param.layout.places() {
                    let value = &mut data[param.offset + place];
                    *value += 0.3 * numbers.next().unwrap_or(0.0) as f32;
                    // A variance is above zero.
                    *value = if param.trained { *value } else { value.abs() };
                }
            }
        }
        self.floats.push((storage, data));
    }

    fn output(&mut self, name: &'static str, t: Tensor) {
        let view = self.graph.view(t);
        if self.graph.storage(view.storage).role == Role::Host {
            self.outputs.push((name, view.storage));
        } else {
            let y = self.graph.output(name, t);
            self.outputs.push((name, self.graph.view(y).storage));
        }
    }

    /// Records the gradient of `y` from a random one, and makes all results readable.
    fn differentiate(&mut self, x: &[(&'static str, Tensor)], y: Tensor) {
        let view = self.graph.view(y).clone();
        let dy = self.graph.add_tensor("dy", view.shape, &view.parts, Role::Host);
        self.random(dy);
        let grads = self.graph.backward(&[(y, dy)]);
        self.output("y", y);
        for (name, x) in x {
            self.output(name, grads[x]);
        }
        self.flat.extend(self.graph.gradients());
        self.outputs.extend(self.graph.gradients().map(|grads| ("grads", grads)));
        self.random_params();
    }

    /// The tensors of an output, by name.
    fn tensors(&self, id: StorageId) -> Vec<(String, std::ops::Range<usize>)> {
        let len = self.graph.storage(id).len;
        let Some(params) = self.graph.params_storage().filter(|_| self.flat.contains(&id)) else {
            return vec![(String::new(), 0..len)];
        };
        let of = |first: usize| self.graph.params().iter().map(move |p| (p.name.clone(), first + p.offset, p.tensor));
        let all = (0..len).step_by(self.graph.storage(params).len).flat_map(of);
        all.map(|(name, first, t)| (name, first..first + self.graph.view(t).span())).collect()
    }

    /// Runs the case on `device` and in double precision on the CPU.
    ///
    /// # Errors
    /// If the device fails.
    pub fn run(&self, device: &Device) -> Result<Outcome> {
        let mut truth = cpu::Executor::<f64>::new(Plan::new(self.graph.clone(), None)?);
        let mut tested = device.prepare(self.graph.clone())?;
        for e in [&mut truth as &mut dyn Executor, tested.as_mut()] {
            for (id, data) in &self.floats {
                e.write(*id, data)?;
            }
            for (id, data) in &self.ints {
                e.write_ints(*id, data)?;
            }
            e.run()?;
        }
        let mut worst = Outcome { case: self.name.clone(), output: String::new(), error: 0.0, tolerance: self.tolerance() };
        for &(name, id) in &self.outputs {
            let (truth, result) = (truth.reals(id), tested.read(id)?);
            for (tensor, range) in self.tensors(id) {
                let error = normalised_error(&truth[range.clone()], &result[range], mean_square(truth));
                // Not `error > worst.error`: NaN must win.
                if worst.output.is_empty() || !worst.error.is_nan() && (error.is_nan() || error > worst.error) {
                    worst = Outcome { output: format!("{name} {tensor}").trim_end().to_owned(), error, ..worst };
                }
            }
        }
        Ok(worst)
    }

    /// The recorded graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}

/// Seed of the random values of an input: another one for every input of every case.
fn seed(name: &str, number: usize) -> u32 {
    name.bytes().fold(number as u32 + 1, |h, b| h.wrapping_mul(31).wrapping_add(b.into()))
}

impl Device {
    /// The device as it is to be used for training in that precision, the precision to use, and a remark for the user where
    /// something is missing. Without 16-bit floats the precision is f32. Cooperative matrices are used if the device has them and
    /// every convolution passes its test with them.
    ///
    /// # Errors
    /// If the device is lost in the self-test; one that refuses the kernels has no cooperative matrices for us.
    pub fn with_precision(self, wanted: Precision) -> Result<(Self, Precision, Option<String>)> {
        let name = self.name().to_owned();
        let Self::Gpu(gpu) = self else { return Ok((self, wanted, None)) };
        if wanted == Precision::F16 && !gpu.has_f16() {
            let remark = format!("{name} has no 16-bit floats: f32 is used");
            return Ok((Self::Gpu(gpu), Precision::F32, Some(remark)));
        }
        // A software adapter has no matrix cores: there is nothing to gain in f32.
        let pointless = wanted == Precision::F32 && gpu.adapter.kind == DeviceKind::Software;
        let found = if pointless { None } else { with_cooperative_matrices(&gpu, wanted)? };
        let (device, remark) = match found {
            Some((with, None)) => (with, None),
            Some((_, Some(why))) => (gpu, Some(format!("failed their self-test ({why})"))),
            None if wanted == Precision::F16 && gpu.adapter.features.contains(&Feature::CooperativeMatrix) => {
                (gpu, Some("are of no kind that the kernels know".to_owned()))
            }
            None => (gpu, None),
        };
        let remark = remark.map(|why| format!("{name}: its cooperative matrices {why}, and are not used"));
        Ok((Self::Gpu(device), wanted, remark))
    }
}

/// The device with its cooperative matrices for that precision in use, if it has any, and what is wrong with convolutions on
/// them, if anything is: with the first kind of them for which nothing is.
///
/// `N2N_SUBGROUP` says which size of a subgroup to take untested, where nothing runs: for `benches/offline`.
///
/// # Errors
/// If the device is lost.
pub fn with_cooperative_matrices(gpu: &Gpu, precision: Precision) -> Result<Option<(Gpu, Option<String>)>> {
    let given = std::env::var("N2N_SUBGROUP").ok().and_then(|size| size.parse().ok());
    let mut last = None;
    for with in gpu.with_cooperative_matrices(precision == Precision::F32) {
        let kind = with.adapter.limits.cooperative.map(|kind| kind.subgroup);
        if given.is_some() && kind != given {
            continue;
        }
        let wrong = if given.is_some() { None } else { self_test(&with, precision)? };
        if wrong.is_none() {
            return Ok(Some((with, None)));
        }
        last = Some((with, wrong));
    }
    Ok(last)
}

/// What is wrong with convolutions on a device with cooperative matrices in use, if anything is.
fn self_test(gpu: &Gpu, precision: Precision) -> Result<Option<String>> {
    // The cases are small. Only a device that one workgroup keeps busy takes tiles as large for them as training does.
    let mut small = gpu.clone();
    small.adapter.limits.busy = 1;
    let devices = [gpu.clone(), small].map(Device::Gpu);
    let cases = cooperative_cases(precision);
    for (device, case) in devices.iter().flat_map(|device| cases.iter().map(move |case| (device, case))) {
        match case.run(device) {
            Ok(outcome) if outcome.passed() => {}
            Ok(Outcome { case, output, error, .. }) => return Ok(Some(format!("{case}: {output} is off by {error:.1e}"))),
            Err(lost @ Error::Lost(_)) => return Err(lost),
            Err(refused) => return Ok(Some(refused.to_string())),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Norm;
    use crate::ops::Update;

    /// Four biases among a thousand weights: wrong altogether, but 4e-3 of the buffer.
    #[test]
    fn a_wrong_tensor_shows_however_large_the_others_are() {
        let (truth, mut result) = (vec![1.0; 1004], vec![1.0; 1004]);
        result[1000..].fill(0.0);
        let flat = normalised_error(&truth, &result, 0.0);
        assert!(flat < 4e-3);
        assert_eq!(normalised_error(&truth[1000..], &result[1000..], mean_square(&truth)), 1.0);

        let case = training_step(Norm::None, 8, 1, [2, 8, 10], Update::ADAM).in_half();
        let (grads, params) = (case.graph.gradients().unwrap(), case.graph.params().len());
        let tensors = case.tensors(grads);
        assert_eq!(tensors.len(), params);
        assert!(tensors.iter().any(|(name, range)| name == "output.conv3.bias" && range.len() == 4), "{tensors:?}");
    }
}
