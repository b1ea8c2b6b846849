//! Tensors that lie between others: ops read and write their own channels and nothing else, and padding stays zero.

mod common;

use std::collections::BTreeMap;

use common::{Place, normals, places, places_of, square_error};
use n2n_gpu::check::{self, TOLERANCE};
use n2n_gpu::device::Device;
use n2n_gpu::graph::{Element, Graph, ParamLayout, Role, StorageId, Tensor, View, padded};
use n2n_gpu::ops::{Activation, Batch, BatchNorm, Conv, Drawn, GroupNorm, Loss, Pixels, Shards, Transfer};

/// What lies around the tensors. Read by mistake, it outweighs them all.
const SENTINEL: f64 = 1e6;

/// A host storage in which `parts` lie between 5 (padded to 8) and 6 (padded to 8) other channels, with 64 more pixels
/// behind, for writes past the end (which an adapter that guards the ends of bindings, as llvmpipe does, hides).
fn between(g: &mut Graph, name: &str, shape: [usize; 3], parts: &[usize]) -> Tensor {
    let stride = 8 + padded(parts) + 8;
    let len = (shape.iter().product::<usize>() + 64) * stride;
    let storage = g.add_storage(name, len, Element::F32, Role::Host);
    g.add_view(View { storage, shape, parts: parts.to_vec(), base: 0, channel: 8, stride })
}

/// Lays a result between others; says nothing if it cannot be moved, as a gradient that is an input cannot.
fn lay_between(g: &mut Graph, name: &str, t: Tensor) -> Option<View> {
    let view = g.view(t).clone();
    let place = between(g, name, view.shape, &view.parts);
    let view = g.view(place).clone();
    g.lay(t, view.clone()).then_some(view)
}

/// In all gradients of parameters: what is not trained has none, padding is zero, and the sentinels behind each stay.
fn assert_gradients_keep_to_themselves(name: &str, place: &Place, g: &Graph, data: &[f64]) {
    for param in g.params() {
        let view = g.view(param.tensor);
        if !param.trained {
            let own = &data[param.offset..param.offset + view.span()];
            assert!(own.iter().all(|&v| v == SENTINEL), "{name} on {}: d{}", place.name(), param.name);
            continue;
        }
        let (own, next) = (param.offset..param.offset + view.span(), (param.offset + view.span()).next_multiple_of(64));
        let trained: Vec<_> = param.layout.places().iter().map(|p| param.offset + p).collect();
        let padding = own.clone().filter(|i| !trained.contains(i));
        assert!(padding.into_iter().all(|i| data[i] == 0.0), "{name} on {}: padding of d{}", place.name(), param.name);
        assert!(data[own.end..next].iter().all(|&v| v == SENTINEL), "{name} on {}: after d{}", place.name(), param.name);
        assert!(data[own].iter().all(|v| v.abs() < SENTINEL / 10.0), "{name} on {}: d{}", place.name(), param.name);
    }
}

/// Runs an op and its gradient with everything laid between sentinels: they stay, the padding is zero, and the values
/// are those of the CPU in double precision.
fn assert_keeps_to_itself(name: &str, shape: [usize; 3], c: [usize; 2], record: impl Fn(&mut Graph, [Tensor; 2]) -> Tensor) {
    let mut g = Graph::new();
    let inputs = [("a", c[0]), ("b", c[1])].map(|(name, c)| between(&mut g, name, shape, &[c]));
    inputs.iter().for_each(|&x| g.require_grad(x));
    let y = record(&mut g, inputs);
    let view = g.view(y).clone();
    let dy = between(&mut g, "dy", view.shape, &view.parts);
    let grads = if g.needs_grad(y) { g.backward(&[(y, dy)]) } else { BTreeMap::new() };
    let laid = [Some(y), grads.get(&inputs[0]).copied(), grads.get(&inputs[1]).copied()];
    let laid: Vec<View> = laid.into_iter().flatten().filter_map(|t| lay_between(&mut g, "laid", t)).collect();
    assert!(!laid.is_empty(), "{name}: nothing could be laid");

    // A mask is of zeros and ones.
    let binary = |z: f64| f64::from(u8::from(z > 0.0));
    let filled = |g: &Graph, t: Tensor, stream: u32| {
        let view = g.view(t);
        let mut data = vec![SENTINEL; g.storage(view.storage).len];
        range(view).iter().for_each(|&i| data[i] = 0.0);
        let numbers = normals(stream, view.pixels() * view.channels());
        let masks = name.starts_with("masked") && t == inputs[1];
        places_of(view).iter().zip(numbers).for_each(|(&i, z)| data[i] = if masks { binary(z) } else { z });
        (view.storage, data)
    };
    let mut written: Vec<(StorageId, Vec<f64>)> =
        inputs.iter().chain([&dy]).zip(1..).map(|(&t, stream)| filled(&g, t, stream)).collect();
    written.extend(laid.iter().map(|v| (v.storage, vec![SENTINEL; g.storage(v.storage).len])));
    written.extend(g.gradients().map(|id| (id, vec![SENTINEL; g.storage(id).len])));

    let mut truth: Vec<Vec<f64>> = Vec::new();
    for place in places() {
        let mut run = place.start(&g);
        run.put_params(|param| {
            let count = g.params().iter().find(|p| p.name == param).unwrap().layout.count();
            let numbers = normals(param.len() as u32 + 20, count);
            if param == "variance" { numbers.into_iter().map(f64::abs).collect() } else { numbers }
        });
        let before = g.params_storage().map(|id| run.read(id));
        written.iter().for_each(|(id, data)| run.write(*id, data));
        run.run();
        for (i, view) in laid.iter().enumerate() {
            let data = run.read(view.storage);
            assert_sentinels_stay(name, &place, view, &data);
            let values: Vec<f64> = places_of(view).iter().map(|&p| data[p]).collect();
            if place.is_double() {
                assert!(values.iter().all(|v| v.abs() < SENTINEL / 10.0), "{name}: a sentinel was read");
                truth.push(values);
            } else {
                let error = square_error(&truth[i], &values);
                assert!(error <= TOLERANCE, "{name} on {}: result {i} is off by {error:e}", place.name());
            }
        }
        if let Some(id) = g.gradients() {
            assert_gradients_keep_to_themselves(name, &place, &g, &run.read(id));
        }
        if let (Some(before), Some(id)) = (before, g.params_storage()) {
            let kept = g.params().iter().filter(|p| !p.trained).flat_map(|p| p.offset..p.offset + p.layout.count());
            let kept: Vec<_> = kept.collect();
            let changed = before.iter().zip(run.read(id)).enumerate().filter(|(_, (b, a))| *b != a).map(|(i, _)| i);
            assert!(changed.into_iter().all(|i| kept.contains(&i)), "{name} on {}: parameters changed", place.name());
        }
    }
}

/// All elements that belong to a view, with its padding.
fn range(view: &View) -> Vec<usize> {
    let pixel = |p: usize| view.base + view.channel + p * view.stride;
    (0..view.pixels()).flat_map(|p| pixel(p)..pixel(p) + view.padded()).collect()
}

fn assert_sentinels_stay(name: &str, place: &Place, view: &View, data: &[f64]) {
    let mut mine = vec![' '; data.len()];
    range(view).iter().for_each(|&i| mine[i] = 'p');
    places_of(view).iter().for_each(|&i| mine[i] = 'x');
    for (i, (kind, value)) in mine.iter().zip(data).enumerate() {
        let right = match kind {
            ' ' => *value == SENTINEL,
            'p' => *value == 0.0,
            _ => true,
        };
        assert!(right, "{name} on {}: element {i} of {view:?}, '{kind}', is {value}", place.name());
    }
}

const SLOPE: Activation = Activation { slope: 0.2 };

#[test]
fn convolutions_leave_their_neighbours_alone() {
    for (kernel, stride, padding) in [(1, 1, 0), (2, 2, 0), (3, 1, 1), (3, 2, 1)] {
        assert_keeps_to_itself("conv2d", [2, 6, 5], [7, 1], |g, [x, _]| {
            let w = g.param("weight", ParamLayout::Conv { k: kernel, input: vec![7], output: 10 });
            let b = g.param("bias", ParamLayout::Vector(10));
            g.conv2d(x, w, Some(b), Conv { kernel, stride, padding }, SLOPE)
        });
    }
    assert_keeps_to_itself("conv_transpose2d", [2, 3, 4], [7, 1], |g, [x, _]| {
        let w = g.param("weight", ParamLayout::ConvTranspose { k: 3, input: vec![7], output: 10 });
        let b = g.param("bias", ParamLayout::Vector(10));
        g.conv_transpose2d(x, [w, b], Conv::same3(2), 1, SLOPE)
    });
}

#[test]
fn group_normalisations_leave_their_neighbours_alone() {
    assert_keeps_to_itself("group_norm", [2, 6, 5], [6, 1], |g, [x, _]| {
        let [gamma, beta] = ["gamma", "beta"].map(|name| g.vector(name, 6, 1.0));
        g.group_norm(x, gamma, beta, GroupNorm { groups: 3, eps: 1e-5, activation: SLOPE })
    });
}

#[test]
fn batch_normalisations_leave_their_neighbours_alone() {
    let norm = BatchNorm { eps: 1e-5, momentum: 0.1, activation: SLOPE };
    let record = |g: &mut Graph, x: Tensor, kept: bool| {
        let [gamma, beta] = ["gamma", "beta"].map(|name| g.vector(name, 6, 1.0));
        let statistics = ["mean", "variance"].map(|name| g.running_statistic(name, 6, 1.0));
        match kept {
            true => g.batch_norm_eval(x, gamma, beta, statistics, norm),
            false => g.batch_norm(x, gamma, beta, statistics, norm),
        }
    };
    assert_keeps_to_itself("batch_norm", [2, 6, 5], [6, 1], |g, [x, _]| record(g, x, false));
    assert_keeps_to_itself("batch_norm in evaluation", [2, 6, 5], [6, 1], |g, [x, _]| record(g, x, true));
}

#[test]
fn resizing_ops_leave_their_neighbours_alone() {
    assert_keeps_to_itself("max_pool2d", [2, 5, 7], [7, 1], |g, [x, _]| g.max_pool2d(x, 2));
    assert_keeps_to_itself("max_pool2d", [1, 7, 6], [5, 1], |g, [x, _]| g.max_pool2d(x, 3));
    assert_keeps_to_itself("upsample_nearest", [2, 3, 2], [7, 1], |g, [x, _]| g.upsample_nearest(x, 2));
    for (kernel, stride, padding) in [(2, 2, 0), (3, 1, 1), (3, 2, 1)] {
        let conv = Conv { kernel, stride, padding };
        assert_keeps_to_itself("unfold", [2, 5, 4], [7, 1], |g, [x, _]| g.unfold(x, conv));
        // Two pictures in turn make the taps of 2x2 windows.
        assert_keeps_to_itself("fold", [2, 2, 2], [7, 7], |g, [a, b]| {
            let taps: Vec<_> = (0..kernel * kernel).map(|tap| if tap % 2 == 0 { a } else { b }).collect();
            let windows = g.concat(&taps);
            let side = stride + kernel - 2 * padding;
            g.fold(windows, [side, side], conv)
        });
    }
}

#[test]
fn elementwise_ops_leave_their_neighbours_alone() {
    assert_keeps_to_itself("leaky_relu", [2, 5, 3], [5, 1], |g, [x, _]| g.leaky_relu(x, 0.1));
    assert_keeps_to_itself("add", [2, 5, 3], [5, 5], |g, [a, b]| {
        let a = g.leaky_relu(a, 0.1);
        g.add(a, b)
    });
    assert_keeps_to_itself("relu", [2, 5, 3], [5, 1], |g, [x, _]| g.relu(x));
    // The sigmoid of a padding of zeros would be a half.
    assert_keeps_to_itself("sigmoid", [2, 5, 3], [5, 1], |g, [x, _]| g.sigmoid(x));
    assert_keeps_to_itself("add with an activation", [2, 5, 3], [5, 5], |g, [a, b]| g.add_with(a, b, SLOPE));
    assert_keeps_to_itself("subtract", [2, 5, 3], [5, 5], |g, [a, b]| g.subtract(a, b));
    assert_keeps_to_itself("scale", [2, 5, 3], [5, 1], |g, [x, _]| g.scale(x, -0.7));
    assert_keeps_to_itself("copy and concat", [2, 5, 3], [5, 3], |g, [a, b]| {
        let both = g.concat(&[a, b]);
        g.leaky_relu(both, 0.1)
    });
    // The loss itself, a scalar, lies alone.
    assert_keeps_to_itself("mse", [2, 5, 3], [5, 5], |g, [x, t]| {
        let loss = g.mse(x, t);
        g.leaky_relu(loss, 0.1)
    });
    for loss in [Loss::L2, Loss::L1, Loss::Outliers { share: 0.25, range: [0.0, 1.0] }, Loss::CHARBONNIER, Loss::L0 { eps: 1e-8 }]
    {
        // At an exponent of 0 every element counts as 1, and those of the padding may not.
        assert_keeps_to_itself("masked loss", [2, 5, 3], [5, 1], |g, [x, mask]| {
            let t = g.scale(x, 0.3);
            let exponent = g.host_scalar("exponent", 0.0);
            let loss = g.loss(loss, x, t, Some(mask), Some(exponent));
            g.leaky_relu(loss, 0.1)
        });
    }
}

#[test]
fn a_batch_drawn_into_a_concatenation_leaves_the_neighbours_alone() {
    let picture = Pixels::Bytes((0..20 * 20 * 3).map(|i| (i * 7 % 251) as u8).collect());
    let shards = Shards::new([vec![((20, 20), &picture)]], 1 << 20);
    let mut g = Graph::new();
    let (noise, input, target) = (Some("gaussian:25".parse().unwrap()), [-0.5, 0.5], [-0.5, 0.5]);
    let (channels, transfers, targets, grey) = (3, [Transfer::None; 2], 1, 0.0);
    let (count, crop, batch, clean_targets, flips, given) = (1, 9, 2, false, 7, false);
    let batch =
        Batch { count, crop, batch, noise, clean_targets, input, target, flips, given, targets, grey, channels, transfers };
    let Drawn { x, pictures, .. } = g.batch(batch, &shards);
    let view = lay_between(&mut g, "wide", x).unwrap();
    for place in places() {
        let mut run = place.start(&g);
        run.write(view.storage, &vec![SENTINEL; g.storage(view.storage).len]);
        let executor = run.executor();
        executor.write_ints(pictures.draw, &[1, 2]).unwrap();
        executor.write_ints(pictures.table, &shards.rows()).unwrap();
        executor.write_ints(pictures.shards[0], &shards.words(0)).unwrap();
        run.run();
        assert_sentinels_stay("batch", &place, &view, &run.read(view.storage));
    }
}

#[test]
fn padding_is_zero_in_every_result() {
    for device in std::iter::once(Device::Cpu).chain(common::adapters()) {
        for case in check::cases().iter().filter(|c| !c.name.starts_with("training step") && c.suits(&device)) {
            let g = case.graph();
            let mut executor = device.prepare(g.clone()).unwrap();
            case.floats.iter().for_each(|(id, data)| executor.write(*id, data).unwrap());
            case.ints.iter().for_each(|(id, data)| executor.write_ints(*id, data).unwrap());
            executor.run().unwrap();
            for t in g.nodes().iter().flat_map(|n| n.outputs.clone()) {
                let view = g.view(t);
                // Filters have the padding of two kinds of channels, which the sentinels' tests look at.
                if g.storage(view.storage).role == Role::Host && g.storage(view.storage).name != "grads" {
                    let data = executor.read(view.storage).unwrap();
                    let mine = places_of(view);
                    let mut padding = range(view).into_iter().filter(|i| !mine.contains(i));
                    assert!(padding.all(|i| data[i] == 0.0), "{} on {}", case.name, device.name());
                }
            }
        }
    }
}
