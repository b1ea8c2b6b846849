//! Every op, value and gradients, against `PyTorch`: on the CPU in both precisions and on every adapter.

mod common;

use common::{Golden, HALF_ULP, Place, largest_error, places, square_error};
use n2n_gpu::check::TOLERANCE;
use n2n_gpu::graph::{Element, Graph, Layout, Role, Tensor};
use n2n_gpu::ops::{Activation, Conv, GroupNorm, Update};
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

    /// A host picture of the shape that the file has for `role`.
    fn picture(&self, g: &mut Graph, role: &str) -> Tensor {
        let [n, c, h, w] = self.shape(role)[..] else { panic!("{}: {role} is no picture", self.name()) };
        let x = g.host_picture(role, [n, h, w], c);
        g.require_grad(x);
        x
    }

    /// Largest relative error in double precision. Sums of K < 2000 products round to K * 2^-53 = 2e-13 of their
    /// magnitudes; but slopes are constants in f32, off by up to 2^-24, which is what then shows: in a gradient summed from
    /// products with it, by a few times that of the largest. An eps of 1e-5 in f32 is off by 6e-13, and a variance
    /// of 0.1 makes 3e-12 of it.
    fn tolerance(&self) -> f64 {
        match (self.options["slope"].is_null(), self.options["eps"].is_null()) {
            (false, _) => 4.0 * HALF_ULP,
            (true, false) => 1e-11,
            (true, true) => 1e-12,
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
            let grads = g.backward(&[(y, dy)]);
            let y = g.output("y", y);
            // PyTorch's bias gradient is called db, so that of an input b is called db_.
            let roles = |role| if role == "b" { "db_".to_owned() } else { format!("d{role}") };
            let wanted: Vec<_> = inputs.iter().map(|&(role, x)| (roles(role), x)).filter(|(role, _)| op.has(role)).collect();
            let wanted: Vec<_> = wanted.into_iter().map(|(role, x)| (g.output(&role, grads[&x]), role)).collect();

            let mut run = place.start(&g);
            for (role, x) in inputs {
                run.put(x, &op.tensor(role));
            }
            run.put(dy, &if op.has("dy") { op.tensor("dy") } else { vec![1.0] });
            run.put_params(|role| op.tensor(role));
            run.run();
            op.assert_equal(&place, "y", &run.get(y));
            for (dx, role) in wanted {
                op.assert_equal(&place, &role, &run.get(dx));
            }
            if let Some(id) = g.host("grads") {
                for (role, dw) in run.get_params(id) {
                    op.assert_equal(&place, &format!("d{role}"), &dw);
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
        let w = g.param("w", Layout::Conv { k: op.size("kernel"), input, output });
        let b = g.param("b", Layout::Vector(output));
        let conv = Conv { kernel: op.size("kernel"), stride: op.size("stride"), padding: op.size("padding") };
        (vec![("x", x)], g.conv2d(x, w, Some(b), conv, op.activation()))
    });
}

#[test]
fn conv_transpose2d_equals_pytorch() {
    assert_equals_pytorch("conv_transpose2d", |op, g| {
        let x = op.picture(g, "x");
        let (input, output) = (vec![op.shape("w")[0]], op.shape("w")[1]);
        let w = g.param("w", Layout::ConvTranspose { k: op.size("kernel"), input, output });
        let b = g.param("b", Layout::Vector(output));
        let conv = Conv { kernel: op.size("kernel"), stride: op.size("stride"), padding: op.size("padding") };
        (vec![("x", x)], g.conv_transpose2d(x, w, b, conv, op.size("output_padding"), op.activation()))
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
        let [gamma, beta] = ["gamma", "beta"].map(|role| g.param(role, Layout::Vector(c)));
        let norm =
            GroupNorm { groups: op.size("groups"), eps: op.options["eps"].as_f64().unwrap() as f32, activation: op.activation() };
        (vec![("x", x)], g.group_norm(x, gamma, beta, norm))
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
        (vec![("a", a), ("b", b)], g.add(a, b))
    });
}

#[test]
fn mse_equals_pytorch() {
    assert_equals_pytorch("mse", |op, g| {
        let [x, t] = ["x", "t"].map(|role| op.picture(g, role));
        (vec![("x", x), ("t", t)], g.mse(x, t))
    });
}

/// Three steps on a vector of parameters. A step changes a parameter by about lr, from lr, betas and their corrections in
/// f32: eight roundings at most, so by 8 * 2^-24 * lr more or less. In single precision the arithmetic itself rounds about
/// as often, and the parameter once when it is written and once a step.
#[test]
fn adam_with_clipping_and_average_equals_pytorch() {
    let golden = golden();
    let cases: Vec<_> = golden.cases().iter().filter(|c| c["op"] == "adam").collect();
    assert_eq!(cases.len(), 3);
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
            let mut g = Graph::new();
            let p = g.param("p", Layout::Vector(p0.len()));
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
                let arithmetic = if place.is_double() { 8.0 } else { 16.0 };
                let roundings = if place.is_double() { 0.0 } else { (step + 1) as f64 };
                let mut pairs = vec![(format!("p{step}"), g.params_storage().unwrap())];
                pairs.extend(op.has("e1").then(|| (format!("e{step}"), optimizer.ema)));
                for (role, id) in pairs {
                    for (i, (truth, result)) in op.tensor(&role).iter().zip(run.read(id)).enumerate() {
                        let tolerance = HALF_ULP * (step as f64 * arithmetic * constant("lr") + 2.0 * roundings * truth.abs());
                        let error = (truth - result).abs();
                        let op = op.name();
                        assert!(error <= tolerance, "{op} on {}: {role}[{i}] is off by {error:e} > {tolerance:e}", place.name());
                    }
                }
            }
        }
    }
}
