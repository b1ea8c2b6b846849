//! How the program finds its device.

#[path = "common/cli.rs"]
mod cli;
mod common;

use cli::{Done, Shell};
use n2n_gpu::device::Device;
use n2n_gpu::error::Error;
use n2n_gpu::graph::{Graph, Precision};

/// Also with adapters: a Vulkan driver looks for a desktop, and its library complains where there is none.
#[test]
fn looking_for_a_gpu_says_nothing_on_a_server() {
    let shell = Shell::new();
    for folder in [None, Some("run")] {
        let mut command = shell.command("devices --quiet");
        match folder {
            Some(relative) => command.env("XDG_RUNTIME_DIR", relative),
            None => command.env_remove("XDG_RUNTIME_DIR"),
        };
        let done = Done::of("devices --quiet", command);
        assert_eq!(done.succeeds().stderr, "");
    }
}

/// llvmpipe has numbers in its name, as most GPUs have.
#[test]
fn a_number_is_an_index_and_no_part_of_a_name() {
    let shell = Shell::new();
    let adapters = n2n_gpu::gpu::adapters();
    let digits = adapters.iter().flat_map(|a| a.name.split(|c: char| !c.is_ascii_digit())).map(str::to_owned);
    let beyond = digits.filter(|d| d.parse().is_ok_and(|i: usize| i >= adapters.len()));
    for number in beyond.chain(["1000".to_owned()]) {
        shell.run(&format!("bench --device {number}")).fails(&[&number, "no such device"]);
    }
    assert_eq!(common::gpus().len(), adapters.len());
}

#[test]
fn a_library_user_gets_half_precision_or_a_remark() {
    let (device, precision, remark) = Device::Cpu.with_precision(Precision::F16).unwrap();
    assert!(matches!(device, Device::Cpu) && precision == Precision::F16 && remark.is_none());
    for gpu in common::gpus() {
        let whole = Device::Gpu(gpu.clone());
        let expected = if whole.supports(Precision::F16) { Precision::F16 } else { Precision::F32 };
        assert_eq!(whole.with_precision(Precision::F16).unwrap().1, expected);
        let mut less = gpu.clone();
        less.adapter.features.clear();
        let (device, precision, remark) = Device::Gpu(less.clone()).with_precision(Precision::F16).unwrap();
        assert_eq!(precision, Precision::F32);
        assert!(remark.is_some_and(|line| line.contains(device.name()) && line.contains("f32 is used")));
        assert_eq!(Device::Gpu(less).with_precision(Precision::F32).unwrap().2, None);
    }
}

#[test]
fn a_plan_that_no_memory_holds_is_an_error_with_numbers() {
    let mut g = Graph::new();
    // 2^44 pixels of 16 bytes: more than there are addresses.
    let x = g.host_picture("x", [1, 1 << 21, 1 << 23], 3);
    g.output("y", x);
    let refused = Device::Cpu.prepare(g).err();
    assert!(matches!(&refused, Some(Error::Memory(text)) if text.contains("MiB")), "{refused:?}");
}
