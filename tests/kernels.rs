//! Every kernel, on every adapter at hand and on the CPU in single precision, against the CPU in double precision.

#[path = "common/cli.rs"]
mod cli;
mod common;

use common::{Place, largest_error, normals, places, square_error};
use n2n_gpu::check::{self, Case, TOLERANCE};
use n2n_gpu::device::Device;
use n2n_gpu::gpu::Gpu;
use n2n_gpu::graph::{Graph, ParamLayout, Precision, View, padded};
use n2n_gpu::limits::Limits;
use n2n_gpu::ops::{Activation, Conv};
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
        check::cases().iter().filter(|c| c.suits(&device)).for_each(|case| assert_passes(&device, case));
    }
}

/// Software adapters run shared kernels, all others those that are specialised.
#[test]
fn shared_kernels_give_the_same_bits_as_specialised_ones() {
    let with_cases = |gpu: Gpu| {
        let large = common::large(gpu.clone());
        // What a large one compiles beside the same takes long.
        let conv = |c: &Case| c.name.starts_with("conv");
        let all = check::cases().into_iter().map(move |case| (gpu.clone(), case));
        all.chain(check::cases().into_iter().filter(conv).step_by(3).map(move |case| (large.clone(), case)))
    };
    for (gpu, case) in common::gpus().into_iter().flat_map(with_cases) {
        let case = &case;
        if case.suits(&Device::Gpu(gpu.clone())) {
            let [shared, specialised] = [true, false].map(|shared| {
                let limits = Limits { shared, ..gpu.adapter.limits };
                let plan = Plan::new(case.graph().clone(), Some(&limits)).unwrap();
                assert!(shared || plan.runtime.is_empty(), "{}: specialised kernels read nothing at run time", case.name);
                common::bits(&gpu, case, plan)
            });
            assert!(shared == specialised, "{} on {}: shared kernels give other bits", case.name, gpu.adapter.name);
        }
    }
}

/// What would be asked of matrices of floats is met without them.
#[test]
fn the_cases_for_cooperative_matrices_of_floats_pass_on_any_device() {
    for device in common::adapters().into_iter().chain([Device::Cpu]) {
        check::cooperative_cases(Precision::F32).iter().for_each(|case| assert_passes(&device, case));
    }
}

/// On adapters that have them, which may be none of this machine's.
#[test]
fn convolutions_on_cooperative_matrices_equal_their_meaning_on_the_cpu() {
    for gpu in common::gpus() {
        for precision in [Precision::F32, Precision::F16] {
            let Some((mut with, wrong)) = check::with_cooperative_matrices(&gpu, precision).unwrap() else {
                let name = &gpu.adapter.name;
                cli::left_out(&format!("cooperative matrices for {precision:?}, which {name} does not have"));
                continue;
            };
            assert_eq!(wrong, None, "the self-test, with small tiles and large ones");
            // As Metal has them, with other tiles again.
            with.adapter.limits.busy = 16;
            with.adapter.limits.cooperative.as_mut().unwrap().matrices.scalars = true;
            let device = Device::Gpu(with);
            check::cooperative_cases(precision).iter().for_each(|case| assert_passes(&device, case));
        }
    }
}

/// Software adapters have kernels of their own for convolutions; here they run those of others, checked and unchecked.
#[test]
fn convolutions_as_a_large_gpu_runs_them_equal_their_meaning_on_the_cpu() {
    for (gpu, checked) in common::gpus().into_iter().flat_map(|gpu| [(gpu.clone(), false), (gpu, true)]) {
        let mut large = common::large(gpu);
        large.checked = checked;
        let device = Device::Gpu(large);
        let cases = check::cases().into_iter().filter(|c| c.suits(&device) && c.name.starts_with("conv"));
        cases.skip(usize::from(checked)).step_by(2).for_each(|case| assert_passes(&device, &case));
    }
}

/// Checks read no stray value into a result.
#[test]
fn every_kernel_equals_its_meaning_on_the_cpu_with_bounds_checked_in_shaders() {
    for mut gpu in common::gpus() {
        gpu.checked = true;
        let with = check::with_cooperative_matrices(&gpu, Precision::F16).unwrap().map(|(with, _)| Device::Gpu(with));
        let device = Device::Gpu(gpu);
        check::cases().iter().filter(|c| c.suits(&device)).for_each(|case| assert_passes(&device, case));
        if let Some(with) = with {
            check::cooperative_cases(Precision::F16).iter().for_each(|case| assert_passes(&with, case));
        }
    }
}

#[test]
fn grids_of_several_rows_give_the_same() {
    // As large tensors on devices, whose grids end at 65,535 workgroups: here at 64, so that small ones wrap as well.
    for mut gpu in common::gpus() {
        gpu.adapter.limits.workgroups = 64;
        let device = Device::Gpu(gpu);
        let window = n2n_gpu::ops::Conv { kernel: 3, stride: 2, padding: 1 };
        let size = [1, 150, 97];
        assert_passes(&device, &check::elementwise(size, [6, 4]));
        assert_passes(&device, &check::conv(window, false, [1, 300, 195], &[3], 4, 0.1));
        assert_passes(&device, &check::conv(window, true, size, &[4], 3, 0.1));
        assert_passes(&device, &check::batch(100, Some("gaussian:0-50".parse().unwrap()), false, false));
    }
}

/// Both add up the same products, in another order: what they differ by is what either is off by.
#[test]
fn conv2d_is_the_product_of_its_filter_and_the_unfolded_picture() {
    let windows = [(1, 1, 0), (1, 2, 0), (2, 2, 0), (2, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 0)];
    for (kernel, stride, padding) in windows {
        let conv = Conv { kernel, stride, padding };
        let mut g = Graph::new();
        let x = g.host_picture("x", [2, 7, 5], 6);
        let w = g.param("w", ParamLayout::Conv { k: kernel, input: vec![6], output: 9 });
        let b = g.param("b", ParamLayout::Vector(9));
        let direct = g.conv2d(x, w, Some(b), conv, Activation::NONE);
        let windows = g.unfold(x, conv);
        // (K, K, C, O) read as (1, 1, K * K * C, O).
        let flat = View { shape: [1, 1, kernel * kernel * padded(&[6])], ..g.view(w).clone() };
        let flat = g.add_view(flat);
        let product = g.conv2d(windows, flat, Some(b), Conv { kernel: 1, stride: 1, padding: 0 }, Activation::NONE);
        let [direct, product] = [("direct", direct), ("product", product)].map(|(name, y)| g.output(name, y));
        for place in places() {
            let mut run = place.start(&g);
            run.put(x, &normals(1, 2 * 7 * 5 * 6));
            run.put_params(|param| normals(2, if param == "w" { 9 * 6 * kernel * kernel } else { 9 }));
            run.run();
            let (direct, product) = (run.get(direct), run.get(product));
            let (error, tolerance) = match place {
                Place::Double => (largest_error(&direct, &product), 1e-12),
                Place::Single(_) => (square_error(&direct, &product), TOLERANCE),
            };
            assert!(error <= tolerance, "{conv:?} on {}: off by {error:e}", place.name());
        }
    }
}
