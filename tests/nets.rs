//! Every network and ten training steps of its recipe against `PyTorch`, on the CPU in both precisions and on every adapter.

mod common;

use std::sync::Arc;

use common::{Golden, Place, largest_error, normals, places, square_error};
use n2n_gpu::check::TOLERANCE;
use n2n_gpu::graph::Graph;
use n2n_gpu::nets::{Anatomy, Entry, EpflConvnet, EpflResunet, EpflUnet, Modules, N2nUnet, Network, Norm, Unet};
use n2n_gpu::ops::{Loss, Update};
use n2n_gpu::train::{Example, Rule, record_step};
use serde_json::Value;

fn golden() -> Golden {
    Golden::new(include_bytes!("golden/nets.safetensors"))
}

/// One network of the file, at one place.
struct Case<'a> {
    golden: &'a Golden,
    options: &'a Value,
    net: Arc<dyn Network>,
    place: &'a Place,
}

impl Case<'_> {
    fn path(&self, role: &str) -> String {
        format!("{}/{role}", self.options["name"].as_str().unwrap())
    }

    fn tensor(&self, role: &str) -> Vec<f64> {
        self.golden.tensor(&self.path(role))
    }

    fn shape(&self) -> [usize; 3] {
        let [n, _, h, w] = self.golden.shape(&self.path("x"))[..] else { panic!("x is a picture") };
        [n, h, w]
    }

    fn update(&self) -> Update {
        let beta = |i: usize| self.options["betas"][i].as_f64().unwrap() as f32;
        match self.options["optimizer"].as_str() {
            Some("sgd") => Update::Sgd { momentum: 0.0 },
            _ => Update::Adam { beta1: beta(0), beta2: beta(1), eps: 1e-8, decay: 0.0 },
        }
    }

    /// `double` and `single` are the largest errors in either precision: relative to the largest element, and a mean square.
    fn assert_equal(&self, role: &str, result: &[f64], double: f64, single: f64) {
        let truth = self.tensor(role);
        match self.place {
            Place::Double => self.assert_small(role, largest_error(&truth, result), double),
            Place::Single(_) => self.assert_small(role, square_error(&truth, result), single),
        }
    }

    fn assert_small(&self, what: &str, error: f64, tolerance: f64) {
        let place = self.place.name();
        assert!(error <= tolerance, "{} on {place}: off by {error:e}, more than {tolerance:e}", self.path(what));
    }

    /// Length of the gradient of all parameters.
    fn length(&self) -> f64 {
        let names = self.golden.names(&self.path("grad/"));
        let squares = names.into_iter().flat_map(|p| self.tensor(&format!("grad/{p}"))).map(|v| v * v);
        squares.sum::<f64>().sqrt()
    }
}

fn network(options: &Value) -> Arc<dyn Network> {
    let entry = Entry::find(options["net"].as_str().unwrap()).unwrap();
    entry.build(options.as_object().unwrap().clone()).unwrap_or_else(|e| panic!("{options}: {e}"))
}

fn for_every_case(check: impl Fn(&Case)) {
    let golden = golden();
    assert_eq!(golden.cases().len(), 8);
    for place in &places() {
        for options in golden.cases() {
            let net = network(options);
            check(&Case { golden: &golden, options, net, place });
        }
    }
}

/// Tolerances are those of the network in unet.rs, for its reasons.
#[test]
fn every_network_its_gradients_and_ten_training_steps_equal_pytorch() {
    for_every_case(|case| {
        let mut g = Graph::new();
        let [x, t] = ["x", "t"].map(|role| g.host_picture(role, case.shape(), 3));
        let clip = case.options["clip"].as_f64().unwrap_or(0.0) as f32;
        let rule = Rule { loss: Loss::L2, update: case.update(), clip, pieces: 0 };
        let handles = record_step(&mut g, case.net.as_ref(), Example { x, t, mask: None }, rule);
        let optimizer = handles.optimizer;
        let y = g.output("y", handles.y);

        let mut run = case.place.start(&g);
        ["x", "t"].into_iter().zip([x, t]).for_each(|(role, tensor)| run.put(tensor, &case.tensor(role)));
        run.put_params(|param| case.tensor(&format!("param/{param}")));
        for step in 1..=10 {
            let control = optimizer.control(step, case.options["lr"].as_f64().unwrap(), 0.0);
            run.write(optimizer.control, &control.map(f64::from));
            run.run();
            if step == 1 {
                case.assert_equal("y", &run.get(y), 1e-6, TOLERANCE);
                assert_gradients(case, &g, run.get_params(handles.grads));
            }
        }
        let losses: Vec<f64> = run.read(optimizer.log).chunks(4).take(10).map(|row| row[0]).collect();
        let tolerance = if case.place.is_double() { 1e-6 } else { 5e-6 };
        case.assert_small("loss", largest_error(&case.tensor("loss"), &losses[..1]), tolerance);
        case.assert_small("losses", largest_error(&case.tensor("losses"), &losses), tolerance);
        for (param, after) in run.get_params(g.params_storage().unwrap()) {
            let role = format!("after/{param}");
            if case.place.is_double() && case.golden.has(&case.path(&role)) {
                case.assert_equal(&role, &after, 1e-6, 0.0);
            }
        }
    });
}

/// A bias before a BatchNorm has no gradient, only what a sum of thousands of roundings leaves: less than 1e-6 of the whole
/// gradient's length in single precision, 1e-13 in double.
fn assert_gradients(case: &Case, g: &Graph, gradients: Vec<(String, Vec<f64>)>) {
    let length = case.length();
    for (param, dw) in gradients {
        let role = format!("grad/{param}");
        if !case.golden.has(&case.path(&role)) {
            assert!(g.params().iter().any(|p| p.name == param && !p.trained), "{} has no gradient {param}", case.path(""));
            continue;
        }
        let size = |values: &[f64]| values.iter().fold(0.0, |m: f64, v| m.max(v.abs())) / length;
        if size(&case.tensor(&role)) > 1e-13 {
            case.assert_equal(&role, &dw, 1e-6, TOLERANCE);
        } else {
            case.assert_small(&role, size(&dw), if case.place.is_double() { 1e-13 } else { 1e-6 });
        }
    }
}

/// After ten steps of training the statistics hold a mean of ten batches' means: the biases before it move them, by
/// what Adam makes of rounding errors alone. So the statistics are compared after training in double precision only, and
/// in every precision what evaluation makes of them.
#[test]
fn batch_norm_evaluates_by_the_statistics_of_ten_training_steps() {
    for_every_case(|case| {
        if case.options["norm"] != "batch" {
            return;
        }
        let mut g = Graph::new();
        let x = g.host_picture("x", case.shape(), 3);
        let y = case.net.record(&mut Modules::new(&mut g, false), x);
        let y = g.output("y", y);
        let mut run = case.place.start(&g);
        run.put(x, &case.tensor("x"));
        run.put_params(|param| {
            let after = format!("after/{param}");
            case.tensor(&if case.golden.has(&case.path(&after)) { after } else { format!("param/{param}") })
        });
        run.run();
        case.assert_equal("eval", &run.get(y), 1e-6, TOLERANCE);
    });
}

/// Statistics are no weights: `AdamW`, which shortens those, leaves them to the batches.
#[test]
fn weight_decay_changes_no_statistics_of_batch_norm() {
    for place in places() {
        let step = |decay: f32| {
            let mut g = Graph::new();
            let [x, t] = ["x", "t"].map(|name| g.host_picture(name, [2, 8, 8], 3));
            let update = Update::Adam { beta1: 0.9, beta2: 0.99, eps: 1e-8, decay };
            let rule = Rule { loss: Loss::L2, update, clip: 0.0, pieces: 0 };
            let example = Example { x, t, mask: None };
            let optimizer = record_step(&mut g, &Unet::new(4, 1, Norm::Batch), example, rule).optimizer;
            let mut run = place.start(&g);
            [x, t].into_iter().zip(1..).for_each(|(tensor, stream)| run.put(tensor, &normals(stream, 2 * 8 * 8 * 3)));
            let count = |param: &str| g.params().iter().find(|p| p.name == param).unwrap().layout.count();
            run.put_params(|param| if param.contains("running") { vec![1.0; count(param)] } else { normals(3, count(param)) });
            run.write(optimizer.control, &optimizer.control(1, 0.01, 0.0).map(f64::from));
            run.run();
            run.get_params(g.params_storage().unwrap())
        };
        let mut statistics = 0;
        for ((name, without), (_, with)) in step(0.0).into_iter().zip(step(0.5)) {
            let kept = name.contains("running");
            assert_eq!(without == with, kept, "{name} on {}", place.name());
            statistics += usize::from(kept);
        }
        assert!(statistics > 0);
    }
}

#[test]
fn parameters_are_named_and_shaped_as_in_pytorch() {
    let golden = golden();
    for options in golden.cases() {
        let prefix = format!("{}/param/", options["name"].as_str().unwrap());
        let names = golden.names(&prefix);
        let mut wanted: Vec<_> = names.into_iter().map(|n| (n.clone(), golden.shape(&format!("{prefix}{n}")))).collect();
        let g = Anatomy::of(network(options).as_ref()).graph;
        let mut ours: Vec<_> = g.params().iter().map(|p| (p.name.clone(), p.layout.file_shape())).collect();
        wanted.sort();
        ours.sort();
        assert_eq!(ours, wanted, "{prefix}");
    }
}

#[test]
fn the_published_networks_have_their_published_numbers_of_parameters() {
    let of = |net: &dyn Network| Anatomy::of(net).parameters();
    let unet = |shared| of(&EpflUnet { shared, ..EpflUnet::default() });
    assert_eq!([true, false].map(unet), [783_747, 1_551_987]);
    let resunet = |shared| of(&EpflResunet { shared, ..EpflResunet::default() });
    assert_eq!([true, false].map(resunet), [693_843, 1_387_731]);
    assert_eq!([of(&EpflConvnet::default()), of(&N2nUnet::default()), of(&Unet::default())], [477, 991_203, 1_551_987]);
}
