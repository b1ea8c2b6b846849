//! What an optimizer changes, and what it leaves alone.

mod common;

use common::places;
use n2n_gpu::graph::{Graph, ParamLayout};
use n2n_gpu::ops::Update;

/// One step of `AdamW` from ones, with a gradient for the weight `moved` alone.
#[test]
fn weight_decay_shrinks_all_that_is_trained_and_nothing_else() {
    let (lr, decay) = (0.25, 0.5);
    let mut g = Graph::new();
    let moved = g.param("moved", ParamLayout::Vector(5));
    // Never has a gradient, but is a weight.
    let still = g.param("still", ParamLayout::Vector(70));
    g.running_statistic("mean", 3, 0.0);
    g.param("after", ParamLayout::Vector(3));
    let t = g.host_picture("t", [1, 1, 1], 5);
    let loss = g.mse(moved, t);
    let one = g.one();
    let zeros = g.scale(still, 0.0);
    let dy = g.scale(zeros, 0.0);
    g.backward(&[(loss, one), (still, dy)]);
    let update = Update::Adam { beta1: 0.9, beta2: 0.99, eps: 1e-8, decay };
    let optimizer = g.optimize(loss, update, 0.0);
    for place in places() {
        let mut run = place.start(&g);
        run.put_params(|name| vec![1.0; g.params().iter().find(|p| p.name == name).unwrap().layout.count()]);
        run.put(t, &[2.0; 5]);
        run.write(optimizer.control, &optimizer.control(1, lr, 0.0).map(f64::from));
        run.run();
        for (name, values) in run.get_params(g.params_storage().unwrap()) {
            let expected = match name.as_str() {
                // And lr in the direction of the target, which the first step of Adam takes whatever the gradient's size.
                "moved" => 1.0 - lr * f64::from(decay) + lr,
                "mean" => 1.0,
                _ => 1.0 - lr * f64::from(decay),
            };
            // eps is 1e-8 of a gradient of 0.4; the rest are a handful of roundings.
            assert!(values.iter().all(|v| (v - expected).abs() < 1e-6), "{name} on {}: {values:?}", place.name());
        }
    }
}
