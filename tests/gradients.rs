//! Every gradient rule against finite differences in double precision, each op in the middle of a graph.

mod common;

use common::{Place, Run, normals};
use n2n_gpu::graph::{Graph, ParamLayout, Role, StorageId, Tensor};
use n2n_gpu::ops::{Activation, BatchNorm, Conv, GroupNorm, Loss};

/// Change of an element: central differences are then off by about STEP^2 = 1e-12 of third derivatives, and, of sums
/// that round to 1e-15, by 1e-15 / STEP = 1e-9.
const STEP: f64 = 1e-6;

/// So a derivative of the size of the largest is right to that part of it.
const TOLERANCE: f64 = 1e-6;

/// No value before a leaky ReLU may be as close to zero as a change could push it across, and no difference that a loss takes
/// the size of.
const KINK: f64 = 100.0 * STEP;

/// The exponent of the annealed L0.
const POWER: f32 = 0.6;

/// What a test records.
struct Recorded {
    y: Tensor,
    /// Inputs; those that require a gradient are differentiated by, and the parameters.
    inputs: Vec<Tensor>,
    /// Results of leaky ReLUs, and what goes into a ReLU or into the size of a difference.
    kinks: Vec<Tensor>,
}

/// Compares the gradient of sum(dy * y), dy random, with the change of it for every element of inputs and parameters.
fn assert_gradients(record: impl Fn(&mut Graph) -> Recorded) {
    let mut g = Graph::new();
    let Recorded { y, inputs, kinks } = record(&mut g);
    let view = g.view(y).clone();
    let dy = g.add_tensor("dy", view.shape, &view.parts, Role::Host);
    let grads = g.backward(&[(y, dy)]);
    let kinks: Vec<_> = kinks.into_iter().map(|t| g.output("kink", t)).collect();
    let y = g.output("y", y);
    let wanted: Vec<_> = inputs.iter().copied().filter(|&x| g.needs_grad(x)).collect();
    let gradients: Vec<_> = wanted.iter().map(|&x| (x, g.output("dx", grads[&x]))).collect();

    let mut run = Place::Double.start(&g);
    let weights = normals(1, view.pixels() * view.channels());
    run.put(dy, &weights);
    for (i, &x) in inputs.iter().enumerate() {
        let view = g.view(x);
        run.put(x, &normals(2 + i as u32, view.pixels() * view.channels()));
    }
    let stream = |name: &str| name.bytes().map(u32::from).sum();
    run.put_params(|name| normals(stream(name), g.params().iter().find(|p| p.name == name).unwrap().layout.count()));
    run.run();
    for kink in kinks {
        // After a slope of 0.1 or more, a value is at least a tenth of what it was.
        assert!(run.get(kink).iter().all(|v| v.abs() > KINK), "a value is too close to the kink: draw other numbers");
    }

    let mut elements: Vec<(StorageId, usize, f64)> = Vec::new();
    for (x, dx) in gradients {
        let places = common::places_of(g.view(x));
        elements.extend(places.into_iter().zip(run.get(dx)).map(|(place, d)| (g.view(x).storage, place, d)));
    }
    if let Some(id) = g.params_storage() {
        let gradient = run.read(g.gradients().unwrap());
        for param in g.params() {
            elements.extend(param.layout.places().iter().map(|p| (id, param.offset + p, gradient[param.offset + p])));
        }
    }
    let largest = elements.iter().map(|e| e.2.abs()).fold(0.0, f64::max);
    assert!(!elements.is_empty() && largest > 0.01);
    for (id, place, derivative) in elements {
        let difference =
            (changed(&mut run, id, place, STEP, y, &weights) - changed(&mut run, id, place, -STEP, y, &weights)) / (2.0 * STEP);
        let error = (difference - derivative).abs() / largest;
        let name = &g.storage(id).name;
        assert!(error <= TOLERANCE, "{name}[{place}]: {derivative} but differences give {difference}");
    }
}

/// sum(dy * y) after a change of one element, which is then undone.
fn changed(run: &mut Run, id: StorageId, place: usize, step: f64, y: Tensor, dy: &[f64]) -> f64 {
    let Run::Double(executor) = run else { panic!("differences are taken in double precision") };
    let before = executor.reals(id)[place];
    executor.reals_mut(id)[place] = before + step;
    run.run();
    let sum = run.get(y).iter().zip(dy).map(|(y, dy)| y * dy).sum();
    let Run::Double(executor) = run else { unreachable!() };
    executor.reals_mut(id)[place] = before;
    sum
}

/// An input that wants a gradient, and a leaky ReLU after it.
fn input(g: &mut Graph, name: &str, shape: [usize; 3], c: usize) -> (Tensor, Tensor) {
    let x = g.host_picture(name, shape, c);
    g.require_grad(x);
    (x, g.leaky_relu(x, 0.3))
}

fn filter(g: &mut Graph, name: &str, k: usize, input: &[usize], output: usize) -> (Tensor, Tensor) {
    let w = g.param(&format!("{name}.weight"), ParamLayout::Conv { k, input: input.to_vec(), output });
    (w, g.param(&format!("{name}.bias"), ParamLayout::Vector(output)))
}

const SLOPE: Activation = Activation { slope: 0.2 };

/// Where gradients meet, sums and derivatives of activations move into the convolutions that make the last of them.
#[test]
fn residuals_and_shared_parameters_have_the_gradient_of_their_differences() {
    assert_gradients(|g| {
        let (x, p) = input(g, "x", [2, 4, 5], 3);
        let (w, b) = filter(g, "conv", 3, &[3], 3);
        let wt = g.param("up.weight", ParamLayout::ConvTranspose { k: 3, input: vec![3], output: 3 });
        let bt = g.param("up.bias", ParamLayout::Vector(3));
        let [gamma, beta] = ["norm.weight", "norm.bias"].map(|n| g.param(n, ParamLayout::Vector(3)));
        let norm = GroupNorm { groups: 1, eps: 1e-5, activation: SLOPE };
        let (mut y, mut kinks) = (p, vec![p]);
        for _ in 0..2 {
            let first = g.conv2d(y, w, Some(b), Conv::same3(1), SLOPE);
            let normal = g.group_norm(first, gamma, beta, norm);
            let second = g.conv_transpose2d(normal, [wt, bt], Conv::same3(1), 0, SLOPE);
            let sum = g.add_with(second, y, SLOPE);
            let again = g.conv2d(sum, w, Some(b), Conv::same3(1), SLOPE);
            kinks.extend([first, normal, second, sum, again]);
            y = g.add(again, sum);
        }
        Recorded { y, inputs: vec![x], kinks }
    });
}

/// The gradient of a sum is that of both terms: what else flows to one of them must not reach the other.
#[test]
fn a_term_that_is_used_again_leaves_the_gradient_of_the_other_alone() {
    for first in [true, false] {
        assert_gradients(|g| {
            let [(x, a), (z, b)] = ["x", "z"].map(|name| input(g, name, [1, 4, 5], 3));
            let filters = ["one", "two"].map(|name| filter(g, name, 3, &[3], 3));
            let sum = if first { g.add(a, b) } else { g.add(b, a) };
            let [u, v] = [(sum, filters[0]), (a, filters[1])].map(|(t, (w, b))| g.conv2d(t, w, Some(b), Conv::same3(1), SLOPE));
            Recorded { y: g.add(u, v), inputs: vec![x, z], kinks: vec![a, b, u, v] }
        });
    }
}

#[test]
fn conv2d_has_the_gradient_of_its_differences() {
    for (kernel, stride, padding) in [(1, 1, 0), (1, 2, 0), (2, 1, 1), (2, 2, 0), (3, 1, 1), (3, 1, 0), (3, 2, 1), (3, 2, 0)] {
        assert_gradients(|g| {
            let (x, p) = input(g, "x", [2, 4, 5], 2);
            let (w, b) = filter(g, "conv", kernel, &[2], 3);
            let q = g.conv2d(p, w, Some(b), Conv { kernel, stride, padding }, SLOPE);
            let y = g.leaky_relu(q, 0.7);
            Recorded { y, inputs: vec![x], kinks: vec![p, q] }
        });
    }
}

#[test]
fn conv_transpose2d_has_the_gradient_of_its_differences() {
    for (kernel, stride, padding, output_padding) in
        [(1, 1, 0, 0), (2, 2, 0, 0), (3, 1, 1, 0), (3, 2, 1, 1), (3, 2, 1, 0), (2, 2, 0, 1)]
    {
        assert_gradients(|g| {
            let (x, p) = input(g, "x", [2, 2, 3], 3);
            let w = g.param("weight", ParamLayout::ConvTranspose { k: kernel, input: vec![3], output: 2 });
            let b = g.param("bias", ParamLayout::Vector(2));
            let q = g.conv_transpose2d(p, [w, b], Conv { kernel, stride, padding }, output_padding, SLOPE);
            // A hole in a strided transposed convolution is its bias alone, and that is far from zero.
            let y = g.leaky_relu(q, 0.7);
            Recorded { y, inputs: vec![x], kinks: vec![p, q] }
        });
    }
}

#[test]
fn group_norm_has_the_gradient_of_its_differences() {
    for (channels, groups) in [(6, 3), (5, 1), (4, 4)] {
        assert_gradients(|g| {
            let (x, p) = input(g, "x", [2, 3, 4], channels);
            let [gamma, beta] = ["gamma", "beta"].map(|name| g.param(name, ParamLayout::Vector(channels)));
            let q = g.group_norm(p, gamma, beta, GroupNorm { groups, eps: 1e-5, activation: SLOPE });
            let y = g.leaky_relu(q, 0.7);
            Recorded { y, inputs: vec![x], kinks: vec![p, q] }
        });
    }
}

#[test]
fn leaky_relu_has_the_gradient_of_its_differences() {
    assert_gradients(|g| {
        let (x, p) = input(g, "x", [2, 3, 4], 5);
        let q = g.leaky_relu(p, 0.5);
        let y = g.leaky_relu(q, 0.7);
        Recorded { y, inputs: vec![x], kinks: vec![p] }
    });
}

#[test]
fn add_has_the_gradient_of_its_differences() {
    assert_gradients(|g| {
        let ((a, p), (b, q)) = (input(g, "a", [2, 3, 2], 5), input(g, "b", [2, 3, 2], 5));
        let sum = g.add(p, q);
        let y = g.leaky_relu(sum, 0.7);
        Recorded { y, inputs: vec![a, b], kinks: vec![p, q, y] }
    });
}

#[test]
fn concat_has_the_gradient_of_its_differences_laid_or_copied() {
    assert_gradients(|g| {
        let ((a, p), (b, q)) = (input(g, "a", [2, 3, 2], 5), input(g, "b", [2, 3, 2], 2));
        let c = g.host_picture("c", [2, 3, 2], 3);
        g.require_grad(c);
        // p and q are laid into the first; c, an input, and in the second p and q too, are copied.
        let first = g.concat(&[p, q, c]);
        let second = g.concat(&[c, p, q]);
        let (w, bias) = filter(g, "first", 1, &[5, 2, 3], 3);
        let first = g.conv2d(first, w, Some(bias), Conv { kernel: 1, stride: 1, padding: 0 }, Activation::NONE);
        let (w, bias) = filter(g, "second", 1, &[3, 5, 2], 3);
        let second = g.conv2d(second, w, Some(bias), Conv { kernel: 1, stride: 1, padding: 0 }, Activation::NONE);
        let y = g.add(first, second);
        Recorded { y, inputs: vec![a, b, c], kinks: vec![p, q] }
    });
}

#[test]
fn mse_has_the_gradient_of_its_differences() {
    assert_gradients(|g| {
        let (x, p) = input(g, "x", [2, 3, 2], 5);
        // No gradient flows to the target.
        let t = g.host_picture("t", [2, 3, 2], 5);
        let loss = g.mse(p, t);
        let y = g.add(loss, loss);
        Recorded { y, inputs: vec![x, t], kinks: vec![p] }
    });
}

#[test]
fn relu_has_the_gradient_of_its_differences_alone_and_after_a_convolution() {
    assert_gradients(|g| {
        let (x, p) = input(g, "x", [2, 3, 4], 3);
        let q = g.relu(p);
        let (w, b) = filter(g, "conv", 3, &[3], 4);
        let y = g.conv2d(q, w, Some(b), Conv::same3(1), Activation::RELU);
        let before = g.conv2d(q, w, Some(b), Conv::same3(1), Activation::NONE);
        let y = g.scale(y, -0.7);
        Recorded { y, inputs: vec![x], kinks: vec![p, before] }
    });
}

#[test]
fn add_with_an_activation_and_subtract_have_the_gradient_of_their_differences() {
    assert_gradients(|g| {
        let ((a, p), (b, q)) = (input(g, "a", [2, 3, 2], 5), input(g, "b", [2, 3, 2], 5));
        let sum = g.add_with(p, q, SLOPE);
        let difference = g.subtract(q, sum);
        let y = g.leaky_relu(difference, 0.7);
        Recorded { y, inputs: vec![a, b], kinks: vec![p, q, sum, y] }
    });
}

#[test]
fn sigmoid_has_the_gradient_of_its_differences() {
    assert_gradients(|g| {
        let (x, p) = input(g, "x", [2, 3, 4], 5);
        let q = g.sigmoid(p);
        let y = g.leaky_relu(q, 0.7);
        Recorded { y, inputs: vec![x], kinks: vec![p] }
    });
}

/// Two values of a square so close that a change makes the other the largest would show as a wrong difference.
#[test]
fn max_pool2d_has_the_gradient_of_its_differences() {
    for (kernel, size) in [(2, [2, 4, 5]), (3, [1, 7, 6])] {
        assert_gradients(|g| {
            let (x, p) = input(g, "x", size, 5);
            let q = g.max_pool2d(p, kernel);
            let y = g.leaky_relu(q, 0.7);
            Recorded { y, inputs: vec![x], kinks: vec![p] }
        });
    }
}

#[test]
fn upsample_nearest_has_the_gradient_of_its_differences() {
    for kernel in [2, 3] {
        assert_gradients(|g| {
            let (x, p) = input(g, "x", [2, 3, 2], 5);
            let q = g.upsample_nearest(p, kernel);
            let y = g.leaky_relu(q, 0.7);
            Recorded { y, inputs: vec![x], kinks: vec![p] }
        });
    }
}

#[test]
fn batch_norm_has_the_gradient_of_its_differences() {
    for (size, channels) in [([2, 3, 4], 5), ([1, 4, 3], 2)] {
        assert_gradients(|g| {
            let (x, p) = input(g, "x", size, channels);
            let [gamma, beta] = ["gamma", "beta"].map(|name| g.param(name, ParamLayout::Vector(channels)));
            let kept = ["mean", "variance"].map(|name| g.running_statistic(name, channels, 0.0));
            let q = g.batch_norm(p, gamma, beta, kept, BatchNorm { eps: 1e-5, momentum: 0.1, activation: SLOPE });
            let y = g.leaky_relu(q, 0.7);
            Recorded { y, inputs: vec![x], kinks: vec![p, q] }
        });
    }
}

#[test]
fn unfold_and_fold_have_the_gradient_of_their_differences() {
    for (kernel, stride, padding) in [(1, 1, 0), (2, 2, 0), (3, 1, 1), (3, 2, 1)] {
        assert_gradients(|g| {
            let conv = Conv { kernel, stride, padding };
            let (x, p) = input(g, "x", [2, 4, 5], 3);
            let windows = g.unfold(p, conv);
            let activated = g.leaky_relu(windows, 0.5);
            let folded = g.fold(activated, [4, 5], conv);
            let y = g.add(folded, p);
            Recorded { y, inputs: vec![x], kinks: vec![p] }
        });
    }
}

#[test]
fn robust_and_masked_losses_have_the_gradient_of_their_differences() {
    // A range that no prediction is near the ends of, where the gradient has a kink.
    let outliers = Loss::Outliers { share: 0.4, range: [-20.0, 30.0] };
    let kinds = [
        (Loss::L1, false),
        (outliers, false),
        (Loss::L0 { eps: 1e-8 }, false),
        (Loss::Huber { delta: 0.7 }, false),
        (Loss::Charbonnier { eps: 0.5 }, false),
        (Loss::L2, true),
        (Loss::L1, true),
    ];
    for ((loss, masked), targets) in kinds.into_iter().flat_map(|kind| [(kind, 1), (kind, 3)]) {
        assert_gradients(|g| {
            let (x, p) = input(g, "x", [2, 3, 2], 5);
            // No gradient flows to targets and mask.
            let [t, m] = [("t", 5), ("m", 1)].map(|(name, c)| g.add_tensor(name, [2, 3, 2], &vec![c; targets], Role::Host));
            // Zero where m is below zero; the rest counts, whatever its size, on the CPU.
            let mask = g.relu(m);
            let exponent = g.host_scalar("exponent", POWER);
            let y = g.loss(loss, p, t, masked.then_some(mask), Some(exponent));
            // A mean of sixty elements of every target.
            let y = g.scale(y, 60.0 * targets as f32);
            let kinks = (0..targets).map(|k| {
                let t = g.parts(t, k..k + 1);
                g.subtract(p, t)
            });
            let kinks = std::iter::once(p).chain(kinks).collect();
            Recorded { y, inputs: vec![x, t, m], kinks }
        });
    }
}

#[test]
fn a_tensor_used_twice_gets_the_sum_of_both_gradients() {
    assert_gradients(|g| {
        let (x, p) = input(g, "x", [1, 4, 3], 4);
        let (w, b) = filter(g, "conv", 3, &[4], 4);
        let q = g.conv2d(p, w, Some(b), Conv::same3(1), SLOPE);
        let sum = g.add(p, q);
        let twice = g.add(sum, p);
        let y = g.leaky_relu(twice, 0.7);
        Recorded { y, inputs: vec![x], kinks: vec![p, q, y] }
    });
}

#[test]
fn a_parameter_shared_by_two_convolutions_gets_the_sum_of_both_gradients() {
    assert_gradients(|g| {
        let (x, p) = input(g, "x", [1, 4, 3], 3);
        let (w, b) = filter(g, "conv", 3, &[3], 3);
        let q = g.conv2d(p, w, Some(b), Conv::same3(1), SLOPE);
        let r = g.conv2d(q, w, Some(b), Conv::same3(1), SLOPE);
        let y = g.leaky_relu(r, 0.7);
        Recorded { y, inputs: vec![x], kinks: vec![p, q, r] }
    });
}
