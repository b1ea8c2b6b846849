//! Kernels as programs: every specialisation is valid, translates to every API's language, and keeps to `WebGPU`'s limits.

use std::collections::{BTreeMap, BTreeSet};

use n2n_gpu::check;
use n2n_gpu::kernel::{Cooperative, Limits, base_name, kernel, kernels};
use n2n_gpu::plan::Plan;
use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// A kernel with its constants' values.
struct Specialised {
    name: &'static str,
    module: naga::Module,
    info: naga::valid::ModuleInfo,
}

/// All kernels that the check's cases use on a device of these limits, each specialisation once.
fn specialised(limits: &Limits) -> Vec<Specialised> {
    let mut wanted = BTreeMap::new();
    for case in check::cases() {
        for step in &Plan::new(case.graph().clone(), Some(limits)).unwrap().steps {
            let bits: Vec<u64> = step.constants.iter().map(|(_, v)| v.to_bits()).collect();
            wanted.insert((step.kernel, bits), step.constants.clone());
        }
    }
    let specialise = |(name, constants): (&'static str, Vec<(String, f64)>)| {
        let generic = &kernel(name).module;
        let info = validator().validate(generic).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let values = constants.into_iter().collect();
        let entry = Some((naga::ShaderStage::Compute, "main"));
        let (module, info) = process_overrides(generic, &info, entry, &values).unwrap_or_else(|e| panic!("{name}: {e}"));
        Specialised { name, module: module.into_owned(), info: info.into_owned() }
    };
    wanted.into_iter().map(|((name, _), constants)| specialise((name, constants))).collect()
}

fn validator() -> Validator {
    Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX)
}

#[test]
fn every_specialised_kernel_is_valid_and_translates_to_spirv_msl_and_hlsl() {
    for Specialised { name, module, info } in &specialised(&Limits::default()) {
        validator().validate(module).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let words = spv::write_vec(module, info, &spv::Options::default(), None).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(words[0], 0x0723_0203, "{name}: SPIR-V");
        let (text, _) = msl::write_string(module, info, &msl::Options::default(), &msl::PipelineOptions::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(text.contains("kernel void"), "{name}: {text}");
        // The first with 16-bit floats.
        let shader_model = hlsl::ShaderModel::V6_2;
        let (options, pipeline) = (hlsl::Options { shader_model, ..Default::default() }, hlsl::PipelineOptions::default());
        let mut text = String::new();
        let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
        writer.write(module, info, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(text.contains("[numthreads("), "{name}: {text}");
    }
}

#[test]
fn every_kernel_file_is_run_by_a_case() {
    let files: BTreeSet<String> = std::fs::read_dir("shaders")
        .unwrap()
        .filter_map(|f| f.unwrap().file_name().to_str()?.strip_suffix(".wgsl").map(str::to_owned))
        .collect();
    let known: BTreeSet<String> = kernels().iter().map(|k| k.name.to_owned()).collect();
    let cooperative = Limits { cooperative: Some(Cooperative { subgroup: 32, side: 16 }), ..Limits::default() };
    let all = specialised(&Limits::default()).into_iter().chain(specialised(&cooperative));
    let run: BTreeSet<String> = all.map(|s| base_name(s.name).to_owned()).collect();
    assert_eq!(files, known, "files in shaders/, and the list in src/kernel.rs");
    assert_eq!(files, run, "files in shaders/, and kernels that check::cases() run");
}

/// `SwiftShader`, among others, has 128 invocations.
#[test]
fn kernels_keep_to_the_limits_of_the_device() {
    for invocations in [256, 128] {
        let limits = Limits { invocations, ..Limits::default() };
        for Specialised { name, module, .. } in &specialised(&limits) {
            let buffers = module.global_variables.iter().filter(|(_, v)| matches!(v.space, naga::AddressSpace::Storage { .. }));
            assert!(buffers.count() <= 8, "{name}: storage buffers");
            let workgroup: u32 = module.entry_points[0].workgroup_size.iter().product();
            assert!((1..=invocations).contains(&workgroup), "{name}: {workgroup} invocations of {invocations}");
            let shared = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
            let bytes: u32 = shared.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx())).sum();
            assert!(bytes <= 16 << 10, "{name}: {bytes} bytes of workgroup memory");
        }
    }
}

#[test]
fn kernels_on_cooperative_matrices_are_valid_and_translate() {
    for side in [16, 8] {
        let limits = Limits { cooperative: Some(Cooperative { subgroup: 32, side }), ..Limits::default() };
        let mut names = BTreeSet::new();
        for Specialised { name, module, info } in specialised(&limits).iter().filter(|s| base_name(s.name).ends_with("_coop")) {
            validator().validate(module).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            spv::write_vec(module, info, &spv::Options::default(), None).unwrap_or_else(|e| panic!("{name}: {e}"));
            msl::write_string(
                module,
                info,
                &msl::Options { lang_version: (2, 3), ..Default::default() },
                &msl::PipelineOptions::default(),
            )
            .unwrap_or_else(|e| panic!("{name}: {e}"));
            names.insert(base_name(name));
        }
        assert_eq!(names, BTreeSet::from(["conv2d_coop", "conv2d_dw_coop", "conv2d_dx_coop"]));
    }
}
