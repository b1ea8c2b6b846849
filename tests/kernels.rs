//! Every kernel, on every adapter at hand and on the CPU in single precision, against the CPU in double precision.

mod common;

use n2n_gpu::check::{self, Case};
use n2n_gpu::device::Device;

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

#[test]
fn every_kernel_equals_its_meaning_on_the_cpu_with_bounds_checked_in_shaders() {
    for mut gpu in common::gpus() {
        gpu.checked = true;
        let device = Device::Gpu(gpu);
        check::cases().iter().for_each(|case| assert_passes(&device, case));
    }
}
