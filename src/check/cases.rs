//! Graphs that cover an op or several, with their inputs; every function makes one of the sizes that it is given.

use super::Case;
use crate::graph::{Element, Graph, ParamLayout, Role, Tensor};
use crate::nets::{Norm, Unet};
use crate::noise::Noise;
use crate::ops::{
    self, Activation, Batch, BatchNorm, Conv, Function, GroupNorm, LineBuffer, Loss, Pixels, Shards, Transfer, Update,
};
use crate::train::{Example, Rule, record_step};

/// A graph with a picture that gradients flow to.
fn picture(size: [usize; 3], channels: usize) -> (Graph, Tensor) {
    let mut g = Graph::new();
    let x = g.host_picture("x", size, channels);
    g.require_grad(x);
    (g, x)
}

impl Case {
    /// The value of `y` and the gradient of `x`, of random values.
    fn of_gradient(name: String, g: Graph, x: Tensor, y: Tensor) -> Self {
        let mut case = Self::new(name, g);
        case.random(x);
        case.differentiate(&[("dx", x)], y);
        case
    }
}

/// Rows of a strip and of those before it, at the strip of a picture of 40 rows that begins at row `start`.
pub(super) fn line_buffer(start: u32, buffer: LineBuffer) -> Case {
    let mut g = Graph::new();
    let x = g.add_tensor("x", [1, buffer.first + buffer.rows + 1, 13], &[5, 3], Role::Host);
    let control = g.host_vector("control", 2, Element::U32);
    let (y, retained) = g.line_buffer(x, control, buffer);
    let LineBuffer { rows, lead, delay, .. } = buffer;
    let control = g.view(control).storage;
    let mut case = Case::new(format!("line_buffer {rows} rows, {lead} before, {delay} behind, at row {start}"), g);
    case.ints.push((control, vec![start, 40]));
    case.random(x);
    case.random(retained);
    case.output("y", y);
    case.output("retained", retained);
    case
}

/// Two halves of pictures of which `size` (N, H, W) is the half.
pub(super) fn neighbours([n, h, w]: [usize; 3], channels: usize) -> Case {
    let mut g = Graph::new();
    let x = g.host_picture("x", [n, 2 * h, 2 * w], channels);
    let draw = g.host_vector("draw", 4, Element::U32);
    let halves = g.neighbours(x, draw);
    let draw = g.view(draw).storage;
    let mut case = Case::new(format!("neighbours {n}x{h}x{w}x{channels}"), g);
    case.ints.push((draw, vec![3, 1, 2, 0]));
    case.random(x);
    ["first", "second"].into_iter().zip(halves).for_each(|(name, half)| case.output(name, half));
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
        g.conv_transpose2d(x, [w, b], conv, stride - 1, activation)
    } else {
        g.conv2d(x, w, Some(b), conv, activation)
    };
    Case::of_gradient(name, g, x, y)
}

/// A group normalisation.
pub fn group_norm(size: [usize; 3], channels: usize, groups: usize, slope: f32) -> Case {
    let (mut g, x) = picture(size, channels);
    let [gamma, beta] = [("weight", 1.0), ("bias", 0.0)].map(|(name, fill)| g.vector(name, channels, fill));
    let y = g.group_norm(x, gamma, beta, GroupNorm { groups, eps: 1e-5, activation: Activation::leaky_relu(slope) });
    Case::of_gradient(format!("group_norm {channels} in {groups} {size:?} slope {slope}"), g, x, y)
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

/// A function of one picture, element by element, in the middle of a graph.
pub(super) fn pointwise(name: &str, function: Function, size: [usize; 3], channels: usize) -> Case {
    let (mut g, x) = picture(size, channels);
    let scaled = g.scale(x, 0.7);
    let y = function(&mut g, scaled);
    Case::of_gradient(format!("{name} {channels} {size:?}"), g, x, y)
}

/// Filters and normalisations used twice, around which residuals run: gradients that meet, through activations, in convolutions
/// and elsewhere.
pub(super) fn residuals(size: [usize; 3], channels: usize) -> Case {
    let (mut g, x) = picture(size, channels);
    let filter = |g: &mut Graph, name: &str, layout: ParamLayout| {
        (g.param(&format!("{name}.weight"), layout), g.param(&format!("{name}.bias"), ParamLayout::Vector(channels)))
    };
    let (k, input, output) = (3, vec![channels], channels);
    let (w, b) = filter(&mut g, "conv", ParamLayout::Conv { k, input: input.clone(), output });
    let (wt, bt) = filter(&mut g, "up", ParamLayout::ConvTranspose { k, input, output });
    let [gamma, beta] = [("norm.weight", 1.0), ("norm.bias", 0.0)].map(|(name, fill)| g.vector(name, channels, fill));
    let (same, lrelu) = (Conv::same3(1), Activation::leaky_relu(0.2));
    let norm = GroupNorm { groups: 1, eps: 1e-5, activation: lrelu };
    let mut y = g.leaky_relu(x, 0.5);
    for _ in 0..2 {
        let z = g.conv2d(y, w, Some(b), same, lrelu);
        let z = g.group_norm(z, gamma, beta, norm);
        let z = g.conv_transpose2d(z, [wt, bt], same, 0, lrelu);
        let z = g.add_with(z, y, lrelu);
        let plain = g.conv2d(z, w, Some(b), same, lrelu);
        y = g.add(plain, z);
    }
    Case::of_gradient(format!("residuals and shared parameters {channels} {size:?}"), g, x, y)
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

/// A loss without an exponent against targets that are made on the device, as those of cameras' noise are: pictures, and so of 16
/// bits where pictures have these.
pub(super) fn loss_of_pictures(size: [usize; 3], channels: usize) -> Case {
    let mut g = Graph::new();
    let [x, host] = ["x", "t"].map(|name| g.host_picture(name, size, channels));
    g.require_grad(x);
    let t = g.leaky_relu(host, 0.5);
    let y = g.loss(Loss::L2, x, t, None, None);
    let mut case = Case::new(format!("loss of pictures {channels} {size:?}"), g);
    case.random(x);
    case.random(host);
    case.differentiate(&[("dx", x)], y);
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
    let (mut g, x) = picture(size, channels);
    let [gamma, beta] = [("weight", 1.0), ("bias", 0.0)].map(|(name, fill)| g.vector(name, channels, fill));
    let running = [("running_mean", 0.0), ("running_var", 1.0)].map(|(name, fill)| g.running_statistic(name, channels, fill));
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
    let (mut g, x) = picture(size, channels);
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
    Case::of_gradient(format!("pool, sigmoid, unfold, fold, upsample {kernel} {window:?} {channels} {size:?}"), g, x, y)
}

/// Drawing of a batch of noise, or of pairs, from pictures of bytes.
pub fn batch(size: usize, noise: Option<Noise>, clean_targets: bool, given: bool) -> Case {
    batch_from(size, noise, clean_targets, given, &Drawn::COLOURS)
}

/// The same from pictures of floats.
pub(super) fn batch_of_floats(size: usize, noise: Option<Noise>) -> Case {
    let pixels = |bytes: Vec<u8>| Pixels::Floats(bytes.into_iter().map(|b| f32::from(b) / 200.0 - 0.1).collect());
    let case = batch_from(size, noise, false, false, &Drawn { pixels, ..Drawn::COLOURS });
    Case { name: format!("{} of floats", case.name), ..case }
}

/// The same from pictures of 16 bit, of which there are so many in a scene without noise.
pub(super) fn batch_of_words(size: usize, noise: Option<Noise>, shots: usize) -> Case {
    let pixels = |bytes: Vec<u8>| Pixels::Words(bytes.into_iter().map(|b| 251 * u16::from(b) + 7).collect());
    let case = batch_from(size, noise, false, false, &Drawn { pixels, shots, ..Drawn::COLOURS });
    Case { name: format!("{} of 16 bit, {shots} shots", case.name), ..case }
}

/// Pairs of grey pictures of 16 bit.
pub(super) fn batch_of_grey(size: usize) -> Case {
    let pixels = |bytes: Vec<u8>| Pixels::Words(bytes.into_iter().map(|b| 251 * u16::from(b) + 7).collect());
    let case = batch_from(size, None, false, false, &Drawn { pixels, channels: 1, ..Drawn::COLOURS });
    Case { name: format!("{} of grey", case.name), ..case }
}

/// Pairs of linear colours with features behind them, so many channels together.
pub(super) fn batch_of_renders(size: usize, channels: usize) -> Case {
    let pixels =
        |bytes: Vec<u8>| Pixels::Floats(bytes.into_iter().map(|b| 1e-7 * 2f32.powf(f32::from(b) / 8.0) - 1e-7).collect());
    let case = batch_from(size, None, false, false, &Drawn { channels, pixels, ..Drawn::COLOURS });
    Case { name: format!("{} of renders with {channels} channels", case.name), ..case }
}

/// What a batch is drawn from.
struct Drawn {
    channels: usize,
    pixels: fn(Vec<u8>) -> Pixels,
    /// Pictures of a scene, where no noise is added.
    shots: usize,
}

impl Drawn {
    const COLOURS: Self = Self { channels: 3, pixels: Pixels::Bytes, shots: 2 };
}

fn batch_from(size: usize, noise: Option<Noise>, clean_targets: bool, given: bool, from: &Drawn) -> Case {
    let &Drawn { channels, pixels, shots } = from;
    let shots = if noise.is_none() { shots } else { 1 };
    let side = size * noise.map_or(1, |n| n.cell());
    let pictures: Vec<_> = (0..(2 * shots).max(4))
        .map(|i| {
            let (w, h) = (side + 3 + i / shots, side + 5);
            ((w, h), pixels((0..w * h * channels).map(|b| (b * (7 + i) % 251) as u8).collect()))
        })
        .collect();
    let scenes = pictures.chunks(shots).map(|scene| scene.iter().map(|(size, pixels)| (*size, pixels)).collect());
    let shards = Shards::new(scenes, 1 << 22);
    let shards = if noise.is_none() && shots == 1 { shards.of_singles() } else { shards };
    let mut g = Graph::new();
    let count = pictures.len() / shots;
    let (input, target, flips) = ([-0.5, 0.5], [0.0, 255.0], 15);
    let targets = noise.map_or(1, |n| n.most_targets().min(3));
    let grey = if given && channels == 3 { 0.5 } else { 0.0 };
    let transfers = if channels > 3 { [Transfer::Pu; 2] } else { [Transfer::None; 2] };
    let batch = Batch {
        count,
        crop: size,
        batch: 3,
        noise,
        clean_targets,
        input,
        target,
        flips,
        given,
        targets,
        grey,
        channels,
        transfers,
    };
    let ops::Drawn { x, t, mask, pictures } = g.batch(batch, &shards);
    let law = noise.map_or("pairs".to_owned(), |n| n.to_string());
    let mut case = Case::new(format!("batch crop {size} {law} clean {clean_targets} given {given} grey {grey}"), g);
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
    training_step_in(norm, width, levels, size, update, 0)
}

/// The same with gradients that are summed over batches in so many pieces: the first batch of two.
pub fn training_step_in(norm: Norm, width: usize, levels: usize, size: [usize; 3], update: Update, pieces: usize) -> Case {
    let mut g = Graph::new();
    let [x, t] = ["x", "t"].map(|n| g.host_picture(n, size, 3));
    let rule = Rule { loss: Loss::L2, update, clip: 1.0, pieces };
    let step = record_step(&mut g, &Unet::new(width, levels, norm), Example { x, t, mask: None }, rule);
    let optimizer = step.optimizer;
    let loss = step.sums.map(|sums| (sums.control, g.view(sums.loss).storage));
    let sums = if pieces > 0 { format!(", sums in {pieces} pieces") } else { String::new() };
    let name = format!("training step of unet, width {width}, {levels} levels, norm {norm:?} {size:?}{sums}");
    let mut case = Case::new(name, g);
    if let Some((control, loss)) = loss {
        case.floats.push((control, vec![0.5, 1.0]));
        case.outputs.push(("loss", loss));
    }
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
