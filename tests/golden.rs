//! Every op, value and gradients, against `PyTorch`: on the CPU in both precisions and on every adapter.

mod common;

use std::collections::BTreeMap;

use common::{Golden, HALF_ULP, Place, largest_error, places, square_error};
use n2n_gpu::check::TOLERANCE;
use n2n_gpu::graph::{Element, Graph, ParamLayout, Role, StorageId, Tensor};
use n2n_gpu::ops::{Activation, BatchNorm, Conv, GroupNorm, Loss, Update};
use serde_json::Value;

fn golden() -> Golden {
    Golden::new(include_bytes!("golden/ops.safetensors"))
}

/// One op of the file.
struct Op<'a> {
    golden: &'a Golden,
    options: &'a Value,
}

impl Op<'_> {
    fn name(&self) -> &str {
        self.options["name"].as_str().unwrap()
    }

    fn size(&self, option: &str) -> usize {
        self.options[option].as_u64().unwrap_or_else(|| panic!("{}: no {option}", self.name())) as usize
    }

    fn activation(&self) -> Activation {
        self.options["slope"].as_f64().map_or(Activation::NONE, |slope| Activation::leaky_relu(slope as f32))
    }

    fn number(&self, option: &str) -> f32 {
        self.options[option].as_f64().unwrap_or_else(|| panic!("{}: no {option}", self.name())) as f32
    }

    fn conv(&self) -> Conv {
        Conv { kernel: self.size("kernel"), stride: self.size("stride"), padding: self.size("padding") }
    }

    fn path(&self, role: &str) -> String {
        format!("{}/{role}", self.name())
    }

    fn has(&self, role: &str) -> bool {
        self.golden.has(&self.path(role))
    }

    fn tensor(&self, role: &str) -> Vec<f64> {
        self.golden.tensor(&self.path(role))
    }

    fn shape(&self, role: &str) -> Vec<usize> {
        self.golden.shape(&self.path(role))
    }

    /// The shape of a picture, (N, C, H, W).
    fn sizes(&self, role: &str) -> [usize; 4] {
        self.shape(role).try_into().unwrap_or_else(|_| panic!("{}: {role} is no picture", self.name()))
    }

    /// A host picture of the shape that the file has for `role`.
    fn picture(&self, g: &mut Graph, role: &str) -> Tensor {
        self.pictures(g, role, 1)
    }

    /// The same, of so many pictures side by side.
    fn pictures(&self, g: &mut Graph, role: &str, count: usize) -> Tensor {
        let [n, c, h, w] = self.sizes(role);
        let x = g.add_tensor(role, [n, h, w], &vec![c / count; count], Role::Host);
        g.require_grad(x);
        x
    }

    /// Largest relative error in double precision. Sums of K < 2000 products round to K * 2^-53 = 2e-13 of their
    /// magnitudes; but slopes are constants in f32, off by up to 2^-24, which is what then shows: in a gradient summed from
    /// products with it, by a few times that of the largest; slopes of 0 are exact. The statistics of a batch normalisation
    /// move by a momentum in f32. An eps of 1e-5 in f32 is off by 6e-13, and a variance of 0.1 makes 3e-12 of it. That of
    /// the annealed L0, 1e-8, is off by 6e-9 of it, which its power of 0.1 makes 6e-10, of those elements that are zero: 4 of
    /// 210, each with a sixth of the loss of others, 2e-12.
    fn tolerance(&self) -> f64 {
        let exact = |constant: &str| self.options[constant].as_f64().is_none_or(|v| v == f64::from(v as f32));
        if !exact("slope") || !exact("momentum") {
            4.0 * HALF_ULP
        } else if !exact("eps") || self.options["kind"] == "l0" {
            1e-11
        } else {
            1e-12
        }
    }

    /// Largest normalised mean square error in single precision. A group normalisation subtracts the mean from x, which
    /// leaves their roundings, of 2^-24 of the largest x, where the result is about 1: four such at most, squared. That is
    /// above the rest only for the case with x around 100, where E[x^2] - E[x]^2 would be off by 1e-3.
    fn square_tolerance(&self) -> f64 {
        let largest = self.has("gamma").then(|| self.tensor("x").iter().fold(0.0, |m: f64, v| m.max(v.abs())));
        largest.map_or(TOLERANCE, |x| TOLERANCE.max((4.0 * x * HALF_ULP).powi(2)))
    }

    fn assert_equal(&self, place: &Place, role: &str, result: &[f64]) {
        let truth = self.tensor(role);
        let (error, tolerance) = match place {
            Place::Double => (largest_error(&truth, result), self.tolerance()),
            Place::Single(_) => (square_error(&truth, result), self.square_tolerance()),
        };
        assert!(error <= tolerance, "{} on {}: {role} is off by {error:e}", self.name(), place.name());
    }
}

/// Runs all cases of an op everywhere: `record` makes the inputs (role, tensor) and the result; a parameter is named by
/// its role.
fn assert_equals_pytorch(op: &str, record: impl Fn(&Op, &mut Graph) -> (Vec<(&'static str, Tensor)>, Tensor)) {
    let golden = golden();
    let cases: Vec<_> = golden.cases().iter().filter(|c| c["op"] == op).collect();
    assert!(!cases.is_empty());
    for place in places() {
        for &options in &cases {
            let op = Op { golden: &golden, options };
            let mut g = Graph::new();
            let (inputs, y) = record(&op, &mut g);
            let view = g.view(y).clone();
            let dy = g.add_tensor("dy", view.shape, &view.parts, Role::Host);
            let grads = if g.needs_grad(y) { g.backward(&[(y, dy)]) } else { BTreeMap::new() };
            let y = g.output("y", y);
            let kept = |g: &Graph, role: &str| g.params().iter().any(|p| p.name == role && !p.trained);
            // PyTorch's bias gradient is called db, so that of an input b is called db_.
            let roles = |role| if role == "b" { "db_".to_owned() } else { format!("d{role}") };
            let wanted: Vec<_> = inputs.iter().map(|&(role, x)| (roles(role), x)).filter(|(role, _)| op.has(role)).collect();
            let wanted: Vec<_> = wanted.into_iter().map(|(role, x)| (g.output(&role, grads[&x]), role)).collect();

            let mut run = place.start(&g);
            for (role, x) in inputs {
                run.put(x, &op.tensor(role));
            }
            run.put(dy, &if op.has("dy") { op.tensor("dy") } else { vec![1.0; view.pixels() * view.channels()] });
            run.put_params(|role| op.tensor(role));
            if let Some(exponent) = g.storages().iter().position(|s| s.name == "exponent") {
                run.write(StorageId(exponent), &[op.options["power"].as_f64().unwrap_or(0.0)]);
            }
            run.run();
            op.assert_equal(&place, "y", &run.get(y));
            for (dx, role) in wanted {
                op.assert_equal(&place, &role, &run.get(dx));
            }
            for (role, dw) in g.gradients().into_iter().flat_map(|id| run.get_params(id)) {
                if !kept(&g, &role) {
                    op.assert_equal(&place, &format!("d{role}"), &dw);
                }
            }
            for (role, after) in g.params_storage().into_iter().flat_map(|id| run.get_params(id)) {
                if kept(&g, &role) {
                    op.assert_equal(&place, &format!("{role}1"), &after);
                }
            }
        }
    }
}

#[test]
fn conv2d_equals_pytorch() {
    assert_equals_pytorch("conv2d", |op, g| {
        let x = op.picture(g, "x");
        let (output, input) = (op.shape("w")[0], vec![op.shape("w")[1]]);
        let w = g.param("w", ParamLayout::Conv { k: op.size("kernel"), input, output });
        let b = g.param("b", ParamLayout::Vector(output));
        (vec![("x", x)], g.conv2d(x, w, Some(b), op.conv(), op.activation()))
    });
}

#[test]
fn conv_transpose2d_equals_pytorch() {
    assert_equals_pytorch("conv_transpose2d", |op, g| {
        let x = op.picture(g, "x");
        let (input, output) = (vec![op.shape("w")[0]], op.shape("w")[1]);
        let w = g.param("w", ParamLayout::ConvTranspose { k: op.size("kernel"), input, output });
        let b = g.param("b", ParamLayout::Vector(output));
        (vec![("x", x)], g.conv_transpose2d(x, [w, b], op.conv(), op.size("output_padding"), op.activation()))
    });
}

#[test]
fn leaky_relu_equals_pytorch() {
    assert_equals_pytorch("leaky_relu", |op, g| {
        let x = op.picture(g, "x");
        (vec![("x", x)], g.leaky_relu(x, op.activation().slope))
    });
}

#[test]
fn group_norm_equals_pytorch() {
    assert_equals_pytorch("group_norm", |op, g| {
        let x = op.picture(g, "x");
        let c = op.shape("x")[1];
        let [gamma, beta] = ["gamma", "beta"].map(|role| g.param(role, ParamLayout::Vector(c)));
        let norm =
            GroupNorm { groups: op.size("groups"), eps: op.options["eps"].as_f64().unwrap() as f32, activation: op.activation() };
        (vec![("x", x)], g.group_norm(x, gamma, beta, norm))
    });
}

fn batch_norm(op: &Op, g: &mut Graph, kept: bool) -> (Vec<(&'static str, Tensor)>, Tensor) {
    let x = op.picture(g, "x");
    let c = op.shape("x")[1];
    let [gamma, beta] = ["gamma", "beta"].map(|role| g.param(role, ParamLayout::Vector(c)));
    let statistics = ["running_mean", "running_var"].map(|role| g.running_statistic(role, c, 0.0));
    let norm = BatchNorm { eps: op.number("eps"), momentum: op.number("momentum"), activation: op.activation() };
    let y = match kept {
        true => g.batch_norm_eval(x, gamma, beta, statistics, norm),
        false => g.batch_norm(x, gamma, beta, statistics, norm),
    };
    (vec![("x", x)], y)
}

#[test]
fn batch_norm_and_the_statistics_it_keeps_equal_pytorch() {
    assert_equals_pytorch("batch_norm", |op, g| batch_norm(op, g, false));
}

#[test]
fn batch_norm_by_kept_statistics_equals_pytorch_and_changes_none() {
    assert_equals_pytorch("batch_norm_kept", |op, g| batch_norm(op, g, true));
}

#[test]
fn sigmoid_of_any_size_equals_pytorch() {
    assert_equals_pytorch("sigmoid", |op, g| {
        let x = op.picture(g, "x");
        (vec![("x", x)], g.sigmoid(x))
    });
}

#[test]
fn max_pool2d_equals_pytorch_where_largest_values_tie() {
    assert_equals_pytorch("max_pool2d", |op, g| {
        let x = op.picture(g, "x");
        (vec![("x", x)], g.max_pool2d(x, op.size("kernel")))
    });
}

#[test]
fn upsample_nearest_equals_pytorch() {
    assert_equals_pytorch("upsample", |op, g| {
        let x = op.picture(g, "x");
        (vec![("x", x)], g.upsample_nearest(x, op.size("kernel")))
    });
}

#[test]
fn unfold_equals_pytorch() {
    assert_equals_pytorch("unfold", |op, g| {
        let x = op.picture(g, "x");
        (vec![("x", x)], g.unfold(x, op.conv()))
    });
}

#[test]
fn fold_equals_pytorch() {
    assert_equals_pytorch("fold", |op, g| {
        let ([n, rows, h, w], [_, c, height, width]) = (op.sizes("x"), op.sizes("y"));
        let x = g.add_tensor("x", [n, h, w], &vec![c; rows / c], Role::Host);
        g.require_grad(x);
        (vec![("x", x)], g.fold(x, [height, width], op.conv()))
    });
}

#[test]
fn concat_equals_pytorch() {
    assert_equals_pytorch("concat", |op, g| {
        let inputs: Vec<_> = ["a", "b", "c"].into_iter().filter(|r| op.has(r)).map(|r| (r, op.picture(g, r))).collect();
        let tensors: Vec<_> = inputs.iter().map(|(_, x)| *x).collect();
        (inputs, g.concat(&tensors))
    });
}

#[test]
fn add_equals_pytorch() {
    assert_equals_pytorch("add", |op, g| {
        let [a, b] = ["a", "b"].map(|role| op.picture(g, role));
        (vec![("a", a), ("b", b)], g.add_with(a, b, op.activation()))
    });
}

#[test]
fn subtract_equals_pytorch() {
    assert_equals_pytorch("subtract", |op, g| {
        let [a, b] = ["a", "b"].map(|role| op.picture(g, role));
        (vec![("a", a), ("b", b)], g.subtract(a, b))
    });
}

#[test]
fn mse_equals_pytorch() {
    assert_equals_pytorch("mse", |op, g| {
        let [x, t] = ["x", "t"].map(|role| op.picture(g, role));
        (vec![("x", x), ("t", t)], g.mse(x, t))
    });
}

#[test]
fn robust_and_masked_losses_equal_pytorch() {
    assert_equals_pytorch("loss", |op, g| {
        let roles: Vec<_> = ["x", "t", "mask"].into_iter().filter(|role| op.has(role)).collect();
        let count = |role| if role == "x" { 1 } else { op.size("targets") };
        let inputs: Vec<_> = roles.into_iter().map(|role| (role, op.pictures(g, role, count(role)))).collect();
        let kind = match op.options["kind"].as_str() {
            Some("l1") => Loss::L1,
            Some("outliers") => Loss::Outliers { share: 0.25, range: [-0.5, 1.0] },
            Some("l0") => Loss::L0 { eps: 1e-8 },
            _ => Loss::L2,
        };
        let exponent = g.host_scalar("exponent", 0.0);
        let y = g.loss(kind, inputs[0].1, inputs[1].1, inputs.get(2).map(|m| m.1), Some(exponent));
        (inputs, y)
    });
}

/// Three steps on a vector of parameters. Adam changes a parameter by about lr, from lr, betas and their corrections in
/// f32: eight roundings at most, so by 8 * 2^-24 * lr more or less; what decays, less than a third of lr, adds two of them.
/// Gradient descent changes it by lr times the sum of gradients, each times a power of the momentum, fewer roundings. In
/// single precision the arithmetic itself rounds about as often, and the parameter once when it is written and once a step.
#[test]
fn adam_and_gradient_descent_with_clipping_decay_and_average_equal_pytorch() {
    let golden = golden();
    let cases: Vec<_> = golden.cases().iter().filter(|c| c["op"] == "adam" || c["op"] == "sgd").collect();
    assert_eq!(cases.len(), 8);
    for place in places() {
        for &options in &cases {
            let op = Op { golden: &golden, options };
            let constant = |name: &str| options[name].as_f64().unwrap_or(0.0);
            let f32 = |name: &str| constant(name) as f32;
            let update = match op.options["op"].as_str() {
                Some("sgd") => Update::Sgd { momentum: f32("momentum") },
                _ => Update::Adam { beta1: f32("beta1"), beta2: f32("beta2"), eps: f32("eps"), decay: f32("decay") },
            };
            let p0 = op.tensor("p0");
            let largest = |step: i32| op.tensor(&format!("g{step}")).into_iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let change = if matches!(update, Update::Sgd { .. }) { (1..=3).map(largest).sum() } else { 1.0 };
            let mut g = Graph::new();
            let p = g.param("p", ParamLayout::Vector(p0.len()));
            let dp = g.host_picture("dp", [1, 1, 1], p0.len());
            g.backward(&[(p, dp)]);
            let loss = g.host_vector("loss", 4, Element::F32);
            let optimizer = g.optimize(loss, update, constant("clip") as f32);

            let mut run = place.start(&g);
            run.put_params(|_| p0.clone());
            // The parameter begins its storage, and so does its average.
            run.write(optimizer.ema, &p0);
            for step in 1..=3 {
                let control = optimizer.control(step, constant("lr"), constant("ema")).map(f64::from);
                run.write(optimizer.control, &control);
                run.put(dp, &op.tensor(&format!("g{step}")));
                run.run();
                let arithmetic = if place.is_double() { 10.0 } else { 20.0 };
                let roundings = if place.is_double() { 0.0 } else { (step + 1) as f64 };
                let mut pairs = vec![(format!("p{step}"), g.params_storage().unwrap())];
                pairs.extend(op.has("e1").then(|| (format!("e{step}"), optimizer.ema)));
                for (role, id) in pairs {
                    for (i, (truth, result)) in op.tensor(&role).iter().zip(run.read(id)).enumerate() {
                        let moved = step as f64 * arithmetic * constant("lr") * change;
                        let tolerance = HALF_ULP * (moved + 2.0 * roundings * truth.abs());
                        let error = (truth - result).abs();
                        let op = op.name();
                        assert!(error <= tolerance, "{op} on {}: {role}[{i}] is off by {error:e} > {tolerance:e}", place.name());
                    }
                }
            }
        }
    }
}
