//! Every kernel, on every adapter at hand and on the CPU in single precision, against the CPU in double precision.

mod common;

use std::collections::BTreeSet;

use n2n_gpu::check::{self, Case};
use n2n_gpu::device::Device;
use n2n_gpu::plan::Plan;

fn assert_passes(device: &Device, case: &Case) {
    let outcome = case.run(device).unwrap();
    assert!(outcome.passed(), "{} on {}: {} is off by {:e}", outcome.case, device.name(), outcome.output, outcome.error);
}

#[test]
fn the_cpu_in_single_precision_equals_the_cpu_in_double_precision() {
    check::cases().iter().for_each(|case| assert_passes(&Device::Cpu, case));
}

#[test]
fn every_kernel_equals_its_meaning_on_the_cpu() {
    for device in common::adapters() {
        check::cases().iter().for_each(|case| assert_passes(&device, case));
    }
}

/// Checks read no stray value into a result: a smaller set of cases, as drivers in software compile them slowly.
#[test]
fn every_kernel_equals_its_meaning_on_the_cpu_with_bounds_checked_in_shaders() {
    for mut gpu in common::gpus() {
        gpu.checked = true;
        let device = Device::Gpu(gpu);
        let mut seen = BTreeSet::new();
        for case in check::cases() {
            let plan = Plan::new(case.graph().clone(), device.limits()).unwrap();
            let kernels: Vec<_> = plan.steps.iter().map(|step| step.kernel).collect();
            // Case by case, up to three of every kernel.
            if kernels.iter().any(|k| (0..3).any(|n| !seen.contains(&(*k, n)))) {
                kernels.iter().for_each(|k| {
                    let free = (0..3).find(|n| !seen.contains(&(*k, *n)));
                    seen.extend(free.map(|n| (*k, n)));
                });
                assert_passes(&device, &case);
            }
        }
    }
}
