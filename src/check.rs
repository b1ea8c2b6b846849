//! Every kernel against its meaning on the CPU in double precision: `n2n-gpu check`, and the tests.

use crate::cpu;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::{Element, Graph, ParamLayout, Precision, Role, StorageId, Tensor};
use crate::kernel::Feature;
use crate::nets::{Init, Norm, Unet, initial};
use crate::noise::{LAWS, Noise};
use crate::ops::{
    Activation, Batch, BatchNorm, Conv, Drawn, GroupNorm, LineBuffer, Loss, Pixels, Shards, Update, random_normals,
};
use crate::plan::{Executor, Plan};
use crate::train::{Example, Rule, record_step};

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

/// Mean square of the difference over the mean square of the truth, or `least` if that is more: of one of several tensors in a buffer, the
/// whole buffer's, of whose size rounding is in all of them. (The gradient of a bias before a normalisation is zero but for that.)
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

    /// Largest error that passes: [`TOLERANCE`]. Where pictures have 16 bits, device and truth round to them alike, but for values
    /// about midway between two of them, which may go either way: 2^-11 of a value for every op that it goes through, squared.
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
        let mut numbers = random_normals(1, t_seed(&self.name, self.floats.len()));
        for pixel in data.chunks_mut(view.stride) {
            for c in view.physical() {
                pixel[c] = numbers.next().unwrap_or(0.0) as f32;
            }
        }
        self.floats.push((view.storage, data));
    }

    fn random_params(&mut self) {
        let data = initial(&self.graph, Init::He, 7);
        let mut numbers = random_normals(2, 0);
        let Some(storage) = self.graph.params_storage() else { return };
        let mut data: Vec<f32> = data;
        // Biases and shifts start at zero; here they shall matter.
        for param in self.graph.params() {
            if matches!(param.layout, ParamLayout::Vector(_)) {
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

/// A number that differs between inputs and cases.
fn t_seed(name: &str, number: usize) -> u32 {
    name.bytes().fold(number as u32 + 1, |h, b| h.wrapping_mul(31).wrapping_add(b.into()))
}

/// Rows of a strip and of those before it, at the strip of a picture of 40 rows that begins at row `start`.
pub fn line_buffer(start: u32, buffer: LineBuffer) -> Case {
    let mut g = Graph::new();
    let x = g.add_tensor("x", [1, buffer.first + buffer.rows + 1, 13], &[5, 3], Role::Host);
    let control = g.host_vector("control", 2, Element::U32);
    let (y, kept) = g.line_buffer(x, control, buffer);
    let LineBuffer { rows, lead, delay, .. } = buffer;
    let control = g.view(control).storage;
    let mut case = Case::new(format!("line_buffer {rows} rows, {lead} before, {delay} behind, at row {start}"), g);
    case.ints.push((control, vec![start, 40]));
    case.random(x);
    case.random(kept);
    case.output("y", y);
    case.output("kept", kept);
    case
}

/// A convolution from `input` channels, in parts, to `output`; `size` is (N, H, W).
pub fn conv(conv: Conv, transposed: bool, size: [usize; 3], input: &[usize], output: usize, slope: f32) -> Case {
    let Conv { kernel: k, stride, padding } = conv;
    let kind = if transposed { "conv_transpose2d" } else { "conv2d" };
    let name = format!("{kind} k{k} s{stride} p{padding} {input:?}->{output} {size:?} slope {slope}");
    let mut g = Graph::new();
    let x = g.add_tensor("x", size, input, Role::Host);
    g.require_grad(x);
    let input = input.to_vec();
    let layout =
        if transposed { ParamLayout::ConvTranspose { k, input, output } } else { ParamLayout::Conv { k, input, output } };
    let w = g.param("weight", layout);
    let b = g.param("bias", ParamLayout::Vector(output));
    let activation = Activation::leaky_relu(slope);
    let y = if transposed {
        g.conv_transpose2d(x, w, b, conv, stride - 1, activation)
    } else {
        g.conv2d(x, w, Some(b), conv, activation)
    };
    let mut case = Case::new(name, g);
    case.random(x);
    case.differentiate(&[("dx", x)], y);
    case
}

/// A group normalisation.
pub fn group_norm(size: [usize; 3], channels: usize, groups: usize, slope: f32) -> Case {
    let mut g = Graph::new();
    let x = g.host_picture("x", size, channels);
    g.require_grad(x);
    let gamma = g.param("weight", ParamLayout::Vector(channels));
    let beta = g.param("bias", ParamLayout::Vector(channels));
    let y = g.group_norm(x, gamma, beta, GroupNorm { groups, eps: 1e-5, activation: Activation::leaky_relu(slope) });
    let mut case = Case::new(format!("group_norm {channels} in {groups} {size:?} slope {slope}"), g);
    case.random(x);
    case.differentiate(&[("dx", x)], y);
    case
}

/// Addition, activation and both kinds of concatenation (laid in place and copied), in the middle of a graph.
pub fn elementwise(size: [usize; 3], channels: [usize; 2]) -> Case {
    let mut g = Graph::new();
    let [a, b] = [("a", channels[0]), ("b", channels[1])].map(|(n, c)| g.host_picture(n, size, c));
    g.require_grad(a);
    g.require_grad(b);
    let p = g.leaky_relu(a, 0.1);
    let both = g.concat(&[p, b]);
    let again = g.concat(&[p, b]);
    let sum = g.add(both, again);
    let y = g.leaky_relu(sum, 0.3);
    let mut case = Case::new(format!("concat, add, leaky_relu {channels:?} {size:?}"), g);
    case.random(a);
    case.random(b);
    case.differentiate(&[("da", a), ("db", b)], y);
    case
}

/// Filters and normalisations used twice, around which residuals run: gradients that meet, through activations, in convolutions
/// and elsewhere.
pub fn residuals(size: [usize; 3], channels: usize) -> Case {
    let mut g = Graph::new();
    let x = g.host_picture("x", size, channels);
    g.require_grad(x);
    let filter = |g: &mut Graph, name: &str, layout: ParamLayout| {
        (g.param(&format!("{name}.weight"), layout), g.param(&format!("{name}.bias"), ParamLayout::Vector(channels)))
    };
    let (k, input, output) = (3, vec![channels], channels);
    let (w, b) = filter(&mut g, "conv", ParamLayout::Conv { k, input: input.clone(), output });
    let (wt, bt) = filter(&mut g, "up", ParamLayout::ConvTranspose { k, input, output });
    let [gamma, beta] = ["norm.weight", "norm.bias"].map(|name| g.param(name, ParamLayout::Vector(channels)));
    let (same, lrelu) = (Conv::same3(1), Activation::leaky_relu(0.2));
    let norm = GroupNorm { groups: 1, eps: 1e-5, activation: lrelu };
    let mut y = g.leaky_relu(x, 0.5);
    for _ in 0..2 {
        let z = g.conv2d(y, w, Some(b), same, lrelu);
        let z = g.group_norm(z, gamma, beta, norm);
        let z = g.conv_transpose2d(z, wt, bt, same, 0, lrelu);
        let z = g.add_with(z, y, lrelu);
        let plain = g.conv2d(z, w, Some(b), same, lrelu);
        y = g.add(plain, z);
    }
    let mut case = Case::new(format!("residuals and shared parameters {channels} {size:?}"), g);
    case.random(x);
    case.differentiate(&[("dx", x)], y);
    case
}

/// The yardstick of `n2n-gpu bench`.
pub fn fma() -> Case {
    let mut g = Graph::new();
    let x = g.add_tensor("x", [1, 1, 2], &[4], Role::Host);
    let y = g.fma_chains(x, 100, 8);
    let mut case = Case::new("fma".into(), g);
    case.random(x);
    case.output("y", y);
    case
}

/// A loss; for the annealed one at that exponent.
pub fn loss(loss: Loss, masked: bool, exponent: f32, size: [usize; 3], [channels, targets]: [usize; 2]) -> Case {
    let mut g = Graph::new();
    let x = g.host_picture("x", size, channels);
    let t = g.add_tensor("t", size, &vec![channels; targets], Role::Host);
    let mask = masked.then(|| g.add_tensor("mask", size, &vec![1; targets], Role::Host));
    g.require_grad(x);
    let power = g.host_scalar("exponent", 2.0);
    let y = g.loss(loss, x, t, mask, Some(power));
    let mut case =
        Case::new(format!("loss {loss:?} masked {masked} exponent {exponent} {channels} {size:?} targets {targets}"), g);
    case.random(x);
    case.random(t);
    if let Some(mask) = mask {
        let view = case.graph.view(mask).clone();
        let data = (0..view.span()).map(|i| f32::from(u8::from(i % 4 == 0 && i % 3 > 0))).collect();
        case.floats.push((view.storage, data));
    }
    case.floats.push((case.graph.view(power).storage, vec![exponent]));
    case.differentiate(&[("dx", x)], y);
    case
}

/// A batch normalisation in training, and by its running statistics.
pub fn batch_norm(size: [usize; 3], channels: usize, slope: f32) -> Case {
    let mut g = Graph::new();
    let x = g.host_picture("x", size, channels);
    g.require_grad(x);
    let [gamma, beta] = ["weight", "bias"].map(|name| g.param(name, ParamLayout::Vector(channels)));
    let running = ["running_mean", "running_var"].map(|name| g.running_statistic(name, channels));
    let norm = BatchNorm { eps: 1e-5, momentum: 0.1, activation: Activation::leaky_relu(slope) };
    let y = g.batch_norm(x, gamma, beta, running, norm);
    let after = g.batch_norm_eval(x, gamma, beta, running, norm);
    let mut case = Case::new(format!("batch_norm {channels} {size:?} slope {slope}"), g);
    case.random(x);
    case.output("evaluated", after);
    case.differentiate(&[("dx", x)], y);
    case.flat.extend(case.graph.params_storage());
    case.outputs.extend(case.graph.params_storage().map(|id| ("params", id)));
    case
}

/// Pooling, upsampling, sigmoid, unfold and fold, and differences, in the middle of a graph.
pub fn resizing(kernel: usize, size: [usize; 3], channels: usize, window: Conv) -> Case {
    let mut g = Graph::new();
    let x = g.host_picture("x", size, channels);
    g.require_grad(x);
    let small = g.max_pool2d(x, kernel);
    let small = g.sigmoid(small);
    let again = g.relu(small);
    let small = g.add_with(small, again, Activation::leaky_relu(0.3));
    let [_, h, w] = g.view(small).shape;
    let windows = g.unfold(small, window);
    let folded = g.fold(windows, [h, w], window);
    // Windows side by side fold back into what they were cut from: not to be left with zeros.
    let folded = g.scale(folded, 0.7);
    let difference = g.subtract(small, folded);
    let y = g.upsample_nearest(difference, kernel);
    let mut case = Case::new(format!("pool, sigmoid, unfold, fold, upsample {kernel} {window:?} {channels} {size:?}"), g);
    case.random(x);
    case.differentiate(&[("dx", x)], y);
    case
}

/// Drawing of a batch of noise, or of pairs, from pictures of bytes.
pub fn batch(size: usize, noise: Option<Noise>, clean_targets: bool, given: bool) -> Case {
    batch_from(size, noise, clean_targets, given, Pixels::Bytes)
}

/// The same from pictures of floats.
pub fn batch_of_floats(size: usize, noise: Option<Noise>) -> Case {
    let floats = |bytes: Vec<u8>| Pixels::Floats(bytes.into_iter().map(|b| f32::from(b) / 200.0 - 0.1).collect());
    let case = batch_from(size, noise, false, false, floats);
    Case { name: format!("{} of floats", case.name), ..case }
}

fn batch_from(size: usize, noise: Option<Noise>, clean_targets: bool, given: bool, pixels: fn(Vec<u8>) -> Pixels) -> Case {
    let side = size * noise.map_or(1, |n| n.cell());
    let pictures = [0, 1, 2, 3].map(|i| {
        let (w, h) = (side + 3 + i / 2, side + 5);
        ((w, h), pixels((0..w * h * 3).map(|b| (b * (7 + i) % 251) as u8).collect()))
    });
    let shards = Shards::new(pictures.iter().map(|(size, pixels)| vec![(*size, pixels)]), 1 << 22);
    let mut g = Graph::new();
    let count = if noise.is_none() { 2 } else { 4 };
    let (input, target, flips) = ([-0.5, 0.5], [0.0, 255.0], 15);
    let targets = noise.map_or(1, |n| n.most_targets().min(3));
    let batch = Batch { count, crop: size, batch: 3, noise, clean_targets, input, target, flips, given, targets };
    let Drawn { x, t, mask, pictures } = g.batch(batch, &shards);
    let law = noise.map_or("pairs".to_owned(), |n| n.to_string());
    let mut case = Case::new(format!("batch crop {size} {law} clean {clean_targets} given {given}"), g);
    case.output("x", x);
    case.output("t", t);
    if let Some(mask) = mask {
        case.output("mask", mask);
    }
    case.ints = vec![(pictures.draw, vec![5, 9, 0, 0, 1, 2, 0, 5, 1, 8]), (pictures.table, shards.rows())];
    case.ints.extend((0..3).map(|i| (pictures.shards[i], shards.words(i))));
    case
}

/// A whole training step of `unet`.
pub fn training_step(norm: Norm, width: usize, levels: usize, size: [usize; 3], update: Update) -> Case {
    let mut g = Graph::new();
    let [x, t] = ["x", "t"].map(|n| g.host_picture(n, size, 3));
    let rule = Rule { loss: Loss::L2, update, clip: 1.0 };
    let step = record_step(&mut g, &Unet::new(width, levels, norm), Example { x, t, mask: None }, rule);
    let optimizer = step.optimizer;
    let mut case = Case::new(format!("training step of unet, width {width}, {levels} levels, norm {norm:?} {size:?}"), g);
    case.random(x);
    case.random(t);
    case.random_params();
    case.floats.push((optimizer.control, optimizer.control(1, 1e-3, 0.9).to_vec()));
    case.outputs.extend([
        ("params", step.params),
        ("moments", optimizer.moments),
        ("log", optimizer.log),
        ("average", optimizer.ema),
    ]);
    case.outputs.push(("grads", step.grads));
    case.flat = vec![step.params, step.grads, optimizer.moments, optimizer.ema];
    case
}

/// Cases that convolve in 16 bits: what a device with cooperative matrices has to pass with them, to use them.
pub fn cooperative_cases() -> Vec<Case> {
    let convolves = |case: &Case| ["conv", "residuals", "training"].iter().any(|start| case.name.starts_with(start));
    let name = |case: Case| Case { name: format!("{} cooperative", case.name), cooperative: true, ..case };
    half_cases().into_iter().filter(convolves).map(name).collect()
}

impl Device {
    /// The device as it is to be used for pictures in that precision, the precision that it then has, and what there is to say about it.
    /// Where it has no 16-bit floats, the precision is f32; where it has cooperative matrices and every convolution is right with them,
    /// they are in use.
    ///
    /// # Errors
    /// If the device is lost in the self-test; one that refuses the kernels has no cooperative matrices for us.
    pub fn with_precision(self, wanted: Precision) -> Result<(Self, Precision, Option<String>)> {
        let name = self.name().to_owned();
        let gpu = match self {
            Self::Gpu(gpu) if wanted == Precision::F16 => gpu,
            other => return Ok((other, wanted, None)),
        };
        if !gpu.has_f16() {
            let remark = format!("{name} has no 16-bit floats: f32 is used");
            return Ok((Self::Gpu(gpu), Precision::F32, Some(remark)));
        }
        let (device, remark) = match gpu.with_cooperative_matrices() {
            Some(with) if self_test(&with)? => (with, None),
            Some(_) => (gpu, Some("failed their self-test")),
            None if gpu.adapter.features.contains(&Feature::CooperativeMatrix) => {
                (gpu, Some("are of no kind that the kernels know"))
            }
            None => (gpu, None),
        };
        let remark = remark.map(|why| format!("{name}: its cooperative matrices {why}, and are not used"));
        Ok((Self::Gpu(device), wanted, remark))
    }
}

/// Whether every convolution is right on a device with cooperative matrices in use.
fn self_test(gpu: &Gpu) -> Result<bool> {
    let device = Device::Gpu(gpu.clone());
    for case in cooperative_cases() {
        match case.run(&device) {
            Ok(outcome) if outcome.passed() => {}
            Err(lost @ Error::Lost(_)) => return Err(lost),
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// All cases: every kernel, in every variant the planner chooses.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let window = |kernel, stride, padding| Conv { kernel, stride, padding };
    for (c, size, input, output, slope) in [
        (window(1, 1, 0), [2, 5, 7], &[6][..], 4, 1.0),
        (window(1, 1, 0), [1, 16, 17], &[48], 96, 0.1),
        (window(1, 2, 0), [1, 6, 9], &[7], 3, 0.1),
        (window(2, 1, 0), [1, 5, 7], &[3], 5, 1.0),
        (window(2, 1, 1), [2, 4, 5], &[5], 6, 0.1),
        (window(2, 2, 0), [2, 5, 7], &[4], 8, 1.0),
        (window(2, 2, 1), [1, 8, 8], &[6], 4, 0.1),
        (window(3, 1, 0), [1, 13, 4], &[7], 3, 1.0),
        (window(3, 1, 1), [1, 1, 1], &[1], 1, 0.1),
        (window(3, 1, 1), [2, 9, 7], &[3], 48, 0.1),
        (window(3, 1, 1), [1, 33, 31], &[9], 10, 0.1),
        (window(3, 1, 1), [2, 16, 16], &[48], 48, 0.1),
        (window(3, 1, 1), [1, 8, 9], &[96, 48], 96, 0.1),
        (window(3, 1, 1), [1, 12, 12], &[96, 3], 64, 0.1),
        (window(3, 1, 1), [1, 20, 20], &[32], 3, 1.0),
        (window(3, 1, 1), [1, 6, 6], &[5, 6, 3], 110, 0.1),
        (window(3, 2, 0), [1, 6, 9], &[6], 4, 0.1),
        (window(3, 2, 1), [2, 16, 16], &[48], 48, 1.0),
        (window(3, 2, 1), [2, 7, 5], &[13], 6, 0.1),
        (window(3, 2, 1), [3, 1, 1], &[7], 3, 1.0),
    ] {
        cases.push(conv(c, false, size, input, output, slope));
    }
    for (c, size, input, output, slope) in [
        (window(3, 2, 1), [2, 8, 8], &[48][..], 48, 1.0),
        (window(3, 2, 1), [2, 3, 5], &[6], 7, 0.1),
        (window(3, 2, 1), [3, 1, 1], &[13], 5, 1.0),
        (window(3, 2, 1), [1, 4, 4], &[5, 6], 96, 0.1),
        (window(2, 2, 0), [2, 3, 5], &[4], 6, 1.0),
        (window(3, 1, 1), [1, 5, 7], &[3], 5, 0.1),
        (window(1, 1, 0), [1, 1, 5], &[9], 2, 1.0),
    ] {
        cases.push(conv(c, true, size, input, output, slope));
    }
    for (size, channels, groups, slope) in [
        ([2, 5, 7], 6, 3, 1.0),
        ([2, 4, 5], 6, 6, 0.1),
        ([1, 6, 9], 5, 1, 1.0),
        ([2, 16, 16], 48, 6, 0.1),
        ([2, 1, 1], 8, 2, 0.1),
        ([1, 40, 41], 16, 2, 0.1),
    ] {
        cases.push(group_norm(size, channels, groups, slope));
    }
    // Groups of which a workgroup's channels touch several, and of more channels than are merged at once.
    cases.push(group_norm([1, 5, 6], 150, 3, 0.1));
    cases.push(group_norm([1, 2, 3], 1040, 1, 0.1));
    cases.push(residuals([2, 9, 7], 6));
    cases.push(residuals([1, 17, 16], 16));
    cases.push(line_buffer(40, LineBuffer { first: 1, rows: 8, lead: 2, delay: 3, scale: 2, lag: 4 }));
    cases.push(line_buffer(3, LineBuffer { first: 0, rows: 4, lead: 0, delay: 9, scale: 1, lag: 0 }));
    cases.push(line_buffer(97, LineBuffer { first: 2, rows: 2, lead: 1, delay: 0, scale: 4, lag: 1 }));
    cases.push(fma());
    cases.push(elementwise([2, 5, 7], [5, 3]));
    cases.push(elementwise([1, 33, 32], [16, 8]));
    let l0 = Loss::ANNEALED;
    let outliers = Loss::Outliers { share: 0.3, range: [-0.5, 0.5] };
    for (kind, masked, power) in [
        (Loss::L2, false, 0.0),
        (Loss::L1, false, 0.0),
        (outliers, false, 0.0),
        (l0, false, 2.0),
        (l0, false, 1.3),
        (l0, false, 0.2),
        (Loss::L2, true, 0.0),
    ] {
        cases.push(loss(kind, masked, power, [2, 3, 7], [3, 1]));
        cases.push(loss(kind, masked, power, [1, 5, 6], [3, 4]));
    }
    cases.push(loss(Loss::L2, false, 0.0, [2, 64, 64], [3, 1]));
    cases.push(batch_norm([3, 5, 7], 6, 0.1));
    cases.push(batch_norm([2, 40, 41], 13, 1.0));
    cases.push(batch_norm([1, 3, 4], 1030, 0.1));
    cases.push(resizing(2, [2, 9, 7], 5, window(3, 1, 1)));
    cases.push(resizing(3, [1, 20, 19], 13, window(2, 2, 0)));
    cases.push(resizing(2, [2, 12, 13], 4, window(3, 2, 1)));
    for noise in LAWS.iter().flat_map(|law| law.examples) {
        cases.push(batch(24, Some(noise.parse().expect("an example of a law")), false, false));
    }
    cases.push(batch(24, Some(Noise::gaussian_between(0.0, 50.0)), true, true));
    cases.push(batch(24, Some(Noise::pixelate(2)), true, false));
    cases.push(batch(24, None, false, false));
    cases.push(batch_of_floats(24, Some(Noise::poisson_gaussian(30.0, 5.0))));
    cases.push(batch_of_floats(24, Some(Noise::pixelate(2))));
    cases.push(batch_of_floats(24, None));
    let adam = |decay| Update::Adam { beta1: 0.9, beta2: 0.99, eps: 1e-3, decay };
    cases.push(training_step(Norm::None, 12, 2, [2, 16, 24], adam(0.0)));
    cases.push(training_step(Norm::Group, 16, 2, [2, 16, 16], adam(0.1)));
    cases.push(training_step(Norm::Batch, 8, 1, [2, 8, 10], adam(0.1)));
    cases.push(training_step(Norm::None, 8, 1, [2, 8, 10], Update::Sgd { momentum: 0.9 }));
    cases.extend(half_cases());
    cases
}

/// Every kernel that pictures go through, with those in 16 bits.
fn half_cases() -> Vec<Case> {
    let window = |kernel, stride, padding| Conv { kernel, stride, padding };
    let noise = |noise| batch(24, Some(noise), false, false);
    let cases = [
        conv(window(1, 1, 0), false, [1, 16, 17], &[48], 96, 0.1),
        conv(window(2, 2, 0), false, [2, 5, 7], &[4], 8, 1.0),
        conv(window(3, 1, 1), false, [1, 8, 9], &[96, 48], 96, 0.1),
        conv(window(3, 1, 1), false, [1, 33, 31], &[9], 10, 0.1),
        conv(window(3, 2, 1), false, [2, 7, 5], &[13], 6, 0.1),
        conv(window(3, 2, 1), true, [2, 3, 5], &[6], 7, 0.1),
        conv(window(3, 2, 1), true, [1, 4, 4], &[5, 6], 96, 0.1),
        group_norm([2, 5, 7], 6, 3, 0.1),
        group_norm([1, 40, 41], 16, 2, 0.1),
        residuals([2, 9, 7], 6),
        elementwise([2, 5, 7], [5, 3]),
        loss(Loss::L2, true, 0.0, [2, 3, 7], [3, 1]),
        batch_norm([3, 5, 7], 6, 0.1),
        resizing(2, [2, 9, 7], 5, window(3, 1, 1)),
        noise(Noise::gaussian_between(0.0, 50.0)),
        noise(Noise::brown(25.0, 2.0)),
        training_step(Norm::None, 12, 2, [2, 16, 24], Update::Sgd { momentum: 0.9 }),
        training_step(Norm::Group, 16, 2, [2, 16, 16], Update::Sgd { momentum: 0.0 }),
    ];
    cases.map(Case::in_half).into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
