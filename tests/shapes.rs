//! Random odd shapes: single precision on the CPU and on every adapter against double precision on the CPU.

mod common;

use n2n_gpu::check::{self, Case};
use n2n_gpu::device::Device;
use n2n_gpu::ops::{Conv, Loss};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

/// Checks as many random cases on the CPU and on every adapter, the same ones every time.
fn assert_random_cases_pass<S: Strategy>(cases: u32, strategy: &S, case: impl Fn(S::Value) -> Case) {
    for device in std::iter::once(Device::Cpu).chain(common::adapters()) {
        let config = Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() };
        let tested = TestRunner::new(config).run(strategy, |shape| {
            let outcome = case(shape).run(&device).unwrap();
            let message = format!("{} on {}: {} is off by {:e}", outcome.case, device.name(), outcome.output, outcome.error);
            if outcome.passed() { Ok(()) } else { Err(TestCaseError::fail(message)) }
        });
        tested.unwrap_or_else(|e| panic!("{e}"));
    }
}

/// (N, H, W).
fn size() -> impl Strategy<Value = [usize; 3]> {
    [1..4_usize, 1..14_usize, 1..14_usize]
}

fn slope() -> impl Strategy<Value = f32> {
    prop_oneof![Just(1.0_f32), Just(0.1)]
}

#[test]
fn convolutions_of_any_shape_equal_their_meaning() {
    let window = prop_oneof![Just((1, 1)), Just((1, 2)), Just((2, 1)), Just((2, 2)), Just((3, 1)), Just((3, 2))];
    let convs = (window, any::<bool>(), any::<bool>(), size(), prop::collection::vec(1..20_usize, 1..4), 1..40_usize, slope());
    assert_random_cases_pass(12, &convs, |((kernel, stride), pad, transposed, mut size, input, output, slope)| {
        let padding = usize::from(pad && kernel > 1);
        if !transposed {
            // The window has to fit the picture.
            size = [size[0], size[1].max(kernel), size[2].max(kernel)];
        }
        if transposed {
            // There has to be an output.
            size = [size[0], size[1].max(2), size[2].max(2)];
        }
        check::conv(Conv { kernel, stride, padding }, transposed, size, &input, output, slope)
    });
}

/// Rows that the CPU makes in several blocks. Adapters know nothing of blocks: they would differ from blocks that are wrong.
#[test]
fn convolutions_of_wide_pictures_equal_their_meaning() {
    let stride = prop_oneof![Just(1), Just(2)];
    let convs = (stride, any::<bool>(), [1..3_usize, 2..5_usize, 300..700_usize], 1..12_usize, 1..12_usize);
    assert_random_cases_pass(6, &convs, |(stride, transposed, size, input, output)| {
        check::conv(Conv { kernel: 3, stride, padding: 1 }, transposed, size, &[input], output, 0.1)
    });
}

/// A group of very few elements has almost no gradient, only differences of equal numbers: it has at least eight here.
#[test]
fn group_normalisations_of_any_shape_equal_their_meaning() {
    let norms = (size(), 1..7_usize, 1..7_usize, slope()).prop_filter("eight elements", |([_, h, w], c, _, _)| h * w * c >= 8);
    assert_random_cases_pass(12, &norms, |(size, channels, groups, slope)| {
        check::group_norm(size, channels * groups, groups, slope)
    });
}

#[test]
fn elementwise_ops_of_any_shape_equal_their_meaning() {
    assert_random_cases_pass(8, &(size(), [1..18_usize, 1..18_usize]), |(size, channels)| check::elementwise(size, channels));
}

/// The same with as few elements in a channel of all pictures.
#[test]
fn batch_normalisations_of_any_shape_equal_their_meaning() {
    let norms = (size(), 1..20_usize, slope()).prop_filter("eight elements", |([n, h, w], _, _)| n * h * w >= 8);
    assert_random_cases_pass(12, &norms, |(size, channels, slope)| check::batch_norm(size, channels, slope));
}

#[test]
fn pooling_upsampling_and_windows_of_any_shape_equal_their_meaning() {
    let windows =
        prop_oneof![Just((1, 1, 0)), Just((2, 2, 0)), Just((2, 1, 1)), Just((3, 1, 1)), Just((3, 2, 1)), Just((3, 2, 0))];
    assert_random_cases_pass(12, &(1..4_usize, size(), 1..20_usize, windows), |(k, [n, h, w], channels, window)| {
        let (kernel, stride, padding) = window;
        // What is left of the picture has to hold a window.
        let side = |size: usize| size.max(k * kernel);
        check::resizing(k, [n, side(h), side(w)], channels, Conv { kernel, stride, padding })
    });
}

#[test]
fn losses_of_any_shape_equal_their_meaning() {
    let outliers = Loss::Outliers { share: 0.25, range: [0.0, 1.0] };
    let kinds = prop_oneof![
        Just(Loss::L2),
        Just(Loss::L1),
        Just(outliers),
        Just(Loss::HUBER),
        Just(Loss::CHARBONNIER),
        Just(Loss::L0 { eps: 1e-8 })
    ];
    let shapes = (size(), 1..20_usize, 1..5_usize);
    assert_random_cases_pass(12, &(kinds, any::<bool>(), 1.0..2.0_f32, shapes), |(kind, masked, power, (size, c, targets))| {
        check::loss(kind, masked, power, size, [c, targets])
    });
}
