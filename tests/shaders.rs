//! Kernels as programs: every specialisation is valid, translates to every API's language, and keeps to `WebGPU`'s limits.

use std::collections::{BTreeMap, BTreeSet};

use n2n_gpu::check;
use n2n_gpu::kernel::{KernelId, Shader, Workgroup, kernel};
use n2n_gpu::limits::{Cooperative, Limits, Matrices};
use n2n_gpu::plan::Plan;
use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// A kernel with its constants' values.
struct Specialised {
    name: KernelId,
    constants: Vec<(String, f64)>,
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
    let specialise = |(name, constants): (KernelId, Vec<(String, f64)>)| {
        let generic = &kernel(name).module;
        let info = validator().validate(generic).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let values = constants.iter().cloned().collect();
        let entry = Some((naga::ShaderStage::Compute, "main"));
        let (module, info) = process_overrides(generic, &info, entry, &values).unwrap_or_else(|e| panic!("{name}: {e}"));
        Specialised { name, constants, module: module.into_owned(), info: info.into_owned() }
    };
    wanted.into_iter().map(|((name, _), constants)| specialise((name, constants))).collect()
}

fn validator() -> Validator {
    Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX)
}

#[test]
fn every_specialised_kernel_is_valid_and_translates_to_spirv_msl_and_hlsl() {
    let [shared, alone] = [true, false].map(|shared| specialised(&Limits { shared, ..Limits::default() }));
    assert!(shared.len() < alone.len(), "{} shared kernels, {} specialised ones", shared.len(), alone.len());
    for Specialised { name, module, info, .. } in shared.iter().chain(&alone) {
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

fn matrices() -> impl Iterator<Item = Matrices> {
    let sides = [16, 8].into_iter();
    sides.flat_map(|side| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(wide, scalars)| Matrices { side, wide, scalars })
    })
}

/// What the list in src/kernel.rs says of a file is what the file says.
#[test]
fn the_files_that_compute_on_cooperative_matrices_are_listed_as_such() {
    for &shader in Shader::ALL {
        let enabled = kernel(shader).source.contains("enable wgpu_cooperative_matrix;");
        assert_eq!(enabled, shader.is_cooperative(), "{}", shader.name());
    }
}

/// A text that a variant does not find in its file is a panic.
#[test]
fn every_variant_of_every_kernel_is_a_program() {
    for &shader in Shader::ALL {
        let can_be_half = |i: &usize| {
            let alias = |element| format!("alias {}_t = {element};", kernel(shader).bindings[*i].name);
            ["vec4f", "f32"].into_iter().any(|element| kernel(shader).source.contains(&alias(element)))
        };
        let halves: Vec<usize> = (0..kernel(shader).bindings.len()).filter(can_be_half).collect();
        for set in 0..1_usize << halves.len() {
            let id =
                KernelId::from(shader).with_halves(halves.iter().enumerate().filter(|(i, _)| set >> i & 1 != 0).map(|(_, &b)| b));
            let pairs = [Shader::Conv2dCoop, Shader::Conv2dDxCoop].contains(&shader) && set & 1 != 0;
            let ids = [Some(id), pairs.then(|| id.with_pairs(0))].into_iter().flatten();
            let matrices = || matrices().filter(|&m| shader.is_cooperative() || m == Matrices::default());
            for id in ids.flat_map(|id| matrices().map(move |m| id.with_matrices(m))) {
                assert_eq!(kernel(id).bindings, kernel(shader).bindings, "{id}");
                validator().validate(&kernel(id).module).unwrap_or_else(|e| panic!("{id}: {e:?}"));
            }
        }
    }
    for (id, wrong) in [
        (KernelId::from(Shader::Adam).with_halves([0]), "adam f16:control: its file has no `alias control_t = vec4f;`"),
        (
            KernelId::from(Shader::Conv2d).with_matrices(Matrices { side: 8, ..Matrices::default() }),
            "conv2d 8x8: its file has no `const SIDE = 16u;`",
        ),
    ] {
        let panic = std::panic::catch_unwind(|| kernel(id)).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), wrong);
    }
}

#[test]
fn every_kernel_file_is_run_by_a_case() {
    let files: BTreeSet<String> = std::fs::read_dir("shaders")
        .unwrap()
        .filter_map(|f| f.unwrap().file_name().to_str()?.strip_suffix(".wgsl").map(str::to_owned))
        .collect();
    let known: BTreeSet<String> = Shader::ALL.iter().map(|s| s.name().to_owned()).collect();
    let matrices = Cooperative { subgroup: 32, matrices: Matrices::default() };
    let cooperative = Limits { cooperative: Some(matrices), workgroup_bytes: 32 << 10, ..Limits::default() };
    let all = [Limits::default(), Limits::default().software(), cooperative];
    let all = all.iter().flat_map(specialised);
    let run: BTreeSet<String> = all.map(|s| s.name.shader.name().to_owned()).collect();
    assert_eq!(files, known, "files in shaders/, and the list in src/kernel.rs");
    assert_eq!(files, run, "files in shaders/, and kernels that check::cases() run");
}

/// `SwiftShader`, among others, has 128 invocations.
#[test]
fn kernels_keep_to_the_limits_of_the_device() {
    for invocations in [256, 128] {
        let limits = Limits { invocations, ..Limits::default() };
        for Specialised { name, constants, module, .. } in &specialised(&limits) {
            let constants: Vec<_> = constants.iter().map(|(n, v)| (n.as_str(), *v)).collect();
            let taken = kernel(*name).workgroup(&constants);
            let buffers = module.global_variables.iter().filter(|(_, v)| matches!(v.space, naga::AddressSpace::Storage { .. }));
            assert!(buffers.count() <= 8, "{name}: storage buffers");
            let workgroup: u32 = module.entry_points[0].workgroup_size.iter().product();
            assert!((1..=invocations).contains(&workgroup), "{name}: {workgroup} invocations of {invocations}");
            let shared = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
            let bytes: u32 = shared.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()).next_multiple_of(16)).sum();
            assert!(bytes <= 16 << 10, "{name}: {bytes} bytes of workgroup memory");
            // What the planner reckons with, which naga has specialised nothing for.
            assert_eq!(taken, Workgroup { invocations: workgroup, bytes }, "{name}");
        }
    }
}

#[test]
fn kernels_on_cooperative_matrices_are_valid_and_translate() {
    for matrices in matrices() {
        let cooperative = Some(Cooperative { subgroup: 32, matrices });
        let limits = Limits { cooperative, workgroup_bytes: 32 << 10, ..Limits::default() };
        let mut names = BTreeSet::new();
        for Specialised { name, module, info, .. } in specialised(&limits).iter().filter(|s| s.name.shader.is_cooperative()) {
            validator().validate(module).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            spv::write_vec(module, info, &spv::Options::default(), None).unwrap_or_else(|e| panic!("{name}: {e}"));
            msl::write_string(
                module,
                info,
                &msl::Options { lang_version: (2, 3), ..Default::default() },
                &msl::PipelineOptions::default(),
            )
            .unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(name.to_string().contains(" 8x8"), matrices.side == 8, "{name}");
            names.insert(name.shader.name());
        }
        assert_eq!(names, BTreeSet::from(["conv2d_coop", "conv2d_dw_coop", "conv2d_dx_coop"]));
    }
}
