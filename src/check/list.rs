//! The cases that `n2n-gpu check` and the tests run: every kernel, in every variant that the planner chooses.

use super::Case;
use super::cases::*;
use crate::graph::Precision;
use crate::nets::Norm;
use crate::noise::{LAWS, Noise};
use crate::ops::{Conv, LineBuffer, Loss, POINTWISE, Update};

/// All cases: every kernel, in every variant the planner chooses.
pub fn cases() -> Vec<Case> {
    let all = [
        convolutions(),
        normalisations(),
        losses(),
        pointwise_functions(),
        resizings_and_others(),
        batches(),
        training_steps(),
        half_cases(),
    ];
    all.into_iter().flatten().collect()
}

const fn window(kernel: usize, stride: usize, padding: usize) -> Conv {
    Conv { kernel, stride, padding }
}

/// Window, (N, H, W), input channels in parts, output channels, slope of the activation.
type Convolution = (Conv, [usize; 3], &'static [usize], usize, f32);

const CONVOLUTIONS: [Convolution; 20] = [
    (window(1, 1, 0), [2, 5, 7], &[6], 4, 1.0),
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
];

const TRANSPOSED: [Convolution; 8] = [
    (window(3, 2, 1), [2, 8, 8], &[48], 48, 1.0),
    (window(3, 2, 1), [2, 3, 5], &[6], 7, 0.1),
    (window(3, 2, 1), [3, 1, 1], &[13], 5, 1.0),
    (window(3, 2, 1), [1, 4, 4], &[5, 6], 96, 0.1),
    (window(2, 2, 0), [2, 3, 5], &[4], 6, 1.0),
    (window(4, 2, 1), [1, 5, 4], &[9], 13, 1.0),
    (window(3, 1, 1), [1, 5, 7], &[3], 5, 0.1),
    (window(1, 1, 0), [1, 1, 5], &[9], 2, 1.0),
];

fn convolutions() -> Vec<Case> {
    let case = |transposed| move |(c, size, input, output, slope): Convolution| conv(c, transposed, size, input, output, slope);
    CONVOLUTIONS.map(case(false)).into_iter().chain(TRANSPOSED.map(case(true))).collect()
}

fn normalisations() -> Vec<Case> {
    vec![
        group_norm([2, 5, 7], 6, 3, 1.0),
        group_norm([2, 4, 5], 6, 6, 0.1),
        group_norm([1, 6, 9], 5, 1, 1.0),
        group_norm([2, 16, 16], 48, 6, 0.1),
        group_norm([2, 1, 1], 8, 2, 0.1),
        group_norm([1, 40, 41], 16, 2, 0.1),
        // Groups of which a workgroup's channels touch several, and of more channels than are merged at once.
        group_norm([1, 5, 6], 150, 3, 0.1),
        group_norm([1, 2, 3], 1040, 1, 0.1),
        batch_norm([3, 5, 7], 6, 0.1),
        batch_norm([2, 40, 41], 13, 1.0),
        batch_norm([1, 3, 4], 1030, 0.1),
        residuals([2, 9, 7], 6),
        residuals([1, 17, 16], 16),
    ]
}

fn losses() -> Vec<Case> {
    let outliers = Loss::Outliers { share: 0.3, range: [-0.5, 0.5] };
    let kinds = [
        (Loss::L2, false, 0.0),
        (Loss::L1, false, 0.0),
        (Loss::Huber { delta: 0.3 }, false, 0.0),
        (Loss::Charbonnier { eps: 0.1 }, false, 0.0),
        (outliers, false, 0.0),
        (Loss::ANNEALED, false, 2.0),
        (Loss::ANNEALED, false, 1.3),
        (Loss::ANNEALED, false, 0.2),
        (Loss::L2, true, 0.0),
        (Loss::Hdr { range: [-0.5, 0.5] }, false, 0.0),
    ];
    let sizes = [([2, 3, 7], [3, 1]), ([1, 5, 6], [3, 4])];
    let of = |(kind, masked, power)| sizes.map(|(size, channels)| loss(kind, masked, power, size, channels));
    kinds.into_iter().flat_map(of).chain([loss(Loss::L2, false, 0.0, [2, 64, 64], [3, 1])]).collect()
}

fn pointwise_functions() -> Vec<Case> {
    POINTWISE.iter().map(|&(name, function)| pointwise(name, function, [2, 9, 7], 5)).collect()
}

fn resizings_and_others() -> Vec<Case> {
    vec![
        elementwise([2, 5, 7], [5, 3]),
        elementwise([1, 33, 32], [16, 8]),
        resizing(2, [2, 9, 7], 5, window(3, 1, 1)),
        resizing(3, [1, 20, 19], 13, window(2, 2, 0)),
        resizing(2, [2, 12, 13], 4, window(3, 2, 1)),
        line_buffer(40, LineBuffer { first: 1, rows: 8, lead: 2, delay: 3, scale: 2, lag: 4 }),
        line_buffer(3, LineBuffer { first: 0, rows: 4, lead: 0, delay: 9, scale: 1, lag: 0 }),
        line_buffer(97, LineBuffer { first: 2, rows: 2, lead: 1, delay: 0, scale: 4, lag: 1 }),
        fma(),
    ]
}

fn batches() -> Vec<Case> {
    let plain = LAWS.iter().flat_map(|law| law.examples).map(|text| batch(24, Some(law(text)), false, false));
    let others = [
        batch(24, Some(law("gaussian:0-50")), true, true),
        batch(24, Some(law("pixelate:2")), true, false),
        batch(19, Some(law("camera:0.5-8")), false, true),
        batch(17, Some(law("camera:8,2,60")), true, false),
        batch(24, None, false, false),
        batch(24, None, false, true),
        batch(24, Some(law("impulse:0.7")), false, true),
        batch_of_floats(24, Some(law("poisson-gaussian:30,5"))),
        batch_of_floats(24, Some(law("pixelate:2"))),
        batch_of_floats(24, None),
        batch_of_words(24, Some(law("gaussian:25")), 1),
        batch_of_words(17, None, 2),
        batch_of_words(24, None, 5),
        batch_of_words(24, None, 1),
        neighbours([2, 5, 7], 3),
        neighbours([1, 16, 17], 1),
        batch_of_grey(17),
        batch_of_renders(17, 6),
        batch_of_renders(24, 9),
    ];
    plain.chain(others).collect()
}

fn training_steps() -> Vec<Case> {
    let adam = |decay| Update::Adam { beta1: 0.9, beta2: 0.99, eps: 1e-3, decay };
    vec![
        training_step(Norm::None, 12, 2, [2, 16, 24], adam(0.0)),
        training_step(Norm::Group, 16, 2, [2, 16, 16], adam(0.1)),
        training_step(Norm::Batch, 8, 1, [2, 8, 10], adam(0.1)),
        training_step_in(Norm::Group, 8, 2, [2, 8, 12], adam(0.1), 3),
        training_step(Norm::None, 8, 1, [2, 8, 10], Update::Sgd { momentum: 0.9 }),
    ]
}

fn law(text: &str) -> Noise {
    text.parse().expect("a noise law")
}

/// Every kernel that pictures go through, with those in 16 bits.
fn half_cases() -> Vec<Case> {
    precision_cases().into_iter().map(Case::in_half).collect()
}

/// The same with pictures in 32 bits.
fn precision_cases() -> Vec<Case> {
    let noise = |text| batch(24, Some(law(text)), false, false);
    vec![
        conv(window(1, 1, 0), false, [1, 16, 17], &[48], 96, 0.1),
        conv(window(2, 2, 0), false, [2, 5, 7], &[4], 8, 1.0),
        conv(window(3, 1, 1), false, [1, 8, 9], &[96, 48], 96, 0.1),
        conv(window(3, 1, 1), false, [1, 8, 9], &[64], 72, 0.1),
        // No gates: of so many sums one or two are so near zero that weights in 16 bits change their signs.
        conv(window(1, 1, 0), false, [1, 8, 9], &[96], 144, 1.0),
        conv(window(3, 1, 1), false, [1, 33, 31], &[9], 10, 0.1),
        conv(window(3, 2, 1), false, [2, 7, 5], &[13], 6, 0.1),
        conv(window(3, 2, 1), true, [2, 3, 5], &[6], 7, 0.1),
        conv(window(3, 2, 1), true, [1, 4, 4], &[5, 6], 96, 0.1),
        group_norm([2, 5, 7], 6, 3, 0.1),
        group_norm([1, 40, 41], 16, 2, 0.1),
        residuals([2, 9, 7], 6),
        elementwise([2, 5, 7], [5, 3]),
        loss(Loss::L2, true, 0.0, [2, 3, 7], [3, 1]),
        loss_of_pictures([2, 3, 7], 3),
        batch_norm([3, 5, 7], 6, 0.1),
        resizing(2, [2, 9, 7], 5, window(3, 1, 1)),
        noise("gaussian:0-50"),
        noise("brown:25,2"),
        noise("camera:4,2,0"),
        training_step(Norm::None, 12, 2, [2, 16, 24], Update::Sgd { momentum: 0.9 }),
        training_step(Norm::Group, 16, 2, [2, 16, 16], Update::Sgd { momentum: 0.0 }),
    ]
}

/// Cases that convolve in that precision: what a device with cooperative matrices for it has to pass with them, to use them.
pub fn cooperative_cases(precision: Precision) -> Vec<Case> {
    let convolves = |case: &Case| case.graph.flops() > 0.0;
    let name = |case: Case| Case { name: format!("{} cooperative", case.name), cooperative: true, ..case };
    let cases = if precision == Precision::F16 { half_cases() } else { precision_cases() };
    cases.into_iter().filter(convolves).map(name).collect()
}
